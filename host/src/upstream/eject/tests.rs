//! Ejection by behaviour.

use super::*;

const POLICY: Policy = Policy {
    consecutive: 3,
    percent: 0,
    least_uses: 10,
    interval: Duration::from_secs(10),
    base: Duration::from_secs(30),
    most: Duration::from_secs(200),
    max_share: 50,
};
const BY_RATE: Policy = Policy { consecutive: 0, percent: 40, ..POLICY };

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn pool(policy: Policy, peers: u64) -> Ejector {
    let mut ejector = Ejector::new(policy);
    ejector.set_peers(1..=peers);
    ejector
}

/// Fails `peer` until it is ejected; `None` after twenty failures.
fn fail(ejector: &mut Ejector, peer: u64, now: Duration) -> Option<Ejection> {
    (0..20).find_map(|_| ejector.result(peer, false, now))
}

#[test]
fn failures_in_a_row_eject() {
    let mut ejector = pool(POLICY, 4);
    for good in [false, false, true, false, false] {
        assert_eq!(ejector.result(1, good, secs(1)), None);
    }
    let ejection = ejector.result(1, false, secs(1));
    let expected = Ejection { peer: 1, until: secs(31), reason: Reason::Consecutive(3) };
    assert_eq!(ejection, Some(expected));
    assert_eq!(ejector.ejected(), 1);
    assert_eq!(ejector.result(1, false, secs(2)), None, "what was under way does not count");
}

#[test]
fn share_of_failures_ejects_once_there_are_enough_uses() {
    let mut ejector = pool(BY_RATE, 4);
    for n in 0..9 {
        assert_eq!(ejector.result(1, n % 2 == 0, secs(0)), None, "too few uses");
    }
    let ejection = ejector.result(1, false, secs(0)).expect("five of ten");
    assert_eq!(ejection.reason, Reason::Percent(50));
}

#[test]
fn old_failures_leave_the_interval() {
    let mut ejector = pool(BY_RATE, 4);
    for _ in 0..9 {
        ejector.result(1, false, secs(0));
    }
    for _ in 0..9 {
        ejector.result(1, true, secs(11));
    }
    assert_eq!(ejector.result(1, false, secs(11)), None, "one of ten");
}

#[test]
fn success_never_ejects() {
    let mut ejector = pool(BY_RATE, 4);
    for _ in 0..9 {
        ejector.result(1, false, secs(0));
    }
    assert_eq!(ejector.result(1, true, secs(0)), None, "nine of ten failed before");
}

#[test]
fn share_of_the_pool_is_bounded_and_one_peer_always_stays() {
    let mut ejector = pool(POLICY, 5);
    let ejected = (1..=5).filter(|peer| fail(&mut ejector, *peer, secs(0)).is_some());
    assert_eq!(ejected.count(), 2, "half of five");
    let everything = Policy { max_share: 100, ..POLICY };
    let mut ejector = pool(everything, 3);
    let ejected = (1..=3).filter(|peer| fail(&mut ejector, *peer, secs(0)).is_some());
    assert_eq!(ejected.count(), 2);
    assert_eq!(fail(&mut pool(everything, 1), 1, secs(0)), None, "the only one");
    let little = Policy { max_share: 0, ..POLICY };
    assert!(fail(&mut pool(little, 3), 1, secs(0)).is_some(), "one may always be");
}

#[test]
fn peer_that_could_not_be_ejected_goes_when_another_returns() {
    let mut ejector = pool(POLICY, 2);
    fail(&mut ejector, 1, secs(0)).expect("first");
    assert_eq!(fail(&mut ejector, 2, secs(1)), None);
    assert_eq!(ejector.expire(secs(30)), [1]);
    assert!(ejector.result(2, false, secs(30)).is_some());
}

#[test]
fn peer_returns_at_its_time_with_a_clean_record() {
    let mut ejector = pool(POLICY, 4);
    assert_eq!(ejector.next_return(), None);
    fail(&mut ejector, 2, secs(0)).expect("ejected");
    assert_eq!(ejector.next_return(), Some(secs(30)));
    assert!(ejector.expire(secs(29)).is_empty());
    assert_eq!(ejector.expire(secs(30)), [2]);
    assert_eq!((ejector.ejected(), ejector.next_return()), (0, None));
    assert_eq!(ejector.result(2, false, secs(30)), None, "the count begins anew");
}

