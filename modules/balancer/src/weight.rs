//! `weight`: smooth weighted round robin. Peers take turns in proportion to weight × ramp, and the turns of a heavy
//! peer are spread between those of the others instead of coming in a run.
//!
//! The method is nginx's: each pick adds every candidate's weight to its `current`, takes the greatest `current`, and
//! subtracts the candidates' sum from it. Two passes over the peers a pick.

use crate::algorithm::{Algorithm, effective_weight, refusal, scale};
use anyproxy_module_api::abi::upstream::{Pick, PickCx};
use std::collections::HashMap;

/// Steps × peers of the warm-up: about 50 µs once a pool and worker.
const WARM_UP: usize = 16_384;

/// State of `weight`.
#[derive(Debug, Default)]
pub struct Weight {
    version: Option<u64>,
    entries: Vec<Entry>,
    /// Where a scan begins: breaks ties, so that workers do not all begin with the first peer.
    start: usize,
    /// Over the usable peers and their weights at the last pick.
    fingerprint: u64,
    /// Sum of the usable peers' weights at the last pick.
    total: i64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: u64,
    current: i64,
    /// 0: not usable.
    weight: i64,
}

impl Algorithm for Weight {
    fn pick(&mut self, cx: &PickCx<'_>) -> Pick {
        if self.version != Some(cx.version) || self.entries.len() != cx.peers.len() {
            self.adopt(cx);
        }
        self.weigh(cx);
        self.step(cx).map_or_else(|| refusal(cx), |n| Pick::Peer(n as u32))
    }
}

impl Weight {
    /// Takes over another list. Peers that stay keep their place in the order.
    fn adopt(&mut self, cx: &PickCx<'_>) {
        let first = self.version.is_none();
        let known: HashMap<u64, i64> = self.entries.iter().map(|entry| (entry.id, entry.current)).collect();
        let adopted = cx.peers.iter().map(|peer| {
            let id = peer.state().id;
            Entry { id, current: known.get(&id).copied().unwrap_or(0), weight: 0 }
        });
        self.entries = adopted.collect();
        self.version = Some(cx.version);
        // Forces `weigh` to settle, also when the sums happen to agree.
        self.fingerprint = 0;
        if first && !self.entries.is_empty() {
            self.start = scale(cx.random << 32, self.entries.len() as u64) as usize;
            self.weigh(cx);
            let most = (WARM_UP / self.entries.len()).clamp(1, 256);
            for _ in 0..scale(cx.random & !0xffff_ffff, most as u64) {
                self.step(cx);
            }
        }
        self.start = self.start.min(self.entries.len().saturating_sub(1));
    }

    /// Reads the weights that hold now.
    fn weigh(&mut self, cx: &PickCx<'_>) {
        let mut total = 0;
        let mut fingerprint = 1_u64;
        for (entry, peer) in self.entries.iter_mut().zip(cx.peers.iter()) {
            let state = peer.state();
            entry.weight = if state.is_usable() { effective_weight(state) as i64 } else { 0 };
            total += entry.weight;
            fingerprint = fingerprint.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(entry.weight as u64);
        }
        if fingerprint != self.fingerprint {
            self.settle(total);
            self.fingerprint = fingerprint;
            self.total = total;
        }
    }

    /// Fits `current` to other weights. Left as they are, credits from when a heavy peer was present would give one
    /// light peer as long a run as the heavy one had, and a peer that returns would be paid for its absence.
    fn settle(&mut self, total: i64) {
        let before = i128::from(self.total.max(1));
        let (mut sum, mut usable) = (0_i128, 0);
        for entry in &mut self.entries {
            entry.current = if entry.weight == 0 {
                0
            } else {
                let scaled = i128::from(entry.current) * i128::from(total) / before;
                scaled.clamp(-i128::from(total), i128::from(total)) as i64
            };
            sum += i128::from(entry.current);
            usable += i128::from(entry.weight != 0);
        }
        if usable == 0 {
            return;
        }
        let mean = (sum / usable) as i64;
        for entry in self.entries.iter_mut().filter(|entry| entry.weight != 0) {
            entry.current = (entry.current - mean).clamp(-total, total);
        }
    }

