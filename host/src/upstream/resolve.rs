//! When a name is resolved again, and what a new answer changes. Sends no query: the answer and its TTL are told.
//!
//! A name that does not resolve keeps its last addresses: a resolver's failure must not take down what works.

use super::{backoff, jitter, somewhere_in};
use std::{collections::HashSet, hash::Hash, time::Duration};

/// Addresses of one name that are used; more are left out, the greatest first.
pub const MOST_ADDRESSES: usize = 256;
/// First wait after a failure; each further one doubles it.
const RETRY: Duration = Duration::from_secs(1);
/// Longest wait after failures, unless the name is refreshed less often anyway.
const LONGEST_RETRY: Duration = Duration::from_secs(30);
/// Taken for the TTL when the answer has none, as from the system's resolver.
const UNKNOWN_TTL: Duration = Duration::from_secs(30);
/// A shorter wait counts as this, whatever is configured or a resolver says.
const SHORTEST: Duration = Duration::from_millis(100);

/// What decides when a name is resolved again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// Once it has resolved, not again until the next reload.
    Once,
    /// So long after each answer, ± 10 %.
    Interval(Duration),
    /// When the answer's TTL is over, but within these bounds (a TTL of 0 is common). `least` wins over `most`.
    Ttl {
        /// Not sooner.
        least: Duration,
        /// Not later.
        most: Duration,
    },
}

/// The re-resolution of one name.
#[derive(Clone, Debug)]
pub struct Schedule {
    refresh: Refresh,
    /// `None`: no more.
    next: Option<Duration>,
    failures: u32,
}

impl Schedule {
    /// The first query is due at once.
    pub fn new(refresh: Refresh, now: Duration) -> Self {
        Self { refresh, next: Some(now), failures: 0 }
    }

    /// When the next query is due; `None`: never again.
    pub fn next(&self) -> Option<Duration> {
        self.next
    }

    /// Whether a query is due.
    pub fn is_due(&self, now: Duration) -> bool {
        self.next.is_some_and(|next| next <= now)
    }

    /// There was an answer, good for `ttl` if that is known.
    pub fn resolved(&mut self, now: Duration, ttl: Option<Duration>, random: u64) {
        self.failures = 0;
        let wait = match self.refresh {
            Refresh::Once => None,
            Refresh::Interval(interval) => Some(jitter(interval, random)),
            Refresh::Ttl { least, most } => {
                let ttl = ttl.unwrap_or(UNKNOWN_TTL).min(most).max(least);
                // Later by up to a tenth, never sooner: a query before the TTL is over gets the same answer.
                Some(ttl.saturating_add(somewhere_in(ttl / 10, random)))
            }
        };
        self.next = wait.map(|wait| now.saturating_add(wait.max(SHORTEST)));
    }

    /// There was no answer, or an empty one. Tried again after 1 s, 2 s, … 30 s, but not more rarely than after a good answer.
    pub fn failed(&mut self, now: Duration, random: u64) {
        let usual = match self.refresh {
            Refresh::Once => LONGEST_RETRY,
            Refresh::Interval(interval) => interval.min(LONGEST_RETRY),
            Refresh::Ttl { least, most } => most.max(least).min(LONGEST_RETRY),
        };
        let wait = jitter(backoff(RETRY, self.failures, usual), random);
        self.failures = self.failures.saturating_add(1);
        self.next = Some(now.saturating_add(wait.max(SHORTEST)));
    }

    /// Failures since the last answer.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

/// An answer in the form that is compared and listed: sorted, so that a resolver that rotates its answers changes nothing,
/// without repeats, at most `MOST_ADDRESSES`.
pub fn normalise<A: Ord>(mut answer: Vec<A>) -> Vec<A> {
    answer.sort_unstable();
    answer.dedup();
    answer.truncate(MOST_ADDRESSES);
    answer
}

/// What a new list of addresses changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diff<A> {
    /// New ones, in the new order.
    pub added: Vec<A>,
    /// Gone ones, in the old order. They drain.
    pub removed: Vec<A>,
    /// Those in both, in the new order.
    pub kept: Vec<A>,
}

