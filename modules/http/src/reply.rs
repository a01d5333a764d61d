//! An answer on its way to whoever sends it: its head is the exchange's, its body comes piece by piece.

use crate::{
    Http, buffer, compress, conditions,
    conf::Conf,
    direct,
    exchange::State,
    fault::Fault,
    files,
    headers::Rule,
    incoming::Incoming,
    made::Made,
    pace,
    proxy::{self, Download},
    total,
};
use anyproxy_http_contract::{self as contract, Bytes, FilePart, Segment};
use anyproxy_module_api::{Addr, Cause, Error, Lease, Session, Stream, Upstream, Who};
use std::{
    cell::Cell,
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// One request under way: what everybody who has a part in its answer works with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    /// Whose deadline and end count: the connection's, or the exchange's where there are many at a time.
    pub(crate) watch: &'a Session<Http>,
    pub(crate) exchange: &'a Session<Http>,
    pub(crate) state: &'a State,
    /// Whom the connection is from: a trusted sender may speak for another one.
    pub(crate) sender: &'a Addr,
    /// Of the block that it came to, once that is known.
    pub(crate) conf: &'a Cell<Option<&'a Conf>>,
    /// Nobody looks after `watch`'s deadline: it is a module's own request.
    pub(crate) alone: bool,
    /// Whose peers are asked, if not those of the local.
    pub(crate) upstream: Option<Upstream>,
}

impl<'a> Call<'a> {
    /// Of the block that it came to, or its server's.
    pub(crate) fn conf(&self) -> Option<&'a Conf> {
        self.conf.get().or_else(|| self.exchange.block())
    }

    /// The rules for header lines that its peers get: those of a local are not for another upstream.
    pub(crate) fn rules<'c>(&self, conf: &'c Conf) -> &'c [Rule] {
        if self.upstream.is_none() { &conf.request_headers } else { &[] }
    }

    /// Notes a stage for `${stream_work_times}`, where that is shown.
    pub(crate) fn stage(&self, name: &'static str) {
        if self.exchange.worker().shows_stages {
            self.exchange.stage(name);
        }
    }
}

/// An answer. Its status and header lines are in the exchange's state (`parts.response`), without what frames it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) body: Body,
    /// Bytes of the body, where they are known and no header says so.
    pub(crate) length: Option<u64>,
    /// The connection becomes another protocol's. Boxed, as what is rare.
    pub(crate) upgrade: Option<Box<Upgrade>>,
    /// Conditions and ranges of the request were not applied yet, and may be.
    pub(crate) whole: bool,
    /// This proxy says no, and nothing of its own: a page may take its place.
    pub(crate) refusal: bool,
}

/// Who goes on with a connection that is HTTP no more.
#[derive(Debug)]
pub(crate) enum Upgrade {
    Peer(Stream, Lease),
    Module(contract::Upgraded),
}

impl Reply {
    pub(crate) fn new(body: Body, length: Option<u64>) -> Self {
        Self { body, length, upgrade: None, whole: false, refusal: false }
    }

    /// With all of its body at hand.
    pub(crate) fn whole(body: Vec<u8>) -> Self {
        let length = Some(body.len() as u64);
        Self::new(if body.is_empty() { Body::Empty } else { Body::Bytes(body.into()) }, length)
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    Empty,
    Bytes(Bytes),
    /// Bytes that others have too.
    Small(Rc<[u8]>),
    /// Pieces that are known from the start.
    Segments(VecDeque<Segment>),
    /// The same, files of which are read past the cache.
    Direct(Box<direct::Direct>),
    /// What a peer sends.
    Peer(Box<Download>),
    /// The same over HTTP/2.
    Peer2(Box<proxy::http2::Download>),
    /// What the client sends.
    Echo(Box<Incoming>),
    /// What another module makes.
    Module(Made),
    /// One part of another.
    Cut(Box<conditions::Cut>),
    /// Compressed as it passes.
    Compressed(Box<compress::Stream>),
    /// Read on while the client takes its time.
    Buffered(Box<buffer::Buffered>),
    /// To be complete by a time.
    Timed(Box<total::Timed>),
    /// So many bytes a second.
    Limited(Box<pace::Limited>),
}

impl Body {
    /// The next piece. `None`: it is complete.
    ///
    /// # Errors
    /// When the rest is not to be had.
    pub(crate) fn poll_next(
        &mut self,
        exchange: &Session<Http>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Segment>, Fault>> {
        match self {
            Self::Empty => Poll::Ready(Ok(None)),
            Self::Bytes(_) => match std::mem::replace(self, Self::Empty) {
                Self::Bytes(chunk) => Poll::Ready(Ok(Some(Segment::Bytes(chunk)))),
                _ => Poll::Ready(Ok(None)),
            },
            Self::Small(bytes) => {
                let bytes = bytes.to_vec();
                *self = Self::Empty;
                Poll::Ready(Ok((!bytes.is_empty()).then(|| Segment::Bytes(bytes.into()))))
            }
            Self::Segments(list) => Poll::Ready(Ok(list.pop_front())),
            Self::Direct(direct) => direct.poll_next(cx),
            Self::Peer(download) => download.poll_next(exchange, cx),
            Self::Peer2(download) => download.poll_next(exchange, cx),
            Self::Compressed(stream) => stream.poll_next(exchange, cx),
            Self::Buffered(kept) => kept.poll_next(exchange, cx),
            Self::Timed(timed) => timed.poll_next(exchange, cx),
            Self::Limited(limited) => limited.poll_next(exchange, cx),
            Self::Cut(cut) => cut.poll_next(exchange, cx),
            Self::Module(body) => body.poll_next(cx).map_err(|e| body.fault(&e)),
            Self::Echo(incoming) => match ready!(incoming.poll_next(cx)) {
                Ok(Some(chunk)) => Poll::Ready(Ok(Some(Segment::Bytes(chunk)))),
                Ok(None) => {
                    let trailers = incoming.trailers();
                    *self = Self::Empty;
                    Poll::Ready(Ok((!trailers.is_empty()).then_some(Segment::Trailers(trailers.into()))))
                }
                Err(e) => Poll::Ready(Err(incoming.fault(&e))),
            },
        }
    }

    /// Goes on with what is to be done while no more of it is wanted: the request's own body, to the peer.
    ///
    /// # Errors
    /// As [`Body::poll_next`].
    pub(crate) fn drive(&mut self, exchange: &Session<Http>, cx: &mut Context<'_>) -> Result<(), Fault> {
        match self {
            Self::Peer(download) => download.drive(exchange, cx),
            Self::Peer2(download) => download.drive(exchange, cx),
            Self::Compressed(stream) => stream.drive(exchange, cx),
            Self::Buffered(kept) => kept.drive(exchange, cx),
            Self::Timed(timed) => timed.drive(exchange, cx),
            Self::Limited(limited) => limited.drive(exchange, cx),
            _ => Ok(()),
        }
    }

    /// More of it is there, and waits for its time.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Self::Limited(limited) if limited.is_held())
    }

