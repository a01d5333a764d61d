//! Questions of health checks: the trait that their author writes, and the method of `Registry` that takes it.

use super::{At, Connect, Module, Registry, crossing::future};
use crate::abi::{
    bytes::Str,
    error::{Error, Outcome},
    module::{ConnectRequest, Place, ProbePoint},
    stream::Stream,
    task::LocalFuture,
};
use std::future::Future;

/// Asks a peer whether it is well. A directive of `Role::Probe` chooses it for the peers of its block.
pub trait Probe<M: Module> {
    /// Name that directives refer to.
    const NAME: &'static str;
    /// Asks over a stream that the peer's connector made, as the sessions' streams are. `at` is the peer's block, `request` the
    /// peer; there is no session. The host ends it when the check's time is over, and so does whoever takes the generation's place.
    ///
    /// # Errors
    /// The peer is not well: the text is shown in status and in the log.
    fn ask<'a>(at: At<'a, M>, request: Connect<'a>, stream: Stream) -> impl Future<Output = Result<(), Error>> + 'a;
}

impl<M: Module> Registry<M> {
    /// A question of health checks.
    pub fn probe<P: Probe<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn ask<M: Module, P: Probe<M>>(
            p: Place,
            request: *const ConnectRequest<'_>,
            stream: Stream,
        ) -> LocalFuture<Outcome<()>> {
            // SAFETY: the host passes this module's objects; the request is copied, and its text is there until the future is
            // dropped.
            future(|| P::ask(unsafe { At::new(p) }, unsafe { *request.cast() }, stream))
        }
        self.probes.push(ProbePoint { name: Str::new(P::NAME), ask: ask::<M, P> });
        self
    }
}
