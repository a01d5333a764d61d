//! What the six algorithms have in common: the trait, their names, and the answer when nobody can be picked.
//! Knows nothing of how any of them chooses.

use crate::{
    fair::Fair, ip_hash::IpHash, ip_hash_active::IpHashActive, random::Random, round_robin::RoundRobin, weight::Weight,
};
use anyproxy_module_api::abi::upstream::{Outcome, PeerState, Pick, PickCx};

/// One algorithm's state for one pool on one worker.
pub trait Algorithm: Send {
    /// Chooses a peer that is usable, has room and was not tried in this session.
    ///
    /// `Pick::Wait` when peers not yet tried are usable but every one is at its limit, `Pick::None` when there are none.
    fn pick(&mut self, cx: &PickCx<'_>) -> Pick;

    /// Learns how a use of `peer` ended. `peer` is an index into the list of the latest `pick`; one out of range is ignored.
    /// One of which nothing was heard ([`Outcome::is_unheard`]) is no success.
    fn done(&mut self, peer: u32, outcome: &Outcome) {
        let _ = (peer, outcome);
    }
}

/// Names as the `balancer` directive takes them. The first is the default.
pub const NAMES: [&str; 6] = ["weight", "round_robin", "random", "ip_hash", "ip_hash_active", "fair"];

/// A fresh state of the algorithm called `name`, or `None` when `NAMES` has no such name.
pub fn by_name(name: &str) -> Option<Box<dyn Algorithm>> {
    Some(match name {
        "weight" => Box::new(Weight::default()),
        "round_robin" => Box::new(RoundRobin::default()),
        "random" => Box::new(Random),
        "ip_hash" => Box::new(IpHash::default()),
        "ip_hash_active" => Box::new(IpHashActive),
        "fair" => Box::new(Fair::default()),
        _ => return None,
    })
}

/// The answer when no peer can be picked.
pub(crate) fn refusal(cx: &PickCx<'_>) -> Pick {
    let waits = |(n, peer): (usize, &anyproxy_module_api::abi::upstream::PeerRef<'_>)| {
        peer.state().is_usable() && !cx.was_tried(n)
    };
    if cx.peers.iter().enumerate().any(waits) { Pick::Wait } else { Pick::None }
}

/// Effective weight, bounded so that the sum over a million peers fits an `i64` twice over.
pub(crate) fn effective_weight(peer: &PeerState) -> u64 {
    peer.effective_weight().min(1 << 40)
}

/// Maps 64 random bits to `0..bound` without division. 0 when `bound` is 0.
pub(crate) fn scale(random: u64, bound: u64) -> u64 {
    ((u128::from(random) * u128::from(bound)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use anyproxy_module_api::abi::upstream::{admin, health};
    use std::sync::atomic::Ordering::Relaxed;

    fn each(mut test: impl FnMut(&str, &mut dyn Algorithm)) {
        for name in NAMES {
            test(name, by_name(name).expect("every name is known").as_mut());
        }
    }

    #[test]
    fn unknown_name_is_refused() {
        assert!(by_name("wieght").is_none());
        assert!(by_name("").is_none());
    }

    #[test]
    fn empty_pool_answers_none() {
        each(|name, algorithm| assert_eq!(Pool::new(&[]).pick(algorithm), Pick::None, "{name}"));
    }

    #[test]
    fn single_peer_is_always_picked() {
        each(|name, algorithm| {
            let mut pool = Pool::new(&[3]);
            for _ in 0..50 {
                assert_eq!(pool.pick(algorithm), Pick::Peer(0), "{name}");
            }
        });
    }

    #[test]
    fn peers_out_of_use_are_never_picked() {
        each(|name, algorithm| {
            let mut pool = Pool::new(&[1, 1, 1, 1, 1, 0, 1]);
            pool.peer(0).health.store(health::DOWN, Relaxed);
            pool.peer(1).health.store(health::UNRESOLVED, Relaxed);
            pool.peer(2).admin.store(admin::DRAIN, Relaxed);
            pool.peer(3).ejected.store(1, Relaxed);
            pool.peer(4).removed.store(1, Relaxed);
            for _ in 0..200 {
                assert_eq!(pool.pick(algorithm), Pick::Peer(6), "{name}");
            }
            pool.peer(6).admin.store(admin::MAINT, Relaxed);
            assert_eq!(pool.pick(algorithm), Pick::None, "{name}");
        });
    }

    #[test]
    fn full_peers_are_passed_over_and_waited_for_when_all_are_full() {
        each(|name, algorithm| {
            let mut pool = Pool::new(&[1, 1, 1]);
            for n in [0, 2] {
                pool.peer(n).max_connections.store(4, Relaxed);
                pool.peer(n).in_flight.store(4, Relaxed);
            }
            for _ in 0..50 {
                assert_eq!(pool.pick(algorithm), Pick::Peer(1), "{name}");
            }
            pool.peer(1).health.store(health::DOWN, Relaxed);
            assert_eq!(pool.pick(algorithm), Pick::Wait, "{name}");
            pool.peer(2).in_flight.store(3, Relaxed);
            assert_eq!(pool.pick(algorithm), Pick::Peer(2), "{name}");
        });
    }

    #[test]
    fn retries_visit_every_peer_once_and_then_get_none() {
        each(|name, algorithm| {
            let mut pool = Pool::new(&[5, 1, 1, 2, 9]);
            let mut seen = Vec::new();
            while let Pick::Peer(n) = pool.pick(algorithm) {
                seen.push(n);
                pool.mark_tried(n);
                assert!(seen.len() <= 5, "{name}");
            }
            assert_eq!(pool.pick(algorithm), Pick::None, "{name}");
            seen.sort_unstable();
            assert_eq!(seen, [0, 1, 2, 3, 4], "{name}");
        });
    }

    #[test]
    fn tried_and_full_together_answer_wait_only_for_the_untried() {
        each(|name, algorithm| {
            let mut pool = Pool::new(&[1, 1]);
            for n in 0..2 {
                pool.peer(n).max_connections.store(1, Relaxed);
                pool.peer(n).in_flight.store(1, Relaxed);
            }
            pool.mark_tried(0);
            assert_eq!(pool.pick(algorithm), Pick::Wait, "{name}");
            pool.mark_tried(1);
            assert_eq!(pool.pick(algorithm), Pick::None, "{name}");
        });
    }

    #[test]
    fn thousand_peers_share_the_picks() {
        each(|name, algorithm| {
            let mut pool = Pool::new(&[1; 1000]);
            let mut hits = vec![0_u32; 1000];
            for _ in 0..5000 {
                hits[pool.picked(algorithm)] += 1;
            }
            // Five each on average; drawn or hashed, e⁻⁵ of the peers get none.
            let missed = hits.iter().filter(|hits| **hits == 0).count();
            assert!(missed < 16, "{name}: {missed} without a pick");
            assert!(hits.iter().all(|hits| *hits < 30), "{name}: {hits:?}");
        });
    }

    #[test]
    fn list_may_change_between_picks() {
        each(|name, algorithm| {
            let mut pool = Pool::new(&[1; 4]);
            for round in 0..200_usize {
                match round % 4 {
                    0 => pool.add(100 + round as u64, 2),
                    1 => pool.remove(0),
                    2 => pool.remove(pool.len() - 1),
                    _ => pool.add(1000 + round as u64, 1),
                }
                for _ in 0..10 {
                    let n = pool.picked(algorithm);
                    assert!(n < pool.len(), "{name}");
                    algorithm.done(n as u32, &pool.outcome(0));
                }
                algorithm.done(u32::MAX, &pool.outcome(1));
            }
        });
    }

    #[test]
    fn extreme_weights_and_counts_do_not_overflow() {
        each(|name, algorithm| {
            let mut pool = Pool::new(&[u32::MAX; 200]);
            for n in 0..200 {
                pool.peer(n).ramp.store(if n % 2 == 0 { u32::MAX } else { 0 }, Relaxed);
                pool.peer(n).in_flight.store(u32::MAX, Relaxed);
                pool.peer(n).ewma_ns.store(u64::MAX, Relaxed);
            }
            for _ in 0..500 {
                assert!(matches!(pool.pick(algorithm), Pick::Peer(_)), "{name}");
            }
        });
    }

    #[test]
    fn same_list_length_under_a_new_version_is_seen_as_another_list() {
        each(|name, algorithm| {
            let mut pool = Pool::new(&[1, 1]);
            pool.picked(algorithm);
            pool.remove(0);
            pool.add(77, 1);
            for _ in 0..20 {
                assert!(matches!(pool.pick(algorithm), Pick::Peer(0 | 1)), "{name}");
            }
        });
    }
}
