//! What of an upstream outlives its generation: uses under way, who waits, ejections, the addresses that its names had, and
//! counters. Found again by the upstream's name. Knows neither how a peer is chosen nor how a name is resolved.

use super::{
    eject::{Ejection, Ejector, Policy},
    queue::{Ticket, WaitQueue},
    rendered::Rendered,
    uses::Uses,
};
use anyproxy_module_api::abi::{net::Addr, upstream::PeerState};
use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// One upstream of the process.
#[derive(Debug)]
pub struct Shared {
    /// What its peers were used for.
    pub uses: Uses,
    /// Uses now that began under a limit. Without one nobody asks for their number, which all workers would write.
    pub limited: AtomicU32,
    /// There may be others: a reload has brought the limit. Written seldom.
    unlimited: AtomicBool,
    /// How many wait for a peer: looked at without the lock.
    pub waiting: AtomicUsize,
    /// Tries after the first.
    pub retries: AtomicU64,
    /// Sessions that found no peer.
    pub no_peer: AtomicU64,
    /// Sessions that waited too long.
    pub queue_timeouts: AtomicU64,
    /// Peers whose addresses contain variables.
    pub rendered: Rendered,
    queue: Mutex<WaitQueue<oneshot::Sender<()>>>,
    /// Who is ejected. Each peer's `ejected` says the same: it is written under this lock only.
    ejector: Mutex<Ejector>,
    addresses: Mutex<HashMap<String, Vec<Addr>>>,
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            uses: Uses::default(),
            limited: AtomicU32::new(0),
            unlimited: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            retries: AtomicU64::new(0),
            no_peer: AtomicU64::new(0),
            queue_timeouts: AtomicU64::new(0),
            rendered: Rendered::default(),
            queue: Mutex::new(WaitQueue::new(0, Duration::ZERO)),
            ejector: Mutex::new(Ejector::new(Policy::NEVER)),
            addresses: Mutex::default(),
        }
    }
}

/// A place in the queue. Given up when dropped; a turn that came and was not taken goes to the next.
#[derive(Debug)]
pub struct Place<'a> {
    shared: &'a Shared,
    ticket: Ticket,
    turn: oneshot::Receiver<()>,
}

impl Place<'_> {
    /// Ready when it is this one's turn.
    pub async fn turn(&mut self) {
        // The sender is dropped only after its turn.
        let _ = (&mut self.turn).await;
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let left = {
            let mut queue = locked(&self.shared.queue);
            let left = queue.cancel(self.ticket).is_some();
            self.shared.waiting.store(queue.len(), Relaxed);
            left
        };
        if !left && self.turn.try_recv().is_ok() {
            self.shared.wake_one();
        }
    }
}

impl Shared {
    /// Takes over the limits of a configuration that goes live, for those who wait already too.
    pub fn set_limits(&self, queue: usize, timeout: Duration, eject: Policy) {
        locked(&self.queue).set_limits(queue, timeout);
        locked(&self.ejector).set_policy(eject);
    }

    /// A place in the queue, and how long one may wait; `None`: it is full.
    pub fn line_up(&self, now: Duration) -> Option<(Place<'_>, Duration)> {
        let (tell, turn) = oneshot::channel();
        let mut queue = locked(&self.queue);
        let ticket = queue.push(now, tell).ok()?;
        self.waiting.store(queue.len(), Relaxed);
        Some((Place { shared: self, ticket, turn }, queue.timeout()))
    }

    /// Lets the next waiter try.
    pub fn wake_one(&self) {
        if self.waiting.load(Relaxed) == 0 {
            return;
        }
        let mut queue = locked(&self.queue);
        while let Some((_, waiter)) = queue.pop() {
            // One that gave up meanwhile passes its turn on.
            if waiter.send(()).is_ok() {
                break;
            }
        }
        self.waiting.store(queue.len(), Relaxed);
    }

