//! What chooses peers for one pool on one worker: a module's object behind safe methods, or the host's own.

use crate::upstream::{live::PeerLive, turns::Turns};
use anyproxy_module_api::abi::{
    module::{BalancerPoint, Place},
    upstream::{Outcome as PeerOutcome, PeerRef, Pick, PickCx},
};
use std::{ptr, sync::Arc};

/// Peers as a balancer sees them.
#[derive(Debug, Default)]
pub struct Peers {
    refs: Vec<PeerRef<'static>>,
    held: Vec<Arc<PeerLive>>,
}

impl Peers {
    /// One more.
    pub fn push(&mut self, peer: Arc<PeerLive>) {
        // SAFETY: held for as long, and lent out only by `refs`.
        self.refs.push(unsafe { PeerRef::new(&peer.state).unbound() });
        self.held.push(peer);
    }

    /// All of them.
    pub fn refs(&self) -> &[PeerRef<'_>] {
        &self.refs
    }
}

/// What chooses the peers of one pool on one worker.
#[derive(Debug)]
pub enum Balancer {
    /// A module's.
    Module(Picker),
    /// The host's own.
    Turns(Turns),
}

/// A module's balancer's object.
#[derive(Debug)]
pub struct Picker {
    point: BalancerPoint,
    object: *mut (),
}

impl Picker {
    /// A new one for the upstream of the place; `None`: it panicked.
    pub fn create(point: &BalancerPoint, place: Place, seed: u64) -> Option<Self> {
        // SAFETY: the point belongs to the module of the place.
        let object = unsafe { (point.create)(place, seed) };
        // Made only if there is one: it is given back when it is dropped.
        (!object.is_null()).then(|| Self { point: *point, object })
    }

    /// Picks.
    pub fn pick(&mut self, cx: &PickCx<'_>) -> Pick {
        // SAFETY: the object of `create`; the question is lent for the call.
        unsafe { (self.point.pick)(self.object, ptr::from_ref(cx)) }
    }

    /// A use ended.
    pub fn done(&mut self, peer: u32, outcome: &PeerOutcome) {
        // SAFETY: as above.
        unsafe { (self.point.done)(self.object, peer, ptr::from_ref(outcome)) }
    }
}

impl Drop for Picker {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { (self.point.drop)(self.object) }
    }
}
