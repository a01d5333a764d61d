//! Balancers: algorithms that pick peers: the trait that their author writes, and what of `Registry` takes it.

use super::{At, Module, Registry};
use crate::abi::{
    bytes::Str,
    module::{BalancerPoint, Place},
    task::guard,
    upstream::{Outcome as PeerOutcome, Pick, PickCx},
};
use std::ptr;

/// An algorithm that picks peers. One value for each worker, upstream, and kind of peer (ordinary ones, backups): it is used by
/// one thread alone and learns by `pick` who the peers are.
pub trait BalancerImpl<M: Module>: Sized + 'static {
    /// A new one, on the worker, when the upstream is first used there. [`At::conf`] is the object of the upstream's block:
    /// the module's directives of `Contexts::UPSTREAM` stand there. `seed` is random.
    fn create(at: At<'_, M>, seed: u64) -> Self;
    /// Picks. Does not wait.
    fn pick(&mut self, cx: &PickCx<'_>) -> Pick;
    /// A use of the peer of that index ended, also one in which nothing was heard of the peer
    /// ([`Outcome::is_unheard`](PeerOutcome::is_unheard)): that is no success, and no failure.
    fn done(&mut self, _peer: u32, _outcome: &PeerOutcome) {}
}

impl<M: Module> Registry<M> {
    /// A balancer, the algorithm of `balancer "name"`.
    pub fn balancer<B: BalancerImpl<M>>(&mut self, name: &'static str, doc: &'static str) -> &mut Self {
        unsafe extern "C" fn create<M: Module, B: BalancerImpl<M>>(p: Place, seed: u64) -> *mut () {
            // SAFETY: see `Registry::listener`.
            guard(|| Box::into_raw(Box::new(B::create(unsafe { At::new(p) }, seed))).cast()).unwrap_or(ptr::null_mut())
        }
        unsafe extern "C" fn pick<M: Module, B: BalancerImpl<M>>(b: *mut (), cx: *const PickCx<'_>) -> Pick {
            // SAFETY: the object of `create`, used by its own worker only, null when that panicked; the question is lent
            // for the call.
            let (b, cx) = unsafe { (b.cast::<B>().as_mut(), &*cx) };
            b.and_then(|b| guard(|| b.pick(cx))).unwrap_or(Pick::None)
        }
        unsafe extern "C" fn done<M: Module, B: BalancerImpl<M>>(b: *mut (), peer: u32, outcome: *const PeerOutcome) {
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
            create: create::<M, B>,
            pick: pick::<M, B>,
            done: done::<M, B>,
            drop: drop_it::<B>,
        });
        self
    }
}
