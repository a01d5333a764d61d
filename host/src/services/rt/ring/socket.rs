//! One socket of a ring: what was received and not read, what was accepted and not sent, and who waits.

use super::{
    Ring,
    sys::{NONE, PIECE},
};
use socket2::SockRef;
use std::{
    cell::Cell,
    io::{Error, ErrorKind, Result},
    os::fd::{BorrowedFd, RawFd},
    task::Waker,
};

/// So many bytes at most are accepted to be sent with the next wait.
pub(super) const COPIED: usize = 2 << 10;
/// So many full pieces in a row are much: it is read by calls from then on, into larger memory, without a copy.
const FULL_IN_A_ROW: u8 = 3;
/// So many reads in a row that are less than a piece are little again.
const SHORT_IN_A_ROW: u8 = 4;
/// The same where others used the descriptor, since they did last.
const SHORT_SINCE: u8 = 64;
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
    /// Bytes were accepted, and are to be sent with the next wait.
    pub(crate) const OUT: u32 = 1 << 6;
    /// They are with the kernel.
    pub(crate) const SENDING: u32 = 1 << 7;
    /// It closes the descriptor behind them, which is not to be used.
    pub(crate) const CLOSING: u32 = 1 << 8;
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
    /// They wait for room in the system's buffer.
    pub(crate) const STALLED: u32 = 1 << 19;
    /// The other side has ended, so that every poll says something at once.
    pub(crate) const HALF: u32 = 1 << 20;
    /// Its stream is gone, and it counts among those that the system does not take all of.
    pub(crate) const LINGERS: u32 = 1 << 21;
    /// The descriptor is used by others beside.
    pub(crate) const DIRECT: u32 = 1 << 22;
    /// The descriptor is being given to somebody else: nothing is begun any more.
    pub(crate) const TAKEN: u32 = 1 << 23;
}

/// Bytes that were accepted.
pub(super) struct Out {
    bytes: [u8; COPIED],
    from: u16,
    to: u16,
    /// While they wait for room and nobody is there any more: what of all before them the other side had not taken when it was
    /// last looked at, and how many seconds ago it took some.
    unsent: u32,
    stands: u8,
}

impl Out {
    pub(super) fn new() -> Box<Self> {
        Box::new(Self { bytes: [0; COPIED], from: 0, to: 0, unsent: u32::MAX, stands: 0 })
    }

    /// The same bytes in memory of their own.
    pub(super) fn own(&self) -> Box<Self> {
        Box::new(Self { ..*self })
    }

    /// For how many looks in a row the other side has taken nothing.
    pub(super) fn stands(&mut self, unsent: u32) -> u8 {
        self.stands = if unsent < self.unsent { 0 } else { self.stands.saturating_add(1) };
        self.unsent = unsent;
        self.stands
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.from.into()..self.to.into()]
    }

    pub(super) fn clear(&mut self) {
        (self.from, self.to, self.unsent, self.stands) = (0, 0, u32::MAX, 0);
    }

    /// So many went; whether some are left.
    pub(super) fn took(&mut self, n: usize) -> bool {
        self.from += n as u16;
        self.from < self.to
    }

    pub(super) const fn room(&self) -> usize {
        COPIED - self.to as usize
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.to.into()..][..bytes.len()].copy_from_slice(bytes);
        self.to += bytes.len() as u16;
    }
}

/// What was received and not read: a chain of pieces.
#[derive(Clone, Copy)]
pub(super) struct Unread {
    pub(super) first: u16,
    /// Bytes of the first that were read.
    at: u16,
    pub(super) count: u16,
    /// Full ones in a row; short reads in a row, while it is read by calls.
    pub(super) in_a_row: u8,
}

/// Shared by the ring, which keeps it until its last operation is over, and the stream.
pub(super) struct Socket {
    pub(super) token: Cell<u32>,
    /// Below 0: closed, or given back.
    pub(super) fd: Cell<RawFd>,
    pub(super) flags: Cell<u32>,
    /// Operations that will have a last result.
    pub(super) under_way: Cell<u8>,
    errno: Cell<u8>,
    pub(super) unread: Cell<Unread>,
    pub(super) out: Cell<Option<Box<Out>>>,
    /// Kept after it was woken: mostly the same task waits again.
    pub(super) reader: Cell<Option<Waker>>,
    pub(super) writer: Cell<Option<Waker>>,
}

impl Unread {
    pub(super) const NONE: Self = Self { first: NONE, at: 0, count: 0, in_a_row: 0 };
}

impl Socket {
    pub(super) fn new(token: u32, fd: RawFd, flags: u32) -> Self {
        Self {
            token: Cell::new(token),
            fd: Cell::new(fd),
            flags: Cell::new(flags),
            under_way: Cell::default(),
            errno: Cell::default(),
            unread: Cell::new(Unread::NONE),
            out: Cell::default(),
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

    /// Whether a task was noted that reads.
    pub(super) fn has_reader(&self) -> bool {
        let reader = self.reader.take();
        let has = reader.is_some();
        self.reader.set(reader);
        has
    }

    pub(super) fn fail(&self, errno: i32) {
        // Bytes that came before may be there; a call tells.
        self.set(flag::FAILED | flag::READABLE);
        self.errno.set(errno as u8);
    }

    /// Why it failed.
    pub(super) fn failure(&self) -> Error {
        match self.errno.get() {
            // It failed while it was waited for: the system tells, once.
            0 => self.with_fd(|s| s.take_error()).ok().flatten().unwrap_or_else(|| ErrorKind::BrokenPipe.into()),
            e => Error::from_raw_os_error(e.into()),
        }
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

    /// Whoever closes it resets the connection: the other side may not take a part for the whole.
    pub(super) fn reset_at_close(&self) {
        // It may be one that knows no such end.
        let _ = self.with_fd(|s| s.set_linger(Some(std::time::Duration::ZERO)));
    }

    pub(super) fn with_fd<R>(&self, f: impl FnOnce(&SockRef<'_>) -> Result<R>) -> Result<R> {
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
    pub(super) fn read_by_call(&self, n: usize, len: usize) {
        if n == 0 && len > 0 {
            self.set(flag::ENDED);
        }
        if n < len {
            self.clear(flag::READABLE);
        }
        if self.is(flag::BY_CALLS) {
            let mut u = self.unread.get();
            u.in_a_row = if n < PIECE { u.in_a_row + 1 } else { 0 };
            if u.in_a_row >= if self.is(flag::DIRECT) { SHORT_SINCE } else { SHORT_IN_A_ROW } {
                u.in_a_row = 0;
                self.clear(flag::BY_CALLS | flag::DIRECT);
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
