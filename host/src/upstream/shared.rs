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
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
            fence,
        },
    },
    time::Duration,
};
use tokio::sync::Notify;

/// One upstream of the process.
#[derive(Debug)]
pub struct Shared {
    /// What its peers were used for.
    pub uses: Uses,
    /// Uses at one time, as the configuration that serves says; 0: no limit. It holds for those who wait since an earlier one, too.
    max_connections: AtomicU32,
    /// Uses now that began under a limit. Without one nobody asks for their number, which all workers would write.
    pub limited: AtomicU32,
    /// There may be others: a reload has brought the limit. Written seldom.
    unlimited: AtomicBool,
    /// How many wait for a peer: looked at without the lock.
    pub waiting: AtomicUsize,
    /// Names of the generation that serves without an answer yet, good or bad: who finds no peer waits for them.
    pub unanswered: AtomicUsize,
    /// Told when `unanswered` changes.
    pub answered: Notify,
    /// Tries after the first.
    pub retries: AtomicU64,
    /// Sessions that found no peer.
    pub no_peer: AtomicU64,
    /// Sessions that waited too long.
    pub queue_timeouts: AtomicU64,
    /// Peers whose addresses contain variables.
    pub rendered: Rendered,
    queue: Mutex<WaitQueue<Arc<Notify>>>,
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
            max_connections: AtomicU32::new(0),
            limited: AtomicU32::new(0),
            unlimited: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            unanswered: AtomicUsize::new(0),
            answered: Notify::new(),
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

/// A place in the queue, kept until it is dropped: its turn, if it had that, goes to whoever came next.
#[derive(Debug)]
pub struct Place<'a> {
    /// How long one may stand there, by the process's clock.
    pub until: Duration,
    shared: &'a Shared,
    ticket: Ticket,
    wake: Arc<Notify>,
    has_turn: bool,
}

impl Place<'_> {
    /// Ready when this one may try. It keeps its place, in which it may wait again.
    pub async fn turn(&mut self) {
        self.has_turn = false;
        loop {
            self.wake.notified().await;
            // Room that came since the first one looked is for that one, which passes on what it cannot use.
            if locked(&self.shared.queue).takes_turn(self.ticket) {
                break;
            }
        }
        self.has_turn = true;
    }

    /// Whoever came next may try, too: what this one cannot use may be of use to others.
    pub fn pass_on(&self) {
        if let Some(behind) = locked(&self.shared.queue).behind(self.ticket) {
            behind.notify_one();
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        {
            let mut queue = locked(&self.shared.queue);
            queue.leave(self.ticket);
            self.shared.waiting.store(queue.len(), SeqCst);
        }
        // There may be room for more than one; and a turn may have come that nobody saw.
        if self.has_turn || pin!(self.wake.notified()).as_mut().enable() {
            self.pass_on();
        }
    }
}

impl Shared {
    /// Takes over the limits of a configuration that goes live, for those who wait already too.
    pub fn set_limits(&self, max_connections: u32, queue: (usize, Duration), eject: Policy) {
        self.max_connections.store(max_connections, Relaxed);
        locked(&self.queue).set_limits(queue.0, queue.1);
        locked(&self.ejector).set_policy(eject);
    }

    /// A place at the end of the queue; `None`: it is full. Whoever stands first tries then, as somebody may have left just now
    /// and told nobody.
    pub fn line_up(&self, now: Duration) -> Option<Place<'_>> {
        let wake = Arc::new(Notify::new());
        let pushed = {
            let mut queue = locked(&self.queue);
            let pushed = queue.push(now, Arc::clone(&wake));
            self.waiting.store(queue.len(), SeqCst);
            pushed
        };
        // Who leaves after this sees that somebody waits; who left before is seen by the one that tries.
        fence(SeqCst);
        self.wake();
        let (ticket, until) = pushed?;
        Some(Place { until, shared: self, ticket, wake, has_turn: false })
    }

    /// There may be room: whoever has waited longest may try.
    pub fn wake(&self) {
        if self.waiting.load(SeqCst) == 0 {
            return;
        }
        // Told under the lock: one that leaves meanwhile must see it, to pass it on.
        if let Some(first) = locked(&self.queue).call() {
            first.notify_one();
        }
    }

    /// The same now and then, for what makes room and tells nobody, as a balancer that was in no mood; and those whose time is
    /// over, and who did not see it, leave.
    pub fn wake_in_time(&self, now: Duration) {
        if self.waiting.load(Relaxed) == 0 {
            return;
        }
        {
            let mut queue = locked(&self.queue);
            queue.expire(now);
            self.waiting.store(queue.len(), SeqCst);
        }
        self.wake();
    }

    /// Takes a place of the whole pool: whether there is a limit; `None`: none is free.
    #[inline]
    pub fn enter(&self) -> Option<bool> {
        let max = self.max_connections.load(Relaxed);
        if max == 0 {
            return Some(false);
        }
        let others = self.others();
        let room = |n: u32| (u64::from(n) + others < max.into()).then_some(n + 1);
        self.limited.fetch_update(SeqCst, Relaxed, room).ok().map(|_| true)
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

    /// A use is over; if it was `limited` its place is free, and whoever waits may try.
    pub fn leave(&self, worker: u32, limited: bool) {
        self.uses.end(worker, 0, 0);
        if limited {
            self.limited.fetch_sub(1, SeqCst);
        } else {
            self.uses.end_free(worker);
        }
        self.wake();
    }

    /// A use begins in the place of another one, which ends by [`Shared::hand_on`].
    pub fn take_over(&self, worker: u32) {
        self.uses.begin(worker);
    }

    /// A use is over whose place another one has. `freed`: its peer may have room now. Nobody is woken in vain.
    pub fn hand_on(&self, worker: u32, freed: bool) {
        self.uses.end(worker, 0, 0);
        if freed && self.has_room() {
            self.wake();
        }
    }

    fn has_room(&self) -> bool {
        let max = self.max_connections.load(Relaxed);
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
mod tests;
