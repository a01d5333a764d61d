//! Active health checks: when the next one is due and what its result means. Knows nothing of how a peer is asked.
//!
//! Only one check of a peer is under way at a time, and one that does not report back in time has failed, so a check that hangs
//! delays nothing but itself.

use super::{jitter, somewhere_in};
use std::time::Duration;

/// The first check comes within this time, or within the interval if that is shorter.
const FIRST_WITHIN: Duration = Duration::from_secs(1);
/// A shorter interval counts as this: a check loop must not become a load of its own.
const SHORTEST: Duration = Duration::from_millis(10);

/// How a peer is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// From the start of one check to the start of the next, ± 10 %.
    pub interval: Duration,
    /// A check that takes longer has failed.
    pub timeout: Duration,
    /// Failures in a row that take a peer down; 0 counts as 1.
    pub fail: u32,
    /// Successes in a row that bring it back; 0 counts as 1.
    pub pass: u32,
}

/// What a result changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The peer goes into service.
    Up,
    /// The peer goes out of service.
    Down,
}

/// Names one check, so that a result that comes too late is not taken for another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckId(u64);

/// The checks of one peer.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    policy: Policy,
    up: bool,
    /// Results in a row that speak against the present state.
    against: u32,
    due: Duration,
    /// The check under way and when it fails by itself.
    running: Option<(CheckId, Duration)>,
    started: u64,
}

impl HealthCheck {
    /// A peer that is up until checks say otherwise. `random` spreads the first checks of a large pool.
    pub fn new(policy: Policy, now: Duration, random: u64) -> Self {
        let first = somewhere_in(policy.interval.min(FIRST_WITHIN), random);
        Self { policy, up: true, against: 0, due: now.saturating_add(first), running: None, started: 0 }
    }

    /// Begins in the state that an earlier generation found, with the results in a row that spoke against it.
    pub fn with_state(mut self, up: bool, against: u32) -> Self {
        self.up = up;
        self.against = against;
        self
    }

    /// The peer was checked before, by an earlier generation, unless that is long ago: the next check is due when it would have
    /// been. A reload of many pools is no reason to ask all peers at once, and many reloads none to put a check off.
    pub fn checked_at(mut self, last: Duration, now: Duration, random: u64) -> Self {
        let interval = self.policy.interval.max(SHORTEST);
        if last.saturating_add(interval.saturating_mul(2)) > now {
            self.due = last.saturating_add(jitter(interval, random));
        }
        self
    }

    /// Takes over another policy, and keeps state, streak and the check under way. The next check comes no later than the new interval says.
    pub fn set_policy(&mut self, policy: Policy, now: Duration) {
        self.policy = policy;
        self.due = self.due.min(now.saturating_add(policy.interval.max(SHORTEST)));
    }

    /// Whether the peer is in service.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Results in a row that speak against the present state.
    pub fn against(&self) -> u32 {
        self.against
    }

    /// How long until `start`, or `expire` while a check is under way, has something to do; zero: now.
    pub fn next_check(&self, now: Duration) -> Duration {
        let at = self.running.map_or(self.due, |(_, deadline)| deadline);
        at.saturating_sub(now)
    }

    /// Starts the check that is due, with the time it may take; `None` when none is due or one is under way.
    /// The caller ends it with `finish`, or `expire` does.
    pub fn start(&mut self, now: Duration, random: u64) -> Option<(CheckId, Duration)> {
        if self.running.is_some() || now < self.due {
            return None;
        }
        self.started += 1;
        let id = CheckId(self.started);
        self.running = Some((id, now.saturating_add(self.policy.timeout)));
        // From the start, not the end: slow answers do not stretch the interval.
        self.due = now.saturating_add(jitter(self.policy.interval.max(SHORTEST), random));
        Some((id, self.policy.timeout))
    }

