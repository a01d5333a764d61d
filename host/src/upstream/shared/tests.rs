use super::*;
use std::task::{Context, Poll, Waker};

fn is_turn(place: &mut Place<'_>) -> bool {
    let mut cx = Context::from_waker(Waker::noop());
    matches!(pin!(place.turn()).poll(&mut cx), Poll::Ready(()))
}

/// An upstream with these limits of uses and of those who wait.
fn with_limits(max_connections: u32, queue: usize) -> Shared {
    let shared = Shared::default();
    shared.set_limits(max_connections, (queue, Duration::from_secs(1)), Policy::NEVER);
    shared
}

fn line_up(shared: &Shared) -> Place<'_> {
    shared.line_up(Duration::ZERO).expect("room")
}

#[test]
fn whoever_gives_up_leaves_no_place_taken() {
    let shared = with_limits(0, 1);
    let first = line_up(&shared);
    assert!(shared.line_up(Duration::ZERO).is_none());
    drop(first);
    assert_eq!(shared.waiting.load(Relaxed), 0);
    line_up(&shared);
}

#[test]
fn whoever_lines_up_first_tries_once_more() {
    let shared = with_limits(0, 9);
    let mut first = line_up(&shared);
    assert!(is_turn(&mut first) && !is_turn(&mut first));
    let mut second = line_up(&shared);
    assert!(!is_turn(&mut second) && is_turn(&mut first), "who came first is asked first");
}

#[test]
fn a_turn_in_vain_costs_nobody_its_place() {
    let shared = with_limits(0, 9);
    let (mut first, mut second) = (line_up(&shared), line_up(&shared));
    for _ in 0..3 {
        shared.wake();
        assert!(is_turn(&mut first) && !is_turn(&mut second));
    }
    assert_eq!(shared.waiting.load(Relaxed), 2);
}

#[test]
fn whoever_is_let_in_lets_the_next_try() {
    let shared = with_limits(0, 9);
    let mut places: Vec<_> = (0..4).map(|_| line_up(&shared)).collect();
    shared.wake();
    while !places.is_empty() {
        assert!(is_turn(&mut places[0]));
        assert!(places[1..].iter_mut().all(|place| !is_turn(place)));
        drop(places.remove(0));
    }
}

#[test]
fn a_turn_that_nobody_takes_goes_to_the_next() {
    let shared = with_limits(0, 9);
    let (first, mut second) = (line_up(&shared), line_up(&shared));
    shared.wake();
    assert!(!is_turn(&mut second));
    drop(first);
    assert!(is_turn(&mut second));
}

#[test]
fn whoever_leaves_without_a_turn_gives_none() {
    let shared = with_limits(0, 9);
    let (mut first, second, mut third) = (line_up(&shared), line_up(&shared), line_up(&shared));
    assert!(is_turn(&mut first));
    drop(second);
    assert!(!is_turn(&mut third), "the first stands before it");
}

#[test]
fn what_one_cannot_use_others_may() {
    let shared = with_limits(0, 9);
    let (mut first, mut second) = (line_up(&shared), line_up(&shared));
    assert!(is_turn(&mut first));
    first.pass_on();
    assert!(is_turn(&mut second) && !is_turn(&mut first));
}

#[test]
fn what_comes_after_the_first_has_looked_is_for_the_first() {
    let shared = with_limits(0, 9);
    let (mut first, mut second) = (line_up(&shared), line_up(&shared));
    assert!(is_turn(&mut first));
    first.pass_on();
    shared.wake();
    assert!(!is_turn(&mut second) && is_turn(&mut first));
    first.pass_on();
    assert!(is_turn(&mut second));
}

#[test]
fn one_that_sleeps_through_its_time_holds_up_nobody() {
    let shared = with_limits(0, 9);
    let first = line_up(&shared);
    let mut second = shared.line_up(Duration::from_millis(500)).expect("room");
    shared.wake_in_time(Duration::from_secs(1));
    assert!(is_turn(&mut second));
    assert_eq!(shared.waiting.load(Relaxed), 1);
    drop(first);
}

#[test]
fn the_pool_is_never_fuller_than_its_limit() {
    let shared = with_limits(2, 0);
    assert_eq!([(); 3].map(|()| shared.enter()), [Some(true), Some(true), None]);
    shared.leave(0, true);
    assert_eq!(shared.enter(), Some(true));
}

#[test]
fn a_place_that_is_handed_on_is_free_when_its_last_use_ends() {
    for limited in [false, true] {
        let shared = with_limits(1, 0);
        assert!(!limited || shared.enter().is_some());
        shared.begin(0, limited);
        shared.take_over(0);
        shared.hand_on(0, true);
        assert_eq!((shared.in_flight(), shared.enter()), (1, None), "limited: {limited}");
        shared.leave(0, limited);
        assert_eq!((shared.in_flight(), shared.enter()), (0, Some(true)), "limited: {limited}");
    }
}

#[test]
fn who_waits_is_not_woken_where_a_place_is_handed_on_and_none_is_free() {
    let shared = with_limits(1, 2);
    assert!(shared.enter().is_some());
    shared.begin(0, true);
    let mut waiter = line_up(&shared);
    assert!(is_turn(&mut waiter));
    for (max, freed, woken) in [(1, true, false), (2, false, false), (0, false, false), (2, true, true)] {
        shared.set_limits(max, (2, Duration::from_secs(1)), Policy::NEVER);
        shared.take_over(0);
        shared.hand_on(0, freed);
        assert_eq!(is_turn(&mut waiter), woken, "{max} {freed}");
    }
}

#[test]
fn what_began_without_a_limit_counts_under_a_later_one() {
    let shared = with_limits(4, 0);
    let enter = || shared.enter().is_some();
    (0..3).for_each(|worker| shared.begin(worker, false));
    assert!(enter() && !enter());
    shared.leave(1, false);
    assert!(enter() && !enter());
    shared.leave(0, false);
    shared.leave(2, false);
    assert!(enter() && enter() && !enter());
    shared.leave(0, true);
    shared.begin(7, false);
    assert!(!enter(), "they are looked for again");
}

#[test]
fn a_peer_that_comes_back_to_the_pool_is_not_ejected() {
    let shared = Shared::default();
    let eject = Policy { consecutive: 1, max_share: 100, ..Policy::NEVER };
    shared.set_limits(0, (0, Duration::ZERO), eject);
    let peers = [PeerState::new(1, 1), PeerState::new(2, 1)];
    let is_ejected = || peers[0].ejected.load(Relaxed) == 1;
    assert_eq!(shared.set_peers(peers.iter()), [false, false]);
    assert!(shared.result(&peers[0], false, Duration::ZERO).is_some() && is_ejected());
    shared.set_peers(peers.iter());
    assert!(is_ejected(), "it stayed");
    shared.set_peers(peers[1..].iter());
    assert!(is_ejected(), "somebody may use it still");
    assert_eq!(shared.set_peers(peers.iter()), [false, true]);
    assert!(!is_ejected());
    assert!(shared.result(&peers[0], false, Duration::ZERO).is_some() && is_ejected());
    shared.set_peers(peers[1..].iter());
    assert!(shared.release(&peers[0], Duration::ZERO) && !is_ejected(), "an operator's word reaches it");
}
