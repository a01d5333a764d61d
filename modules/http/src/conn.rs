//! One side of HTTP on a stream: bytes received and not consumed yet, bytes to be sent. Holds no buffer while there is
//! nothing in it.

mod queue;

use crate::{
    Http,
    h1::{Body, ChunkedEncoder},
    spare_buf::SpareBuf,
};
use anyproxy_http_contract::Bytes;
use anyproxy_module_api::{
    BorrowedFile, Buf, Error, ErrorKind, IoVec, Session, Stream, buf, now_ms,
    pipe::{Moved, Pipe},
    poll_buf, ready,
};
use queue::Queue;
use std::{
    future::poll_fn,
    ops::Range,
    task::{Context, Poll, ready},
};

/// Room for what is received, bytes: of small messages, and once a read has filled that.
pub(crate) const READ: usize = 16 << 10;
const READ_BULK: usize = 64 << 10;
/// Bytes to be sent that are gathered before more is read from the other side.
pub(crate) const AHEAD: usize = 48 << 10;
/// How often a body is moved that far before the others of the worker get their turn: where both ends are faster than this
/// proxy, nothing else would ever stop it.
pub(crate) const ROUNDS: usize = 4;
/// Up to so many bytes are copied behind those before them: one piece is sent sooner than two.
const COPIED: usize = 4 << 10;
/// Pieces of one gathered write, at most.
const PIECES: usize = 16;

/// A stream with what was received from it and what is to be sent to it.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) stream: Stream,
    received: Buf,
    /// Bytes of `received` that are consumed.
    at: usize,
    /// To be sent: these first, then `out`.
    queue: Queue,
    pub(crate) out: Vec<u8>,
    /// Bytes of `out` that are sent.
    sent: usize,
    /// All that came, and all that went.
    pub(crate) total_received: u64,
    pub(crate) total_sent: u64,
    /// Of it: heads, to a client. It wraps, since what counts is the difference that one exchange makes: in four bytes it has
    /// room beside the flags, and an idle connection is no larger for it.
    pub(crate) heads_sent: u32,
    /// The last read took all there was, and nothing was waited for since: the next one first waits without a buffer.
    emptied: bool,
    /// The last read filled its buffer.
    bulk: bool,
    /// Of a client: how far the body of its request is.
    pub(crate) body: Body,
    /// Of a client: it waits to be asked for that body.
    pub(crate) expects: bool,
    /// Of a client: it has said that it makes no request after this one.
    pub(crate) last: bool,
}

impl Conn {
    pub(crate) const fn new(stream: Stream) -> Self {
        Self {
            stream,
            received: Buf::new(),
            at: 0,
            queue: Queue::new(),
            out: Vec::new(),
            sent: 0,
            total_received: 0,
            total_sent: 0,
            heads_sent: 0,
            emptied: true,
            bulk: false,
            body: Body::None,
            expects: false,
            last: false,
        }
    }

    /// Nothing more was there when it was last received from.
    pub(crate) const fn is_emptied(&self) -> bool {
        self.emptied
    }

    /// Nothing of it is left.
    pub(crate) fn is_read(&self) -> bool {
        self.at >= self.received.len()
    }

