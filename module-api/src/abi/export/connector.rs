//! Connectors: ways to reach a peer: the trait that their author writes, and what of `Registry` takes it.

use super::{At, Module, Registry, Session, crossing::future};
use crate::abi::{
    bytes::Str,
    error::{Error, ErrorKind, Outcome},
    module::{ConnectRequest, ConnectorPoint, Place},
    net::SocketOptions,
    stream::Stream,
    task::{LocalFuture, guard},
};
use std::future::Future;

/// A way to reach a peer. A directive of `Role::Peer` chooses it.
pub trait Connector<M: Module> {
    /// Name that directives refer to.
    const NAME: &'static str;
    /// Whether the host resolves the names of its peers. False: the connector takes names as they are, as a proxy does that
    /// resolves by itself. Then a line is one peer, which status and logs show by its name, `Connect::addr` is `Addr::NONE` for a
    /// name, and `dynamic_domain` has no effect. An address with variables is resolved all the same: `peer_allow` judges it.
    const RESOLVES: bool = true;
    /// Adjusts the socket, by the block of the peer's line. Asked once for each line and generation.
    fn options(_at: At<'_, M>, _options: &mut SocketOptions) {}
    /// Connects. Not called for a connector registered as plain. `at` is the peer's block; `session` is the one that the
    /// connection is for, `None`: a health check's.
    ///
    /// The host drops the future when `connect_timeout` has passed (`Connect::timeout_ms`), when the session is killed, and when
    /// its client goes. The log then names the last [`Session::stage`] that was noted here: `connect failed: timed out, last stage
    /// socks5_auth`.
    ///
    /// # Errors
    /// The peer cannot be reached: the pool tries another one, if there is one. `Refused`, `TimedOut` and `Unreachable` are told apart
    /// in the log; `Permission` is the peer's refusal, too.
    fn connect<'a>(
        _at: At<'a, M>,
        _session: Option<&'a Session<M>>,
        _request: Connect<'a>,
    ) -> impl Future<Output = Result<Stream, Error>> + 'a {
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
            resolves: true,
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
            // SAFETY: the request is copied; what it borrows is there until the future is dropped.
            let request: ConnectRequest<'static> = unsafe { *request.cast() };
            future(move || async move {
                // SAFETY: see `Registry::listener`; a session that is named is live.
                let (at, session) =
                    unsafe { (At::new(p), (!request.session.is_null()).then(|| Session::new(request.session, p))) };
                C::connect(at, session.as_ref(), request).await
            })
        }
        self.connectors.push(ConnectorPoint {
            name: Str::new(C::NAME),
            options: connector_options::<M, C>,
            connect: Some(connect::<M, C>),
            resolves: C::RESOLVES,
            check: None,
        });
        self
    }
}

unsafe extern "C" fn connector_options<M: Module, C: Connector<M>>(p: Place, options: *mut SocketOptions) {
    // SAFETY: see `Registry::connector`.
    guard(|| unsafe { C::options(At::new(p), &mut *options) });
}
