//! The end of a socket, which sends what was accepted before it closes, and of the ring.

use super::{
    Ring, op,
    sending::BUSY,
    socket::{Socket, flag},
    sys,
};
use crate::services::{rt::slots::GONE, timers};
use std::{
    os::fd::{FromRawFd, OwnedFd},
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// A peer that took nothing for so long is not waited for any more, by a socket that was let go of with bytes to be sent: about as long as
/// Linux keeps one of its own that nobody owns (8 probes, tcp_orphan_retries).
const LINGER_SECONDS: u8 = if cfg!(test) { 3 } else { 100 };
/// So many of them a thread has; with one more, the one that has waited longest is reset.
pub(super) const MOST_LINGER: usize = if cfg!(test) { 4 } else { 256 };
/// How long the end of a thread waits for peers to take what was accepted, and then for the kernel to give up the rest.
const LAST: Duration = Duration::from_millis(500);
/// How often it tells the kernel what to give up.
const AGAIN: Duration = Duration::from_millis(50);

/// Sockets of this process that were let go of and still have bytes that the system has no room for.
static LINGERING: AtomicU32 = AtomicU32::new(0);

/// How many connections of this process are over but for the last bytes, for which the system has no room yet.
pub fn lingering() -> u32 {
    LINGERING.load(Relaxed)
}

impl Ring {
    /// Its stream is gone. What was accepted is sent, then it is closed.
    pub(super) fn let_go(&self, socket: &Rc<Socket>) {
        socket.set(flag::LEFT);
        drop((socket.reader.take(), socket.writer.take()));
        socket.forget_unread(self);
        self.cancel(socket);
        if socket.is(flag::LENT) && socket.is(flag::WATCHED) {
            // Who owns the descriptor closes it now; until the kernel has done with the poll, a listener would go on listening.
            let _ = self.sys.borrow_mut().enter(Some(Duration::ZERO));
        }
        if socket.is(flag::RESET) {
            // What the system takes at once was accepted before; the rest would come behind.
            if socket.is(flag::OUT) {
                let _ = socket.send_now(self, false);
            }
            self.forget_out(socket);
        }
        self.send(socket);
        self.close_if_done(socket);
    }

    pub(super) fn close_if_done(&self, socket: &Rc<Socket>) {
        if socket.is(flag::OUT | BUSY) {
            return;
        }
        let fd = socket.fd.replace(-1);
        if fd >= 0 && !socket.is(flag::LENT) {
            if self.ending.get() {
                close_now(fd);
            } else {
                self.sys.borrow_mut().close(fd, op::OTHER);
            }
        }
        Self::linger_no_more(socket);
        if socket.under_way.get() == 0 {
            self.forget(socket);
        }
    }

    fn forget(&self, socket: &Socket) {
        let token = socket.token.replace(GONE);
        drop(self.sockets.borrow_mut().try_remove(token as usize));
    }

    /// The system has no room for the last bytes of one that was let go of.
    pub(super) fn linger(&self, socket: &Rc<Socket>) {
        if socket.is(flag::LINGERS) {
            return;
        }
        socket.set(flag::LINGERS);
        LINGERING.fetch_add(1, Relaxed);
        let mut all = self.lingering.borrow_mut();
        all.push_back(Rc::clone(socket));
        if all.len() > MOST_LINGER {
            all.retain(|s| s.is(flag::LINGERS));
        }
        let first = if all.len() > MOST_LINGER { all.pop_front() } else { None };
        drop(all);
        if let Some(first) = first {
            self.reset(&first);
        }
    }

    /// Its peer does not take the last bytes.
    fn reset(&self, socket: &Rc<Socket>) {
        tracing::debug!("a peer did not take the last bytes of a connection: it is reset");
        self.give_up(socket);
        self.close_if_done(socket);
    }

    /// Whether something that was accepted for a stream that is gone is not the system's yet.
    pub(in crate::services::rt) fn lingers(&self) -> bool {
        self.sockets.borrow().iter().any(|(_, s)| s.is(flag::LEFT) && s.is(flag::OUT | BUSY))
    }

    fn linger_no_more(socket: &Socket) {
        if socket.is(flag::LINGERS) {
            socket.clear(flag::LINGERS);
            LINGERING.fetch_sub(1, Relaxed);
        }
    }

    /// Once a second: what was let go of is tried again, unless its peer takes nothing.
    pub(super) fn sweep(&self) {
        let now = timers::now_ms() / 1000;
        if self.swept.replace(now) == now {
            return;
        }
        let left: Vec<_> =
            self.sockets.borrow().iter().filter(|(_, s)| s.is(flag::LEFT)).map(|(_, s)| Rc::clone(s)).collect();
        for socket in left {
            // Once more: what is just being tried is not found.
            self.cancel(&socket);
            if !socket.is(flag::STALLED) {
                continue;
            }
            let Some(mut out) = socket.out.take() else { continue };
            // Where the system does not say it, each look is one in vain.
            let stands = out.stands(sys::unsent(socket.fd.get()).unwrap_or(u32::MAX));
            socket.out.set(Some(out));
            if stands < LINGER_SECONDS {
                self.send(&socket);
            } else {
                self.reset(&socket);
            }
        }
    }

    /// What was accepted is not sent.
    fn give_up(&self, socket: &Socket) {
        if socket.is(flag::OUT | flag::STALLED) {
            self.forget_out(socket);
            socket.reset_at_close();
        }
    }

    /// The thread's loop has ended: what was accepted is sent, and nothing is under way any more. False: the kernel did not
    /// say so in time.
    fn wind_up(&self) -> bool {
        self.ending.set(true);
        let (began, mut told) = (Instant::now(), None);
        loop {
            let all: Vec<_> = self.sockets.borrow().iter().map(|(_, s)| Rc::clone(s)).collect();
            let waited = began.elapsed();
            if all.is_empty() || waited > LAST * 2 {
                // Closes that follow the last bytes, too.
                self.sys.borrow_mut().settle();
                return all.is_empty();
            }
            let tell = told.is_none_or(|at| waited > at + AGAIN);
            if tell {
                told = Some(waited);
            }
            for socket in &all {
                if tell {
                    self.cancel(socket);
                }
                if waited > LAST {
                    self.give_up(socket);
                } else if tell {
                    self.send(socket);
                }
                if socket.is(flag::LEFT) {
                    self.close_if_done(socket);
                } else if !socket.is(flag::OUT | BUSY) && socket.under_way.get() == 0 {
                    // Streams that outlive their thread's loop are told an error by their next call, and close it.
                    socket.forget_unread(self);
                    self.forget(socket);
                }
            }
            drop(all);
            // Without a look at what waits elsewhere: nobody takes that any more, and it would end each wait.
            if self.sys.borrow_mut().enter(Some(AGAIN / 5)).is_err() {
                return false;
            }
            self.dispatch();
        }
    }
}

/// Without the ring.
fn close_now(fd: std::os::fd::RawFd) {
    // SAFETY: the socket owned it, and has given it up.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

impl Drop for Ring {
    fn drop(&mut self) {
        for (_, socket) in self.sockets.borrow().iter() {
            drop((socket.reader.take(), socket.writer.take()));
        }
        if !self.wind_up() {
            tracing::warn!("io_uring did not end what was under way; its memory stays");
            let sockets = self.sockets.take();
            for (_, socket) in &sockets {
                Self::linger_no_more(socket);
                // With the kernel it may be closed already, and be another's.
                if socket.is(flag::LEFT) && !socket.is(flag::LENT | flag::CLOSING) {
                    let fd = socket.fd.replace(-1);
                    (fd >= 0).then(|| close_now(fd));
                }
            }
            std::mem::forget(sockets);
            self.sys.borrow_mut().leak();
        }
    }
}
