//! Balancers: algorithms that pick peers: the trait that their author writes, and what of `Registry` takes it.

use super::{Module, Registry};
use crate::abi::{
    bytes::Str,
    module::BalancerPoint,
    task::guard,
    upstream::{Outcome as PeerOutcome, Pick, PickCx},
};
use std::ptr;

/// An algorithm that picks peers. One value a worker and upstream.
pub trait BalancerImpl: 'static {
    /// Picks.
    fn pick(&mut self, cx: &PickCx<'_>) -> Pick;
    /// A use ended.
    fn done(&mut self, _peer: u32, _outcome: &PeerOutcome) {}
}

impl<M: Module> Registry<M> {
    /// A balancer, made by `B::default` seeded by `seed`.
    pub fn balancer<B: BalancerImpl + From<u64>>(&mut self, name: &'static str, doc: &'static str) -> &mut Self {
        unsafe extern "C" fn create<B: BalancerImpl + From<u64>>(_: *const (), seed: u64) -> *mut () {
            guard(|| Box::into_raw(Box::new(B::from(seed))).cast()).unwrap_or(ptr::null_mut())
        }
        unsafe extern "C" fn pick<B: BalancerImpl>(b: *mut (), cx: *const PickCx<'_>) -> Pick {
            // SAFETY: the object of `create`, used by its own worker only, null when that panicked; the question is lent
            // for the call.
            let (b, cx) = unsafe { (b.cast::<B>().as_mut(), &*cx) };
            b.and_then(|b| guard(|| b.pick(cx))).unwrap_or(Pick::None)
        }
        unsafe extern "C" fn done<B: BalancerImpl>(b: *mut (), peer: u32, outcome: *const PeerOutcome) {
            // SAFETY: as above.
            let (b, outcome) = unsafe { (b.cast::<B>().as_mut(), &*outcome) };
            b.and_then(|b| guard(|| b.done(peer, outcome)));
        }
        unsafe extern "C" fn drop_it<B>(b: *mut ()) {
            if b.is_null() {
                return;
            }
            // SAFETY: the object of `create`, given up once.
            guard(|| drop(unsafe { Box::from_raw(b.cast::<B>()) }));
        }
        self.balancers.push(BalancerPoint {
            name: Str::new(name),
            doc: Str::new(doc),
            create: create::<B>,
            pick: pick::<B>,
            done: done::<B>,
            drop: drop_it::<B>,
        });
        self
    }
}
