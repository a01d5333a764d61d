//! Calls of the extension points that modules registered: the raw functions behind safe ones. Who is running is set by the
//! caller.

use crate::session::Session;
use anyproxy_module_api::abi::{
    bytes::{Sink, Slice, Str},
    error::Outcome,
    module::{
        ConnectRequest, ConnectorPoint, FunctionPoint, GreetingPoint, HandlerPoint, HookPoint, ListenerPoint, Look,
        LookOut, Place, PrereadPoint, ProbePoint, RelayPoint, VariablePoint, Verdict,
    },
    net::SocketOptions,
    stream::Stream,
    task::LocalFuture,
};
use std::ptr;

/// See `ListenerPoint::options`.
pub fn listener_options(point: &ListenerPoint, place: Place, options: &mut SocketOptions) {
    // SAFETY: the point belongs to the module of the place; the options are lent for the call.
    unsafe { (point.options)(place, ptr::from_mut(options)) }
}

/// See `ConnectorPoint::options`.
pub fn connector_options(point: &ConnectorPoint, place: Place, options: &mut SocketOptions) {
    // SAFETY: as above.
    unsafe { (point.options)(place, ptr::from_mut(options)) }
}

/// See `ListenerPoint::accept`; `None`: a plain listener.
pub fn accept(
    point: &ListenerPoint,
    place: Place,
    session: &Session,
    stream: Stream,
) -> Result<LocalFuture<Outcome<Stream>>, Stream> {
    match point.accept {
        // SAFETY: as above; the session is alive.
        Some(accept) => Ok(unsafe { accept(place, session.shared_ptr(), stream) }),
        None => Err(stream),
    }
}

/// See `HandlerPoint::handle`.
pub fn handle(point: &HandlerPoint, place: Place, session: &Session, stream: Stream) -> LocalFuture<Outcome<()>> {
    // SAFETY: as above.
    unsafe { (point.handle)(place, session.shared_ptr(), stream) }
}

/// See `PrereadPoint::wanted`.
pub fn preread_wanted(point: &PrereadPoint, place: Place) -> bool {
    // SAFETY: as above.
    unsafe { (point.wanted)(place) }
}

/// See `PrereadPoint::look`.
pub fn look(point: &PrereadPoint, place: Place, session: &Session, bytes: &[u8], out: &mut LookOut) -> Look {
    // SAFETY: as above; bytes and `out` are lent for the call.
    unsafe { (point.look)(place, session.shared_ptr(), bytes.as_ptr(), bytes.len(), ptr::from_mut(out)) }
}

/// See `HookPoint::check`.
pub fn check(point: &HookPoint, place: Place, session: &Session) -> Verdict {
    // SAFETY: as above.
    unsafe { (point.check)(place, session.shared_ptr()) }
}

/// See `HookPoint::run`.
pub fn run_hook(point: &HookPoint, place: Place, session: &Session) -> Option<LocalFuture<bool>> {
    // SAFETY: as above.
    point.run.map(|run| unsafe { run(place, session.shared_ptr()) })
}

/// See `RelayPoint::takes`.
pub fn relay_takes(point: &RelayPoint, place: Place, session: &Session, client: &Stream, upstream: &Stream) -> bool {
    // SAFETY: as above.
    unsafe { (point.takes)(place, session.shared_ptr(), client, upstream) }
}

/// See `RelayPoint::run`.
pub fn relay_run(
    point: &RelayPoint,
    place: Place,
    session: &Session,
    client: Stream,
    upstream: Stream,
) -> LocalFuture<Outcome<()>> {
    // SAFETY: as above.
    unsafe { (point.run)(place, session.shared_ptr(), client, upstream) }
}

/// See `VariablePoint::write`.
pub fn variable(point: &VariablePoint, place: Place, session: &Session, rest: &str, out: &mut Vec<u8>) -> bool {
    let mut sink = Sink::to_vec(out);
    // SAFETY: as above; the sink is lent for the call.
    unsafe { (point.write)(place, session.shared_ptr(), Str::new(rest), &raw mut sink) }
}

/// Calls a function that a module registered.
pub fn function(point: &FunctionPoint, args: &[Str<'_>], out: &mut Vec<u8>) -> bool {
    let mut sink = Sink::to_vec(out);
    // SAFETY: the point's own function; arguments and sink are lent for the call.
    unsafe { (point.call)(Slice::new(args), &raw mut sink) }
}

/// See `ConnectorPoint::connect`; `None`: a plain socket.
pub fn connect(
    point: &ConnectorPoint,
    place: Place,
    request: &ConnectRequest<'_>,
) -> Option<LocalFuture<Outcome<Stream>>> {
    // SAFETY: as above; the request is copied by the callee.
    point.connect.map(|connect| unsafe { connect(place, ptr::from_ref(request)) })
}

/// See `ConnectorPoint::check`.
pub fn check_peer(point: &ConnectorPoint, place: Place, stream: Stream) -> Option<LocalFuture<Outcome<()>>> {
    // SAFETY: as above.
    point.check.map(|check| unsafe { check(place, stream) })
}

/// See `ProbePoint::ask`.
pub fn ask(point: &ProbePoint, place: Place, request: &ConnectRequest<'_>, stream: Stream) -> LocalFuture<Outcome<()>> {
    // SAFETY: as above; the request is lent for the call.
    unsafe { (point.ask)(place, ptr::from_ref(request), stream) }
}

/// See `GreetingPoint::write`. False: the peer cannot be used.
pub fn greet(point: &GreetingPoint, place: Place, request: &ConnectRequest<'_>, out: &mut Vec<u8>) -> bool {
    let mut sink = Sink::to_vec(out);
    // SAFETY: as above; request and sink are lent for the call.
    unsafe { (point.write)(place, ptr::from_ref(request), &raw mut sink) }
}

/// A listening point that changes nothing: for sessions that a datagram listener's module hands in.
pub fn plain_listener(name: Str<'static>) -> ListenerPoint {
    unsafe extern "C" fn no_options(_: Place, _: *mut SocketOptions) {}
    ListenerPoint { name, options: no_options, accept: None }
}
