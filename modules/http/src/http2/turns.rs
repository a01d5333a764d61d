//! Streams that wait for room in what is to be sent: whose turn it is (RFC 9218 section 10). Knows nothing of what they send.

use super::order::{Manner, Order};
use std::collections::VecDeque;

/// Bytes of a turn, where nobody asks for turns of a frame.
pub(super) const SHARE: usize = 64 << 10;
/// After so many bytes of others the one that waits longest gets a frame, whatever the order: none waits for ever.
const FAIR: usize = 7 * SHARE;

/// Who waits, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: VecDeque<Waiter>,
    /// How many of them do not go by the usual order: without any there is nothing to look for.
    special: usize,
    /// Bytes that were given before one that waits longer.
    before: usize,
}

#[derive(Clone, Copy, Debug)]
struct Waiter {
    key: u32,
    /// The stream's: smaller ones were asked for earlier.
    id: u32,
    order: Order,
}

impl Turns {
    /// A stream begins to wait.
    pub(super) fn push(&mut self, key: u32, id: u32, order: Order) {
        self.special += usize::from(order != Order::default());
        self.waiting.push_back(Waiter { key, id, order });
    }

    /// Another order counts for one that waits. It keeps its place.
    pub(super) fn change(&mut self, key: u32, order: Order) {
        if let Some(waiter) = self.waiting.iter_mut().find(|w| w.key == key) {
            self.special -= usize::from(waiter.order != Order::default());
            self.special += usize::from(order != Order::default());
            waiter.order = order;
        }
    }

    /// It is gone. Those that stay would add up where others always come first.
    pub(super) fn remove(&mut self, key: u32) {
        if let Some(at) = self.waiting.iter().position(|w| w.key == key) {
            self.take(at);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Gives turns for so many bytes, each to a stream that waits no more, and bytes that it may send. `frame`: those of a
    /// frame.
    ///
    /// They are for the most urgent. Others have none beside them: they would get as much. Of streams that are to come one
    /// after another, the first alone has its turn: those behind have theirs when it does not come back at once.
    pub(super) fn deal(&mut self, mut room: usize, frame: usize, mut give: impl FnMut(u32, usize)) {
        let Some(urgency) = self.urgency() else { return };
        let share = if self.by_frames(urgency) { frame } else { SHARE };
        let mut led = false;
        while room > 0 {
            let Some(mut at) = self.next(urgency, led) else { break };
            let mut turn = share;
            if at > 0 && self.before >= FAIR {
                (at, turn, self.before) = (0, frame, 0);
            } else {
                self.before += if at > 0 { turn } else { 0 };
                led |= self.waiting[at].order.manner == Manner::Whole;
            }
            if let Some(waiter) = self.take(at) {
                room = room.saturating_sub(turn);
                give(waiter.key, turn);
            }
        }
    }

    fn take(&mut self, at: usize) -> Option<Waiter> {
        let waiter = self.waiting.remove(at)?;
        self.special -= usize::from(waiter.order != Order::default());
        Some(waiter)
    }

    /// The urgency of those whose turn it is.
    fn urgency(&self) -> Option<u8> {
        if self.special == 0 {
            return self.waiting.front().map(|w| w.order.urgency);
        }
        self.waiting.iter().map(|w| w.order.urgency).min()
    }

    /// Whether several of this urgency wait, and one wants turns of a frame.
    fn by_frames(&self, urgency: u8) -> bool {
        if self.special == 0 {
            return false;
        }
        let mut of = self.waiting.iter().filter(|w| w.order.urgency == urgency);
        of.clone().nth(1).is_some() && of.any(|w| w.order.manner == Manner::Frames)
    }

    /// Where the next of this urgency is. All that are to come one after another have one place among those that share: that
    /// of the first, which has it unless `led`.
    fn next(&self, urgency: u8, led: bool) -> Option<usize> {
        if self.special == 0 {
            return self.waiting.front().filter(|w| w.order.urgency == urgency).map(|_| 0);
        }
        let (mut sharing, mut first) = (None, None);
        for (at, waiter) in self.waiting.iter().enumerate().filter(|(_, w)| w.order.urgency == urgency) {
            if waiter.order.manner != Manner::Whole {
                sharing = sharing.or(Some(at));
            } else if first.is_none_or(|(id, _)| waiter.id < id) {
                first = Some((waiter.id, at));
            }
        }
        let first = first.filter(|_| !led).map(|(_, at)| at);
        sharing.into_iter().chain(first).min()
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
