//! One socket of a ring: what was received and not read, what was accepted and not sent, and who waits.

use super::{
    Ring,
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
    cell::Cell,
    io::{Error, ErrorKind, Result},
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd},
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// What is accepted to be sent later is copied, in pieces of so many bytes at most; one more of them waits while one is sent.
const COPIED: usize = 4 << 10;
/// So many full pieces in a row are much: it is read by calls from then on, into larger memory, without a copy.
const FULL_IN_A_ROW: u8 = 3;
/// So many reads in a row that are less than a piece are little again.
const SHORT_IN_A_ROW: u8 = 4;
/// A worker waits no longer for the kernel to end what is under way.
const TAKEN_IN_MS: u32 = 10;
/// So many pieces that nobody reads are a stream that is not to be received from: others need them.
const UNREAD: u16 = 8;

/// What is so of a socket.
pub(super) mod flag {
    /// Bytes are received as they come.
    pub(crate) const ARMED: u32 = 1;
    /// A call is likely to give bytes.
    pub(crate) const READABLE: u32 = 1 << 1;
    /// The other side sends nothing more than is there.
    pub(crate) const ENDED: u32 = 1 << 2;
    pub(crate) const FAILED: u32 = 1 << 3;
    /// A call is likely to take bytes.
    pub(crate) const WRITABLE: u32 = 1 << 4;
    /// It was asked when it takes bytes.
    pub(crate) const ASKED: u32 = 1 << 5;
    /// Bytes were accepted; of them, some are with the kernel.
    pub(crate) const OUT: u32 = 1 << 6;
    pub(crate) const SENDING: u32 = 1 << 7;
    /// It is among those that are to be sent from.
    pub(crate) const QUEUED: u32 = 1 << 8;
    /// More follows the last bytes at once.
    pub(crate) const MORE: u32 = 1 << 9;
    /// The write side ends once all is sent.
    pub(crate) const FIN: u32 = 1 << 10;
    /// Closing resets.
    pub(crate) const RESET: u32 = 1 << 11;
    /// There was no piece for what came, the last time.
    pub(crate) const STARVED: u32 = 1 << 12;
    /// It is read by calls: what comes is much, or nobody reads it, or others are to have the descriptor.
    pub(crate) const BY_CALLS: u32 = 1 << 13;
    /// Its stream is gone.
    pub(crate) const LEFT: u32 = 1 << 14;
    /// It was asked when there is something to be read, or whether the other side has ended.
    pub(crate) const WATCHED: u32 = 1 << 15;
    /// Both sides have ended.
    pub(crate) const HUNG: u32 = 1 << 16;
    /// The descriptor is closed by somebody else.
    pub(crate) const LENT: u32 = 1 << 17;
    /// Of what was asked by `WATCHED`: bytes, too, and not the end alone.
    pub(crate) const FOR_BYTES: u32 = 1 << 18;
    /// What is being sent waits for room; no operation is under way with it.
    pub(crate) const STALLED: u32 = 1 << 19;
    /// The other side has ended, so that every poll says something at once.
    pub(crate) const HALF: u32 = 1 << 20;
}

/// Bytes that were accepted.
pub(super) struct Out {
    bytes: [u8; COPIED],
    from: u16,
    to: u16,
}

impl Out {
    fn new() -> Box<Self> {
        Box::new(Self { bytes: [0; COPIED], from: 0, to: 0 })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.from.into()..self.to.into()]
    }

    pub(super) fn clear(&mut self) {
        (self.from, self.to) = (0, 0);
    }

    /// So many went; whether some are left.
    pub(super) fn took(&mut self, n: usize) -> bool {
        self.from += n as u16;
        self.from < self.to
    }

    const fn room(&self) -> usize {
        COPIED - self.to as usize
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.to.into()..][..bytes.len()].copy_from_slice(bytes);
        self.to += bytes.len() as u16;
    }
}

/// What was received and not read: a chain of pieces.
#[derive(Clone, Copy)]
struct Unread {
    first: u16,
    /// Bytes of the first that were read.
    at: u16,
    count: u16,
    /// Full ones in a row; short reads in a row, while it is read by calls.
    in_a_row: u8,
}

