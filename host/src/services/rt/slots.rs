//! What is known of a loop's sockets: the system tells it by their numbers, and it is kept until a call says that there is no
//! more; nothing is asked of the system to learn that.

use super::task;
use mio::{Token, event::Event};
use slab::Slab;
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    task::Waker,
};

/// The token of the loop's own wake-ups.
pub(super) const WAKE: Token = Token(usize::MAX);

/// In place of its number, of a slot whose loop has ended: another loop of the thread may have one of that number.
pub(super) const GONE: u32 = u32::MAX;

/// Bytes may be there, or the end, or an error.
pub const READ: u8 = 1;

/// A write may take some, or tell an error.
pub const WRITE: u8 = 2;

/// The other side will send nothing more.
pub(super) const READ_CLOSED: u8 = 4;

/// Writes will fail.
pub(super) const WRITE_CLOSED: u8 = 8;

/// The system noted an error.
pub(super) const ERROR: u8 = 16;

/// Whose an event is, and what it says.
pub(super) fn bits_of(e: &Event) -> (usize, u8) {
    let all = [
        (e.is_readable(), READ),
        (e.is_writable(), WRITE),
        (e.is_read_closed(), READ_CLOSED),
        (e.is_write_closed(), WRITE_CLOSED),
        (e.is_error(), ERROR),
    ];
    (e.token().0, all.iter().fold(0, |bits, (is, bit)| if *is { bits | bit } else { bits }))
}

/// Everything that makes a call in one direction worth a try.
pub(super) const fn all(bit: u8) -> u8 {
    bit | ERROR | if bit == READ { READ_CLOSED } else { WRITE_CLOSED }
}

/// What is known of a registered socket, and who waits for it. Shared by the loop, which finds it by its token, and the
/// socket, which asks it all the time.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) token: Cell<u32>,
    pub(super) ready: Cell<u8>,
    pub(super) known: Cell<Known>,
    /// Kept after it was woken: mostly the same task waits again.
    pub(super) reader: Cell<Option<Waker>>,
    pub(super) writer: Cell<Option<Waker>>,
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Slot({} {:#x})", self.token.get(), self.ready.get())
    }
}

/// What the system knows of a socket.
#[derive(Clone, Copy, Default, PartialEq)]
#[cfg_attr(not(unix), expect(dead_code, reason = "elsewhere every socket is registered first, by itself"))]
pub(super) enum Known {
    /// It is registered, by itself.
    #[default]
    Socket,
    /// It is registered, by its descriptor alone: the socket does not know.
    Descriptor,
    /// Nothing yet: what is ready is a guess.
    Not,
}

/// What was known of a socket at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Seen(pub(super) u8);

impl Seen {
    /// Whether a call in this direction is worth a try.
    pub const fn is_ready(self, bit: u8) -> bool {
        self.0 & all(bit) != 0
    }

    /// Whether nothing can be written any more, as far as the system has told: the other side is gone, or has reset it.
    pub const fn has_failed(self) -> bool {
        self.0 & (WRITE_CLOSED | ERROR) != 0
    }

    /// Whether the other side has ended, or an error was noted.
    pub const fn is_closed(self) -> bool {
        self.0 & (READ_CLOSED | WRITE_CLOSED | ERROR) != 0
    }

    /// Whether the other side has ended, in order, and a read took its last bytes.
    pub const fn has_ended(self) -> bool {
        self.0 & (READ | READ_CLOSED | ERROR) == READ_CLOSED
    }
}

/// The sockets of a loop.
pub(super) struct Slots {
    pub(super) registry: mio::Registry,
    pub(super) slots: RefCell<Slab<Rc<Slot>>>,
}

impl Drop for Slots {
    fn drop(&mut self) {
        // Nothing is told any more: a call tells what is wrong.
        for (_, slot) in self.slots.get_mut().iter() {
            slot.ready.set(READ | WRITE | ERROR);
            slot.token.set(GONE);
            drop((slot.reader.take(), slot.writer.take()));
        }
    }
}

impl Slots {
    pub(super) fn new(registry: mio::Registry) -> Self {
        Self { registry, slots: RefCell::default() }
    }

    /// Notes what the system says, and wakes who waits for it.
    pub(super) fn dispatch(&self, events: impl Iterator<Item = (usize, u8)>) {
        let mut others = Vec::new();
        let slots = self.slots.borrow();
        for (token, bits) in events {
            // Gone, or another socket's by now: that one tries in vain, once.
            let Some(slot) = slots.get(token) else { continue };
            slot.ready.set(slot.ready.get() | bits);
            if bits & all(READ) != 0 {
                wake(&slot.reader, &mut others);
            }
            if bits & all(WRITE) != 0 {
                wake(&slot.writer, &mut others);
            }
        }
        drop(slots);
        others.into_iter().for_each(Waker::wake);
    }
}

#[inline]
pub(super) fn wake(waiter: &Cell<Option<Waker>>, others: &mut Vec<Waker>) {
    let Some(waker) = waiter.take() else { return };
    if !task::wake_plain(&waker) {
        // It may run whatever, which may want the slots.
        others.push(waker.clone());
    }
    waiter.set(Some(waker));
}
