//! Greetings: what goes to a peer in front of a session's bytes: the trait that their author writes, and what of `Registry` takes it.

use super::{At, Module, Registry, Session, connector::Connect};
use crate::abi::{
    bytes::{Sink, Str},
    module::{ConnectRequest, GreetingPoint, Place},
    task::guard,
};

/// What goes to a peer in front of a session's bytes.
pub trait Greeting<M: Module> {
    /// Name.
    const NAME: &'static str;
    /// Lower is sent first.
    const ORDER: i32;
    /// Writes it; false: the peer cannot be used.
    fn write(at: At<'_, M>, session: &Session<M>, request: &Connect<'_>, out: &mut Sink<'_>) -> bool;
}

impl<M: Module> Registry<M> {
    /// A greeting.
    pub fn greeting<G: Greeting<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn write<M: Module, G: Greeting<M>>(
            p: Place,
            r: *const ConnectRequest<'_>,
            out: *mut Sink<'_>,
        ) -> bool {
            // SAFETY: lent for the call.
            let r = unsafe { &*r };
            if r.session.is_null() {
                // A health check: there is no client to speak of.
                return true;
            }
            // SAFETY: see `Registry::listener`; the request names a live session; the sink is lent for the call.
            guard(|| unsafe { G::write(At::new(p), &Session::lent(r.session, p), r, &mut *out) }).unwrap_or(false)
        }
        self.greetings.push(GreetingPoint { name: Str::new(G::NAME), order: G::ORDER, write: write::<M, G> });
        self
    }
}
