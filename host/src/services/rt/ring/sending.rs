//! What was accepted goes to the kernel with the next wait, one operation a socket; what the socket does not take waits for room.

use super::{
    Ring, Ringed, data, op,
    ringed::with,
    socket::{COPIED, Out, Socket, flag},
};
use crate::services::rt::{WRITE, slots};
use socket2::SockRef;
use std::{
    io::{ErrorKind, Result},
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// So many sockets send by copies in one turn; what is more is sent by calls.
const AT_ONCE: usize = 32;

/// Accepted bytes are with the kernel, or wait for room.
pub(super) const BUSY: u32 = flag::SENDING | flag::STALLED;

impl Ring {
    /// Tells the kernel what was accepted.
    pub(super) fn send_all(&self) {
        let mut unsent = self.unsent.take();
        for socket in unsent.drain(..) {
            self.send(&socket);
        }
        self.unsent.replace(unsent);
    }

    /// Tells the kernel what was accepted, or tries once more where there was no room.
    pub(super) fn send(&self, socket: &Rc<Socket>) {
        if !socket.is(flag::OUT | flag::STALLED) {
            return;
        }
        let Some(out) = socket.out.take() else { return };
        socket.clear(flag::OUT | flag::STALLED);
        // The end travels with the last bytes. What follows others is not certain to be done while the ring ends.
        let close = socket.is(flag::LEFT) && !self.ending.get();
        let (fd, more) = (socket.fd.get(), socket.is(flag::MORE) || close);
        if close && socket.is(flag::LINGERS) {
            // What looks for room would hold it open.
            self.cancel(socket);
        }
        // SAFETY: the bytes are boxed, and the box stays in `out`, of a socket that stays in `sockets`, until the result: what
        // takes it out looks at SENDING before.
        unsafe { self.sys.borrow_mut().send(fd, out.bytes(), more, close, data(socket.token.get(), op::SEND)) };
        socket.out.set(Some(out));
        socket.set(flag::SENDING | if close { flag::CLOSING } else { 0 });
        socket.under_way.set(socket.under_way.get() + 1);
    }

    pub(super) fn sent(&self, socket: &Rc<Socket>, result: i32, others: &mut Vec<Waker>) {
        let Some(mut out) = socket.out.take() else { return };
        let closing = socket.is(flag::CLOSING);
        socket.clear(flag::SENDING | flag::CLOSING);
        if result == -libc::EAGAIN || (result >= 0 && out.took(result as usize)) {
            return self.stall(socket, out);
        }
        self.keep(out);
        if result < 0 {
            socket.fail(-result);
            slots::wake(&socket.reader, others);
        } else if closing {
            socket.fd.set(-1);
        }
        if socket.is(flag::FIN) {
            socket.clear(flag::FIN);
            socket.shut();
        }
        slots::wake(&socket.writer, others);
    }

    /// The socket does not take these bytes, now.
    pub(super) fn stall(&self, socket: &Rc<Socket>, out: Box<Out>) {
        // Memory that turns share is not for what waits.
        socket.out.set(Some(out.own()));
        self.keep(out);
        socket.set(flag::STALLED);
        socket.clear(flag::WRITABLE);
        if socket.is(flag::LEFT) {
            self.linger(socket);
        }
        self.ask_writable(socket);
    }

    /// Memory for what is sent in this turn, if there is some.
    pub(super) fn out(&self) -> Option<Box<Out>> {
        let kept = self.kept.borrow_mut().pop();
        kept.or_else(|| {
            let made = self.made.get();
            (made < AT_ONCE).then(|| {
                self.made.set(made + 1);
                Out::new()
            })
        })
    }

    pub(super) fn keep(&self, mut out: Box<Out>) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < self.made.get() {
            out.clear();
            kept.push(out);
        }
    }

    /// Gives up what was accepted and is not with the kernel.
    pub(super) fn forget_out(&self, socket: &Socket) {
        if socket.is(flag::OUT | flag::STALLED)
            && let Some(out) = socket.out.take()
        {
            socket.clear(flag::OUT | flag::STALLED);
            self.keep(out);
        }
    }
}

/// The calls of a stream that send.
impl Ringed {
    /// Accepts bytes, to be sent with the next wait, or sends them now where they are many. `more`: others or the end follow at
    /// once.
    pub fn poll_write(&self, cx: &Context<'_>, from: &[u8], more: bool) -> Poll<Result<usize>> {
        self.poll_copy(cx, [from].into_iter(), from.len(), more).unwrap_or_else(|| {
            self.poll_direct(cx, Some(from.len()), |s| {
                let more = if more { libc::MSG_MORE } else { 0 };
                s.send_with_flags(from, libc::MSG_NOSIGNAL | more)
            })
        })
    }

