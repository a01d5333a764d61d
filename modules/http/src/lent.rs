//! Bodies that other modules have for a while: whether they come back as they went, and whose fault it was that the rest of
//! one was not to be had. Knows not whether they are of requests or of answers.

use crate::fault::Fault;
use anyproxy_http_contract::{Body, BodyId, BodySource, Segment};
use anyproxy_module_api::Error;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::{Context, Poll, ready},
};

/// What can be lent.
pub(crate) trait Lend: 'static {
    /// There is nothing in it: nothing is lent then.
    fn is_nothing(&self) -> bool;

    /// The next piece, for another module. `None`: it is complete.
    ///
    /// # Errors
    /// Whose fault it is that the rest is not to be had, and what the module is told.
    fn poll_lent(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Segment>, (Fault, Error)>>;
}

/// Whose fault it was that a lent body is not whole, once that is known. What other modules make of it fails by that, too,
/// and only this tells.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note(Option<Rc<Cell<Option<Fault>>>>);

impl Note {
    /// The fault; `None`: whoever made something of the body is at fault itself.
    pub(crate) fn fault(&self) -> Option<Fault> {
        self.0.as_ref()?.get()
    }
}

/// A body that another module has.
pub(crate) enum Lent<B> {
    /// There is nothing in it.
    Nothing(B),
    Body(Rc<Had<B>>, BodyId),
}

/// A body while another module has it.
pub(crate) struct Had<B> {
    /// `None`: it was taken back.
    body: RefCell<Option<B>>,
    /// Something has come out of it, its end at least.
    begun: Cell<bool>,
    note: Note,
}

impl<B: Lend> Lent<B> {
    /// Lends a body of this length, if that is known: what the other module gets.
    pub(crate) fn new(body: B, length: Option<u64>) -> (Body, Self) {
        if body.is_nothing() {
            return (Body::EMPTY, Self::Nothing(body));
        }
        let note = Note(Some(Rc::default()));
        let had = Rc::new(Had { body: RefCell::new(Some(body)), begun: Cell::new(false), note });
        let given = Body::new(Source { had: Rc::clone(&had), ended: false }, length);
        let id = given.id();
        (given, Self::Body(had, id))
    }

    /// Whose fault it was.
    pub(crate) fn note(&self) -> Note {
        match self {
            Self::Nothing(_) => Note::default(),
            Self::Body(had, _) => had.note.clone(),
        }
    }

    /// What was lent, if `body` is that and nothing has come out of it: as if nobody had had it.
    ///
    /// # Errors
    /// Another body than that.
    pub(crate) fn back(self, body: Body) -> Result<B, Body> {
        match self {
            Self::Nothing(lent) if body.is_empty() => Ok(lent),
            // Where it was dropped another may be in its place.
            Self::Body(had, id) if body.is(&id) && Rc::strong_count(&had) > 1 && !had.begun.get() => {
                had.body.take().ok_or(body)
            }
            _ => Err(body),
        }
    }
}

/// A lent body as the other module sees it.
struct Source<B> {
    had: Rc<Had<B>>,
    ended: bool,
}

impl<B: Lend> BodySource for Source<B> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Segment>, Error>> {
        let Some(body) = &mut *self.had.body.borrow_mut() else { return Poll::Ready(Ok(None)) };
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        let piece = ready!(body.poll_lent(cx));
        self.had.begun.set(true);
        self.ended = matches!(piece, Ok(None | Some(Segment::Trailers(_))));
        Poll::Ready(piece.map_err(|(fault, e)| {
            if let Some(note) = &self.had.note.0 {
                note.set(note.get().or(Some(fault)));
            }
            e
        }))
    }
}

#[cfg(test)]
#[path = "lent_tests.rs"]
mod tests;