    /// It is the request's own body.
    pub(crate) fn is_echo(&self) -> bool {
        match self {
            Self::Limited(limited) => limited.is_echo(),
            body => matches!(body, Self::Echo(_)),
        }
    }

    /// Whose fault it is that nothing comes.
    pub(crate) fn stalled(&self) -> Fault {
        let who = match self {
            Self::Compressed(stream) => return stream.stalled(),
            Self::Buffered(kept) => return kept.stalled(),
            Self::Timed(timed) => return timed.stalled(),
            Self::Limited(limited) => return limited.stalled(),
            Self::Peer(download) => {
                download.stalled();
                Who::Upstream
            }
            Self::Peer2(download) => {
                download.stalled();
                Who::Upstream
            }
            Self::Echo(_) => Who::Client,
            _ => Who::Upstream,
        };
        Fault::new(who, Cause::Timeout, 0)
    }
}

/// A body for those who need bytes: files are read off the worker.
pub(crate) struct Flat {
    pub(crate) body: Body,
    file: Option<FilePart>,
    reading: Option<Reading>,
    taken: Option<Bytes>,
}

type Reading = Pin<Box<dyn Future<Output = Result<Vec<u8>, Error>>>>;

/// Bytes of a file that are read at once.
const PIECE: u64 = 256 << 10;

impl fmt::Debug for Flat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flat").field("body", &self.body).field("file", &self.file).finish_non_exhaustive()
    }
}

impl Flat {
    pub(crate) const fn new(body: Body) -> Self {
        Self { body, file: None, reading: None, taken: None }
    }

    /// A file is being read: the pieces are to be had here only.
    pub(crate) fn is_reading(&self) -> bool {
        self.file.is_some() || self.reading.is_some()
    }

    /// Puts a piece back that was taken too soon.
    pub(crate) fn unread(&mut self, bytes: Bytes) {
        self.taken = Some(bytes);
    }

    /// Has this part read before what follows.
    pub(crate) fn read(&mut self, part: FilePart) {
        self.file = (part.len > 0).then_some(part);
    }

    /// The next piece: bytes or trailers.
    ///
    /// # Errors
    /// As [`Body::poll_next`]; also when a file cannot be read or is not as long any more.
    pub(crate) fn poll_next(
        &mut self,
        exchange: &Session<Http>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Segment>, Fault>> {
        if let Some(taken) = self.taken.take() {
            return Poll::Ready(Ok(Some(Segment::Bytes(taken))));
        }
        loop {
            if self.is_reading() {
                return self.poll_file(cx).map_ok(|c| Some(Segment::Bytes(c)));
            }
            match ready!(self.body.poll_next(exchange, cx))? {
                Some(Segment::File(part)) => self.read(part),
                other => return Poll::Ready(Ok(other)),
            }
        }
    }

    fn poll_file(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Fault>> {
        let reading = match (&mut self.reading, &self.file) {
            (Some(reading), _) => reading,
            (None, Some(part)) => {
                let (file, at, len) = (part.file.clone(), part.at, part.len.min(PIECE) as usize);
                self.reading.insert(Box::pin(files::read(file, at, len)))
            }
            (None, None) => return Poll::Ready(Ok(Bytes::default())),
        };
        let read = ready!(reading.as_mut().poll(cx));
        self.reading = None;
        let Some(mut part) = self.file.take() else { return Poll::Ready(Ok(Bytes::default())) };
        match read {
            Ok(bytes) if bytes.len() as u64 == part.len.min(PIECE) => {
                part.at += bytes.len() as u64;
                part.len -= bytes.len() as u64;
                self.read(part);
                Poll::Ready(Ok(bytes.into()))
            }
            _ => Poll::Ready(Err(GONE)),
        }
    }
}

/// A file that is not as long any more as it was when its length was told.
pub(crate) const GONE: Fault = Fault::new(Who::Proxy, Cause::Closed, 500);
