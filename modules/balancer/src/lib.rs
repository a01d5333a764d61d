//! Six ways to choose a peer of an upstream pool. Owns the choice alone: who the peers are, whether they are
//! healthy, how many connections they have and how long a session waits is the host's business, read from `PeerState`.
//!
//! An algorithm is the state of one pool on one worker. Nothing is shared between workers, so nothing is locked;
//! what workers must agree on (the `ip_hash` family) follows from the key alone, and what they must not do in step
//! (turns) starts at an offset of its own on each.

#![forbid(unsafe_code)]

pub mod algorithm;
pub mod fair;
mod hash;
pub mod ip_hash;
pub mod ip_hash_active;
#[cfg(test)]
mod pool;
pub mod random;
pub mod round_robin;
pub mod weight;

pub use algorithm::{Algorithm, NAMES, by_name};

use anyproxy_module_api::{At, BalancerImpl, Module, Outcome, Pick, PickCx, Problems, Registry, Scope};

/// The module: it keeps nothing beside the algorithms' own state, and has no directives: `balancer "name"` is the host's.
#[derive(Debug)]
pub struct Balancer;

impl Module for Balancer {
    type Conf = ();
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry
            .balancer::<One<weight::Weight>>("weight", "Turns in proportion to the weights, evenly spread.")
            .balancer::<One<round_robin::RoundRobin>>("round_robin", "Equal turns in file order.")
            .balancer::<One<random::Random>>("random", "Drawn afresh each time, by weight.")
            .balancer::<One<ip_hash::IpHash>>("ip_hash", "By `balancer_key`, else the client's address, over the whole list.")
            .balancer::<One<ip_hash_active::IpHashActive>>(
                "ip_hash_active",
                "By `balancer_key`, else the client's address, among the peers in use: a change moves as few keys as can be.",
            )
            .balancer::<One<fair::Fair>>("fair", "The peer that is likely to answer first.");
    }

    fn create() -> Self {
        Self
    }

    fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}

    fn worker_start(&self, _: u32) {}
}

/// An algorithm as the registry takes it.
struct One<A>(A);

impl<A: Algorithm + Default + 'static> BalancerImpl<Balancer> for One<A> {
    /// The seed is not needed: each question brings fresh random bits.
    fn create(_: At<'_, Balancer>, _: u64) -> Self {
        Self(A::default())
    }

    fn pick(&mut self, cx: &PickCx<'_>) -> Pick {
        self.0.pick(cx)
    }

    fn done(&mut self, peer: u32, outcome: &Outcome) {
        self.0.done(peer, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyproxy_module_api::{PeerRef, PeerState, Slice, testing::ModuleUnderTest};

    #[test]
    fn every_name_picks_through_the_contract() {
        let module = ModuleUnderTest::<Balancer>::start(&[]);
        let state = PeerState::new(7, 1);
        let peers = [PeerRef::new(&state)];
        for name in NAMES {
            let mut balancer = module.balancer(name, 1);
            let cx = PickCx {
                peers: Slice::new(&peers),
                key: Slice::new(&[192, 0, 2, 1]),
                tried: Slice::new(&[0]),
                version: 1,
                random: 3,
                now_ms: 1000,
            };
            assert_eq!(balancer.pick(&cx), Pick::Peer(0), "{name}");
            balancer.done(0, &Outcome { connect_ns: 1, first_byte_ns: 1, total_ns: 1, failure: 0 });
        }
        module.stop();
    }
}