    /// Takes one of `max` places of the whole pool; false: none is free.
    pub fn enter(&self, max: u32) -> bool {
        let others = self.others();
        let room = |n: u32| (u64::from(n) + others < max.into()).then_some(n + 1);
        self.limited.fetch_update(Relaxed, Relaxed, room).is_ok()
    }

    /// Uses now that began without a limit.
    fn others(&self) -> u64 {
        if !self.unlimited.load(SeqCst) {
            return 0;
        }
        let others = self.uses.free();
        if others == 0 {
            self.unlimited.store(false, SeqCst);
            // One that began meanwhile has seen that they are asked for, and did not say it.
            self.unlimited.fetch_or(self.uses.free() > 0, SeqCst);
        }
        others
    }

    /// A use begins; if it is `limited`, in a place that it has entered.
    pub fn begin(&self, worker: u32, limited: bool) {
        self.uses.begin(worker);
        if !limited {
            self.uses.begin_free(worker);
            if !self.unlimited.load(SeqCst) {
                self.unlimited.store(true, SeqCst);
            }
        }
    }

    /// Uses now.
    pub fn in_flight(&self) -> u64 {
        let used = self.uses.read();
        used.begun.saturating_sub(used.ended)
    }

    /// A use is over; if it was `limited` its place is free. The next waiter may try.
    pub fn leave(&self, worker: u32, limited: bool) {
        self.uses.end(worker, 0, 0);
        if limited {
            self.limited.fetch_sub(1, Relaxed);
        } else {
            self.uses.end_free(worker);
        }
        self.wake_one();
    }

    /// A use begins in the place of another one, which ends by [`Shared::hand_on`].
    pub fn take_over(&self, worker: u32) {
        self.uses.begin(worker);
    }

    /// A use is over whose place, one of `max`, another one has. `freed`: its peer may have room now. Nobody is woken in vain:
    /// who finds none would stand behind all others.
    pub fn hand_on(&self, worker: u32, max: u32, freed: bool) {
        self.uses.end(worker, 0, 0);
        if freed && self.has_room(max) {
            self.wake_one();
        }
    }

    /// Whether one of `max` places is free; 0: there is no limit.
    fn has_room(&self, max: u32) -> bool {
        max == 0 || u64::from(self.limited.load(Relaxed)) + self.others() < max.into()
    }

