//! io_uring as the ring uses it: operations are queued here and told to the kernel with the next wait; what is done comes
//! back as numbers. Knows no socket's state.

use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue, types};
use std::{
    alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error},
    io::{ErrorKind, Result},
    os::fd::RawFd,
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicU16, Ordering::Release},
    time::Duration,
};

/// Bytes of one received piece, at most.
pub(super) const PIECE: usize = 8 << 10;
/// Pieces that a thread has for what is received and not read yet.
pub(super) const PIECES: u16 = 512;
/// Operations that are told at once, and results that fit before the kernel has to keep some.
const ENTRIES: u32 = 1024;
const RESULTS: u32 = 4096;
/// The kernel's number of the pieces' group.
const GROUP: u16 = 0;
/// What the kernel wants its memory aligned to.
const PAGE: usize = 4096;
/// No piece.
pub(super) const NONE: u16 = u16::MAX;

/// Of an operation whose success nobody has to hear of.
const SILENT: squeue::Flags = squeue::Flags::SKIP_SUCCESS;

/// One result: what it was queued with, a count or a negative error number, and whether more of it will come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Done {
    pub(super) data: u64,
    pub(super) result: i32,
    pub(super) more: bool,
    /// The piece that was received into; [`NONE`].
    pub(super) piece: u16,
}

/// A received piece among those of its socket.
#[derive(Clone, Copy, Default)]
struct Link {
    len: u16,
    /// The one behind it.
    next: u16,
    /// Of the first one: the last.
    last: u16,
}

/// Page-aligned, zeroed memory. The kernel writes to it, so that it is not a box.
struct Memory {
    at: NonNull<u8>,
    layout: Layout,
    stays: bool,
}

impl Memory {
    fn new(len: usize) -> Self {
        let layout = Layout::from_size_align(len, PAGE).unwrap_or_else(|_| unreachable!("constants"));
        // SAFETY: the size is a constant above 0.
        let at = unsafe { alloc_zeroed(layout) };
        Self { at: NonNull::new(at).unwrap_or_else(|| handle_alloc_error(layout)), layout, stays: false }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if !self.stays {
            // SAFETY: allocated so, once.
            unsafe { dealloc(self.at.as_ptr(), self.layout) };
        }
    }
}

/// A ring of this thread, which alone may use it.
pub(super) struct Uring {
    // First: what the kernel does with the memory below has an end before that.
    ring: IoUring,
    pieces: Memory,
    /// The pieces that the kernel may fill, as it wants them listed.
    offered: Memory,
    tail: u16,
    /// Of each received piece: where it is among those of its socket.
    chain: Box<[Link]>,
}

impl Uring {
    /// # Errors
    /// Where the kernel has no io_uring, not all of what is wanted of it (6.1), or does not let us.
    pub(super) fn new() -> Result<Self> {
        let mut ring = IoUring::builder();
        ring.setup_single_issuer().setup_defer_taskrun().setup_submit_all().setup_cqsize(RESULTS).dontfork();
        let ring = ring.build(ENTRIES)?;
        let p = ring.params();
        if !(p.is_feature_nodrop() && p.is_feature_ext_arg() && p.is_feature_skip_cqe_on_success()) {
            return Err(ErrorKind::Unsupported.into());
        }
        let pieces = Memory::new(PIECE * usize::from(PIECES));
        let offered = Memory::new(size_of::<types::BufRingEntry>() * usize::from(PIECES));
        let mut this = Self { ring, pieces, offered, tail: 0, chain: vec![Link::default(); PIECES.into()].into() };
        // SAFETY: zeroed, aligned memory of the size that is said, which is given up after the ring.
        unsafe {
            this.ring.submitter().register_buf_ring_with_flags(this.offered.at.as_ptr() as u64, PIECES, GROUP, 0)
        }?;
        (0..PIECES).for_each(|piece| this.give(piece));
        // Spares the kernel a look-up at each call; without it goes as well.
        let _ = this.ring.submitter().register_ring_fd();
        Ok(this)
    }

    /// A piece was received into, behind those that begin with `first`, if there are any. The first of them then.
    pub(super) fn link(&mut self, first: u16, piece: u16, len: u16) -> u16 {
        self.chain[usize::from(piece)] = Link { len, next: NONE, last: piece };
        if first == NONE {
            return piece;
        }
        let last = std::mem::replace(&mut self.chain[usize::from(first)].last, piece);
        self.chain[usize::from(last)].next = piece;
        first
    }

    /// The first of some pieces goes. The first of what is left, or [`NONE`].
    pub(super) fn unlink(&mut self, first: u16) -> u16 {
        let Link { next, last, .. } = self.chain[usize::from(first)];
        if next != NONE {
            self.chain[usize::from(next)].last = last;
        }
        self.give(first);
        next
    }

    /// Bytes of a piece that was received into and not given back, without the first `at`.
    pub(super) fn piece(&self, piece: u16, at: u16) -> &[u8] {
        let len = self.chain[usize::from(piece)].len;
        assert!(at <= len && usize::from(len) <= PIECE, "no such bytes");
        // SAFETY: within the memory, as `piece` is a place in `chain`. The kernel writes to it only between `give` and the
        // result, which came.
        unsafe {
            let start = self.pieces.at.as_ptr().add(usize::from(piece) * PIECE + usize::from(at));
            slice::from_raw_parts(start, usize::from(len - at))
        }
    }

