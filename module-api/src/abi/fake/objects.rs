//! What a module's points made: a balancer, an endpoint of a datagram listener.

use crate::abi::{
    host::Received,
    module::{BalancerPoint, DatagramPoint},
    upstream::{Outcome as PeerOutcome, Pick, PickCx},
};
use std::ptr;

/// One balancer object.
pub(crate) struct BalancerObject {
    pub(super) data: *mut (),
    pub(super) point: BalancerPoint,
}

impl BalancerObject {
    pub(crate) fn pick(&mut self, cx: &PickCx<'_>) -> Pick {
        // SAFETY: data belongs to the point.
        unsafe { (self.point.pick)(self.data, ptr::from_ref(cx)) }
    }
    pub(crate) fn done(&mut self, peer: u32, outcome: &PeerOutcome) {
        // SAFETY: as above.
        unsafe { (self.point.done)(self.data, peer, ptr::from_ref(outcome)) }
    }
}

impl Drop for BalancerObject {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { (self.point.drop)(self.data) }
    }
}

/// One endpoint of a datagram listener.
pub(crate) struct EndpointObject {
    pub(super) data: *mut (),
    pub(super) point: DatagramPoint,
}

impl EndpointObject {
    pub(crate) fn deliver(&self, meta: &Received, bytes: &[u8]) {
        assert_eq!(meta.len, bytes.len(), "the meta's length is the bytes'");
        // SAFETY: data belongs to the point; meta and bytes are lent for the call.
        unsafe { (self.point.deliver)(self.data, ptr::from_ref(meta), bytes.as_ptr()) }
    }
}

impl Drop for EndpointObject {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { (self.point.stop)(self.data) }
    }
}