    /// What was received and not consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.received[self.at..]
    }

    /// The same, beside what is to be sent.
    pub(crate) fn unread_and_out(&mut self) -> (&[u8], &mut Vec<u8>) {
        (&self.received[self.at..], &mut self.out)
    }

    /// The same, beside the state of the request's body.
    pub(crate) fn unread_and_body(&mut self) -> (&[u8], &mut Body) {
        (&self.received[self.at..], &mut self.body)
    }

    /// So much of it is done with.
    pub(crate) fn consume(&mut self, n: usize) {
        self.at += n;
        if self.is_read() {
            self.received = Buf::new();
            self.at = 0;
        }
    }

    /// The same; memory that this makes free goes to `spare`.
    pub(crate) fn consume_into(&mut self, n: usize, spare: &SpareBuf) {
        self.at += n;
        if self.is_read() {
            spare.keep(std::mem::take(&mut self.received));
            self.at = 0;
        }
    }

    /// Consumes up to the end of a part of what is unread, and hands the part out.
    pub(crate) fn take(&mut self, part: Range<usize>) -> Bytes {
        let (start, end) = (self.at + part.start, self.at + part.end);
        if end >= self.received.len() {
            self.at = 0;
            return Bytes::of(std::mem::take(&mut self.received), start, end);
        }
        let bytes = self.received[start..end].to_vec();
        self.at = end;
        bytes.into()
    }

    /// Receives more, behind what is there. Ready: how many bytes; 0: the end, or as much as `most` is there.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<usize, Error>> {
        self.poll_fill_into(cx, most, None)
    }

    /// The same, into memory of `spare` where that has some.
    pub(crate) fn poll_fill_into(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        spare: Option<&SpareBuf>,
    ) -> Poll<Result<usize, Error>> {
        if self.emptied && self.received.is_empty() && self.stream.poll_ready(cx, ready::READ).is_pending() {
            // Whoever is woken mostly finds something to read, which costs less than to ask once more.
            self.emptied = false;
            return Poll::Pending;
        }
        if self.received.capacity() == 0 {
            let size = if self.bulk { READ_BULK } else { READ };
            let kept = spare.filter(|_| !self.bulk).and_then(SpareBuf::take);
            self.received = match kept.or_else(|| buf(size)) {
                Some(b) => b,
                None => ready!(poll_buf(cx, size)),
            };
        } else if self.received.len() == self.received.capacity() {
            ready!(self.make_room(cx, most));
            if self.received.len() == self.received.capacity() {
                return Poll::Ready(Ok(0));
            }
        }
        let room = self.received.capacity() - self.received.len();
        let n = match self.stream.poll_read_buf(cx, &mut self.received) {
            Poll::Ready(r) => r?,
            Poll::Pending => {
                self.emptied = true;
                if self.received.is_empty() {
                    self.received = Buf::new();
                }
                return Poll::Pending;
            }
        };
        self.emptied = n < room;
        // What comes after much is likely much again, be it the next message.
        self.bulk = n == room || (self.bulk && n > READ);
        self.total_received += n as u64;
        Poll::Ready(Ok(n))
    }

    /// Moves what is unread to the front of a buffer with room behind it.
    fn make_room(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<()> {
        let unread = self.received.len() - self.at;
        if self.at == 0 && unread >= most {
            return Poll::Ready(());
        }
        let size = if unread * 2 > self.received.capacity() { self.received.capacity() * 2 } else { READ };
        let mut larger = match buf(size) {
            Some(b) => b,
            None => ready!(poll_buf(cx, size)),
        };
        larger.push(&self.received[self.at..]);
        self.received = larger;
        self.at = 0;
        Poll::Ready(())
    }

    /// Appends a piece of a body, as a chunk of HTTP/1 where that is wanted.
    pub(crate) fn put(&mut self, piece: Bytes, chunked: bool) {
        if piece.is_empty() {
            return;
        }
        if chunked {
            self.out.extend_from_slice(ChunkedEncoder::head(piece.len() as u64).as_bytes());
        }
        if piece.len() <= COPIED {
            self.out.extend_from_slice(&piece);
        } else {
            self.put_whole(piece);
        }
        if chunked {
            self.out.extend_from_slice(ChunkedEncoder::AFTER);
        }
    }

    /// Appends a body; memory that this makes free goes to `spare`.
    pub(crate) fn put_body(&mut self, body: Bytes, spare: &SpareBuf) {
        if body.len() <= COPIED {
            self.out.extend_from_slice(&body);
            spare.keep(body.into_buf());
        } else {
            self.put_whole(body);
        }
    }

    /// Appends a piece without a copy.
    fn put_whole(&mut self, piece: Bytes) {
        if self.sent < self.out.len() {
            let mut before = Bytes::from(std::mem::take(&mut self.out));
            before.advance(self.sent);
            self.queue.push(before);
        }
        self.out.clear();
        self.sent = 0;
        self.queue.push(piece);
    }

    /// So many bytes of `out` are a head to a client.
    pub(crate) fn wrote_head(&mut self, len: usize) {
        self.heads_sent = self.heads_sent.wrapping_add(len as u32);
    }

    /// Bytes that are not sent yet.
    pub(crate) fn pending(&self) -> usize {
        self.queue.bytes() + self.out.len() - self.sent
    }

    /// Sends what is to be sent. `more`: the rest or the end follows at once. Ready: nothing is left.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, more: bool) -> Poll<Result<(), Error>> {
        while !self.queue.is_empty() {
            ready!(self.poll_send_queue(cx))?;
        }
        while self.sent < self.out.len() {
            let rest = &self.out[self.sent..];
            let n =
                ready!(if more { self.stream.poll_write_more(cx, rest) } else { self.stream.poll_write(cx, rest) })?;
            if n == 0 {
                return Poll::Ready(Err(Error::bare(ErrorKind::BrokenPipe)));
            }
            self.sent += n;
            self.total_sent += n as u64;
        }
        self.out.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// One gathered write of the first pieces and, behind the last of them, of `out`.
    fn poll_send_queue(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut pieces = [IoVec::new(&[]); PIECES];
        let mut n = self.queue.first(&mut pieces[..PIECES - 1]);
        // `sent` counts only once nothing is queued: `put_whole` moves `out` behind the queue.
        if self.queue.len() == n && !self.out.is_empty() {
            pieces[n] = IoVec::new(&self.out);
            n += 1;
        }
        let sent = ready!(self.stream.poll_writev(cx, &pieces[..n]))?;
        if sent == 0 {
            return Poll::Ready(Err(Error::bare(ErrorKind::BrokenPipe)));
        }
        self.total_sent += sent as u64;
        self.sent = self.queue.advance(sent);
        Poll::Ready(Ok(()))
    }

    /// It is a socket, and nothing in between.
    pub(crate) fn is_plain(&self) -> bool {
        self.stream.info().is_plain()
    }

    /// Moves what is there into an empty pipe, up to `most` bytes; nothing is unread.
    pub(crate) fn poll_pour(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe, most: u64) -> Poll<Moved> {
        loop {
            if self.stream.poll_ready(cx, ready::READ).is_pending() {
                return Poll::Pending;
            }
            match pipe.fill(&self.stream, most) {
                Moved::Again => self.stream.clear_ready(ready::READ),
                moved => {
                    if let Moved::Bytes(n @ 1..) = &moved {
                        self.total_received += *n as u64;
                        // Behind all that was wanted there may be more. The head of what comes next is read, and little behind it.
                        (self.emptied, self.bulk) = ((*n as u64) < most, false);
                    }
                    return Poll::Ready(moved);
                }
            }
        }
    }

    /// Sends out of a pipe; nothing is left to be sent before. Ready: how many bytes.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<Result<usize, Error>> {
        let n = ready!(pipe.poll_drain(cx, &mut self.stream))?;
        self.total_sent += n as u64;
        Poll::Ready(Ok(n))
    }

    /// Sends from a file; nothing is left to be sent before. Ready: how many bytes.
    pub(crate) fn poll_sendfile(
        &mut self,
        cx: &mut Context<'_>,
        file: BorrowedFile<'_>,
        offset: u64,
        len: usize,
    ) -> Poll<Result<usize, Error>> {
        let n = ready!(self.stream.poll_sendfile(cx, file, offset, len))?;
        self.total_sent += n as u64;
        Poll::Ready(Ok(n))
    }

    /// Gives up what it keeps for the next exchange, if that is much.
    pub(crate) fn rest(&mut self) {
        if self.out.capacity() > READ {
            self.out = Vec::new();
        }
        self.queue.rest();
    }

    /// The stream, with what was received and not consumed in front.
    pub(crate) fn into_stream(mut self) -> Stream {
        if !self.is_read() {
            let rest = self.unread().to_vec();
            self.stream.unread(rest.into());
        }
        self.stream
    }
}

/// Runs `f` until it is ready, the session is told to end, or `ms` have passed. 0: no limit.
pub(crate) async fn within<T>(
    session: &Session<Http>,
    ms: u64,
    mut f: impl FnMut(&mut Context<'_>) -> Poll<Result<T, Error>>,
) -> Result<T, Error> {
    // The end of the wait, once there is one: mostly there is not.
    let (mut waits, mut end) = (false, 0);
    let r = poll_fn(|cx| {
        if session.kill.get() != 0 {
            return Poll::Ready(Err(Error::bare(ErrorKind::Cancelled)));
        }
        if let Poll::Ready(r) = f(cx) {
            return Poll::Ready(r);
        }
        if !std::mem::replace(&mut waits, true) {
            end = if ms == 0 { 0 } else { now_ms().saturating_add(ms) };
            session.fired.set(0);
            session.deadline_ms.set(end);
        } else if session.fired.replace(0) != 0 && end != 0 && now_ms() >= end {
            return Poll::Ready(Err(Error::bare(ErrorKind::TimedOut)));
        }
        Poll::Pending
    })
    .await;
    if waits {
        session.deadline_ms.set(0);
    }
    r
}
