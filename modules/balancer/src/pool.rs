//! A pool of peers for the tests. Plays the host: it owns the states, the list and its version.

use crate::{Algorithm, hash::mix};
use anyproxy_module_api::abi::{
    bytes::Slice,
    upstream::{Outcome, PeerRef, PeerState, Pick, PickCx},
};
use std::sync::Arc;

pub(crate) struct Pool {
    states: Vec<Arc<PeerState>>,
    tried: Vec<u64>,
    version: u64,
    draws: u64,
    /// `None`: 64 fresh bits a pick.
    pub(crate) fixed_random: Option<u64>,
    /// `None`: a new client a pick.
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) now_ms: u64,
}

impl Pool {
    /// Peers with ids 1, 2, … and these weights.
    pub(crate) fn new(weights: &[u32]) -> Self {
        let mut pool = Self {
            states: Vec::new(),
            tried: Vec::new(),
            version: 0,
            draws: 0,
            fixed_random: None,
            key: None,
            now_ms: 1_000_000,
        };
        for (n, weight) in weights.iter().enumerate() {
            pool.add(mix(n as u64 + 1), *weight);
        }
        pool
    }

    pub(crate) fn add(&mut self, id: u64, weight: u32) {
        self.states.push(Arc::new(PeerState::new(id, weight)));
        self.relist();
    }

    pub(crate) fn remove(&mut self, n: usize) {
        self.states.remove(n);
        self.relist();
    }

    fn relist(&mut self) {
        self.tried = vec![0; self.states.len().div_ceil(64)];
        self.version += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    pub(crate) fn peer(&self, n: usize) -> &PeerState {
        &self.states[n]
    }

    pub(crate) fn mark_tried(&mut self, n: u32) {
        self.tried[n as usize / 64] |= 1 << (n % 64);
    }

    pub(crate) fn forget_tried(&mut self) {
        self.tried.fill(0);
    }

    pub(crate) fn pick(&mut self, algorithm: &mut dyn Algorithm) -> Pick {
        self.draws += 1;
        let drawn = self.draws.to_le_bytes();
        let peers: Vec<_> = self.states.iter().map(|state| PeerRef::new(state)).collect();
        algorithm.pick(&PickCx {
            peers: Slice::new(&peers),
            key: Slice::new(self.key.as_deref().unwrap_or(&drawn)),
            tried: Slice::new(&self.tried),
            version: self.version,
            random: self.fixed_random.unwrap_or_else(|| mix(self.draws)),
            now_ms: self.now_ms,
        })
    }

    /// The index picked; fails the test when there is none.
    pub(crate) fn picked(&mut self, algorithm: &mut dyn Algorithm) -> usize {
        match self.pick(algorithm) {
            Pick::Peer(n) => n as usize,
            other => panic!("expected a peer, got {other:?}"),
        }
    }

    /// How often each peer is picked in `picks` picks.
    pub(crate) fn hits(&mut self, algorithm: &mut dyn Algorithm, picks: usize) -> Vec<usize> {
        let mut hits = vec![0; self.len()];
        for _ in 0..picks {
            hits[self.picked(algorithm)] += 1;
        }
        hits
    }

    pub(crate) fn outcome(&self, failure: u8) -> Outcome {
        Outcome { connect_ns: 1, first_byte_ns: 1, total_ns: 1, failure }
    }
}
