//! Peers as the host keeps them, and the question a balancer answers.
//! Peer state is host-owned and outlives generations; a module reads it, the host writes it.

use super::bytes::Slice;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

/// What an operator said of a peer. Kept apart from health and from what the file says.
pub mod admin {
    /// In use.
    pub const READY: u8 = 0;
    /// No new connections; the present ones go on.
    pub const DRAIN: u8 = 1;
    /// Out of use.
    pub const MAINT: u8 = 2;
}

/// What health checks and name resolution found.
pub mod health {
    /// In use (also before the first check).
    pub const UP: u8 = 0;
    /// Failed its checks.
    pub const DOWN: u8 = 1;
    /// Its name has no address yet.
    pub const UNRESOLVED: u8 = 2;
}

/// The live state of one peer, shared by all workers.
#[repr(C)]
#[derive(Debug)]
pub struct PeerState {
    /// Names the peer across reloads and processes: a hash of upstream, connector and address.
    pub id: u64,
    /// Moving average of the time to the first response byte (or of connecting), in nanoseconds; 0: none yet.
    pub ewma_ns: AtomicU64,
    /// Configured or overridden weight, 0: never picked.
    pub weight: AtomicU32,
    /// Share of the weight that holds now, in thousandths: below 1000 during `slow_start`.
    pub ramp: AtomicU32,
    /// Connections and attempts under way.
    pub in_flight: AtomicU32,
    /// Limit of `in_flight`; 0: none.
    pub max_connections: AtomicU32,
    /// See `admin`.
    pub admin: AtomicU8,
    /// See `health`.
    pub health: AtomicU8,
    /// 1 while passively ejected.
    pub ejected: AtomicU8,
    /// 1: used only when no other peer is usable.
    pub backup: AtomicU8,
    /// 1 when it left the configuration.
    pub removed: AtomicU8,
    /// Zero.
    pub reserved: [u8; 3],
}

impl PeerState {
    /// A peer in use with `weight` and no limit.
    pub const fn new(id: u64, weight: u32) -> Self {
        Self {
            id,
            ewma_ns: AtomicU64::new(0),
            weight: AtomicU32::new(weight),
            ramp: AtomicU32::new(1000),
            in_flight: AtomicU32::new(0),
            max_connections: AtomicU32::new(0),
            admin: AtomicU8::new(admin::READY),
            health: AtomicU8::new(health::UP),
            ejected: AtomicU8::new(0),
            backup: AtomicU8::new(0),
            removed: AtomicU8::new(0),
            reserved: [0; 3],
        }
    }

    /// Whether it may get new connections at all, its limit left aside.
    pub fn is_usable(&self) -> bool {
        self.admin.load(Relaxed) == admin::READY
            && self.health.load(Relaxed) == health::UP
            && self.ejected.load(Relaxed) == 0
            && self.removed.load(Relaxed) == 0
            && self.weight.load(Relaxed) != 0
    }

    /// Whether its connection limit leaves room.
    pub fn has_room(&self) -> bool {
        let max = self.max_connections.load(Relaxed);
        max == 0 || self.in_flight.load(Relaxed) < max
    }

    /// Weight in thousandths that holds now.
    pub fn effective_weight(&self) -> u64 {
        u64::from(self.weight.load(Relaxed)) * u64::from(self.ramp.load(Relaxed).max(1))
    }
}

/// A peer in a set.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct PeerRef<'a>(&'a PeerState);

impl<'a> PeerRef<'a> {
    /// Of a peer.
    pub const fn new(state: &'a PeerState) -> Self {
        Self(state)
    }

    /// The state.
    pub const fn state(self) -> &'a PeerState {
        self.0
    }

    /// The same for as long as the holder says.
    ///
    /// # Safety
    /// The state is there for as long as it is used.
    pub const unsafe fn unbound<'b>(self) -> PeerRef<'b> {
        // SAFETY: see above.
        PeerRef(unsafe { &*std::ptr::from_ref(self.0) })
    }
}

/// What a balancer is asked.
#[repr(C)]
#[derive(Debug)]
pub struct PickCx<'a> {
    /// The peers of the tier in question (ordinary ones, or backups when no ordinary one is usable), in file order.
    pub peers: Slice<'a, PeerRef<'a>>,
    /// Bytes to hash for algorithms that go by the session: the text of `balancer_key` in the upstream's block, else what the
    /// caller of [`Session::pick_peer`](crate::Session::pick_peer) said, else the client's address, 4 or 16 bytes.
    pub key: Slice<'a, u8>,
    /// One bit a peer: already tried for this session.
    pub tried: Slice<'a, u64>,
    /// Changes whenever `peers` is another list.
    pub version: u64,
    /// Fresh random bits.
    pub random: u64,
    /// The worker's clock, milliseconds.
    pub now_ms: u64,
}

impl PickCx<'_> {
    /// Whether peer `n` was already tried.
    pub fn was_tried(&self, n: usize) -> bool {
        self.tried.as_slice().get(n / 64).is_some_and(|w| w >> (n % 64) & 1 == 1)
    }

    /// Whether peer `n` is usable, has room and was not tried.
    pub fn can_pick(&self, n: usize) -> bool {
        let p = self.peers[n].state();
        p.is_usable() && p.has_room() && !self.was_tried(n)
    }
}

/// A balancer's answer.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This one, by index.
    Peer(u32),
    /// All usable ones are at their limit: wait in the queue.
    Wait,
    /// None is usable.
    None,
}

/// How one use of a peer ended.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Time to connect, nanoseconds.
    pub connect_ns: u64,
    /// Time to the first byte of the answer, nanoseconds; 0: none came.
    pub first_byte_ns: u64,
    /// Whole time, nanoseconds.
    pub total_ns: u64,
    /// 0: well, 1: connect failed, 2: failed later, 3: nothing was heard of the peer ([`Outcome::UNHEARD`]).
    pub failure: u8,
}

impl Outcome {
    /// Of a use of which nothing was heard: the peer was not asked, or whoever asked went before it answered. It has neither
    /// failed nor done well, so it counts for nothing but the use's end.
    pub const UNHEARD: Self = Self { connect_ns: 0, first_byte_ns: 0, total_ns: 0, failure: 3 };

    /// Whether nothing was heard of the peer.
    pub const fn is_unheard(&self) -> bool {
        self.failure == Self::UNHEARD.failure
    }
}
