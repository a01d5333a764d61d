//! Sessions that wait for a peer with room: first come, first served, bounded in number and time. Whoever waits keeps its place
//! until it leaves. Knows nothing of peers, nor of what wakes whom.

use std::{collections::BTreeMap, ops::Bound, time::Duration};

/// A waiter's number. Never given twice by one queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

/// Waiters of one pool. `T` is what wakes one.
#[derive(Debug)]
pub struct WaitQueue<T> {
    size: usize,
    timeout: Duration,
    next: u64,
    waiters: BTreeMap<u64, Waiter<T>>,
    /// The first one is called, and has not taken its turn yet.
    called: bool,
}

#[derive(Debug)]
struct Waiter<T> {
    until: Duration,
    item: T,
}

impl<T> WaitQueue<T> {
    /// At most `size` waiters, each for at most `timeout`. Size 0: nobody may wait.
    pub fn new(size: usize, timeout: Duration) -> Self {
        Self { size, timeout, next: 0, waiters: BTreeMap::new(), called: false }
    }

    /// Takes over other limits. Who waits already stays, for as long as it was told; nobody is admitted until there are fewer
    /// than `size`.
    pub fn set_limits(&mut self, size: usize, timeout: Duration) {
        self.size = size;
        self.timeout = timeout;
    }

    /// Lines up `item`: its ticket, and until when it may wait. `None`: the queue is full.
    pub fn push(&mut self, now: Duration, item: T) -> Option<(Ticket, Duration)> {
        if self.waiters.len() >= self.size {
            return None;
        }
        let (ticket, until) = (self.next, now.saturating_add(self.timeout));
        self.next += 1;
        self.waiters.insert(ticket, Waiter { until, item });
        Some((Ticket(ticket), until))
    }

    /// Leaves the queue; `None` when it has left before.
    pub fn leave(&mut self, ticket: Ticket) -> Option<T> {
        self.waiters.remove(&ticket.0).map(|waiter| waiter.item)
    }

    /// The one that has waited longest: it is to take its turn.
    pub fn call(&mut self) -> Option<&T> {
        self.called = true;
        self.waiters.first_key_value().map(|(_, waiter)| &waiter.item)
    }

    /// Whether one that was told may take its turn: not before the first one, if that is called.
    pub fn takes_turn(&mut self, ticket: Ticket) -> bool {
        if self.waiters.first_key_value().is_some_and(|(first, _)| *first == ticket.0) {
            self.called = false;
        }
        !self.called
    }

    /// The one that came next after `ticket`, which may have left.
    pub fn behind(&self, ticket: Ticket) -> Option<&T> {
        let mut behind = self.waiters.range((Bound::Excluded(ticket.0), Bound::Unbounded));
        behind.next().map(|(_, waiter)| &waiter.item)
    }

    /// Puts out those at the front whose time is over: one that does not look at it must not hold up the others.
    pub fn expire(&mut self, now: Duration) {
        while self.waiters.first_entry().is_some_and(|first| first.get().until <= now) {
            self.waiters.pop_first();
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn queue_of(names: &[&'static str]) -> (WaitQueue<&'static str>, Vec<Ticket>) {
        let mut queue = WaitQueue::new(names.len(), ms(100));
        let tickets = names.iter().map(|name| queue.push(ms(0), *name).expect("room").0).collect();
        (queue, tickets)
    }

    #[test]
    fn first_come_is_first_served() {
        let (mut queue, tickets) = queue_of(&["a", "b", "c"]);
        assert_eq!(queue.push(ms(0), "d"), None, "it is full");
        for (ticket, name) in tickets.iter().zip(["a", "b", "c"]) {
            assert_eq!(queue.call(), Some(&name));
            assert_eq!(queue.call(), Some(&name), "it keeps its place until it leaves");
            assert_eq!(queue.leave(*ticket), Some(name));
        }
        assert!(queue.is_empty());
    }

    #[test]
    fn one_who_leaves_frees_its_place_once() {
        let (mut queue, tickets) = queue_of(&["a", "b"]);
        assert_eq!(queue.leave(tickets[0]), Some("a"));
        assert_eq!(queue.leave(tickets[0]), None);
        let (third, _) = queue.push(ms(0), "c").expect("room again");
        assert!(!tickets.contains(&third));
        assert_eq!((queue.len(), queue.call()), (2, Some(&"b")));
    }

    #[test]
    fn the_next_is_found_behind_one_that_stays_and_one_that_left() {
        let (mut queue, tickets) = queue_of(&["a", "b", "c"]);
        assert_eq!(queue.behind(tickets[0]), Some(&"b"));
        queue.leave(tickets[1]);
        assert_eq!(queue.behind(tickets[0]), Some(&"c"));
        assert_eq!(queue.behind(tickets[1]), Some(&"c"));
        assert_eq!(queue.behind(tickets[2]), None);
    }

    #[test]
    fn nobody_takes_a_turn_before_the_first_that_is_called() {
        let (mut queue, tickets) = queue_of(&["a", "b"]);
        assert!(queue.takes_turn(tickets[1]));
        queue.call();
        assert!(!queue.takes_turn(tickets[1]));
        assert!(queue.takes_turn(tickets[0]) && queue.takes_turn(tickets[1]));
        queue.call();
        queue.leave(tickets[0]);
        assert!(queue.takes_turn(tickets[1]), "it is the first now");
    }

    #[test]
    fn those_whose_time_is_over_hold_up_nobody() {
        let mut queue = WaitQueue::new(9, ms(100));
        for (at, name) in [(0, "a"), (50, "b")] {
            assert_eq!(queue.push(ms(at), name).map(|(_, until)| until), Some(ms(at + 100)));
        }
        queue.expire(ms(99));
        assert_eq!(queue.call(), Some(&"a"));
        queue.expire(ms(100));
        assert_eq!(queue.call(), Some(&"b"));
        queue.expire(ms(9999));
        assert!(queue.is_empty());
    }

    #[test]
    fn new_limits_throw_nobody_out() {
        let mut queue = WaitQueue::new(9, ms(10_000));
        for n in 0..4 {
            queue.push(ms(n), n).expect("room");
        }
        queue.set_limits(2, ms(100));
        assert_eq!(queue.push(ms(4), 9), None);
        queue.expire(ms(9_999));
        assert_eq!(queue.len(), 4);
    }

    #[test]
    fn leaving_leaves_nothing_behind() {
        let mut queue = WaitQueue::new(2, ms(100));
        queue.push(ms(0), 0).expect("room");
        for n in 1..10_000 {
            let (ticket, _) = queue.push(ms(0), n).expect("room");
            queue.leave(ticket);
        }
        assert_eq!((queue.len(), queue.call()), (1, Some(&0)));
    }

    #[test]
    fn odd_limits_are_survived() {
        let mut queue = WaitQueue::new(0, Duration::MAX);
        assert_eq!(queue.push(Duration::MAX, ()), None);
        queue.set_limits(usize::MAX, Duration::MAX);
        queue.push(Duration::MAX, ()).expect("room");
        assert_eq!(queue.push(ms(0), ()).map(|(_, until)| until), Some(Duration::MAX));
    }
}
