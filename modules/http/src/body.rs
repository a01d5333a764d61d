//! A request's body as it comes from the client.

use crate::{
    answer::Manner,
    conn::Conn,
    h1::{Body, ChunkLimits, ChunkedEncoder, Event, Framing},
};
use anyproxy_module_api::{Error, ErrorKind};
use std::{
    ops::Range,
    task::{Context, Poll, ready},
};

/// A body up to this length is read to keep the connection, though nobody wants it.
const SHORT: u64 = 64 << 10;

/// The body of one request.
#[derive(Debug)]
pub(crate) struct Incoming {
    body: Body,
    framing: Framing,
    /// Bytes of payload so far.
    seen: u64,
    /// Most bytes; 0: no limit.
    pub(crate) limit: u64,
    /// The client waits to be asked for it.
    expects: bool,
    /// It was asked.
    pub(crate) asked: bool,
}

impl Incoming {
    pub(crate) fn new(framing: Framing, expects: bool) -> Self {
        let body = Body::new(framing, ChunkLimits::default());
        let expects = expects && !body.is_done();
        Self { body, framing, seen: 0, limit: 0, expects, asked: false }
    }

    /// Its length, if that is known.
    pub(crate) const fn length(&self) -> Option<u64> {
        match self.framing {
            Framing::None => Some(0),
            Framing::Length(n) => Some(n),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.framing == Framing::Chunked
    }

    /// It says itself that it is longer than the limit.
    pub(crate) fn is_too_long(&self) -> bool {
        self.limit != 0 && self.length().is_some_and(|n| n > self.limit)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.body.is_done()
    }

    pub(crate) fn trailers(&self) -> &[u8] {
        self.body.trailers()
    }

    /// How an answer goes that does not wait for the body.
    pub(crate) fn manner(&self, manner: Manner) -> Manner {
        let short = self.length().is_some_and(|n| n <= SHORT);
        // One that waits to be asked may send it or not: nobody knows where the next request begins.
        Manner { keep: manner.keep && (self.is_done() || (short && !self.expects)), ..manner }
    }

    /// Asks a client that waits for it.
    pub(crate) fn ask(&mut self, conn: &mut Conn) {
        if std::mem::take(&mut self.expects) && conn.unread().is_empty() {
            conn.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            self.asked = true;
        }
    }

    /// Where the next piece of payload is in what is unread; the caller consumes up to its end. `None`: it is complete.
    ///
    /// # Errors
    /// `Invalid`: malformed, `Limit`: longer than the limit, `UnexpectedEof`, and what the stream says.
    pub(crate) fn poll_piece(
        &mut self,
        conn: &mut Conn,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Range<usize>>, Error>> {
        loop {
            match self.body.decode(conn.unread()) {
                Ok(Event::Data(range)) => {
                    self.seen += range.len() as u64;
                    if self.limit != 0 && self.seen > self.limit {
                        return Poll::Ready(Err(Error::bare(ErrorKind::Limit)));
                    }
                    return Poll::Ready(Ok(Some(range)));
                }
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
}

/// Appends a piece of payload, as a chunk where that is wanted.
pub(crate) fn put(payload: &[u8], chunked: bool, out: &mut Vec<u8>) {
    if payload.is_empty() {
        return;
    }
    if chunked {
        out.extend_from_slice(ChunkedEncoder::head(payload.len() as u64).as_bytes());
    }
    out.extend_from_slice(payload);
    if chunked {
        out.extend_from_slice(ChunkedEncoder::AFTER);
    }
}