#[test]
fn repeats_grow_to_the_bound_and_good_service_is_rewarded() {
    let mut ejector = pool(POLICY, 4);
    let mut now = secs(0);
    let mut lengths = Vec::new();
    for _ in 0..5 {
        let ejection = fail(&mut ejector, 1, now).expect("ejected");
        lengths.push((ejection.until - now).as_secs());
        now = ejection.until;
        ejector.expire(now);
    }
    assert_eq!(lengths, [30, 60, 120, 200, 200]);
    // Twice the last length in service forgives two of five repeats.
    now += secs(400);
    let ejection = fail(&mut ejector, 1, now).expect("ejected");
    assert_eq!(ejection.until - now, secs(200), "30 s × 2³ is over the bound");
    now = ejection.until;
    ejector.expire(now);
    now += secs(800);
    let ejection = fail(&mut ejector, 1, now).expect("ejected");
    assert_eq!(ejection.until - now, secs(30), "four of four forgiven");
}

#[test]
fn tallies_of_several_workers_add_up() {
    let tally = |results: &str| {
        let mut tally = Tally::default();
        results.chars().for_each(|c| tally.add(c == '+'));
        tally
    };
    let mut ejector = pool(POLICY, 4);
    assert_eq!(ejector.report(1, tally("++--"), secs(0)), None);
    assert!(ejector.report(1, tally("-"), secs(0)).is_some(), "two and one in a row");
    assert_eq!(ejector.report(2, tally("--"), secs(0)), None);
    assert_eq!(ejector.report(2, tally("-+-"), secs(0)), None, "a success between");
    assert_eq!(ejector.report(2, tally(""), secs(0)), None);
    let mut counted = tally("-+");
    assert!(!counted.take().is_empty() && counted.is_empty());
}

#[test]
fn change_of_peers_keeps_those_that_stay() {
    let mut ejector = pool(POLICY, 4);
    fail(&mut ejector, 1, secs(0)).expect("ejected");
    ejector.result(2, false, secs(0));
    ejector.result(2, false, secs(0));
    ejector.set_peers([1, 2, 7, 8, 8]);
    assert_eq!(ejector.ejected(), 1);
    assert!(ejector.result(2, false, secs(1)).is_some(), "third in a row");
    ejector.set_peers([2, 7]);
    assert_eq!(ejector.ejected(), 1, "the first was forgotten");
    assert_eq!(ejector.result(1, false, secs(1)), None, "unknown");
}

#[test]
fn release_returns_a_peer_early_once() {
    let mut ejector = pool(POLICY, 4);
    fail(&mut ejector, 1, secs(0)).expect("ejected");
    assert!(ejector.release(1, secs(5)));
    assert!(!ejector.release(1, secs(5)));
    assert!(!ejector.release(99, secs(5)));
    assert_eq!((ejector.ejected(), ejector.next_return()), (0, None));
}

#[test]
fn another_policy_holds_at_once() {
    let mut ejector = pool(POLICY, 4);
    ejector.result(1, false, secs(0));
    ejector.set_policy(Policy { consecutive: 2, interval: secs(1), ..POLICY });
    assert!(ejector.result(1, false, secs(0)).is_some());
    ejector.set_policy(Policy { consecutive: 0, ..POLICY });
    assert_eq!(fail(&mut ejector, 2, secs(0)), None, "switched off");
}

#[test]
fn odd_policy_is_survived() {
    let odd = Policy {
        consecutive: 1,
        percent: u32::MAX,
        least_uses: 0,
        interval: Duration::ZERO,
        base: Duration::MAX,
        most: Duration::MAX,
        max_share: u32::MAX,
    };
    let mut ejector = pool(odd, 3);
    fail(&mut ejector, 1, Duration::MAX).expect("ejected");
    assert_eq!(ejector.expire(Duration::MAX), [1]);
    fail(&mut ejector, 1, Duration::ZERO).expect("ejected again");
}
