//! A request's other end while it is answered: its body as it comes from the client, and what the client is told meanwhile.

use crate::{
    buffer,
    conn::Conn,
    fault::Fault,
    h1::{self, Event, Framing, Version},
    http2,
    lent::{Lend, Lent, Note},
    made::Made,
    message::Message,
};
use anyproxy_http_contract::{self as contract, Bytes, Segment};
use anyproxy_module_api::{Error, ErrorKind, ready};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// A client's connection: its server writes to it while whoever answers reads the request's body from it.
pub(crate) type Shared = Rc<RefCell<Conn>>;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The body of one request.
#[derive(Debug)]
pub(crate) struct Incoming {
    from: From,
    length: Option<u64>,
    /// Read before, and put back. Boxed, as what is rare: a body is moved several times before somebody reads it.
    back: Option<Box<Bytes>>,
    /// Bytes of payload so far.
    seen: u64,
    /// Most bytes; 0: no limit.
    pub(crate) limit: u64,
}

#[derive(Debug)]
enum From {
    Nothing,
    Http1(Shared, Version),
    /// A stream, and whether the client waits to be asked.
    Http2(http2::Body, Cell<bool>),
    /// Another module made it, or passed it on.
    Module(Box<Passed>),
    /// All of it was received, and is kept.
    Stored(Box<buffer::Stored>),
}

#[derive(Debug)]
struct Passed {
    body: Made,
    ended: bool,
    trailers: Vec<u8>,
}

impl Incoming {
    /// No body.
    pub(crate) const NONE: Self = Self { from: From::Nothing, length: Some(0), back: None, seen: 0, limit: 0 };

