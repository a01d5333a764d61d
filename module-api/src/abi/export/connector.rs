//! Connectors: ways to reach a peer: the trait that their author writes, and what of `Registry` takes it.

use super::{At, Module, Registry, crossing::future};
use crate::abi::{
    bytes::Str,
    error::{Error, ErrorKind, Outcome},
    module::{ConnectRequest, ConnectorPoint, Place},
    net::SocketOptions,
    stream::Stream,
    task::{LocalFuture, guard},
};
use std::future::Future;

/// A way to reach a peer.
pub trait Connector<M: Module> {
    /// Name that directives refer to.
    const NAME: &'static str;
    /// Adjusts the socket, by the block of the peer's line. Asked once for each line and generation.
    fn options(_at: At<'_, M>, _options: &mut SocketOptions) {}
    /// Connects. Not called for a connector registered as plain.
    fn connect<'a>(_at: At<'a, M>, _request: Connect<'a>) -> impl Future<Output = Result<Stream, Error>> + 'a {
        async { Err(Error::bare(ErrorKind::Unsupported)) }
    }
}

/// What a connector is asked. As [`At`], it cannot be kept beyond the call, or the future made from it:
///
/// ```
/// # use anyproxy_module_api::Connect;
/// fn host<'a>(request: Connect<'a>) -> &'a str {
///     request.host.as_str()
/// }
/// ```
/// ```compile_fail
/// # use anyproxy_module_api::Connect;
/// fn host(request: Connect<'_>) -> &'static str {
///     request.host.as_str()
/// }
/// ```
pub type Connect<'a> = ConnectRequest<'a>;

impl<M: Module> Registry<M> {
    /// A connector that is a plain socket, connected by the host.
    pub fn plain_connector<C: Connector<M>>(&mut self) -> &mut Self {
        self.connectors.push(ConnectorPoint {
            name: Str::new(C::NAME),
            options: connector_options::<M, C>,
            connect: None,
            check: None,
        });
        self
    }

    /// A connector of the module's own.
    pub fn connector<C: Connector<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn connect<M: Module, C: Connector<M>>(
            p: Place,
            request: *const ConnectRequest<'_>,
        ) -> LocalFuture<Outcome<Stream>> {
            // SAFETY: see `Registry::listener`; the request is copied, and its text is there until the future is dropped.
            future(|| C::connect(unsafe { At::new(p) }, unsafe { *request.cast() }))
        }
        self.connectors.push(ConnectorPoint {
            name: Str::new(C::NAME),
            options: connector_options::<M, C>,
            connect: Some(connect::<M, C>),
            check: None,
        });
        self
    }
}

unsafe extern "C" fn connector_options<M: Module, C: Connector<M>>(p: Place, options: *mut SocketOptions) {
    // SAFETY: see `Registry::connector`.
    guard(|| unsafe { C::options(At::new(p), &mut *options) });
}
