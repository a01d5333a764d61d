//! `random`: each pick is drawn afresh, with probability in proportion to weight × ramp. Keeps no state, so any number
//! of workers and proxies spread alike without knowing of each other. In-flight counts do not matter: that is `fair`.

use crate::algorithm::{Algorithm, effective_weight, refusal, scale};
use anyproxy_module_api::abi::upstream::{Pick, PickCx};

/// `random` has no state.
#[derive(Debug, Default)]
pub struct Random;

impl Algorithm for Random {
    fn pick(&mut self, cx: &PickCx<'_>) -> Pick {
        draw(cx)
    }
}

/// A candidate by weighted draw.
pub(crate) fn draw(cx: &PickCx<'_>) -> Pick {
    let weight = |n: usize| {
        if cx.can_pick(n) { effective_weight(cx.peers[n].state()) } else { 0 }
    };
    let total: u64 = (0..cx.peers.len()).map(weight).sum();
    let mut left = scale(cx.random, total);
    let mut last = None;
    for n in 0..cx.peers.len() {
        let weight = weight(n);
        if weight > left {
            return Pick::Peer(n as u32);
        }
        left -= weight;
        if weight > 0 {
            last = Some(n);
        }
    }
    // Another worker filled or lowered a peer between the two passes: the last candidate seen is as good a draw.
    last.map_or_else(|| refusal(cx), |n| Pick::Peer(n as u32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn shares_follow_weight_and_ramp() {
        let mut pool = Pool::new(&[1, 2, 4, 2]);
        pool.peer(3).ramp.store(500, Relaxed);
        let hits = pool.hits(&mut Random, 80_000);
        for (hits, expected) in hits.iter().zip([10_000_usize, 20_000, 40_000, 10_000]) {
            assert!(hits.abs_diff(expected) < 600, "{hits} for {expected}");
        }
    }

    #[test]
    fn ends_of_the_random_range_stay_inside_the_list() {
        let mut pool = Pool::new(&[1, 0, 1, 0]);
        pool.fixed_random = Some(0);
        assert_eq!(pool.picked(&mut Random), 0);
        pool.fixed_random = Some(u64::MAX);
        assert_eq!(pool.picked(&mut Random), 2);
    }
}
