//! `fair`: the peer that is likely to answer first. The score is response time × (in flight + 1) ÷ weight, the lowest
//! wins, equals are drawn. Response time is the host's moving average (`ewma_ns`), in flight counts all workers.
//!
//! A peer that was never measured is tried at once, with one use at a time until its first answer; were it flooded
//! instead, a slow newcomer would take the whole load. An average that is not refreshed halves every ten seconds, so a
//! peer that was slow once is tried again. A peer that just failed on this worker is held back for a while, doubling with each
//! further failure: one that refuses connections at once would otherwise look like the fastest.

use crate::algorithm::{Algorithm, effective_weight, refusal, scale};
use crate::hash::mix;
use anyproxy_module_api::abi::upstream::{Outcome, Pick, PickCx};
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

/// An average not refreshed for this long counts half.
const HALF_LIFE_MS: u64 = 10_000;
/// Held back after the first failure.
const HOLD_MS: u64 = 1_000;
/// Doublings of the hold: 32 s at most.
const MOST_DOUBLINGS: u32 = 5;
/// What a held peer's score is multiplied by: it is used only when the others are overwhelmed or gone.
const HELD: f64 = 1e6;

/// State of `fair`.
#[derive(Debug, Default)]
pub struct Fair {
    version: Option<u64>,
    now_ms: u64,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    id: u64,
    /// When this worker last used it.
    used_ms: u64,
    /// Failures in a row on this worker.
    failures: u32,
    held_until_ms: u64,
}

impl Algorithm for Fair {
    fn pick(&mut self, cx: &PickCx<'_>) -> Pick {
        self.now_ms = cx.now_ms;
        if self.version != Some(cx.version) || self.entries.len() != cx.peers.len() {
            self.adopt(cx);
        }
        let typical = typical_ewma(cx);
        let mut best: Option<(usize, f64)> = None;
        let mut equals = 0;
        for n in (0..cx.peers.len()).filter(|n| cx.can_pick(*n)) {
            let score = self.score(cx, n, typical);
            if best.is_none_or(|(_, best)| score < best) {
                best = Some((n, score));
                equals = 1;
            } else if best.is_some_and(|(_, best)| score == best) {
                equals += 1;
                // The k-th of equals replaces the choice with probability 1/k: a fair draw in one pass.
                if scale(mix(cx.random ^ n as u64), equals) == 0 {
                    best = Some((n, score));
                }
            }
        }
        let Some((n, _)) = best else {
            return refusal(cx);
        };
        self.entries[n].used_ms = cx.now_ms;
        Pick::Peer(n as u32)
    }

    fn done(&mut self, peer: u32, outcome: &Outcome) {
        let Some(entry) = self.entries.get_mut(peer as usize) else {
            return;
        };
        if outcome.is_unheard() {
            return;
        }
        if outcome.failure == 0 {
            entry.failures = 0;
            entry.held_until_ms = 0;
        } else {
            let hold = HOLD_MS << entry.failures.min(MOST_DOUBLINGS);
            entry.failures = entry.failures.saturating_add(1);
            entry.held_until_ms = self.now_ms.saturating_add(hold);
        }
    }
}

impl Fair {
    fn adopt(&mut self, cx: &PickCx<'_>) {
        let known: HashMap<u64, Entry> = self.entries.iter().map(|entry| (entry.id, *entry)).collect();
        let adopted = cx.peers.iter().map(|peer| {
            let id = peer.state().id;
            known.get(&id).copied().unwrap_or(Entry { id, used_ms: cx.now_ms, failures: 0, held_until_ms: 0 })
        });
        self.entries = adopted.collect();
        self.version = Some(cx.version);
    }

    fn score(&self, cx: &PickCx<'_>, n: usize, typical: f64) -> f64 {
        let peer = cx.peers[n].state();
        let entry = &self.entries[n];
        let held = cx.now_ms < entry.held_until_ms;
        let in_flight = peer.in_flight.load(Relaxed);
        let time = match peer.ewma_ns.load(Relaxed) {
            0 if in_flight == 0 && !held => return 0.0,
            0 => typical,
            ewma => {
                let halvings = (cx.now_ms.saturating_sub(entry.used_ms) / HALF_LIFE_MS).min(63);
                (ewma >> halvings).max(1) as f64
            }
        };
        let score = time * (f64::from(in_flight) + 1.0) / effective_weight(peer).max(1) as f64;
        if held { score * HELD } else { score }
    }
}

