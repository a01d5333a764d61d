//! `round_robin`: peers take equal turns in file order. Weights do not matter, except that 0 is never picked; a peer in
//! its slow start skips turns in proportion.

use crate::algorithm::{Algorithm, refusal, scale};
use crate::hash::mix;
use anyproxy_module_api::abi::upstream::{Pick, PickCx};
use std::sync::atomic::Ordering::Relaxed;

/// State of `round_robin`.
#[derive(Debug, Default)]
pub struct RoundRobin {
    version: Option<u64>,
    /// Whose turn it is.
    next: usize,
    /// Who had the last turn, to find the place again in another list.
    last: Option<u64>,
}

impl Algorithm for RoundRobin {
    fn pick(&mut self, cx: &PickCx<'_>) -> Pick {
        let len = cx.peers.len();
        if self.version != Some(cx.version) {
            self.adopt(cx);
        }
        if self.next >= len {
            self.next = 0;
        }
        // The turn goes to the successor of the one picked, not of the one whose turn it was: otherwise the
        // peer after a dead one would get two shares.
        let mut skipped = None;
        for n in (self.next..len).chain(0..self.next) {
            if !cx.can_pick(n) {
                continue;
            }
            let ramp = u64::from(cx.peers[n].state().ramp.load(Relaxed));
            if ramp >= 1000 || scale(mix(cx.random ^ n as u64), 1000) < ramp {
                return self.take(cx, n);
            }
            skipped.get_or_insert(n);
        }
        match skipped {
            Some(n) => self.take(cx, n),
            None => refusal(cx),
        }
    }
}

impl RoundRobin {
    fn adopt(&mut self, cx: &PickCx<'_>) {
        let len = cx.peers.len() as u64;
        if self.version.is_none() {
            self.next = scale(cx.random, len) as usize;
        } else if let Some(n) = cx.peers.iter().position(|peer| Some(peer.state().id) == self.last) {
            self.next = n + 1;
        }
        self.version = Some(cx.version);
    }

    fn take(&mut self, cx: &PickCx<'_>, n: usize) -> Pick {
        self.next = n + 1;
        self.last = Some(cx.peers[n].state().id);
        Pick::Peer(n as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use anyproxy_module_api::abi::upstream::health;

    #[test]
    fn turns_are_equal_and_in_order_whatever_the_weights() {
        let mut pool = Pool::new(&[9, 1, 4]);
        pool.fixed_random = Some(0);
        let mut algorithm = RoundRobin::default();
        let order: Vec<usize> = (0..6).map(|_| pool.picked(&mut algorithm)).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn workers_begin_at_different_peers() {
        let mut first = [0; 4];
        for random in (0..400).map(mix) {
            let mut pool = Pool::new(&[1; 4]);
            pool.fixed_random = Some(random);
            first[pool.picked(&mut RoundRobin::default())] += 1;
        }
        assert!(first.iter().all(|hits| (60..150).contains(hits)), "{first:?}");
    }

    #[test]
    fn successor_of_a_dead_peer_gets_no_double_share() {
        let mut pool = Pool::new(&[1; 4]);
        pool.peer(1).health.store(health::DOWN, Relaxed);
        assert_eq!(pool.hits(&mut RoundRobin::default(), 300), [100, 0, 100, 100]);
    }

    #[test]
    fn slow_start_skips_turns_in_proportion() {
        let mut pool = Pool::new(&[1; 3]);
        pool.peer(0).ramp.store(200, Relaxed);
        let hits = pool.hits(&mut RoundRobin::default(), 2200);
        assert!((140..260).contains(&hits[0]), "{hits:?}");
        assert!(hits[1].abs_diff(hits[2]) <= 2, "{hits:?}");
    }

    #[test]
    fn pool_that_ramps_as_a_whole_is_still_used() {
        let mut pool = Pool::new(&[1; 2]);
        pool.peer(0).ramp.store(0, Relaxed);
        pool.peer(1).ramp.store(0, Relaxed);
        assert_eq!(pool.hits(&mut RoundRobin::default(), 10), [5, 5]);
    }

    #[test]
    fn place_is_found_again_in_another_list() {
        let mut pool = Pool::new(&[1; 4]);
        pool.fixed_random = Some(0);
        let mut algorithm = RoundRobin::default();
        assert_eq!(pool.picked(&mut algorithm), 0);
        assert_eq!(pool.picked(&mut algorithm), 1);
        pool.remove(0);
        assert_eq!(pool.picked(&mut algorithm), 1, "the peer that was third");
    }
}