    /// Takes in a result. One of a check that is not under way any more is ignored.
    pub fn finish(&mut self, id: CheckId, passed: bool) -> Option<Change> {
        if self.running.is_none_or(|(running, _)| running != id) {
            return None;
        }
        self.running = None;
        self.result(passed)
    }

    /// The peer could not be asked: the check under way says nothing of it.
    pub fn give_up(&mut self, id: CheckId) {
        self.running = self.running.filter(|(running, _)| *running != id);
    }

    /// Fails a check that did not report back in time.
    pub fn expire(&mut self, now: Duration) -> Option<Change> {
        let (id, deadline) = self.running?;
        if now < deadline {
            return None;
        }
        self.finish(id, false)
    }

    fn result(&mut self, passed: bool) -> Option<Change> {
        if passed == self.up {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let threshold = if self.up { self.policy.fail } else { self.policy.pass };
        if self.against < threshold.max(1) {
            return None;
        }
        self.against = 0;
        self.up = passed;
        Some(if passed { Change::Up } else { Change::Down })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy =
        Policy { interval: Duration::from_secs(10), timeout: Duration::from_secs(2), fail: 3, pass: 2 };

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn what_an_earlier_generation_checked_is_not_due_again_before_its_time() {
        let now = secs(100);
        for random in [0, 1 << 40, u64::MAX] {
            let first = HealthCheck::new(POLICY, now, random).next_check(now);
            assert!(first <= FIRST_WITHIN, "{first:?}");
            let next = |last| HealthCheck::new(POLICY, now, random).checked_at(secs(last), now, random).next_check(now);
            assert!((secs(7)..=secs(9)).contains(&next(98)), "{:?}", next(98));
            // It was under way when its generation ended.
            assert_eq!(next(89), secs(0));
            // Long ago: as a new one.
            assert_eq!(next(50), first);
        }
    }

    /// Runs the next check to its end and returns what changed.
    fn check(health: &mut HealthCheck, now: &mut Duration, passed: bool) -> Option<Change> {
        *now += health.next_check(*now);
        let (id, _) = health.start(*now, 0).expect("due after next_check");
        health.finish(id, passed)
    }

    fn changes(health: &mut HealthCheck, results: &str) -> Vec<Option<Change>> {
        let mut now = secs(0);
        results.chars().map(|c| check(health, &mut now, c == '+')).collect()
    }

    #[test]
    fn peer_goes_down_and_comes_back_at_its_thresholds() {
        let mut health = HealthCheck::new(POLICY, secs(0), 0);
        assert!(health.is_up(), "before the first check");
        let got = changes(&mut health, "+---+++--+---");
        let mut expected = vec![None; 13];
        expected[3] = Some(Change::Down);
        expected[5] = Some(Change::Up);
        expected[12] = Some(Change::Down);
        assert_eq!(got, expected);
    }

    #[test]
    fn one_result_of_the_other_kind_begins_the_count_anew() {
        let mut health = HealthCheck::new(POLICY, secs(0), 0);
        assert!(changes(&mut health, "--+--+--+").iter().all(Option::is_none));
        let mut health = HealthCheck::new(POLICY, secs(0), 0).with_state(false, 0);
        assert!(changes(&mut health, "+-+-+-").iter().all(Option::is_none));
        assert!(!health.is_up());
    }

    #[test]
    fn what_speaks_against_a_state_is_handed_on() {
        let (mut health, mut now) = (HealthCheck::new(POLICY, secs(0), 0), secs(0));
        for against in 1..3 {
            assert_eq!(check(&mut health, &mut now, false), None);
            assert_eq!(health.against(), against);
            health = HealthCheck::new(POLICY, now, 0).with_state(health.is_up(), health.against());
        }
        assert_eq!(check(&mut health, &mut now, false), Some(Change::Down));
        assert_eq!(health.against(), 0);
    }

    #[test]
    fn thresholds_of_zero_count_as_one() {
        let policy = Policy { fail: 0, pass: 0, ..POLICY };
        let mut health = HealthCheck::new(policy, secs(0), 0);
        assert_eq!(changes(&mut health, "-+"), [Some(Change::Down), Some(Change::Up)]);
    }

    #[test]
    fn first_checks_of_a_pool_are_spread_over_a_second_and_later_ones_jittered() {
        let first = |random| HealthCheck::new(POLICY, secs(5), random).next_check(secs(5));
        assert_eq!(first(0), secs(0));
        assert_eq!(first(1 << 63), Duration::from_millis(500));
        assert!(first(u64::MAX) < secs(1));
        for random in 0..300 {
            let mut health = HealthCheck::new(POLICY, secs(5), 0);
            let (id, _) = health.start(secs(5), random).expect("due");
            health.finish(id, true);
            let wait = health.next_check(secs(5));
            assert!((secs(9)..=secs(11)).contains(&wait), "{wait:?}");
        }
    }

    #[test]
    fn slow_checks_do_not_stretch_the_interval_and_never_overlap() {
        let mut health = HealthCheck::new(POLICY, secs(0), 0);
        let (id, timeout) = health.start(secs(0), 100).expect("due");
        assert_eq!(timeout, secs(2));
        assert_eq!(health.start(secs(60), 0), None, "one is under way");
        health.finish(id, true);
        assert_eq!(health.next_check(secs(1)), secs(9));
        assert_eq!(health.start(secs(9), 0), None, "not due");
    }

    #[test]
    fn check_that_hangs_fails_by_itself_and_its_late_result_is_ignored() {
        let policy = Policy { fail: 1, ..POLICY };
        let mut health = HealthCheck::new(policy, secs(0), 0);
        let (hung, _) = health.start(secs(0), 100).expect("due");
        assert_eq!(health.next_check(secs(0)), secs(2), "its deadline");
        assert_eq!(health.expire(secs(1)), None);
        assert_eq!(health.expire(secs(2)), Some(Change::Down));
        assert_eq!(health.next_check(secs(2)), secs(8), "checks go on");
        let (next, _) = health.start(secs(10), 0).expect("due");
        assert_eq!(health.finish(hung, true), None);
        assert_eq!(health.finish(next, true), None, "first of two");
        assert_eq!(health.finish(next, true), None, "counted once");
        assert!(!health.is_up());
    }

    #[test]
    fn check_that_could_not_be_made_changes_nothing() {
        let mut health = HealthCheck::new(Policy { fail: 1, ..POLICY }, secs(0), 0);
        let (id, _) = health.start(secs(0), 100).expect("due");
        health.give_up(id);
        assert_eq!((health.expire(secs(9)), health.finish(id, false)), (None, None));
        let (next, _) = health.start(secs(10), 100).expect("checks go on");
        health.give_up(id);
        assert_eq!(health.finish(next, false), Some(Change::Down), "another one's word is not its own");
    }

    #[test]
    fn new_policy_keeps_the_state_and_shortens_the_wait() {
        let mut health = HealthCheck::new(POLICY, secs(0), 0).with_state(false, 0);
        let (id, _) = health.start(secs(0), 100).expect("due");
        health.finish(id, true);
        let policy = Policy { interval: secs(1), ..POLICY };
        health.set_policy(policy, secs(0));
        assert!(!health.is_up());
        assert_eq!(health.next_check(secs(0)), secs(1));
        let (id, _) = health.start(secs(1), 0).expect("due");
        assert_eq!(health.finish(id, true), Some(Change::Up), "the streak is kept");
    }

    #[test]
    fn interval_of_zero_is_no_busy_loop() {
        let policy = Policy { interval: Duration::ZERO, timeout: Duration::MAX, ..POLICY };
        let mut health = HealthCheck::new(policy, secs(0), 7);
        let (id, _) = health.start(secs(0), 0).expect("due");
        health.finish(id, true);
        assert!(health.next_check(secs(0)) >= Duration::from_millis(9));
    }
}