    /// The peers are these now; for each whether it was among them before. One that was not is not ejected: what it was when
    /// it left is forgotten.
    pub fn set_peers<'a>(&self, peers: impl Iterator<Item = &'a PeerState> + Clone) -> Vec<bool> {
        let mut ejector = locked(&self.ejector);
        let known: Vec<_> = peers.clone().map(|p| ejector.knows(p.id)).collect();
        ejector.set_peers(peers.clone().map(|p| p.id));
        for (peer, _) in peers.zip(&known).filter(|(_, known)| !**known) {
            peer.ejected.store(0, Relaxed);
        }
        known
    }

    /// Whether there are any yet.
    pub fn has_peers(&self) -> bool {
        !locked(&self.ejector).is_empty()
    }

    /// How a use of a peer went; the ejection that follows.
    pub fn result(&self, peer: &PeerState, good: bool, now: Duration) -> Option<Ejection> {
        let mut ejector = locked(&self.ejector);
        let ejection = ejector.result(peer.id, good, now)?;
        peer.ejected.store(1, Relaxed);
        Some(ejection)
    }

    /// Returns to service those of its `peers` whose ejection is over; when the next one's is.
    pub fn expire<'a>(
        &self,
        peers: impl Iterator<Item = &'a PeerState>,
        now: Duration,
    ) -> (Vec<u64>, Option<Duration>) {
        let mut ejector = locked(&self.ejector);
        let back = ejector.expire(now);
        peers.filter(|p| back.contains(&p.id)).for_each(|p| p.ejected.store(0, Relaxed));
        (back, ejector.next_return())
    }

    /// Returns a peer to service now; false: it was not ejected.
    pub fn release(&self, peer: &PeerState, now: Duration) -> bool {
        let mut ejector = locked(&self.ejector);
        let known = ejector.release(peer.id, now);
        // One that left, and whose ejection is forgotten, may be used still: by a generation before.
        peer.ejected.swap(0, Relaxed) != 0 || known
    }

    /// The addresses that a line's name had last; none: it was never resolved.
    pub fn addresses(&self, line: &str) -> Vec<Addr> {
        locked(&self.addresses).get(line).cloned().unwrap_or_default()
    }

    /// Remembers the addresses of a line's name.
    pub fn remember(&self, line: &str, addresses: &[Addr]) {
        locked(&self.addresses).insert(line.to_owned(), addresses.to_vec());
    }

    /// Forgets lines that are not among these.
    pub fn keep(&self, is_line: impl Fn(&str) -> bool) {
        locked(&self.addresses).retain(|line, _| is_line(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn is_turn(place: &mut Place<'_>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        matches!(pin!(place.turn()).poll(&mut cx), Poll::Ready(()))
    }

    fn queue(size: usize) -> Shared {
        let shared = Shared::default();
        shared.set_limits(size, Duration::from_secs(1), Policy::NEVER);
        shared
    }

    #[test]
    fn whoever_gives_up_leaves_no_place_taken() {
        let shared = queue(1);
        let first = shared.line_up(Duration::ZERO).expect("room");
        assert!(shared.line_up(Duration::ZERO).is_none());
        drop(first);
        assert_eq!(shared.waiting.load(Relaxed), 0);
        assert!(shared.line_up(Duration::ZERO).is_some());
    }

    #[test]
    fn a_turn_that_nobody_takes_goes_to_the_next() {
        let shared = queue(9);
        let (first, _) = shared.line_up(Duration::ZERO).expect("room");
        let (mut second, _) = shared.line_up(Duration::ZERO).expect("room");
        shared.wake_one();
        assert!(!is_turn(&mut second));
        drop(first);
        assert!(is_turn(&mut second));
    }

    #[test]
    fn the_pool_is_never_fuller_than_its_limit() {
        let shared = queue(0);
        assert!(shared.enter(2) && shared.enter(2) && !shared.enter(2));
        shared.leave(0, true);
        assert!(shared.enter(2));
    }

    #[test]
    fn a_place_that_is_handed_on_is_free_when_its_last_use_ends() {
        for limited in [false, true] {
            let shared = queue(0);
            assert!(!limited || shared.enter(1));
            shared.begin(0, limited);
            shared.take_over(0);
            shared.hand_on(0, 1, true);
            assert_eq!((shared.in_flight(), shared.enter(1)), (1, false), "limited: {limited}");
            shared.leave(0, limited);
            assert_eq!((shared.in_flight(), shared.enter(1)), (0, true), "limited: {limited}");
        }
    }

    #[test]
    fn who_waits_is_not_woken_where_a_place_is_handed_on_and_none_is_free() {
        let shared = queue(2);
        assert!(shared.enter(1));
        shared.begin(0, true);
        let (mut waiter, _) = shared.line_up(Duration::ZERO).expect("room");
        for (max, freed) in [(1, true), (2, false), (0, false)] {
            shared.take_over(0);
            shared.hand_on(0, max, freed);
            assert!(!is_turn(&mut waiter), "it stands where it stood");
        }
        shared.take_over(0);
        shared.hand_on(0, 2, true);
        assert!(is_turn(&mut waiter));
    }

    #[test]
    fn what_began_without_a_limit_counts_under_a_later_one() {
        let shared = queue(0);
        (0..3).for_each(|worker| shared.begin(worker, false));
        assert!(shared.enter(4) && !shared.enter(4));
        shared.leave(1, false);
        assert!(shared.enter(4) && !shared.enter(4));
        shared.leave(0, false);
        shared.leave(2, false);
        assert!(shared.enter(4) && shared.enter(4) && !shared.enter(4));
        shared.leave(0, true);
        shared.begin(7, false);
        assert!(!shared.enter(4), "they are looked for again");
    }
}
