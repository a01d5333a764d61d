//! One direction by copying: read, write at once, keep what was not taken. A buffer is held only while there are bytes
//! in it, and grows once reads fill it. A direction that proves long is spliced, where that was asked for.

use super::{
    io::{Fault, Io},
    pump::READS,
};
use crate::Tcp;
use anyproxy_module_api::{
    Buf, Error, ErrorKind, Session, Who, buf,
    pipe::{Moved, Pipe},
    poll_buf, ready,
};
use std::task::{Context, Poll, ready};

/// Reads in a row that fill the buffer before it grows.
const FULL_TO_GROW: u32 = 2;
/// Pieces that are spliced in one turn of the loop: each is up to a pipe's content, a megabyte.
const PIECES: u32 = 4;
/// An answer below this is no long one: the next begins with the small buffer.
const SHORT: usize = 16 << 10;
/// Bytes that are put into a pipe at once for a target that is slow, or not known yet.
const LEAST: u32 = 128 << 10;
/// In their place, of a direction that was spliced until the other one carried bytes.
const PAUSED: u32 = 0;

/// The state of one direction.
pub(super) struct Flow {
    buf: Buf,
    /// Bytes of `buf` that the target has.
    sent: usize,
    /// Bytes since the other direction last carried any.
    run: u64,
    /// Reads in a row that filled the buffer, and their bytes.
    full: u32,
    full_run: u64,
    /// The last answer was a large one: the next read starts with the large buffer.
    large: bool,
    /// The last read took all there was.
    emptied: bool,
    ended: bool,
    /// Bytes were accepted and not flushed.
    dirty: bool,
    may_splice: bool,
    splicing: bool,
    /// While splicing: the other direction carried bytes since the last piece.
    turned: bool,
    /// What comes next is to be read.
    reads: bool,
    /// Bytes that are put into it at once: more, the faster they are taken. A target that takes none has few in the system. Or
    /// [`PAUSED`].
    most: u32,
    /// While there are bytes in it, or some come.
    pipe: Option<Pipe>,
}

impl Flow {
    pub(super) fn new(may_splice: bool) -> Self {
        Self {
            buf: Buf::new(),
            sent: 0,
            run: 0,
            full: 0,
            full_run: 0,
            large: false,
            emptied: true,
            ended: false,
            dirty: false,
            may_splice,
            splicing: false,
            turned: false,
            reads: false,
            most: LEAST,
            pipe: None,
        }
    }

