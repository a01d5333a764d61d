//! Bodies as streams of bytes: read piece by piece whatever they are made of, and made piece by piece by async code.

use crate::{Body, BodySource, Bytes, FilePart, Segment};
use anyproxy_module_api::{Error, ErrorKind, JobHandle, Pool, run};
use std::{
    cell::RefCell,
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

/// Bytes of a file that are read at once.
const PIECE: u64 = 64 << 10;

impl Body {
    /// The same body without parts of files: those are read where one may wait, up to 64 KiB at a time.
    pub fn flat(self) -> Self {
        let length = self.length();
        Self::new(Flat { body: self, part: None, reading: None }, length)
    }

    /// The next bytes, of parts of files too, which are read where one may wait, up to 64 KiB at a time. `None`: there are no
    /// more. Trailers are left out: who passes them on takes [`Body::next`] of [`Body::flat`].
    ///
    /// # Errors
    /// As [`Body::next`]; `UnexpectedEof`: a file is not as long any more.
    pub async fn next_bytes(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.next().await? {
                Some(Segment::Bytes(bytes)) if bytes.is_empty() => {}
                Some(Segment::Bytes(bytes)) => return Ok(Some(bytes)),
                Some(Segment::File(part)) => {
                    let length = self.length();
                    let body = std::mem::replace(self, Self::EMPTY);
                    // From here on there are only bytes.
                    *self = Self::new(Flat { body, part: Some(part), reading: None }, length);
                }
                Some(Segment::Trailers(_)) | None => {
                    *self = Self::EMPTY;
                    return Ok(None);
                }
            }
        }
    }

    /// All of it, up to `most` bytes, without its trailers.
    ///
    /// # Errors
    /// As [`Body::next_bytes`]; `Limit`: it is longer.
    pub async fn collect(&mut self, most: usize) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(bytes) = self.next_bytes().await? {
            if bytes.len() > most - all.len() {
                return Err(Error::bare(ErrorKind::Limit));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all)
    }

    /// A body that async code makes, piece by piece, as it is asked for: one piece ahead of whoever sends it. Its end is the
    /// body's, and its error cuts the body off. `length`: as for [`Body::new`].
    pub fn stream<F, R>(length: Option<u64>, make: F) -> Self
    where
        F: FnOnce(Pieces) -> R,
        R: Future<Output = Result<(), Error>> + 'static,
    {
        let next = Rc::new(RefCell::new(Next::default()));
        let making = Box::pin(make(Pieces(Rc::clone(&next))));
        Self::new(Making { next, making: Some(making), failed: None }, length)
    }
}

/// Where the pieces of a body go: see [`Body::stream`]. Whoever has it may put pieces, a task of its own, too: but what `make`
/// gave ends the body, and nothing is taken once the body is dropped, so that what waits then waits until it is dropped.
pub struct Pieces(Rc<RefCell<Next>>);

impl Pieces {
    /// Adds bytes, as soon as the piece before them is taken.
    pub async fn put(&self, bytes: impl Into<Bytes>) {
        self.put_segment(Segment::Bytes(bytes.into())).await;
    }

    /// The same with a part of a file, or trailers.
    pub async fn put_segment(&self, segment: Segment) {
        let mut segment = Some(segment);
        let reader = poll_fn(|cx| self.0.borrow_mut().poll_put(&mut segment, cx)).await;
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pieces")
    }
}

/// The piece between whoever makes a body and whoever reads it.
#[derive(Default)]
struct Next {
    segment: Option<Segment>,
    /// Those who have a piece to put behind it. None of them is the reader, who comes back without being woken.
    putting: Vec<Waker>,
    /// Whoever reads, from its first look on.
    reader: Option<Waker>,
    /// It looks now, and polls what makes the body.
    looking: bool,
}

impl Next {
    /// Puts the piece, if there is room: whom to wake then.
    fn poll_put(&mut self, segment: &mut Option<Segment>, cx: &Context<'_>) -> Poll<Option<Waker>> {
        if self.segment.is_none() {
            self.segment = segment.take();
            return Poll::Ready(if self.looking { None } else { self.reader.clone() });
        }
        let same = |waker: &Waker| waker.will_wake(cx.waker());
        let is_reader = self.looking && self.reader.as_ref().is_some_and(same);
        if !is_reader && !self.putting.iter().any(same) {
            self.putting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// A body that is made as it is read.
struct Making<R> {
    next: Rc<RefCell<Next>>,
    /// `None`: it is over.
    making: Option<Pin<Box<R>>>,
    /// How it ended, behind its last piece.
    failed: Option<Error>,
}

impl<R> Making<R> {
    /// The piece that is there, whose place is another one's.
    fn take(&self) -> Option<Segment> {
        let (segment, putting) = {
            let next = &mut *self.next.borrow_mut();
            (next.segment.take()?, std::mem::take(&mut next.putting))
        };
        putting.into_iter().for_each(Waker::wake);
        Some(segment)
    }

    /// Whoever reads begins to look, or ends.
    fn look(&self, cx: Option<&Context<'_>>) {
        let next = &mut *self.next.borrow_mut();
        next.looking = cx.is_some();
        if let Some(cx) = cx
            && !next.reader.as_ref().is_some_and(|reader| reader.will_wake(cx.waker()))
        {
            next.reader = Some(cx.waker().clone());
        }
    }
}

impl<R: Future<Output = Result<(), Error>> + 'static> BodySource for Making<R> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Segment>, Error>> {
        if let Some(segment) = self.take() {
            return Poll::Ready(Ok(Some(segment)));
        }
        self.look(Some(cx));
        let polled = self.making.as_mut().map(|making| making.as_mut().poll(cx));
        self.look(None);
        if let Some(Poll::Ready(ended)) = polled {
            self.making = None;
            self.failed = ended.err();
        }
        match self.take() {
            Some(last) => Poll::Ready(Ok(Some(last))),
            None if self.making.is_some() => Poll::Pending,
            None => Poll::Ready(self.failed.take().map_or(Ok(None), Err)),
        }
    }
}

/// A body whose files are read.
struct Flat {
    body: Body,
    /// What is not read yet.
    part: Option<FilePart>,
    reading: Option<JobHandle<std::io::Result<Vec<u8>>>>,
}

impl Flat {
    /// The next bytes of the part.
    fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let Some(part) = self.part.as_mut().filter(|part| part.len > 0) else { return Poll::Ready(Ok(None)) };
        let len = part.len.min(PIECE);
        let reading = self.reading.get_or_insert_with(|| {
            let FilePart { file, at, .. } = part.clone();
            run(Pool::Blocking, move |_| {
                let mut bytes = vec![0; len as usize];
                let n = file.read_at(at, &mut bytes)?;
                bytes.truncate(n);
                Ok(bytes)
            })
        });
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let bytes = read?.map_err(|e| Error::new(ErrorKind::UnexpectedEof, e.to_string()))?;
        if bytes.len() as u64 != len {
            return Poll::Ready(Err(Error::new(ErrorKind::UnexpectedEof, "a file is not as long any more")));
        }
        (part.at, part.len) = (part.at + len, part.len - len);
        Poll::Ready(Ok(Some(bytes.into())))
    }
}

impl BodySource for Flat {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Segment>, Error>> {
        loop {
            if let Some(bytes) = ready!(self.poll_part(cx))? {
                return Poll::Ready(Ok(Some(Segment::Bytes(bytes))));
            }
            match ready!(self.body.poll_next(cx))? {
                Some(Segment::File(part)) => self.part = Some(part),
                other => return Poll::Ready(Ok(other)),
            }
        }
    }
}