impl<A> Diff<A> {
    /// Whether the lists have the same members.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// Compares two lists as sets. Repeats within a list count once.
pub fn diff<A: Copy + Eq + Hash>(old: &[A], new: &[A]) -> Diff<A> {
    let before: HashSet<A> = old.iter().copied().collect();
    let mut after = HashSet::with_capacity(new.len());
    let fresh = new.iter().copied().filter(|address| after.insert(*address));
    let (kept, added) = fresh.partition(|address| before.contains(address));
    let mut gone = HashSet::new();
    let removed = old.iter().copied().filter(|a| !after.contains(a) && gone.insert(*a));
    Diff { added, removed: removed.collect(), kept }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    const BY_TTL: Refresh = Refresh::Ttl { least: Duration::from_secs(5), most: Duration::from_secs(300) };

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn after(refresh: Refresh, ttl: Option<u64>, random: u64) -> Option<Duration> {
        let mut schedule = Schedule::new(refresh, secs(100));
        schedule.resolved(secs(100), ttl.map(secs), random);
        schedule.next().map(|next| next - secs(100))
    }

    #[test]
    fn first_query_is_due_at_once() {
        let schedule = Schedule::new(Refresh::Once, secs(3));
        assert!(schedule.is_due(secs(3)));
        assert!(!schedule.is_due(secs(2)));
    }

    #[test]
    fn interval_is_kept_whatever_the_ttl() {
        for ttl in [None, Some(1), Some(9999)] {
            assert_eq!(after(Refresh::Interval(secs(30)), ttl, 100), Some(secs(30)));
        }
        let earliest = after(Refresh::Interval(secs(30)), None, 0);
        assert_eq!(earliest, Some(secs(27)));
    }

    #[test]
    fn ttl_is_clamped() {
        for (ttl, wait) in [(Some(0), 5), (Some(60), 60), (Some(86_400), 300), (None, 30)] {
            assert_eq!(after(BY_TTL, ttl, 0), Some(secs(wait)), "{ttl:?}");
        }
        let latest = after(BY_TTL, Some(60), u64::MAX).expect("again");
        assert!((secs(65)..secs(66)).contains(&latest), "{latest:?}");
    }

    #[test]
    fn once_resolved_is_once_but_failures_are_tried_again() {
        assert_eq!(after(Refresh::Once, Some(5), 0), None);
        let mut schedule = Schedule::new(Refresh::Once, secs(0));
        schedule.failed(secs(0), 100);
        assert_eq!(schedule.next(), Some(secs(1)));
        schedule.resolved(secs(1), None, 0);
        assert!(!schedule.is_due(Duration::MAX));
    }

    #[test]
    fn failures_back_off_to_a_bound_and_an_answer_resets_them() {
        let mut schedule = Schedule::new(BY_TTL, secs(0));
        let waits: Vec<u64> = (0..7)
            .map(|_| {
                schedule.failed(secs(0), 100);
                schedule.next().expect("tried again").as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(schedule.failures(), 7);
        schedule.resolved(secs(0), None, 0);
        schedule.failed(secs(0), 100);
        assert_eq!(schedule.next(), Some(secs(1)));
    }

    #[test]
    fn failures_are_not_tried_more_rarely_than_answers() {
        let mut schedule = Schedule::new(Refresh::Interval(secs(3)), secs(0));
        for _ in 0..9 {
            schedule.failed(secs(0), 100);
        }
        assert_eq!(schedule.next(), Some(secs(3)));
    }

    #[test]
    fn nothing_makes_a_busy_loop_or_a_panic() {
        let zero = Refresh::Ttl { least: Duration::ZERO, most: Duration::ZERO };
        for refresh in [zero, Refresh::Interval(Duration::ZERO), Refresh::Interval(Duration::MAX)] {
            for ttl in [None, Some(0), Some(u64::MAX)] {
                assert!(after(refresh, ttl, u64::MAX) >= Some(SHORTEST));
            }
            let mut schedule = Schedule::new(refresh, secs(0));
            schedule.failed(secs(0), 0);
            assert!(schedule.next() >= Some(SHORTEST));
        }
        let crossed = Refresh::Ttl { least: secs(9), most: secs(1) };
        assert_eq!(after(crossed, Some(5), 0), Some(secs(9)));
    }

    fn addresses(last: &[u8]) -> Vec<SocketAddr> {
        last.iter().map(|n| SocketAddr::from(([10, 0, 0, *n], 80))).collect()
    }

    #[test]
    fn diff_names_what_came_what_went_and_what_stayed() {
        let diff = diff(&addresses(&[1, 2, 3, 3]), &addresses(&[4, 3, 2, 4]));
        assert_eq!(diff.added, addresses(&[4]));
        assert_eq!(diff.removed, addresses(&[1]));
        assert_eq!(diff.kept, addresses(&[3, 2]));
        assert!(!diff.is_empty());
    }

    #[test]
    fn rotated_answer_changes_nothing() {
        let (old, new) = (normalise(addresses(&[1, 2, 3])), normalise(addresses(&[3, 1, 2, 1])));
        assert_eq!(old, new);
        assert!(diff(&old, &new).is_empty());
        assert!(diff::<SocketAddr>(&[], &[]).is_empty());
    }

    #[test]
    fn huge_answer_is_cut_the_same_way_whatever_its_order() {
        let forward: Vec<u32> = (0..5000).collect();
        let backward: Vec<u32> = (0..5000).rev().collect();
        let cut = normalise(forward);
        assert_eq!(cut.len(), MOST_ADDRESSES);
        assert_eq!(cut, normalise(backward));
    }
}