    /// The same of gathered pieces, `len` bytes.
    pub fn poll_writev(&self, cx: &Context<'_>, from: &[std::io::IoSlice<'_>], len: usize) -> Poll<Result<usize>> {
        self.poll_copy(cx, from.iter().map(|s| &**s), len, false).unwrap_or_else(|| {
            self.poll_direct(cx, Some(len), |s| s.send_vectored_with_flags(from, libc::MSG_NOSIGNAL))
        })
    }

    /// Copies little behind what was accepted. `None`: it is too much, and is to be sent now.
    fn poll_copy<'a>(
        &self,
        cx: &Context<'_>,
        from: impl Iterator<Item = &'a [u8]>,
        len: usize,
        more: bool,
    ) -> Option<Poll<Result<usize>>> {
        let s = &self.0;
        if s.is(flag::FAILED) {
            return Some(Poll::Ready(Err(self.0.failure())));
        }
        if len > COPIED {
            return None;
        }
        if s.is(BUSY) {
            return Some(self.wait(cx, WRITE));
        }
        let done = with(s, |ring| {
            let Some(mut out) = s.out.take().or_else(|| ring.out()) else { return Ok(false) };
            let fits = out.room() >= len;
            if fits {
                from.for_each(|bytes| out.push(bytes));
                if !s.is(flag::OUT) {
                    s.set(flag::OUT);
                    ring.unsent.borrow_mut().push(Rc::clone(s));
                }
                if more { s.set(flag::MORE) } else { s.clear(flag::MORE) }
            }
            s.out.set(Some(out));
            Ok(fits)
        });
        match done {
            Ok(true) => Some(Poll::Ready(Ok(len))),
            Ok(false) => None,
            Err(e) => Some(Poll::Ready(Err(e))),
        }
    }

    /// A call of the system's own that sends up to `len` bytes, behind what was accepted. A result that is less says that there
    /// is no more room yet.
    pub fn poll_direct(
        &self,
        cx: &Context<'_>,
        len: Option<usize>,
        f: impl FnMut(&SockRef<'_>) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        let r = self.poll_call(cx, true, f);
        if let (Some(len), Poll::Ready(Ok(n))) = (len, &r)
            && *n < len
        {
            self.0.clear(flag::WRITABLE);
        }
        r
    }

    /// Makes a call once what was accepted before is with the system; `more`: the call sends more.
    fn poll_call(
        &self,
        cx: &Context<'_>,
        more: bool,
        mut f: impl FnMut(&SockRef<'_>) -> Result<usize>,
    ) -> Poll<Result<usize>> {
        let s = &self.0;
        loop {
            if s.is(flag::FAILED) {
                return Poll::Ready(Err(self.0.failure()));
            }
            if s.is(BUSY) {
                return self.wait(cx, WRITE);
            }
            if self.poll_ready(cx, WRITE).is_pending() {
                return Poll::Pending;
            }
            match self.send_accepted(more).and_then(|()| s.with_fd(&mut f)) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => s.clear(flag::WRITABLE),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                r => return Poll::Ready(r),
            }
        }
    }

    /// Sends now what was accepted and is not with the kernel.
    ///
    /// # Errors
    /// What the system says; `WouldBlock` also where some is left.
    fn send_accepted(&self, more: bool) -> Result<()> {
        if self.0.is(flag::OUT) { with(&self.0, |ring| self.0.send_now(ring, more)) } else { Ok(()) }
    }

    /// Ready: all that was accepted is with the system.
    pub fn poll_flush(&self, cx: &Context<'_>) -> Poll<Result<()>> {
        if !self.0.is(flag::FAILED | flag::OUT | BUSY) {
            return Poll::Ready(Ok(()));
        }
        self.poll_call(cx, false, |_| Ok(0)).map_ok(drop)
    }

    /// Ends the write side, behind what was accepted.
    ///
    /// # Errors
    /// What the system says.
    pub fn shutdown(&self) -> Result<()> {
        let s = &self.0;
        let behind = s.is(BUSY) || self.send_accepted(true).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        if behind {
            s.set(flag::FIN);
            return Ok(());
        }
        s.with_fd(|s| s.shutdown(std::net::Shutdown::Write))
    }

    /// Closing will reset the connection, by the option that is set beside this: what the system cannot take at once is not sent.
    pub fn set_reset(&self) {
        self.0.set(flag::RESET);
    }
}