/// Shared by the ring, which keeps it until its last operation is over, and the stream.
pub(super) struct Socket {
    pub(super) token: Cell<u32>,
    /// Below 0: closed, or given back.
    pub(super) fd: Cell<RawFd>,
    flags: Cell<u32>,
    /// Operations that will have a last result.
    pub(super) under_way: Cell<u8>,
    errno: Cell<u8>,
    age: Cell<u8>,
    unread: Cell<Unread>,
    pub(super) out: Cell<Option<Box<Out>>>,
    pub(super) sending: Cell<Option<Box<Out>>>,
    /// Kept after it was woken: mostly the same task waits again.
    pub(super) reader: Cell<Option<Waker>>,
    pub(super) writer: Cell<Option<Waker>>,
}

impl Unread {
    const NONE: Self = Self { first: NONE, at: 0, count: 0, in_a_row: 0 };
}

impl Socket {
    pub(super) fn new(token: u32, fd: RawFd, flags: u32) -> Self {
        Self {
            token: Cell::new(token),
            fd: Cell::new(fd),
            flags: Cell::new(flags),
            under_way: Cell::default(),
            errno: Cell::default(),
            age: Cell::default(),
            unread: Cell::new(Unread::NONE),
            out: Cell::default(),
            sending: Cell::default(),
            reader: Cell::default(),
            writer: Cell::default(),
        }
    }

    pub(super) fn is(&self, flag: u32) -> bool {
        self.flags.get() & flag != 0
    }

    pub(super) fn set(&self, flag: u32) {
        self.flags.set(self.flags.get() | flag);
    }

    pub(super) fn clear(&self, flag: u32) {
        self.flags.set(self.flags.get() & !flag);
    }

    pub(super) fn fail(&self, errno: i32) {
        // Bytes that came before may be there; a call tells.
        self.set(flag::FAILED | flag::READABLE);
        self.errno.set(errno as u8);
    }

    /// The write side ends now.
    pub(super) fn shut(&self) {
        // The peer may be gone: there is nobody to tell.
        let _ = self.with_fd(|s| s.shutdown(std::net::Shutdown::Write));
    }

    /// What a poll said.
    pub(super) fn polled(&self, result: i32) {
        let events = result as i16;
        if result == -libc::ECANCELED {
            return;
        }
        if result < 0 {
            return self.fail(-result);
        }
        if events & libc::POLLERR != 0 {
            // The system tells which.
            self.fail(0);
        }
        if events & (libc::POLLRDHUP | libc::POLLHUP) != 0 {
            self.set(flag::HALF);
        }
        // A poll tells of the end, asked or not. While bytes are received as they come, it comes behind them.
        if self.is(flag::BY_CALLS | flag::ENDED) {
            if events & (libc::POLLRDHUP | libc::POLLHUP) != 0 && !self.is(flag::ENDED) {
                // Whoever asked, bytes may be there before the end: a call tells.
                self.set(flag::ENDED | flag::READABLE);
            }
            if events & libc::POLLHUP != 0 {
                self.set(flag::HUNG);
            }
        }
    }

    /// How often it was swept since it was let go of.
    pub(super) fn grow_old(&self) -> u8 {
        self.age.set(self.age.get().saturating_add(1));
        self.age.get()
    }

    fn with_fd<R>(&self, f: impl FnOnce(&SockRef<'_>) -> Result<R>) -> Result<R> {
        let fd = self.fd.get();
        if fd < 0 {
            return Err(ErrorKind::NotConnected.into());
        }
        // SAFETY: open until it is taken out of `fd`.
        f(&SockRef::from(&unsafe { BorrowedFd::borrow_raw(fd) }))
    }
}

/// What was received and not read.
impl Socket {
    /// A piece came. True: it is time to read by calls.
    pub(super) fn append(&self, ring: &Ring, piece: u16, len: u16) -> bool {
        let mut u = self.unread.get();
        u.first = ring.sys.borrow_mut().link(u.first, piece, len);
        u.count += 1;
        u.in_a_row = if usize::from(len) == PIECE { u.in_a_row + 1 } else { 0 };
        let much = u.in_a_row >= FULL_IN_A_ROW || (u.count >= UNREAD && u.count.is_multiple_of(UNREAD));
        if much {
            u.in_a_row = 0;
        }
        self.unread.set(u);
        much
    }

