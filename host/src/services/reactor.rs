//! Readiness of stream sockets on Linux: one epoll a worker, itself watched by the runtime's. Knows descriptors and wakers.
//!
//! Why beside the runtime's own: a socket is registered at its first EAGAIN and forgotten by being closed (the runtime
//! registers at once and deregisters before closing: two system calls more a connection), and a slot takes 48 bytes. It
//! costs one `epoll_wait` more a turn of the loop, however many sockets are ready.

use super::tasks;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::{
    cell::{OnceCell, RefCell},
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    rc::Rc,
    task::{Context, Poll, Waker},
};
use tokio::io::{Interest, unix::AsyncFd};

/// Events taken at once.
const BATCH: usize = 256;

pub(crate) use anyproxy_module_api::abi::stream::ready::{HUP, READ, WRITE};

#[derive(Debug, Default)]
struct Slot {
    /// What holds, as far as known.
    ready: u8,
    /// What somebody waits for.
    wanted: u8,
    /// Tells events of this socket from those of one that had the slot before.
    turn: u32,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug)]
struct Shared {
    epoll: OwnedFd,
    slots: RefCell<slab::Slab<Slot>>,
}

struct Watched(Rc<Shared>);

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.epoll.as_fd()
    }
}

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.epoll.as_raw_fd()
    }
}

thread_local! {
    static REACTOR: OnceCell<Rc<Shared>> = const { OnceCell::new() };
}

fn reactor() -> io::Result<Rc<Shared>> {
    REACTOR.with(|cell| {
        if let Some(r) = cell.get() {
            return Ok(Rc::clone(r));
        }
        let shared = Rc::new(Shared { epoll: epoll::create(CreateFlags::CLOEXEC)?, slots: RefCell::default() });
        // SAFETY: the descriptor is owned by what is registered, and stays open as long.
        let watched = unsafe { AsyncFd::register_with_interest(Watched(Rc::clone(&shared)), Interest::READABLE) }?;
        tasks::spawn_local(drive(watched));
        // Nobody else sets it on this thread meanwhile.
        let _ = cell.set(Rc::clone(&shared));
        Ok(shared)
    })
}

async fn drive(watched: AsyncFd<Watched>) {
    let shared = Rc::clone(&watched.get_ref().0);
    let mut events = [MaybeUninit::<epoll::Event>::uninit(); BATCH];
    // It ends with the runtime.
    while let Ok(mut guard) = watched.readable().await {
        loop {
            let now = rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 };
            let Ok((found, _)) = epoll::wait(&shared.epoll, &mut events, Some(&now)) else { break };
            let full = found.len() == BATCH;
            for e in found.iter() {
                shared.event(e.data.u64(), e.flags);
            }
            if !full {
                break;
            }
        }
        guard.clear_ready();
    }
}

impl Shared {
    fn event(&self, data: u64, flags: EventFlags) {
        let mut bits = 0;
        if flags.intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            bits |= READ;
        }
        if flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR) {
            bits |= WRITE;
        }
        if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            bits |= HUP;
        }
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(data as u32 as usize).filter(|s| s.turn == (data >> 32) as u32) else { return };
        slot.ready |= bits;
        let wake = slot.wanted & bits;
        slot.wanted &= !bits;
        // Kept, not taken: the task is the same next time, and waking by reference costs no count.
        if wake & READ != 0
            && let Some(w) = &slot.reader
        {
            w.wake_by_ref();
        }
        if wake & WRITE != 0
            && let Some(w) = &slot.writer
        {
            w.wake_by_ref();
        }
    }
}

/// A socket's place in this thread's reactor. Ready for anything until a call said EAGAIN.
#[derive(Debug)]
pub(crate) struct Registration {
    shared: Rc<Shared>,
    slot: usize,
    registered: bool,
}

impl Registration {
    /// A new place.
    pub(crate) fn new() -> io::Result<Self> {
        thread_local! {
            static TURN: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
        }
        let shared = reactor()?;
        let turn = TURN.get().wrapping_add(1);
        TURN.set(turn);
        let slot = shared.slots.borrow_mut().insert(Slot { ready: READ | WRITE, turn, ..Slot::default() });
        Ok(Self { shared, slot, registered: false })
    }

    /// What holds, as far as known.
    pub(crate) fn ready(&self) -> u8 {
        self.shared.slots.borrow()[self.slot].ready
    }

    /// A call said EAGAIN, or took all there was: these bits do not hold any more. The end of a stream stays readable.
    pub(crate) fn clear(&self, bits: u8) {
        let mut slots = self.shared.slots.borrow_mut();
        let slot = &mut slots[self.slot];
        slot.ready &= !bits;
        if slot.ready & HUP != 0 {
            slot.ready |= READ;
        }
    }

    /// The same where the call itself said EAGAIN, which is stronger than what was known.
    pub(crate) fn clear_all(&self, bits: u8) {
        self.shared.slots.borrow_mut()[self.slot].ready &= !bits;
    }

    /// Ready when any of `bits` holds; else the task is woken when one does.
    pub(crate) fn poll(&mut self, fd: BorrowedFd<'_>, cx: &Context<'_>, bits: u8) -> Poll<io::Result<u8>> {
        {
            let mut slots = self.shared.slots.borrow_mut();
            let slot = &mut slots[self.slot];
            let found = slot.ready & bits;
            if found != 0 {
                return Poll::Ready(Ok(found));
            }
            slot.wanted |= bits;
            let note = |to: &mut Option<Waker>| {
                if !to.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                    *to = Some(cx.waker().clone());
                }
            };
            if bits & READ != 0 {
                note(&mut slot.reader);
            }
            if bits & WRITE != 0 {
                note(&mut slot.writer);
            }
        }
        if !self.registered {
            self.register(fd)?;
        }
        Poll::Pending
    }

    fn register(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        let turn = self.shared.slots.borrow()[self.slot].turn;
        let data = EventData::new_u64(u64::from(turn) << 32 | self.slot as u64);
        // What holds already is reported at the next wait: nothing is lost between the EAGAIN and this.
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.shared.epoll, fd, data, flags)?;
        self.registered = true;
        Ok(())
    }

    /// Forgets the task.
    pub(crate) fn unbind(&self) {
        let mut slots = self.shared.slots.borrow_mut();
        let slot = &mut slots[self.slot];
        (slot.reader, slot.writer, slot.wanted) = (None, None, 0);
    }

    /// The descriptor goes elsewhere: this epoll must not watch it any more.
    pub(crate) fn release(self, fd: BorrowedFd<'_>) {
        if self.registered {
            // It cannot fail for what was added.
            let _ = epoll::delete(&self.shared.epoll, fd.as_fd());
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Closing the descriptor takes it out of the epoll.
        let slot = self.shared.slots.borrow_mut().try_remove(self.slot);
        drop(slot);
    }
}