    /// The kernel may receive into this piece again.
    pub(super) fn give(&mut self, piece: u16) {
        let base = self.offered.at.cast::<types::BufRingEntry>().as_ptr();
        // SAFETY: an entry within the memory, which the kernel reads only once the tail is behind it.
        let entry = unsafe { &mut *base.add(usize::from(self.tail % PIECES)) };
        entry.set_addr(self.pieces.at.as_ptr() as u64 + u64::from(piece) * PIECE as u64);
        entry.set_len(PIECE as u32);
        entry.set_bid(piece);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the list's tail, which the kernel reads at any time, and nobody else writes.
        unsafe { &*types::BufRingEntry::tail(base).cast::<AtomicU16>() }.store(self.tail, Release);
    }

    /// Makes room for `count` operations that must be told together.
    fn room(&mut self, count: usize) {
        let queue = self.ring.submission();
        if queue.capacity() - queue.len() < count {
            drop(queue);
            // What it cannot take now it takes with the next.
            let _ = self.ring.submit();
        }
    }

    fn push(&mut self, what: &squeue::Entry) {
        self.room(1);
        // SAFETY: callers say of each operation why what it refers to stays.
        while unsafe { self.ring.submission().push(what) }.is_err() {
            let _ = self.ring.submit();
        }
    }

    /// Receives into pieces until there is an end, an error, or no piece.
    pub(super) fn recv(&mut self, fd: RawFd, data: u64) {
        // It refers to the pieces alone.
        self.push(&opcode::RecvMulti::new(types::Fd(fd), GROUP).build().user_data(data));
    }

    /// Sends `bytes`, as many as the socket takes now; `EAGAIN`: none. With `close` the descriptor is closed behind them, if they
    /// all went; it may be at any time until the result has come, and is if that says so.
    ///
    /// # Safety
    /// The bytes stay where they are until the result has come.
    pub(super) unsafe fn send(&mut self, fd: RawFd, bytes: &[u8], more: bool, close: bool, data: u64) {
        // Who waits for room is the ring: where the other side has ended, each poll says so at once, and the kernel would look
        // for room in vain 128 times, and then make a thread that waits.
        let mut flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        if more {
            flags |= libc::MSG_MORE;
        }
        if close {
            // Fewer are a failure then, which ends the link.
            flags |= libc::MSG_WAITALL;
        }
        let send = opcode::Send::new(types::Fd(fd), bytes.as_ptr(), bytes.len() as u32).flags(flags).build();
        let send = send.user_data(data);
        if close {
            // Told in one go, or the second would not wait for the first.
            self.room(2);
            self.push(&send.flags(squeue::Flags::IO_LINK));
            self.close(fd, u64::MAX);
        } else {
            self.push(&send);
        }
    }

    /// Tells once when one of `events`, the other side's end or a failure is there; with `each` of what is there now and each
    /// time that one comes.
    pub(super) fn poll(&mut self, fd: RawFd, events: i16, each: bool, data: u64) {
        self.push(&opcode::PollAdd::new(types::Fd(fd), events as u32).multi(each).build().user_data(data));
    }

    /// Ends the operation that was queued with `of`, which then has a last result.
    pub(super) fn cancel(&mut self, of: u64, data: u64) {
        self.push(&opcode::AsyncCancel::new(of).build().flags(SILENT).user_data(data));
    }

    /// Closes a descriptor.
    pub(super) fn close(&mut self, fd: RawFd, data: u64) {
        self.push(&opcode::Close::new(types::Fd(fd)).build().flags(SILENT).user_data(data));
    }

    /// Tells the kernel what was queued, and waits for a result: for ever (`None`), or so long at most.
    ///
    /// # Errors
    /// Those that only a mistake of the program's can cause.
    pub(super) fn enter(&mut self, wait: Option<Duration>) -> Result<()> {
        self.enter_for(u32::from(wait != Some(Duration::ZERO)), wait)
    }

    /// Has all done that is with the kernel and waits for nothing: what follows other operations, too.
    pub(super) fn settle(&mut self) {
        // It does some of that each time, and all where so many results are wanted. What fails is as good as done.
        let _ = self.enter_for(RESULTS, Some(Duration::ZERO));
    }

    fn enter_for(&mut self, least: u32, wait: Option<Duration>) -> Result<()> {
        let queued = self.ring.submission().len() as u32;
        let time = wait.map(types::Timespec::from);
        let args = types::SubmitArgs::new();
        let args = match &time {
            Some(time) => args.timespec(time),
            None => args,
        };
        let flags = (EnterFlags::GETEVENTS | EnterFlags::EXT_ARG).bits();
        // SAFETY: the arguments live for the call.
        match unsafe { self.ring.submitter().enter(queued, least, flags, Some(&args)) } {
            Ok(_) => Ok(()),
            // Its time is over, a signal came, or results are to be taken first.
            Err(e) if [libc::ETIME, libc::EINTR, libc::EBUSY, libc::EAGAIN].map(Some).contains(&e.raw_os_error()) => {
                Ok(())
            }
            Err(e) => Err(e),
        }
    }

    /// Without the kernel's word that it is done with the memory, that cannot be given up.
    pub(super) const fn leak(&mut self) {
        (self.pieces.stays, self.offered.stays) = (true, true);
    }

    /// Takes the results that are there.
    pub(super) fn take(&mut self, to: &mut Vec<Done>) {
        to.extend(self.ring.completion().map(|e| Done {
            data: e.user_data(),
            result: e.result(),
            more: cqueue::more(e.flags()),
            piece: cqueue::buffer_select(e.flags()).unwrap_or(NONE),
        }));
    }
}

/// Bytes that were sent and not taken by the other side; `None`: the system does not say.
pub(super) fn unsent(fd: RawFd) -> Option<u32> {
    let mut n: libc::c_int = 0;
    // SAFETY: the system writes a number there.
    let r = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut n) };
    (r == 0).then(|| n.cast_unsigned())
}
