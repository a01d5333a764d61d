//! One side of HTTP/1 on a stream: bytes received and not consumed yet, bytes to be sent. Holds no buffer while there is
//! nothing in it.

use crate::Http;
use anyproxy_module_api::{Buf, Error, ErrorKind, Session, Stream, buf, now_ms, poll_buf, ready, ready_tasks};
use std::{
    future::poll_fn,
    task::{Context, Poll, ready},
};

/// Room for what is received, bytes.
const READ: usize = 16 << 10;
/// From so many tasks in one turn on, small messages are written after all were read.
const TOGETHER: u64 = 4;
/// What is small.
const SMALL: usize = 16 << 10;
/// Bytes to be sent that are gathered before more is read from the other side.
pub(crate) const AHEAD: usize = 64 << 10;

/// A stream with what was received from it and what is to be sent to it.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) stream: Stream,
    received: Buf,
    /// Bytes of `received` that are consumed.
    at: usize,
    /// To be sent.
    pub(crate) out: Vec<u8>,
    /// Bytes of `out` that are sent.
    sent: usize,
    /// All that came, and all that went.
    pub(crate) total_received: u64,
    pub(crate) total_sent: u64,
    /// The last read took all there was: the next waits without a buffer.
    emptied: bool,
    /// Of a client: header lines that the configuration gives its answer.
    pub(crate) lines: Vec<u8>,
    /// Of a client: its address as it is told to peers, once it was asked for.
    pub(crate) address: String,
}

impl Conn {
    pub(crate) const fn new(stream: Stream) -> Self {
        Self {
            stream,
            received: Buf::new(),
            at: 0,
            out: Vec::new(),
            sent: 0,
            total_received: 0,
            total_sent: 0,
            emptied: true,
            lines: Vec::new(),
            address: String::new(),
        }
    }

    /// What was received and not consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.received[self.at..]
    }

    /// The same, beside what is to be sent.
    pub(crate) fn unread_and_out(&mut self) -> (&[u8], &mut Vec<u8>) {
        (&self.received[self.at..], &mut self.out)
    }

    /// So much of it is done with.
    pub(crate) fn consume(&mut self, n: usize) {
        self.at += n;
        if self.at >= self.received.len() {
            self.received = Buf::new();
            self.at = 0;
        }
    }

    /// Receives more, behind what is there. Ready: how many bytes; 0: the end, or as much as `most` is there.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<usize, Error>> {
        if self.emptied && self.received.is_empty() {
            ready!(self.stream.poll_ready(cx, ready::READ));
        }
        if self.received.capacity() == 0 {
            self.received = match buf(READ) {
                Some(b) => b,
                None => ready!(poll_buf(cx, READ)),
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

    /// Bytes that are not sent yet.
    pub(crate) fn pending(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Sends what is to be sent. `more`: the rest or the end follows at once. Ready: nothing is left.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>, more: bool) -> Poll<Result<(), Error>> {
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

    /// Whether a small message waits for this task's next turn, which comes before the worker looks at sockets again: the
    /// others read now, and all write then, so that the system's paths stay in the processor's caches.
    pub(crate) fn puts_off(&self, cx: &Context<'_>) -> bool {
        let off = self.pending() < SMALL && ready_tasks() >= TOGETHER;
        if off {
            cx.waker().wake_by_ref();
        }
        off
    }

    /// Sends from a file; nothing is left to be sent before. Ready: how many bytes.
    pub(crate) fn poll_sendfile(
        &mut self,
        cx: &mut Context<'_>,
        file: i64,
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
    }

    /// The stream, with what was received and not consumed in front.
    pub(crate) fn into_stream(mut self) -> Stream {
        if !self.unread().is_empty() {
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
    let end = if ms == 0 { 0 } else { now_ms().saturating_add(ms) };
    session.fired.set(0);
    session.deadline_ms.set(end);
    let r = poll_fn(|cx| {
        if session.kill.get() != 0 {
            return Poll::Ready(Err(Error::bare(ErrorKind::Cancelled)));
        }
        if let Poll::Ready(r) = f(cx) {
            return Poll::Ready(r);
        }
        if session.fired.replace(0) != 0 && end != 0 && now_ms() >= end {
            return Poll::Ready(Err(Error::bare(ErrorKind::TimedOut)));
        }
        Poll::Pending
    })
    .await;
    session.deadline_ms.set(0);
    r
}