    /// Copies what fits, and gives pieces back that are read.
    pub(super) fn read(&self, ring: &Ring, to: &mut [u8]) -> usize {
        let (mut u, mut sys, mut filled) = (self.unread.get(), ring.sys.borrow_mut(), 0);
        while u.first != NONE && filled < to.len() {
            let rest = sys.piece(u.first, u.at);
            let n = rest.len().min(to.len() - filled);
            to[filled..filled + n].copy_from_slice(&rest[..n]);
            filled += n;
            if n < rest.len() {
                u.at += n as u16;
                break;
            }
            (u.first, u.at, u.count) = (sys.unlink(u.first), 0, u.count - 1);
        }
        self.unread.set(u);
        filled
    }

    /// A call gave `n` of `len` bytes.
    fn read_by_call(&self, n: usize, len: usize) {
        if n == 0 && len > 0 {
            self.set(flag::ENDED);
        }
        if n < len {
            self.clear(flag::READABLE);
        }
        if self.is(flag::BY_CALLS) {
            let mut u = self.unread.get();
            u.in_a_row = if n < PIECE { u.in_a_row + 1 } else { 0 };
            if u.in_a_row >= SHORT_IN_A_ROW {
                u.in_a_row = 0;
                self.clear(flag::BY_CALLS);
            }
            self.unread.set(u);
        }
    }