    /// One turn among those that can be picked.
    fn step(&mut self, cx: &PickCx<'_>) -> Option<usize> {
        let mut best: Option<usize> = None;
        let mut sum = 0;
        for n in (self.start..self.entries.len()).chain(0..self.start) {
            if self.entries[n].weight == 0 || !cx.can_pick(n) {
                continue;
            }
            let entry = &mut self.entries[n];
            entry.current += entry.weight;
            sum += entry.weight;
            let current = entry.current;
            if best.is_none_or(|best| current > self.entries[best].current) {
                best = Some(n);
            }
        }
        if let Some(best) = best {
            self.entries[best].current -= sum;
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use anyproxy_module_api::abi::upstream::health;
    use std::sync::atomic::Ordering::Relaxed;

    fn sequence(pool: &mut Pool, weight: &mut Weight, picks: usize) -> String {
        (0..picks).map(|_| char::from(b'a' + pool.picked(weight) as u8)).collect()
    }

    #[test]
    fn sequence_is_the_smooth_one() {
        let mut pool = Pool::new(&[5, 1, 1]);
        pool.fixed_random = Some(0);
        assert_eq!(sequence(&mut pool, &mut Weight::default(), 14), "aabacaaaabacaa");
        let mut pool = Pool::new(&[1, 2, 3]);
        pool.fixed_random = Some(0);
        assert_eq!(sequence(&mut pool, &mut Weight::default(), 6), "cbacbc");
        let mut pool = Pool::new(&[1, 1, 1]);
        pool.fixed_random = Some(0);
        assert_eq!(sequence(&mut pool, &mut Weight::default(), 6), "abcabc");
    }

    #[test]
    fn every_period_holds_exactly_the_weights_whatever_the_start() {
        for random in (0..64).map(crate::hash::mix) {
            let mut pool = Pool::new(&[5, 1, 3]);
            pool.fixed_random = Some(random);
            let mut weight = Weight::default();
            for _ in 0..5 {
                assert_eq!(pool.hits(&mut weight, 9), [5, 1, 3]);
            }
        }
    }

    #[test]
    fn workers_begin_at_different_peers() {
        let mut first = [0; 8];
        for random in (0..800).map(crate::hash::mix) {
            let mut pool = Pool::new(&[1; 8]);
            pool.fixed_random = Some(random);
            first[pool.picked(&mut Weight::default())] += 1;
        }
        assert!(first.iter().all(|hits| (50..200).contains(hits)), "{first:?}");
    }

    #[test]
    fn down_peer_gets_nothing_and_its_share_goes_by_weight() {
        let mut pool = Pool::new(&[2, 1, 3]);
        let mut weight = Weight::default();
        pool.hits(&mut weight, 7);
        pool.peer(2).health.store(health::DOWN, Relaxed);
        pool.hits(&mut weight, 3);
        assert_eq!(pool.hits(&mut weight, 300), [200, 100, 0]);
        pool.peer(2).health.store(health::UP, Relaxed);
        let hits = pool.hits(&mut weight, 600);
        assert!(hits[2].abs_diff(300) <= 1, "no catching up: {hits:?}");
    }

    #[test]
    fn loss_of_a_heavy_peer_leaves_no_long_run_behind() {
        let mut pool = Pool::new(&[100_000, 1, 1]);
        pool.fixed_random = Some(0);
        let mut weight = Weight::default();
        // Right after the second peer's turn the credits of the light ones are furthest apart.
        for _ in 0..200_000 {
            if pool.picked(&mut weight) == 1 {
                break;
            }
        }
        pool.peer(0).health.store(health::DOWN, Relaxed);
        let hits = pool.hits(&mut weight, 10);
        assert!(hits[1] >= 4 && hits[2] >= 4, "{hits:?}");
    }

    #[test]
    fn ramp_scales_the_share() {
        let mut pool = Pool::new(&[1, 1]);
        pool.peer(1).ramp.store(250, Relaxed);
        let mut weight = Weight::default();
        let hits = pool.hits(&mut weight, 1000);
        assert!(hits[1].abs_diff(200) <= 1, "{hits:?}");
        let mut risen = 0;
        for ramp in (250..1000).step_by(10) {
            pool.peer(1).ramp.store(ramp, Relaxed);
            risen += pool.hits(&mut weight, 10)[1];
        }
        // Mean share over the rise: the integral of r/(1+r) from 0.25 to 1, 0.373.
        assert!((250..=310).contains(&risen), "{risen} of 750");
    }

    #[test]
    fn peers_that_stay_keep_their_turn_across_a_change_of_list() {
        let mut pool = Pool::new(&[1, 1, 1]);
        pool.fixed_random = Some(0);
        let mut weight = Weight::default();
        assert_eq!(sequence(&mut pool, &mut weight, 2), "ab");
        pool.add(99, 1);
        let next = sequence(&mut pool, &mut weight, 4);
        assert!(next.starts_with('c'), "{next}");
        let mut sorted: Vec<char> = next.chars().collect();
        sorted.sort_unstable();
        assert_eq!(sorted, ['a', 'b', 'c', 'd'], "{next}");
    }

    #[test]
    fn retries_do_not_disturb_the_shares() {
        let mut pool = Pool::new(&[3, 2, 1]);
        let mut weight = Weight::default();
        let mut hits = [0_usize; 3];
        for _ in 0..600 {
            let first = pool.picked(&mut weight);
            hits[first] += 1;
            pool.mark_tried(first as u32);
            pool.picked(&mut weight);
            pool.forget_tried();
        }
        assert!(hits.iter().all(|hits| *hits > 100), "{hits:?}");
    }
}
