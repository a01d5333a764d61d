//! Listeners over stream sockets: the trait that their author writes, and what of `Registry` takes it.

use super::{At, Module, Registry, Session, crossing::future};
use crate::abi::{
    bytes::Str,
    error::{Error, Outcome},
    module::{ListenerPoint, Place},
    net::SocketOptions,
    session::SessionShared,
    stream::Stream,
    task::{LocalFuture, guard},
};
use std::future::Future;

/// A kind of listener over stream sockets.
pub trait Listener<M: Module> {
    /// Name that directives refer to.
    const NAME: &'static str;
    /// Adjusts the socket before it is bound.
    fn options(_at: At<'_, M>, _options: &mut SocketOptions) {}
    /// The protocol's own handshake. Not called for a listener registered as plain.
    fn accept(_session: Session<M>, stream: Stream) -> impl Future<Output = Result<Stream, Error>> + 'static {
        async move { Ok(stream) }
    }
}

impl<M: Module> Registry<M> {
    /// A listener whose sessions start with the socket's own stream.
    pub fn plain_listener<L: Listener<M>>(&mut self) -> &mut Self {
        self.listeners.push(ListenerPoint { name: Str::new(L::NAME), options: listener_options::<M, L>, accept: None });
        self
    }

    /// A listener with a handshake of its own.
    pub fn listener<L: Listener<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn accept<M: Module, L: Listener<M>>(
            p: Place,
            s: *const SessionShared,
            stream: Stream,
        ) -> LocalFuture<Outcome<Stream>> {
            future(|| {
                // SAFETY: here and in every thunk below the host passes this module's objects and a live session.
                L::accept(unsafe { Session::new(s, p) }, stream)
            })
        }
        self.listeners.push(ListenerPoint {
            name: Str::new(L::NAME),
            options: listener_options::<M, L>,
            accept: Some(accept::<M, L>),
        });
        self
    }
}

unsafe extern "C" fn listener_options<M: Module, L: Listener<M>>(p: Place, options: *mut SocketOptions) {
    // SAFETY: see `Registry::listener`; the options are lent for the call.
    guard(|| unsafe { L::options(At::new(p), &mut *options) });
}
