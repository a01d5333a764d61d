//! The face of one socket of a ring: non-blocking calls, as a stream makes them. Those that send are in `sending`.

use super::{
    Ring,
    sending::BUSY,
    socket::{Socket, flag},
    sys::{NONE, PIECE},
};
use crate::services::{
    platform,
    rt::{
        here, no_loop,
        slots::{ERROR, GONE, READ, READ_CLOSED, Seen, WRITE, WRITE_CLOSED},
    },
};
use socket2::SockRef;
use std::{
    io::{ErrorKind, Result},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    rc::Rc,
    task::{Context, Poll},
};

/// A worker waits no longer for the kernel to end what is under way.
const TAKEN_IN_MS: u32 = 10;

/// A socket that a ring carries. To be used and dropped on its thread.
pub struct Ringed(pub(super) Rc<Socket>);

impl std::fmt::Debug for Ringed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ringed({} {:#x})", self.0.fd.get(), self.0.flags.get())
    }
}

/// Calls `f` with this thread's ring, if the socket is of it.
pub(super) fn with<R>(socket: &Socket, f: impl FnOnce(&Ring) -> Result<R>) -> Result<R> {
    here(|here| {
        let ring = here.and_then(|l| l.ring.as_ref()).filter(|_| socket.token.get() != GONE).ok_or_else(no_loop)?;
        f(ring)
    })
}

impl Ringed {
    /// Takes a connected, or connecting, non-blocking socket to this thread's ring. `fresh`: something may be there to be read.
    ///
    /// # Errors
    /// The socket, where there is no ring.
    pub fn new(fd: OwnedFd, fresh: bool, connecting: bool) -> std::result::Result<Self, OwnedFd> {
        let flags = if fresh { flag::READABLE } else { 0 } | if connecting { 0 } else { flag::WRITABLE };
        match Self::with(fd.as_raw_fd(), flags) {
            Some(this) => {
                // From now on it is the ring's.
                let _ = fd.into_raw_fd();
                Ok(this)
            }
            None => Err(fd),
        }
    }

    /// Has only told by this thread's ring when a call is worth it. To be dropped before the descriptor. `None`: there is no ring.
    pub fn lent(fd: &impl AsRawFd) -> Option<Self> {
        Self::with(fd.as_raw_fd(), flag::LENT | flag::BY_CALLS)
    }

    fn with(fd: RawFd, flags: u32) -> Option<Self> {
        here(|here| {
            let mut all = here.and_then(|l| l.ring.as_ref())?.sockets.borrow_mut();
            let entry = all.vacant_entry();
            let socket = Rc::new(Socket::new(u32::try_from(entry.key()).ok()?, fd, flags));
            entry.insert(Rc::clone(&socket));
            Some(Self(socket))
        })
    }

    /// What is known now.
    pub fn seen(&self) -> Seen {
        let s = &self.0;
        let mut bits = 0;
        if s.unread.get().first != NONE || s.is(flag::READABLE) {
            bits |= READ;
        }
        if s.is(flag::WRITABLE) && !s.is(BUSY) {
            bits |= WRITE;
        }
        if s.is(flag::ENDED) {
            bits |= READ_CLOSED;
        }
        if s.is(flag::HUNG) {
            bits |= WRITE_CLOSED;
        }
        if s.is(flag::FAILED) {
            bits |= ERROR | WRITE_CLOSED;
        }
        Seen(bits)
    }

