//! Those who wait for a place, in turn. Knows nothing of what the places are.

use std::{collections::BTreeMap, task::Waker};

/// Who waits. Whoever was woken counts until it has looked: as many are on their way as there are places for, and no more.
#[derive(Default)]
pub(super) struct Waiting {
    asleep: BTreeMap<u64, Waker>,
    /// Those that were woken and have not looked yet.
    woken: usize,
    last: u64,
}

/// A place in the queue, which is kept by those that looked and found nothing. Empty: not in it.
#[derive(Debug, Default)]
pub(super) struct Ticket(Option<u64>);

impl Waiting {
    /// Nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.asleep.is_empty() && self.woken == 0
    }

    /// Somebody waits who is not on its way.
    pub(super) fn has_sleepers(&self) -> bool {
        !self.asleep.is_empty()
    }

    /// Whoever has the ticket looks now, or gives up. True: it was woken.
    pub(super) fn look(&mut self, ticket: &Ticket) -> bool {
        let Some(number) = ticket.0 else { return false };
        let woken = self.asleep.remove(&number).is_none();
        self.woken -= usize::from(woken);
        woken
    }

    /// It has looked and found nothing: it sleeps, where it was in the queue before.
    pub(super) fn sleep(&mut self, ticket: &mut Ticket, waker: &Waker) {
        let number = *ticket.0.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        self.asleep.insert(number, waker.clone());
    }

    /// So many places are free: wakes those who wait longest, beside those that are on their way.
    pub(super) fn wake(&mut self, places: usize) {
        for _ in self.woken..places {
            let Some((_, waker)) = self.asleep.pop_first() else { break };
            self.woken += 1;
            waker.wake();
        }
    }

    /// What they wait for does not come: each is to know.
    pub(super) fn wake_all(&mut self) {
        self.wake(usize::MAX);
    }
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
