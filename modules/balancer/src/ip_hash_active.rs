//! `ip_hash_active`: a client's address decides its peer among those that are usable now. A peer that comes or goes, by
//! configuration, health or name resolution, moves only the clients that it gains or loses; a weight that changes moves
//! only the difference, so a slow start brings its clients little by little.
//!
//! Weighted rendezvous hashing: every peer draws a number from (client, peer id), and the greatest wins. Against a ring
//! of points it needs no table to rebuild, and shares are exact. A client of a full peer goes to its second choice.
//! A client without an address is drawn as in `random`.

use crate::algorithm::{Algorithm, effective_weight, refusal};
use crate::hash::{hash, mix};
use crate::random::draw;
use anyproxy_module_api::abi::upstream::{Pick, PickCx};

/// `ip_hash_active` has no state.
#[derive(Debug, Default)]
pub struct IpHashActive;

impl Algorithm for IpHashActive {
    fn pick(&mut self, cx: &PickCx<'_>) -> Pick {
        if cx.key.is_empty() {
            return draw(cx);
        }
        let key = hash(&cx.key);
        let mut best: Option<(usize, Bid)> = None;
        for n in (0..cx.peers.len()).filter(|n| cx.can_pick(*n)) {
            let peer = cx.peers[n].state();
            let bid = Bid { draw: mix(key ^ mix(peer.id)), weight: effective_weight(peer) };
            if best.as_ref().is_none_or(|(_, best)| bid.beats(best)) {
                best = Some((n, bid));
            }
        }
        best.map_or_else(|| refusal(cx), |(n, _)| Pick::Peer(n as u32))
    }
}

/// A peer's draw for one client.
struct Bid {
    draw: u64,
    weight: u64,
}

impl Bid {
    fn beats(&self, other: &Self) -> bool {
        // Both parts raise the score, so logarithms are needed only where they disagree: with equal weights, never.
        if self.weight == other.weight {
            return self.draw > other.draw;
        }
        if self.weight < other.weight && self.draw <= other.draw {
            return false;
        }
        if self.weight > other.weight && self.draw >= other.draw {
            return true;
        }
        self.score() > other.score()
    }

    /// −weight ÷ ln(u), u uniform in (0, 1): the peer with the greatest has probability weight ÷ sum of weights.
    fn score(&self) -> f64 {
        let u = ((self.draw >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
        -(self.weight as f64) / u.ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use anyproxy_module_api::abi::upstream::health;
    use std::sync::atomic::Ordering::Relaxed;

    /// Each client's peer, by id.
    fn map(pool: &mut Pool, clients: u32) -> Vec<u64> {
        let each = (0..clients).map(|client| {
            pool.key = Some((0x0a00_0000 + client).to_be_bytes().to_vec());
            let n = pool.picked(&mut IpHashActive);
            pool.peer(n).id
        });
        each.collect()
    }

    fn share(map: &[u64], id: u64) -> f64 {
        map.iter().filter(|peer| **peer == id).count() as f64 / map.len() as f64
    }

    #[test]
    fn shares_follow_the_weights() {
        let mut pool = Pool::new(&[1, 3, 4]);
        let map = map(&mut pool, 40_000);
        for (n, expected) in [(0, 0.125), (1, 0.375), (2, 0.5)] {
            let share = share(&map, pool.peer(n).id);
            assert!((share - expected).abs() < 0.01, "{share} for {expected}");
        }
    }

    #[test]
    fn removing_a_peer_moves_its_own_clients_only() {
        let mut pool = Pool::new(&[1; 10]);
        let gone = pool.peer(3).id;
        let before = map(&mut pool, 20_000);
        pool.remove(3);
        let after = map(&mut pool, 20_000);
        let moved = before.iter().zip(&after).filter(|(was, is)| was != is);
        assert!(moved.clone().all(|(was, _)| *was == gone));
        let moved = moved.count() as f64 / 20_000.0;
        assert!((moved - 0.1).abs() < 0.01, "{moved}");
    }

    #[test]
    fn added_peer_takes_its_share_and_nothing_else_moves() {
        let mut pool = Pool::new(&[2; 9]);
        let before = map(&mut pool, 20_000);
        pool.add(4711, 2);
        let after = map(&mut pool, 20_000);
        let moved = before.iter().zip(&after).filter(|(was, is)| was != is);
        assert!(moved.clone().all(|(_, is)| *is == 4711));
        let moved = moved.count() as f64 / 20_000.0;
        assert!((moved - 0.1).abs() < 0.01, "{moved}");
    }

    #[test]
    fn order_of_the_lines_does_not_matter() {
        let mut pool = Pool::new(&[1; 6]);
        let before = map(&mut pool, 2_000);
        let id = pool.peer(0).id;
        pool.remove(0);
        pool.add(id, 1);
        assert_eq!(map(&mut pool, 2_000), before);
    }

    #[test]
    fn failed_peer_gets_its_clients_back() {
        let mut pool = Pool::new(&[1, 2, 3, 4]);
        let before = map(&mut pool, 5_000);
        pool.peer(3).health.store(health::DOWN, Relaxed);
        let during = map(&mut pool, 5_000);
        let id = pool.peer(3).id;
        assert!(before.iter().zip(&during).all(|(was, is)| was == is || *was == id));
        pool.peer(3).health.store(health::UP, Relaxed);
        assert_eq!(map(&mut pool, 5_000), before);
    }

    #[test]
    fn slow_start_brings_clients_little_by_little_and_none_goes_back() {
        let mut pool = Pool::new(&[1; 4]);
        let id = pool.peer(0).id;
        let mut before = Vec::new();
        for ramp in [1, 100, 300, 600, 1000] {
            pool.peer(0).ramp.store(ramp, Relaxed);
            let now = map(&mut pool, 10_000);
            let expected = f64::from(ramp) / (3000.0 + f64::from(ramp));
            assert!((share(&now, id) - expected).abs() < 0.015, "at {ramp}");
            assert!(before.iter().zip(&now).all(|(was, is)| was == is || *is == id));
            before = now;
        }
    }

    #[test]
    fn clients_of_a_full_peer_go_to_their_second_choice_and_others_stay() {
        let mut pool = Pool::new(&[1; 5]);
        let before = map(&mut pool, 5_000);
        pool.peer(1).max_connections.store(1, Relaxed);
        pool.peer(1).in_flight.store(1, Relaxed);
        let id = pool.peer(1).id;
        let during = map(&mut pool, 5_000);
        assert!(before.iter().zip(&during).all(|(was, is)| (was == is) != (*was == id)));
    }

    #[test]
    fn score_is_finite_at_both_ends_of_the_draw() {
        for draw in [0, u64::MAX] {
            let score = Bid { draw, weight: 1 }.score();
            assert!(score.is_finite() && score > 0.0, "{score}");
        }
    }
}