    /// The body, in whose place there is none from now on.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::NONE)
    }

    /// The body of the request whose head was taken off a connection of HTTP/1, which knows how it is framed.
    pub(crate) fn http1(conn: &Shared, framing: Framing, version: Version) -> Self {
        let length = match framing {
            Framing::None => Some(0),
            Framing::Length(n) => Some(n),
            Framing::Chunked | Framing::UntilClose => None,
        };
        Self { from: From::Http1(Rc::clone(conn), version), length, back: None, seen: 0, limit: 0 }
    }

    /// The body of a request of HTTP/2. `length`: if that is known.
    pub(crate) fn http2(stream: http2::Body, length: Option<u64>, expects: bool) -> Self {
        Self { from: From::Http2(stream, Cell::new(expects)), length, back: None, seen: 0, limit: 0 }
    }

    /// A body that another module made, or passed on.
    pub(crate) fn module(body: contract::Body, by: &Arc<str>, session: u64, note: Note) -> Self {
        if body.is_empty() {
            return Self::NONE;
        }
        let length = body.length();
        let passed = Passed { body: Made::new(body.flat(), by, session, note), ended: false, trailers: Vec::new() };
        Self { from: From::Module(Box::new(passed)), length, back: None, seen: 0, limit: 0 }
    }

    /// A body that was received in full. `length`: if it goes with one.
    pub(crate) fn stored(body: buffer::Stored, length: Option<u64>) -> Self {
        Self { from: From::Stored(Box::new(body)), length, back: None, seen: 0, limit: 0 }
    }

    /// For another module, which may give it back.
    pub(crate) fn lend(self) -> (contract::Body, Lent<Self>) {
        let length = self.length;
        Lent::new(self, length)
    }

    /// Its length, if that is known.
    pub(crate) const fn length(&self) -> Option<u64> {
        self.length
    }

    /// It says itself that it is longer than the limit.
    pub(crate) fn is_too_long(&self) -> bool {
        self.limit != 0 && self.length.is_some_and(|n| n > self.limit)
    }

    /// All of it was read.
    pub(crate) fn is_done(&self) -> bool {
        if self.back.is_some() {
            return false;
        }
        match &self.from {
            From::Nothing => true,
            From::Http1(conn, _) => conn.borrow().body.is_done(),
            From::Http2(stream, _) => stream.is_done(),
            From::Module(passed) => passed.ended,
            From::Stored(stored) => stored.is_done(),
        }
    }

    /// Whether [`Incoming::rewind`] would succeed.
    pub(crate) const fn is_rewindable(&self) -> bool {
        self.seen == 0 || matches!(self.from, From::Stored(_))
    }

    /// Whether it comes in pieces that may be malformed.
    pub(crate) fn is_chunked(&self) -> bool {
        matches!(self.from, From::Http1(..)) && self.length.is_none()
    }

    /// It can be read from its beginning: nobody read of it, or it is kept.
    pub(crate) fn rewind(&mut self) -> bool {
        if let From::Stored(stored) = &mut self.from {
            stored.rewind();
            self.seen = 0;
        }
        self.seen == 0
    }

    /// Puts all back that was read: it is untouched again.
    pub(crate) fn put_back(&mut self, bytes: Vec<u8>) {
        if matches!(self.from, From::Stored(_)) {
            // It is kept anyway.
            self.rewind();
            return;
        }
        self.seen = 0;
        self.back = (!bytes.is_empty()).then(|| Box::new(bytes.into()));
    }

    /// Whose fault it is that the rest of it is not to be had.
    pub(crate) fn fault(&self, e: &Error) -> Fault {
        match &self.from {
            From::Module(passed) => passed.body.fault(e),
            _ => Fault::of_request(e),
        }
    }

    /// The lines behind it, once it is done.
    pub(crate) fn trailers(&self) -> Vec<u8> {
        match &self.from {
            From::Nothing => Vec::new(),
            From::Http1(conn, _) => conn.borrow().body.trailers().to_vec(),
            From::Http2(stream, _) => stream.trailers(),
            From::Module(passed) => passed.trailers.clone(),
            From::Stored(stored) => stored.client().trailers(),
        }
    }

    /// Asks a client that waits for it (RFC 9110 section 10.1.1).
    pub(crate) fn ask(&self) {
        if let From::Http2(stream, expects) = &self.from
            && expects.take()
            && !stream.is_done()
        {
            stream.ask();
        }
        if let From::Http1(conn, _) = &self.from {
            let conn = &mut *conn.borrow_mut();
            if std::mem::take(&mut conn.expects) && conn.is_read() {
                conn.out.extend_from_slice(CONTINUE);
                conn.wrote_head(CONTINUE.len());
            }
        }
    }

    /// Passes on an answer that another one follows (1xx), if this client understands such.
    pub(crate) fn interim(&self, message: &Message) {
        match &self.from {
            From::Http1(conn, Version::Http11) => {
                let conn = &mut *conn.borrow_mut();
                conn.expects &= message.status() != 100;
                let before = conn.out.len();
                message.write_answer(&mut conn.out);
                conn.out.extend_from_slice(b"\r\n");
                conn.wrote_head(conn.out.len() - before);
            }
            From::Http2(stream, expects) => {
                expects.set(expects.get() && message.status() != 100);
                stream.interim(message);
            }
            From::Stored(stored) => stored.client().interim(message),
            From::Http1(..) | From::Nothing | From::Module(_) => {}
        }
    }

    /// The client is gone: nobody will hear the answer. One that has only ended its own side is not. The task of a stream of
    /// HTTP/2 ends with it, and need not ask.
    pub(crate) fn is_gone(&self) -> bool {
        match &self.from {
            From::Http1(conn, _) => conn.borrow().stream.state() & ready::HUP != 0,
            From::Stored(stored) => stored.client().is_gone(),
            From::Nothing | From::Http2(..) | From::Module(_) => false,
        }
    }

    /// Is woken when the client is gone, though it has nothing more to say.
    pub(crate) fn watch(&self, cx: &mut Context<'_>) {
        match &self.from {
            // What it says meanwhile is for later.
            From::Http1(conn, _) => drop(conn.borrow_mut().stream.poll_ready(cx, ready::HUP)),
            From::Stored(stored) => stored.client().watch(cx),
            From::Nothing | From::Http2(..) | From::Module(_) => {}
        }
    }

    /// Sends what waits for the client while no answer is there yet: an interim one.
    pub(crate) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &self.from {
            From::Nothing | From::Module(_) | From::Http2(..) => Poll::Ready(Ok(())),
            From::Stored(stored) => stored.client().poll_flush(cx),
            From::Http1(conn, _) => {
                let mut conn = conn.borrow_mut();
                if conn.pending() == 0 { Poll::Ready(Ok(())) } else { conn.poll_send(cx, false) }
            }
        }
    }

    /// The next piece. `None`: it is complete.
    ///
    /// # Errors
    /// `Invalid`: malformed, `Limit`: longer than the limit, `UnexpectedEof`, and what the stream says.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        if let Some(back) = self.back.take() {
            self.seen += back.len() as u64;
            return Poll::Ready(Ok(Some(*back)));
        }
        let piece = match &mut self.from {
            From::Module(passed) => ready!(passed.poll_next(cx))?,
            From::Stored(stored) => ready!(stored.poll_next(cx))?,
            From::Http2(stream, _) => ready!(stream.poll_next(cx))?,
            From::Nothing => return Poll::Ready(Ok(None)),
            From::Http1(conn, _) => ready!(poll_http1(&mut conn.borrow_mut(), cx))?,
        };
        if let Some(piece) = &piece {
            self.seen += piece.len() as u64;
            if self.limit != 0 && self.seen > self.limit {
                return Poll::Ready(Err(Error::bare(ErrorKind::Limit)));
            }
        }
        Poll::Ready(Ok(piece))
    }
}