    /// Writes what is held. Ready: nothing is held.
    fn poll_write(&mut self, cx: &mut Context<'_>, io: &mut Io<'_>) -> Poll<Result<(), Fault>> {
        while self.sent < self.buf.len() {
            let rest = &self.buf[self.sent..];
            // The end travels with the last bytes: a packet less, for us and for who gets it.
            let r = if self.ended { io.to.poll_write_more(cx, rest) } else { io.to.poll_write(cx, rest) };
            match r {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io.target(Error::bare(ErrorKind::BrokenPipe)))),
                Poll::Ready(Ok(n)) => {
                    self.sent += n;
                    self.dirty = !io.plain;
                    io.sent(n);
                }
                Poll::Ready(Err(e)) => return Poll::Ready(Err(io.target(e))),
                Poll::Pending => {
                    io.blocked();
                    return Poll::Pending;
                }
            }
        }
        self.buf.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Reads into an empty buffer. Ready: bytes, or the end.
    fn poll_fill(&mut self, cx: &mut Context<'_>, io: &mut Io<'_>) -> Poll<Result<(), Fault>> {
        if let Some(pipe) = &mut self.pipe {
            // Splicing failed with bytes under way.
            self.buf = ready!(poll_buf(cx, io.conf.read_buffer));
            let r = pipe.read_into(&mut self.buf);
            if pipe.held() == 0 {
                self.pipe = None;
            }
            return Poll::Ready(r.map_err(|error| Fault { who: Who::Proxy, error }));
        }
        self.large |= self.full >= FULL_TO_GROW;
        let bulk = self.large;
        let size = if bulk { io.conf.write_buffer } else { io.conf.read_buffer };
        if self.emptied {
            // To ask is cheaper than to read, and a direction that waits holds no buffer.
            ready!(io.poll_source(cx));
        }
        if self.buf.capacity() == 0 {
            self.buf = match buf(size) {
                Some(b) => b,
                None => ready!(poll_buf(cx, io.conf.read_buffer)),
            };
        } else if self.buf.capacity() < size {
            self.buf = buf(size).unwrap_or_else(|| std::mem::take(&mut self.buf));
        }
        match io.from.poll_read_buf(cx, &mut self.buf) {
            Poll::Pending => {
                self.emptied = true;
                io.waits();
                return Poll::Pending;
            }
            Poll::Ready(Ok(0)) => self.ended = true,
            Poll::Ready(Ok(n)) => {
                io.received(n);
                self.reads = false;
                self.run += n as u64;
                let filled = n == self.buf.capacity();
                self.emptied = !filled;
                self.ended = self.emptied && io.from.state() & ready::END != 0;
                (self.full, self.full_run) =
                    if filled { (self.full.saturating_add(1), self.full_run + n as u64) } else { (0, 0) };
            }
            Poll::Ready(Err(e)) => return Poll::Ready(Err(io.source(e))),
        }
        Poll::Ready(Ok(()))
    }

    /// Hands accepted bytes on, before waiting.
    fn poll_flush(&mut self, cx: &mut Context<'_>, io: &mut Io<'_>) -> Result<(), Fault> {
        if self.dirty {
            match io.to.poll_flush(cx) {
                Poll::Ready(Ok(())) => {
                    self.dirty = false;
                    io.unblocked();
                }
                Poll::Ready(Err(e)) => return Err(io.target(e)),
                Poll::Pending => io.blocked(),
            }
        }
        Ok(())
    }

    fn poll_copy(&mut self, cx: &mut Context<'_>, io: &mut Io<'_>) -> Poll<Result<(), Fault>> {
        for _ in 0..READS {
            ready!(self.poll_write(cx, io))?;
            if self.ended {
                self.buf = Buf::new();
                return io.poll_end(cx);
            }
            if self.may_splice && !self.reads && self.is_long(io.conf.splice_after) && self.start_splicing(io) {
                return Poll::Ready(Ok(()));
            }
            if self.poll_fill(cx, io)?.is_pending() {
                self.buf = Buf::new();
                self.poll_flush(cx, io)?;
                return Poll::Pending;
            }
        }
        // What is held goes out in the next turn, which is soon.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_long(&self, after: u64) -> bool {
        // Full reads in a row are a long transfer, even when the other side speaks in between.
        self.run.max(self.full_run) >= after && self.pipe.is_none()
    }

    /// Begins with it; false: not now.
    fn start_splicing(&mut self, io: &mut Io<'_>) -> bool {
        if io.from.raw_fd().is_none() {
            // Bytes from before the session's server was chosen are still to be read.
            return false;
        }
        if self.most != PAUSED {
            io.session.worker().splices.add(1);
        }
        self.buf = Buf::new();
        self.splicing = true;
        self.turned = false;
        self.most = LEAST;
        true
    }

    /// Goes back to copying. What is still in the pipe is read from it first.
    fn stop_splicing(&mut self, io: &Io<'_>) {
        self.splicing = false;
        (self.run, self.full, self.full_run) = (0, 0, 0);
        self.give_back(io);
    }

    /// The beginning of another answer is read: it may be a short one, and one that is spliced from its first byte on waits
    /// sometimes for an acknowledgement that is delayed (one in a hundred of 100 KiB by loopback, 38 ms). Behind a full buffer it is
    /// spliced.
    fn pause_splicing(&mut self, io: &Io<'_>) {
        self.stop_splicing(io);
        self.run = io.conf.splice_after.saturating_sub(io.conf.read_buffer as u64);
        self.most = PAUSED;
    }

    /// An empty pipe is for whoever has bytes.
    fn give_back(&mut self, io: &Io<'_>) {
        if let Some(pipe) = self.pipe.take_if(|p| p.held() == 0) {
            io.session.worker().pipes.give(pipe);
        }
    }

    /// Ready: it is over with splicing.
    fn poll_splice(&mut self, cx: &mut Context<'_>, io: &mut Io<'_>) -> Poll<Result<(), Fault>> {
        let mut pieces = 0;
        loop {
            if let Some(pipe) = self.pipe.as_mut().filter(|pipe| pipe.held() > 0) {
                match pipe.poll_drain(cx, io.to) {
                    Poll::Ready(Ok(n)) => {
                        io.spliced(n);
                        if pipe.held() == 0 {
                            self.most = self.most.saturating_mul(2);
                        }
                    }
                    Poll::Ready(Err(e)) if e.kind == ErrorKind::Unsupported => break,
                    Poll::Ready(Err(e)) => return Poll::Ready(Err(io.target(e))),
                    Poll::Pending => {
                        io.blocked();
                        self.most = (self.most / 4).max(LEAST);
                        return Poll::Pending;
                    }
                }
                continue;
            }
            if pieces == PIECES {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            pieces += 1;
            if io.poll_source(cx).is_pending() {
                self.give_back(io);
                return Poll::Pending;
            }
            if std::mem::take(&mut self.turned) {
                self.pause_splicing(io);
                return Poll::Ready(Ok(()));
            }
            if self.pipe.is_none() {
                self.pipe = io.session.worker().pipes.take();
            }
            let Some(pipe) = &mut self.pipe else {
                // Others have all there are. One is asked for again after as much as the first time.
                self.stop_splicing(io);
                return Poll::Ready(Ok(()));
            };
            // The pipe is empty, so "again" speaks of the source.
            match pipe.fill(io.from, self.most.into()) {
                Moved::Bytes(n @ 1..) => {
                    io.received(n);
                }
                Moved::Again => io.from.clear_ready(ready::READ),
                // Of an end a read tells whether it is one in order.
                Moved::NotNow | Moved::Bytes(0) => {
                    self.reads = true;
                    self.stop_splicing(io);
                    return Poll::Ready(Ok(()));
                }
                Moved::Unsupported => break,
                Moved::Failed(e) => return Poll::Ready(Err(io.source(e))),
            }
        }
        self.may_splice = false;
        self.stop_splicing(io);
        Poll::Ready(Ok(()))
    }
}

impl super::pump::Flow for Flow {
    fn poll(&mut self, cx: &mut Context<'_>, io: &mut Io<'_>) -> Poll<Result<(), Fault>> {
        loop {
            if self.splicing {
                ready!(self.poll_splice(cx, io))?;
            }
            let r = ready!(self.poll_copy(cx, io));
            if r.is_err() || !self.splicing {
                return Poll::Ready(r);
            }
        }
    }

    fn turned(&mut self) {
        if self.run < SHORT as u64 {
            self.large = false;
        }
        self.run = 0;
        self.turned = true;
    }

    fn end(&mut self, session: &Session<Tcp>) {
        if let Some(pipe) = self.pipe.take().filter(|p| p.held() == 0) {
            session.worker().pipes.give(pipe);
        }
    }
}