/// What is assumed of a peer that was not measured: the mean of those that were, or 1 ns, which leaves the in-flight counts.
fn typical_ewma(cx: &PickCx<'_>) -> f64 {
    let (mut sum, mut count) = (0.0, 0.0);
    for peer in cx.peers.iter().map(|peer| peer.state()).filter(|peer| peer.is_usable()) {
        let ewma = peer.ewma_ns.load(Relaxed);
        if ewma != 0 {
            sum += ewma as f64;
            count += 1.0;
        }
    }
    if count == 0.0 { 1.0 } else { sum / count }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;

    const MS: u64 = 1_000_000;

    fn measured(weights: &[u32], ewma_ms: &[u64]) -> Pool {
        let pool = Pool::new(weights);
        for (n, ms) in ewma_ms.iter().enumerate() {
            pool.peer(n).ewma_ns.store(ms * MS, Relaxed);
        }
        pool
    }

    #[test]
    fn fastest_is_picked_until_its_load_outweighs_its_speed() {
        let mut pool = measured(&[1, 1, 1], &[30, 10, 90]);
        let mut fair = Fair::default();
        let mut taken = [0_u32; 3];
        for _ in 0..130 {
            let n = pool.picked(&mut fair);
            taken[n] += 1;
            pool.peer(n).in_flight.fetch_add(1, Relaxed);
        }
        // In flight in inverse proportion to the time: 30 : 90 : 10.
        for (taken, expected) in taken.iter().zip([30_u32, 90, 10]) {
            assert!(taken.abs_diff(expected) <= 2, "{taken} for {expected}");
        }
    }

    #[test]
    fn weight_and_ramp_divide_the_score() {
        let mut pool = measured(&[1, 3], &[10, 20]);
        assert_eq!(pool.picked(&mut Fair::default()), 1);
        pool.peer(1).ramp.store(100, Relaxed);
        assert_eq!(pool.picked(&mut Fair::default()), 0);
    }

    #[test]
    fn unknown_peer_is_tried_at_once_but_not_flooded() {
        let mut pool = measured(&[1, 1, 1], &[10, 10, 0]);
        let mut fair = Fair::default();
        assert_eq!(pool.picked(&mut fair), 2);
        pool.peer(2).in_flight.store(1, Relaxed);
        for _ in 0..20 {
            assert_ne!(pool.picked(&mut fair), 2);
        }
        pool.peer(2).in_flight.store(0, Relaxed);
        pool.peer(2).ewma_ns.store(5 * MS, Relaxed);
        assert_eq!(pool.picked(&mut fair), 2);
    }

    #[test]
    fn nothing_known_means_fewest_in_flight() {
        let mut pool = Pool::new(&[1; 3]);
        for (n, count) in [5, 2, 7].into_iter().enumerate() {
            pool.peer(n).in_flight.store(count, Relaxed);
        }
        assert_eq!(pool.picked(&mut Fair::default()), 1);
    }

    #[test]
    fn equals_are_drawn() {
        for ewma in [0, 10] {
            let mut pool = measured(&[1; 4], &[ewma; 4]);
            let hits = pool.hits(&mut Fair::default(), 4000);
            assert!(hits.iter().all(|hits| (850..1150).contains(hits)), "{hits:?}");
        }
    }

    #[test]
    fn peer_that_was_slow_once_is_tried_again() {
        let mut pool = measured(&[1, 1], &[10, 100]);
        let mut fair = Fair::default();
        let mut tries = 0;
        for _ in 0..600 {
            tries += usize::from(pool.picked(&mut fair) == 1);
            pool.now_ms += 100;
        }
        assert!((1..=2).contains(&tries), "{tries} in a minute");
    }

    #[test]
    fn peer_that_refuses_at_once_does_not_draw_the_load() {
        // Never measured, or once fast: both look attractive.
        for ewma in [0, 1] {
            let mut pool = measured(&[1, 1], &[50, ewma]);
            let mut fair = Fair::default();
            let mut failed = 0;
            for _ in 0..6000 {
                if pool.picked(&mut fair) == 1 {
                    failed += 1;
                    fair.done(1, &pool.outcome(1));
                } else {
                    fair.done(0, &pool.outcome(0));
                }
                pool.now_ms += 10;
            }
            assert!((2..=8).contains(&failed), "{failed} in a minute");
            fair.done(1, &Outcome::UNHEARD);
            assert_eq!(pool.picked(&mut fair), 0, "that nothing was heard of it does not lift the hold");
            fair.done(1, &pool.outcome(0));
            assert_eq!(pool.picked(&mut fair), 1, "a success does");
        }
    }

    #[test]
    fn held_peer_is_better_than_none() {
        let mut pool = measured(&[1], &[10]);
        let mut fair = Fair::default();
        pool.picked(&mut fair);
        fair.done(0, &pool.outcome(1));
        assert_eq!(pool.picked(&mut fair), 0);
    }

    #[test]
    fn hold_follows_the_peer_into_another_list() {
        let mut pool = measured(&[1, 1, 1], &[50, 1, 40]);
        let mut fair = Fair::default();
        assert_eq!(pool.picked(&mut fair), 1);
        fair.done(1, &pool.outcome(2));
        pool.remove(0);
        assert_eq!(pool.picked(&mut fair), 1, "the peer that was third");
    }
}