impl Passed {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        match ready!(self.body.poll_next(cx))? {
            Some(Segment::Bytes(bytes)) => return Poll::Ready(Ok(Some(bytes))),
            Some(Segment::Trailers(lines)) => self.trailers = lines.to_vec(),
            Some(Segment::File(_)) | None => {}
        }
        self.ended = true;
        Poll::Ready(Ok(None))
    }
}

impl Lend for Incoming {
    fn is_nothing(&self) -> bool {
        self.is_done() && self.trailers().is_empty()
    }

    fn poll_lent(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Segment>, (Fault, Error)>> {
        self.ask();
        if let Poll::Ready(Err(e)) = self.poll_flush(cx) {
            return Poll::Ready(Err((Fault::of_request(&e), e)));
        }
        Poll::Ready(match ready!(self.poll_next(cx)) {
            Ok(Some(bytes)) => Ok(Some(Segment::Bytes(bytes))),
            Ok(None) => {
                let trailers = self.trailers();
                Ok((!trailers.is_empty()).then(|| Segment::Trailers(trailers.into())))
            }
            Err(e) => Err((self.fault(&e), e)),
        })
    }
}

fn poll_http1(conn: &mut Conn, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
    loop {
        let (unread, body) = conn.unread_and_body();
        match body.decode(unread) {
            Ok(Event::Data(range)) => return Poll::Ready(Ok(Some(conn.take(range)))),
            Ok(Event::End(n)) => {
                conn.consume(n);
                return Poll::Ready(Ok(None));
            }
            Ok(Event::More(n)) => conn.consume(n),
            Err(bad) => return Poll::Ready(Err(Error::new(ErrorKind::Invalid, bad.reason()))),
        }
        if ready!(conn.poll_fill(cx, 1))? == 0 {
            return Poll::Ready(Err(Error::bare(ErrorKind::UnexpectedEof)));
        }
    }
}

/// The body of a request of HTTP/1 at its beginning.
pub(crate) fn begin_http1(conn: &Shared, framing: Framing, version: Version, expects: bool) -> Incoming {
    {
        let conn = &mut *conn.borrow_mut();
        conn.body = h1::Body::new(framing, h1::ChunkLimits::default());
        conn.expects = expects && !conn.body.is_done();
    }
    Incoming::http1(conn, framing, version)
}
