//! Stream handlers: the trait that their author writes, and what of `Registry` takes it.

use super::{Module, Registry, Session, crossing::future};
use crate::abi::{
    bytes::Str,
    error::{Error, Outcome},
    module::{HandlerPoint, Place},
    session::SessionShared,
    stream::Stream,
    task::LocalFuture,
};
use std::future::Future;

/// Takes an accepted stream and its session to the end.
pub trait Handler<M: Module> {
    /// Name that directives refer to.
    const NAME: &'static str;
    /// Serves locals that name peers and no handler.
    const FOR_PEERS: bool = false;
    /// Named by a server it takes all of its sessions, before a local is chosen: see [`Session::exchange`].
    const EXCHANGES: bool = false;
    /// Runs it.
    fn handle(session: Session<M>, stream: Stream) -> impl Future<Output = Result<(), Error>> + 'static;
}

impl<M: Module> Registry<M> {
    /// A stream handler.
    pub fn handler<H: Handler<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn handle<M: Module, H: Handler<M>>(
            p: Place,
            s: *const SessionShared,
            stream: Stream,
        ) -> LocalFuture<Outcome<()>> {
            // SAFETY: see `Registry::listener`.
            future(|| H::handle(unsafe { Session::new(s, p) }, stream))
        }
        self.handlers.push(HandlerPoint {
            name: Str::new(H::NAME),
            for_peers: H::FOR_PEERS,
            exchanges: H::EXCHANGES,
            handle: handle::<M, H>,
        });
        self
    }
}
