//! Relays between two streams: the trait that their author writes, and what of `Registry` takes it.

use super::{At, Module, Registry, Session, crossing::future};
use crate::abi::{
    bytes::Str,
    error::{Error, Outcome},
    module::{Place, RelayPoint},
    session::SessionShared,
    stream::Stream,
    task::{LocalFuture, guard},
};
use std::future::Future;

/// Carries bytes between two streams to the end of both.
pub trait Relay<M: Module> {
    /// Name.
    const NAME: &'static str;
    /// Higher is asked first.
    const PRIORITY: i32;
    /// Whether it takes these two.
    fn takes(at: At<'_, M>, session: &Session<M>, client: &Stream, upstream: &Stream) -> bool;
    /// Runs it.
    fn run(session: Session<M>, client: Stream, upstream: Stream) -> impl Future<Output = Result<(), Error>> + 'static;
}

impl<M: Module> Registry<M> {
    /// A relay.
    pub fn relay<R: Relay<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn takes<M: Module, R: Relay<M>>(
            p: Place,
            s: *const SessionShared,
            client: &Stream,
            upstream: &Stream,
        ) -> bool {
            // SAFETY: see `Registry::listener`.
            guard(|| unsafe { R::takes(At::new(p), &Session::lent(s, p), client, upstream) }).unwrap_or(false)
        }
        unsafe extern "C" fn run<M: Module, R: Relay<M>>(
            p: Place,
            s: *const SessionShared,
            client: Stream,
            upstream: Stream,
        ) -> LocalFuture<Outcome<()>> {
            // SAFETY: see `Registry::listener`.
            future(|| R::run(unsafe { Session::new(s, p) }, client, upstream))
        }
        self.relays.push(RelayPoint {
            name: Str::new(R::NAME),
            priority: R::PRIORITY,
            takes: takes::<M, R>,
            run: run::<M, R>,
        });
        self
    }
}
