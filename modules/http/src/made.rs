//! Bodies that other modules make: exactly as long as they say. What one says frames the message, so one byte more or less
//! would be taken for the next message by whoever reads on.

use crate::{fault::Fault, lent::Note};
use anyproxy_http_contract::{Body, Segment};
use anyproxy_module_api::{Error, ErrorKind, tracing};
use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

/// A body of another module's.
#[derive(Debug)]
pub(crate) struct Made {
    body: Body,
    by: Box<By>,
}

/// Who made a body, for whom, and what of.
#[derive(Debug)]
struct By {
    hook: Arc<str>,
    session: u64,
    /// Of what it was given for it.
    note: Note,
    /// `None`: it says nothing of its length.
    said: Option<Said>,
}

/// What was said of a body's length.
#[derive(Debug)]
struct Said {
    length: u64,
    /// Bytes that are to come.
    left: u64,
    /// It was not so.
    broken: bool,
}

impl Made {
    /// What a hook or handler of that name made for a session, of a body with that note perhaps.
    pub(crate) fn new(body: Body, hook: &Arc<str>, session: u64, note: Note) -> Self {
        let said = body.length().map(|length| Said { length, left: length, broken: false });
        Self { by: Box::new(By { hook: Arc::clone(hook), session, note, said }), body }
    }

    /// Whose fault it is that it failed by `e`: the module's, unless what that was given had failed.
    pub(crate) fn fault(&self, e: &Error) -> Fault {
        self.by.note.fault().unwrap_or_else(|| Fault::of_module(e))
    }

    /// The next piece. What is too much is cut off.
    ///
    /// # Errors
    /// As the module says; `Invalid`: it is not as long as it said, which is in the log.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Segment>, Error>> {
        let By { hook, session, said, .. } = &mut *self.by;
        let Some(said) = said else { return self.body.poll_next(cx) };
        let tell = |what: std::fmt::Arguments<'_>| tracing::error!(session = *session, hook = &**hook, "a body {what}");
        if said.broken {
            return Poll::Ready(Err(Error::new(ErrorKind::Invalid, "a body is not as long as it says")));
        }
        let mut piece = ready!(self.body.poll_next(cx))?;
        let length = match &piece {
            Some(Segment::Bytes(bytes)) => bytes.len() as u64,
            Some(Segment::File(part)) => part.len,
            Some(Segment::Trailers(_)) | None if said.left == 0 => return Poll::Ready(Ok(piece)),
            Some(Segment::Trailers(_)) | None => {
                let (sent, length) = (said.length - said.left, said.length);
                said.broken = true;
                tell(format_args!("ends after {sent} of the {length} bytes that it says it has"));
                return self.poll_next(cx);
            }
        };
        if length <= said.left {
            said.left -= length;
            return Poll::Ready(Ok(piece));
        }
        let (left, length) = (said.left, said.length);
        said.broken = true;
        tell(format_args!("is longer than the {length} bytes that it says it has: the rest is cut off"));
        match &mut piece {
            Some(Segment::Bytes(bytes)) if left > 0 => bytes.truncate(left as usize),
            Some(Segment::File(part)) if left > 0 => part.len = left,
            _ => return self.poll_next(cx),
        }
        Poll::Ready(Ok(piece))
    }
}
