//! How a peer is chosen where the configuration names no balancer and there is one line to choose from: its addresses take
//! turns. Knows no weights; a pool of several lines asks a module.

use anyproxy_module_api::abi::upstream::{PeerRef, Pick};

/// Its name in status and in `${upstream_balancer}`.
pub const NAME: &str = "single";

/// Whose turn it is, on one worker.
#[derive(Debug, Default)]
pub struct Turns {
    next: usize,
}

impl Turns {
    /// The next peer in the order of the list that can be picked. `tried`: ids of those that were.
    pub fn pick(&mut self, peers: &[PeerRef<'_>], tried: &[u64]) -> Pick {
        let usable = |p: &PeerRef<'_>| p.state().is_usable() && !tried.contains(&p.state().id);
        let can_pick = |p: &PeerRef<'_>| usable(p) && p.state().has_room();
        let (before, after) = peers.split_at(self.next.min(peers.len()));
        let found = match after.iter().position(can_pick) {
            Some(n) => Some(before.len() + n),
            None => before.iter().position(can_pick),
        };
        if let Some(n) = found {
            self.next = n + 1;
            return Pick::Peer(n as u32);
        }
        if peers.iter().any(usable) { Pick::Wait } else { Pick::None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyproxy_module_api::abi::upstream::{PeerState, admin};
    use std::sync::atomic::Ordering::Relaxed;

    fn ask(turns: &mut Turns, peers: &[PeerState], tried: u64) -> Pick {
        let refs: Vec<_> = peers.iter().map(PeerRef::new).collect();
        turns.pick(&refs, &[tried])
    }

    fn peers(n: u64) -> Vec<PeerState> {
        (1..=n).map(|id| PeerState::new(id, 1)).collect()
    }

    #[test]
    fn addresses_take_turns_and_those_out_of_use_are_passed_over() {
        let (peers, mut turns) = (peers(3), Turns::default());
        let mut picks = |n: usize| (0..n).map(|_| ask(&mut turns, &peers, 0)).collect::<Vec<_>>();
        assert_eq!(picks(4), [0, 1, 2, 0].map(Pick::Peer));
        peers[1].admin.store(admin::DRAIN, Relaxed);
        assert_eq!(picks(3), [2, 0, 2].map(Pick::Peer));
    }

    #[test]
    fn one_that_is_full_is_waited_for_and_one_that_was_tried_is_not() {
        let (peers, mut turns) = (peers(1), Turns::default());
        assert_eq!(ask(&mut turns, &peers, 1), Pick::None);
        peers[0].max_connections.store(1, Relaxed);
        peers[0].in_flight.store(1, Relaxed);
        assert_eq!(ask(&mut turns, &peers, 0), Pick::Wait);
        assert_eq!(ask(&mut turns, &[], 0), Pick::None);
    }

    #[test]
    fn a_list_that_became_shorter_is_no_fault() {
        let mut turns = Turns::default();
        let many = peers(5);
        for _ in 0..5 {
            ask(&mut turns, &many, 0);
        }
        assert_eq!(ask(&mut turns, &peers(2), 0), Pick::Peer(0));
    }
}
