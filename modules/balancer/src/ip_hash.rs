//! `ip_hash`: a client's address decides its peer, over the whole configured list. A peer that fails moves only its own
//! clients, and they come back when it returns; adding or removing a line moves clients at large (`ip_hash_active` does not).
//!
//! Shares follow the weights. Slow start does not matter, for it would move clients while it lasts.
//! A client without an address (a Unix socket) has nothing to be recognised by and is drawn as in `random`.

use crate::algorithm::{Algorithm, refusal, scale};
use crate::hash::{hash, mix};
use crate::random::draw;
use anyproxy_module_api::abi::upstream::{Pick, PickCx};
use std::sync::atomic::Ordering::Relaxed;

/// Rehashes before the list is searched in order.
const TRIES: u64 = 20;

/// `ip_hash` keeps only scratch space.
#[derive(Debug, Default)]
pub struct IpHash {
    /// Sums of the weights up to and including each peer.
    sums: Vec<u64>,
}

impl Algorithm for IpHash {
    fn pick(&mut self, cx: &PickCx<'_>) -> Pick {
        if cx.key.is_empty() {
            return draw(cx);
        }
        self.sums.clear();
        let mut total = 0_u64;
        self.sums.extend(cx.peers.iter().map(|peer| {
            total += u64::from(peer.state().weight.load(Relaxed));
            total
        }));
        let key = hash(&cx.key);
        let mut first = 0;
        for attempt in 0..TRIES {
            let point = scale(mix(key ^ attempt), total);
            let n = self.sums.partition_point(|sum| *sum <= point);
            if n < cx.peers.len() && cx.can_pick(n) {
                return Pick::Peer(n as u32);
            }
            first = n.min(cx.peers.len());
        }
        (first..cx.peers.len())
            .chain(0..first)
            .find(|n| cx.can_pick(*n))
            .map_or_else(|| refusal(cx), |n| Pick::Peer(n as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Pool;
    use anyproxy_module_api::abi::upstream::health;

    fn map(pool: &mut Pool, clients: u32) -> Vec<usize> {
        let mut algorithm = IpHash::default();
        let each = (0..clients).map(|client| {
            pool.key = Some((0x0a00_0000 + client).to_be_bytes().to_vec());
            pool.picked(&mut algorithm)
        });
        each.collect()
    }

    #[test]
    fn client_keeps_its_peer_on_every_worker_and_at_any_time() {
        let mut pool = Pool::new(&[1; 7]);
        let before = map(&mut pool, 500);
        pool.now_ms += 1_000_000;
        assert_eq!(map(&mut pool, 500), before);
    }

    #[test]
    fn shares_follow_the_weights() {
        let mut pool = Pool::new(&[1, 3, 0, 4]);
        let mut hits = [0_usize; 4];
        for n in map(&mut pool, 40_000) {
            hits[n] += 1;
        }
        assert_eq!(hits[2], 0);
        for (n, expected) in [(0, 5_000_usize), (1, 15_000), (3, 20_000)] {
            assert!(hits[n].abs_diff(expected) < 500, "{hits:?}");
        }
    }

    #[test]
    fn failed_peer_moves_only_its_own_clients_spread_over_the_rest_and_gets_them_back() {
        let mut pool = Pool::new(&[1; 5]);
        let before = map(&mut pool, 10_000);
        pool.peer(2).health.store(health::DOWN, Relaxed);
        let during = map(&mut pool, 10_000);
        let mut moved = [0_usize; 5];
        for (was, is) in before.iter().zip(&during) {
            assert!(was == is || *was == 2);
            if was != is {
                moved[*is] += 1;
            }
        }
        assert_eq!(moved[2], 0);
        for n in [0, 1, 3, 4] {
            assert!((350..650).contains(&moved[n]), "{moved:?}");
        }
        pool.peer(2).health.store(health::UP, Relaxed);
        assert_eq!(map(&mut pool, 10_000), before);
    }

    #[test]
    fn one_usable_peer_of_a_thousand_is_found() {
        let mut pool = Pool::new(&[1; 1000]);
        for n in (0..1000).filter(|n| *n != 617) {
            pool.peer(n).health.store(health::DOWN, Relaxed);
        }
        assert!(map(&mut pool, 100).iter().all(|n| *n == 617));
    }

    #[test]
    fn clients_without_an_address_are_spread() {
        let mut pool = Pool::new(&[1; 4]);
        pool.key = Some(Vec::new());
        let hits = pool.hits(&mut IpHash::default(), 4000);
        assert!(hits.iter().all(|hits| (850..1150).contains(hits)), "{hits:?}");
    }
}
