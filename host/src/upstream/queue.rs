//! Sessions that wait for a peer with room: first come, first served, bounded in number and time.
//! Knows nothing of peers: whoever frees a place calls `pop`.

use std::{collections::BTreeMap, time::Duration};

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
}

#[derive(Debug)]
struct Waiter<T> {
    since: Duration,
    item: T,
}

impl<T> WaitQueue<T> {
    /// At most `size` waiters, each for at most `timeout`. Size 0: nobody may wait.
    pub fn new(size: usize, timeout: Duration) -> Self {
        Self { size, timeout, next: 0, waiters: BTreeMap::new() }
    }

    /// Takes over other limits. They hold for present waiters too: the time from when they came, the size by
    /// admitting nobody until there are fewer.
    pub fn set_limits(&mut self, size: usize, timeout: Duration) {
        self.size = size;
        self.timeout = timeout;
    }

    /// How long one may wait.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Lines up `item`, or gives it back when the queue is full. The ticket is for leaving early.
    pub fn push(&mut self, now: Duration, item: T) -> Result<Ticket, T> {
        if self.waiters.len() >= self.size {
            return Err(item);
        }
        // A clock that went backwards must not break the order of deadlines.
        let since = self.waiters.last_key_value().map_or(now, |(_, last)| last.since.max(now));
        let ticket = self.next;
        self.next += 1;
        self.waiters.insert(ticket, Waiter { since, item });
        Ok(Ticket(ticket))
    }

    /// Leaves the queue; `None` when already popped, expired or cancelled.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<T> {
        self.waiters.remove(&ticket.0).map(|waiter| waiter.item)
    }

    /// The one that has waited longest. Call `expire` before: time is not looked at here.
    pub fn pop(&mut self) -> Option<(Ticket, T)> {
        self.waiters.pop_first().map(|(ticket, waiter)| (Ticket(ticket), waiter.item))
    }

    /// Takes out one whose time is over, the oldest first. Call until `None`.
    pub fn expire(&mut self, now: Duration) -> Option<(Ticket, T)> {
        (self.next_timeout()? <= now).then(|| self.pop()).flatten()
    }

    /// When the first waiter's time is over; `None` when nobody waits.
    pub fn next_timeout(&self) -> Option<Duration> {
        let (_, first) = self.waiters.first_key_value()?;
        Some(first.since.saturating_add(self.timeout))
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

    fn item<T>(popped: Option<(Ticket, T)>) -> Option<T> {
        popped.map(|(_, item)| item)
    }

    #[test]
    fn first_come_is_first_served() {
        let mut queue = WaitQueue::new(3, ms(100));
        for name in ["a", "b", "c"] {
            queue.push(ms(0), name).expect("room for three");
        }
        assert_eq!(queue.push(ms(0), "d"), Err("d"));
        assert_eq!(item(queue.pop()), Some("a"));
        queue.push(ms(1), "e").expect("a place was freed");
        let rest: Vec<_> = std::iter::from_fn(|| item(queue.pop())).collect();
        assert_eq!(rest, ["b", "c", "e"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn one_who_leaves_frees_its_place_once() {
        let mut queue = WaitQueue::new(2, ms(100));
        let first = queue.push(ms(0), 1).expect("room");
        let second = queue.push(ms(0), 2).expect("room");
        assert_eq!(queue.cancel(first), Some(1));
        assert_eq!(queue.cancel(first), None);
        let third = queue.push(ms(0), 3).expect("room again");
        assert_ne!(third, first);
        assert_eq!(queue.pop(), Some((second, 2)));
        assert_eq!(queue.cancel(second), None);
        assert_eq!(queue.len(), 1);
    }

    #[test]
    fn waiters_expire_at_their_own_time_in_order() {
        let mut queue = WaitQueue::new(9, ms(100));
        assert_eq!(queue.next_timeout(), None);
        queue.push(ms(0), 1).expect("room");
        queue.push(ms(50), 2).expect("room");
        assert_eq!(queue.next_timeout(), Some(ms(100)));
        assert_eq!(queue.expire(ms(99)), None);
        assert_eq!(item(queue.expire(ms(100))), Some(1));
        assert_eq!(queue.expire(ms(100)), None);
        assert_eq!(queue.next_timeout(), Some(ms(150)));
        assert_eq!(item(queue.expire(ms(9999))), Some(2));
        assert_eq!(queue.expire(ms(9999)), None);
    }

    #[test]
    fn new_limits_hold_for_present_waiters() {
        let mut queue = WaitQueue::new(9, ms(10_000));
        for n in 0..4 {
            queue.push(ms(n), n).expect("room");
        }
        queue.set_limits(2, ms(100));
        assert_eq!(queue.next_timeout(), Some(ms(100)));
        assert_eq!(queue.push(ms(4), 9), Err(9));
        assert_eq!(queue.len(), 4, "nobody is thrown out");
    }

    #[test]
    fn cancelling_leaves_nothing_behind() {
        let mut queue = WaitQueue::new(2, ms(100));
        queue.push(ms(0), 0).expect("room");
        for n in 1..10_000 {
            let ticket = queue.push(ms(0), n).expect("room");
            queue.cancel(ticket);
        }
        assert_eq!(queue.len(), 1);
        assert_eq!(item(queue.pop()), Some(0));
    }

    #[test]
    fn odd_limits_are_survived() {
        let mut queue = WaitQueue::new(0, Duration::MAX);
        assert_eq!(queue.push(Duration::MAX, ()), Err(()));
        queue.set_limits(usize::MAX, Duration::MAX);
        queue.push(Duration::MAX, ()).expect("room");
        queue.push(ms(0), ()).expect("room");
        assert_eq!(queue.next_timeout(), Some(Duration::MAX));
    }
}