    /// The descriptor for calls of others, where all bytes go straight through it; otherwise that is so soon.
    pub fn direct(&self) -> Option<BorrowedFd<'_>> {
        let s = &self.0;
        // Little that is read between two such calls does not lead back.
        s.set(flag::DIRECT);
        let mut unread = s.unread.get();
        unread.in_a_row = 0;
        s.unread.set(unread);
        // Without a ring there is nothing under way. What the system does not take now is told by the flags.
        let _ = with(s, |ring| {
            ring.read_by_calls(s);
            if s.is(flag::OUT) { s.send_now(ring, false) } else { Ok(()) }
        });
        let free = s.unread.get().first == NONE && !s.is(flag::ARMED | flag::OUT | BUSY) && s.fd.get() >= 0;
        // SAFETY: open while this is.
        free.then(|| unsafe { BorrowedFd::borrow_raw(s.fd.get()) })
    }

    /// A call of others' saw that there is no more.
    pub fn clear(&self, bit: u8) {
        self.0.clear(if bit == READ { flag::READABLE } else { flag::WRITABLE });
    }

    fn take(&self) -> Option<OwnedFd> {
        let fd = self.0.fd.replace(-1);
        // SAFETY: owned by the socket, and taken once.
        (fd >= 0 && !self.0.is(flag::LENT)).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// The socket at once, with what was received and not read, and what was accepted and not sent.
    ///
    /// # Errors
    /// Itself, where the kernel does not end what is under way in time.
    pub fn take_now(self) -> std::result::Result<(OwnedFd, Vec<u8>, Vec<u8>), Self> {
        let s = &self.0;
        if s.is(flag::FIN) {
            // The end would be lost.
            return Err(self);
        }
        let mut held = None;
        s.set(flag::TAKEN);
        let ended = with(s, |ring| {
            ring.read_by_calls(s);
            for _ in 0..TAKEN_IN_MS {
                if s.is(flag::STALLED) {
                    // Held here, it is not tried again.
                    s.clear(flag::STALLED);
                    held = s.out.take();
                }
                if s.under_way.get() == 0 {
                    break;
                }
                ring.cancel(s);
                ring.wait(Some(std::time::Duration::from_millis(1)))?;
                ring.dispatch();
            }
            if s.under_way.get() > 0 {
                // It stays what it was, with what was received and what waits for room.
                s.clear(flag::TAKEN);
                ring.look_again(s);
                if let Some(out) = held.take() {
                    ring.stall(s, out);
                }
                return Err(ErrorKind::WouldBlock.into());
            }
            let mut received = vec![0; usize::from(s.unread.get().count) * PIECE];
            let n = s.read(ring, &mut received);
            received.truncate(n);
            let mut behind = Vec::new();
            if let Some(out) = held.take().or_else(|| s.out.take()) {
                behind.extend_from_slice(out.bytes());
                ring.keep(out);
            }
            s.clear(flag::OUT);
            Ok((received, behind))
        });
        let Ok((received, behind)) = ended else { return Err(self) };
        self.take().map(|fd| (fd, received, behind)).ok_or(self)
    }

    /// Notes the task, to be woken by what comes next of this direction.
    pub(super) fn wait<T>(&self, cx: &Context<'_>, bit: u8) -> Poll<T> {
        let waiter = if bit == READ { &self.0.reader } else { &self.0.writer };
        let before = waiter.take().filter(|w| w.will_wake(cx.waker()));
        waiter.set(Some(before.unwrap_or_else(|| cx.waker().clone())));
        Poll::Pending
    }

    /// Whether a call in this direction is worth a try; `Pending`: this task is woken when it is.
    pub fn poll_ready(&self, cx: &Context<'_>, bit: u8) -> Poll<()> {
        if self.seen().is_ready(bit) { Poll::Ready(()) } else { self.ask(cx, bit) }
    }

    /// The task is woken by whatever is told next of the reading side, or when the other side is gone, though there be something
    /// to be read now.
    pub fn watch(&self, cx: &Context<'_>) {
        // What fails here fails at the next call.
        let _ = self.ask(cx, READ);
    }

    /// Nobody waits any more; `seen` is to tell all the same when the other side speaks or ends.
    pub fn rest(&self) {
        let s = &self.0;
        drop((s.reader.take(), s.writer.take()));
        s.clear(flag::DIRECT);
        let _ = with(s, |ring| {
            ring.look_again(s);
            Ok(())
        });
    }

    /// Has it told, and waits.
    fn ask(&self, cx: &Context<'_>, bit: u8) -> Poll<()> {
        let s = &self.0;
        let asked = with(s, |ring| {
            if s.is(flag::FAILED) {
                // All is known.
            } else if bit == WRITE && s.is(BUSY) {
                // What is under way tells when it is over.
            } else if bit == WRITE {
                ring.ask_writable(s);
            } else {
                ring.ask_read(s);
            }
            Ok(())
        });
        // The next call tells what is wrong.
        if asked.is_err() { Poll::Ready(()) } else { self.wait(cx, bit) }
    }

    /// Reads what there is; 0: the end.
    pub fn poll_read(&self, cx: &Context<'_>, to: &mut [u8]) -> Poll<Result<usize>> {
        let s = &self.0;
        if s.unread.get().first != NONE {
            return Poll::Ready(with(s, |ring| Ok(s.read(ring, to))));
        }
        // While bytes are received as they come, a call would take later ones before them.
        while s.is(flag::READABLE) && !s.is(flag::ARMED) {
            match platform::recv(s.fd.get().into(), to) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => s.clear(flag::READABLE),
                // Whoever was told of the failure took it with him, and left an end.
                Ok(0) if s.is(flag::FAILED) && !to.is_empty() => s.clear(flag::READABLE),
                r => {
                    if let Ok(n) = &r {
                        s.read_by_call(*n, to.len());
                    }
                    return Poll::Ready(r);
                }
            }
        }
        if s.is(flag::FAILED) {
            return Poll::Ready(Err(self.0.failure()));
        }
        // A receive that is not over yet may still give what came before it.
        if s.is(flag::ENDED) && !s.is(flag::ARMED) {
            return Poll::Ready(Ok(0));
        }
        self.ask(cx, READ).map(|()| Err(no_loop()))
    }

    /// The socket, for options.
    ///
    /// # Errors
    /// `f`'s; `NotConnected` once it is given up.
    pub fn with_socket<R>(&self, f: impl FnOnce(&SockRef<'_>) -> Result<R>) -> Result<R> {
        self.0.with_fd(f)
    }
}

impl Drop for Ringed {
    fn drop(&mut self) {
        let left = with(&self.0, |ring| {
            ring.let_go(&self.0);
            Ok(())
        });
        if left.is_err() {
            // Its loop is over, and with it what was under way.
            drop(self.take());
        }
    }
}
