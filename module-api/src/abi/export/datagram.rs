//! Listeners over datagrams: the traits that their authors write, and what of `Registry` takes them.

use super::{At, Module, Registry};
use crate::abi::{
    bytes::Str,
    host::Received,
    module::{DatagramPoint, Place, Route},
    net::Addr,
    task::guard,
};
use std::ptr;

/// A kind of listener over datagrams.
pub trait DatagramListener<M: Module> {
    /// Name that directives refer to.
    const NAME: &'static str;
    /// What serves one listener on one worker.
    type Endpoint: DatagramEndpoint;
    /// Who owns this datagram?
    fn route(module: &M, datagram: &[u8]) -> Route;
    /// Starts on this worker.
    fn start(at: At<'_, M>, listener: u32, local: Addr) -> Self::Endpoint;
}

/// Serves the datagrams of one listener on one worker.
pub trait DatagramEndpoint: 'static {
    /// One datagram, or a run of equal ones.
    fn deliver(&self, meta: &Received, bytes: &[u8]);
}

impl<M: Module> Registry<M> {
    /// A listener over datagrams.
    pub fn datagram_listener<L: DatagramListener<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn route<M: Module, L: DatagramListener<M>>(
            inst: *const (),
            ptr: *const u8,
            len: usize,
        ) -> Route {
            // SAFETY: this module's instance; `len` bytes lent for the call.
            guard(|| unsafe { L::route(&*inst.cast::<M>(), std::slice::from_raw_parts(ptr, len)) }).unwrap_or(Route {
                kind: 2,
                epoch: 0,
                worker: 0,
            })
        }
        unsafe extern "C" fn start<M: Module, L: DatagramListener<M>>(p: Place, listener: u32, local: Addr) -> *mut () {
            // SAFETY: see `Registry::listener`.
            guard(|| Box::into_raw(Box::new(L::start(unsafe { At::new(p) }, listener, local))).cast())
                .unwrap_or(ptr::null_mut())
        }
        unsafe extern "C" fn deliver<E: DatagramEndpoint>(e: *mut (), meta: *const Received, bytes: *const u8) {
            // SAFETY: the endpoint of `start`, null when that panicked.
            let Some(e) = (unsafe { e.cast::<E>().as_ref() }) else { return };
            // SAFETY: meta and bytes lent for the call.
            guard(|| unsafe { e.deliver(&*meta, std::slice::from_raw_parts(bytes, (*meta).len)) });
        }
        unsafe extern "C" fn stop<E>(e: *mut ()) {
            if e.is_null() {
                return;
            }
            // SAFETY: the endpoint of `start`, given up once.
            guard(|| drop(unsafe { Box::from_raw(e.cast::<E>()) }));
        }
        self.datagrams.push(DatagramPoint {
            name: Str::new(L::NAME),
            route: route::<M, L>,
            start: start::<M, L>,
            deliver: deliver::<L::Endpoint>,
            stop: stop::<L::Endpoint>,
        });
        self
    }
}