    /// Sends by a call what was accepted and is not with the kernel.
    ///
    /// # Errors
    /// What the system says; `WouldBlock` also where some is left.
    pub(super) fn send_now(&self, ring: &Ring, more: bool) -> Result<()> {
        let Some(mut out) = self.out.take() else { return Ok(()) };
        let more = if more { libc::MSG_MORE } else { 0 };
        let sent = self.with_fd(|s| s.send_with_flags(out.bytes(), libc::MSG_NOSIGNAL | more));
        let left = match &sent {
            Ok(n) => out.took(*n),
            Err(e) => matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        if left {
            self.out.set(Some(out));
            return sent.and_then(|_| Err(ErrorKind::WouldBlock.into()));
        }
        self.clear(flag::OUT);
        ring.keep(out);
        sent.map(drop)
    }

    /// Gives all pieces back, unread.
    pub(super) fn forget_unread(&self, ring: &Ring) {
        let (mut u, mut sys) = (self.unread.get(), ring.sys.borrow_mut());
        while u.first != NONE {
            u.first = sys.unlink(u.first);
        }
        self.unread.set(Unread::NONE);
    }
}

/// A socket that a ring carries. To be used and dropped on its thread.
pub struct Ringed(Rc<Socket>);

impl std::fmt::Debug for Ringed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ringed({} {:#x})", self.0.fd.get(), self.0.flags.get())
    }
}

/// Calls `f` with this thread's ring, if the socket is of it.
fn with<R>(socket: &Socket, f: impl FnOnce(&Ring) -> Result<R>) -> Result<R> {
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
        if s.is(flag::WRITABLE) && !(s.is(flag::SENDING) && s.is(flag::OUT)) {
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
        // Without a ring there is nothing under way.
        let _ = with(s, |ring| {
            ring.read_by_calls(s);
            Ok(())
        });
        // Little that is read between two such calls does not lead back.
        s.unread.set(Unread { in_a_row: 0, ..s.unread.get() });
        let free = s.unread.get().first == NONE && !s.is(flag::ARMED | flag::OUT | flag::SENDING) && s.fd.get() >= 0;
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
        let mut held = None;
        let ended = with(s, |ring| {
            ring.read_by_calls(s);
            for _ in 0..TAKEN_IN_MS {
                if s.is(flag::STALLED) {
                    // Held here, it is not tried again.
                    s.clear(flag::STALLED);
                    held = s.sending.take();
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
                if let Some(out) = held.take() {
                    ring.stall(s, out);
                }
                return Err(ErrorKind::WouldBlock.into());
            }
            let mut received = vec![0; usize::from(s.unread.get().count) * PIECE];
            let n = s.read(ring, &mut received);
            received.truncate(n);
            Ok(received)
        });
        let Ok(received) = ended else { return Err(self) };
        s.clear(flag::OUT | flag::SENDING);
        let behind = [held, s.out.take()].into_iter().flatten().flat_map(|out| out.bytes().to_vec()).collect();
        self.take().map(|fd| (fd, received, behind)).ok_or(self)
    }

    /// Notes the task, to be woken by what comes next of this direction.
    fn wait<T>(&self, cx: &Context<'_>, bit: u8) -> Poll<T> {
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
        drop((self.0.reader.take(), self.0.writer.take()));
        let _ = with(&self.0, |ring| {
            ring.ask_read(&self.0);
            Ok(())
        });
    }

    /// Has it told, and waits.
    fn ask(&self, cx: &Context<'_>, bit: u8) -> Poll<()> {
        let s = &self.0;
        let asked = with(s, |ring| {
            if s.is(flag::FAILED) {
                // All is known.
            } else if bit == WRITE && s.is(flag::SENDING) && s.is(flag::OUT) {
                // What is under way tells when there is a place for more.
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

    fn failure(&self) -> Error {
        match self.0.errno.get() {
            // It failed while it was waited for: the system tells, once.
            0 => self.0.with_fd(|s| s.take_error()).ok().flatten().unwrap_or_else(|| ErrorKind::BrokenPipe.into()),
            e => Error::from_raw_os_error(e.into()),
        }
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
            return Poll::Ready(Err(self.failure()));
        }
        // A receive that is not over yet may still give what came before it.
        if s.is(flag::ENDED) && !s.is(flag::ARMED) {
            return Poll::Ready(Ok(0));
        }
        self.ask(cx, READ).map(|()| Err(no_loop()))
    }

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
            return Some(Poll::Ready(Err(self.failure())));
        }
        if len > COPIED {
            return None;
        }
        let done = with(s, |ring| {
            let mut out = s.out.take().unwrap_or_else(|| ring.kept.borrow_mut().pop().unwrap_or_else(Out::new));
            let fits = out.room() >= len;
            if fits {
                from.for_each(|bytes| out.push(bytes));
                s.set(flag::OUT);
                if more {
                    s.set(flag::MORE)
                } else {
                    s.clear(flag::MORE)
                }
                ring.queue(s);
            }
            s.out.set(Some(out));
            Ok(fits)
        });
        match done {
            Ok(true) => Some(Poll::Ready(Ok(len))),
            Ok(false) if s.is(flag::SENDING) => Some(self.wait(cx, WRITE)),
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
                return Poll::Ready(Err(self.failure()));
            }
            if s.is(flag::SENDING) {
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
        if !self.0.is(flag::FAILED | flag::SENDING | flag::OUT) {
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
        let behind = s.is(flag::SENDING) || self.send_accepted(true).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
        if behind {
            s.set(flag::FIN);
            return Ok(());
        }
        s.with_fd(|s| s.shutdown(std::net::Shutdown::Write))
    }

    /// Closing will reset the connection: what the system cannot take at once is not sent.
    pub fn set_reset(&self) {
        self.0.set(flag::RESET);
        let _ = self.0.with_fd(|s| s.set_linger(Some(std::time::Duration::ZERO)));
    }

    /// The socket, for options.
    ///
    /// # Errors
    /// `f`'s; `NotConnected` once it is given up.
    pub fn with_socket<R>(&self, f: impl FnOnce(&SockRef<'_>) -> Result<R>) -> Result<R> {
        self.0.with_fd(f)
    }
}

#[cfg(test)]
impl Ringed {
    pub(super) fn is(&self, flag: u32) -> bool {
        self.0.is(flag)
    }

    /// Pieces that were received and not read.
    pub(super) fn unread(&self) -> u16 {
        self.0.unread.get().count
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
