//! The extension points that a module may register, each a table of functions.

use super::Place;
use crate::abi::{
    bytes::{Buf, Sink, Slice, Str},
    error::Outcome,
    host::Received,
    net::{Addr, SocketOptions},
    session::SessionShared,
    stream::Stream,
    task::{LocalFuture, SendFuture},
    upstream::{Outcome as PeerOutcome, Pick, PickCx},
};

/// A kind of listener over stream sockets.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ListenerPoint {
    /// Name that directives refer to.
    pub name: Str<'static>,
    /// Adjusts the socket before it is bound, by the configuration of the listener's first server.
    pub options: unsafe extern "C" fn(Place, *mut SocketOptions),
    /// The protocol's own handshake; absent: the socket's stream is the session's.
    pub accept: Option<unsafe extern "C" fn(Place, *const SessionShared, Stream) -> LocalFuture<Outcome<Stream>>>,
}

/// Who owns a datagram.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// 0: new here, 1: the owner named below, 2: drop it.
    pub kind: u8,
    /// Epoch of the owner's generation or process.
    pub epoch: u32,
    /// The owner's worker.
    pub worker: u32,
}

impl Route {
    /// It begins something new: the worker that received it takes it.
    pub const NEW: Self = Self { kind: 0, epoch: 0, worker: 0 };
    /// Nobody wants it.
    pub const DROP: Self = Self { kind: 2, epoch: 0, worker: 0 };
    /// It belongs to what `worker` of the generation with `epoch` began.
    pub const fn owner(epoch: u32, worker: u32) -> Self {
        Self { kind: 1, epoch, worker }
    }
}

/// A kind of listener over datagrams. The host reads the socket in batches and delivers to the owner: another worker, an
/// older image, or the process before `--hot`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DatagramPoint {
    /// Name that directives refer to.
    pub name: Str<'static>,
    /// Whose is this?
    pub route: unsafe extern "C" fn(inst: *const (), *const u8, usize) -> Route,
    /// Starts on this worker for one listener.
    pub start: unsafe extern "C" fn(Place, listener: u32, local: Addr) -> *mut (),
    /// Datagrams for this worker (one or a GRO run).
    pub deliver: unsafe extern "C" fn(endpoint: *mut (), *const Received, *const u8),
    /// Gives the endpoint up.
    pub stop: unsafe extern "C" fn(endpoint: *mut ()),
}

/// Whom to connect to.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ConnectRequest<'a> {
    /// The address; `Addr::NONE` where the connector takes names as they are and the peer has one.
    pub addr: Addr,
    /// The peer's name as written, without port.
    pub host: Str<'a>,
    /// The session it is for; null: a health check. A module is given it as what it is.
    pub(in crate::abi) session: *const SessionShared,
    /// How the block wants its sockets: what the plain connectors of all modules say of it (a `socket` profile), then what the
    /// peer's own connector does (`Connector::options`).
    pub options: &'a SocketOptions,
    /// Limit in milliseconds, after which the host drops the future.
    pub timeout_ms: u32,
    /// The peer's port; 0: it has none.
    pub port: u16,
}

impl<'a> ConnectRequest<'a> {
    /// The host's, or a fake host's. `session`: live for as long as the request is used, or null.
    pub const fn new(
        addr: Addr,
        host: &'a str,
        port: u16,
        session: *const SessionShared,
        options: &'a SocketOptions,
        timeout_ms: u32,
    ) -> Self {
        Self { addr, host: Str::new(host), session, options, timeout_ms, port }
    }
}

/// A way to reach a peer.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ConnectorPoint {
    /// Name that directives refer to.
    pub name: Str<'static>,
    /// Adjusts the socket, by the peer's configuration.
    pub options: unsafe extern "C" fn(Place, *mut SocketOptions),
    /// Connects; absent: a plain socket, connected by the host.
    pub connect: Option<unsafe extern "C" fn(Place, *const ConnectRequest<'_>) -> LocalFuture<Outcome<Stream>>>,
    /// Whether the host resolves a peer's name before, so that each address is a peer; else the name itself is the peer.
    pub resolves: bool,
    /// Whether the peer is well, once connected; absent: to connect is enough.
    pub check: Option<unsafe extern "C" fn(Place, Stream) -> LocalFuture<Outcome<()>>>,
}

/// A question to a peer, by which its health checks tell whether it is well.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ProbePoint {
    /// Name that directives of `Role::Probe` refer to.
    pub name: Str<'static>,
    /// Asks over a stream that the peer's connector made; `Place::conf` is of the peer's block. The host sees to the limit of
    /// time. An error's text is the reason that is shown.
    pub ask: unsafe extern "C" fn(Place, *const ConnectRequest<'_>, Stream) -> LocalFuture<Outcome<()>>,
}

/// What goes to a peer in front of a session's bytes (a header that names the client), whatever the connector.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GreetingPoint {
    /// Name.
    pub name: Str<'static>,
    /// Lower is sent first.
    pub order: i32,
    /// Writes it, by the peer's configuration. Nothing written: nothing sent. False: the peer cannot be used.
    pub write: unsafe extern "C" fn(Place, *const ConnectRequest<'_>, *mut Sink<'_>) -> bool,
}

/// Takes an accepted stream and its session to the end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HandlerPoint {
    /// Name that directives refer to.
    pub name: Str<'static>,
    /// Serves locals that name peers and no handler.
    pub for_peers: bool,
    /// Named by a server it takes all of its sessions, before a local is chosen, and carries many exchanges in one: for each
    /// it asks for an exchange and its local (`exchange_begin`, `exchange_route`).
    pub exchanges: bool,
    /// Runs it.
    pub handle: unsafe extern "C" fn(Place, *const SessionShared, Stream) -> LocalFuture<Outcome<()>>,
}

/// What a preread says of the bytes so far.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Look {
    /// More bytes are needed.
    More = 0,
    /// Not this protocol.
    NotMine = 1,
    /// Found: `consumed` bytes are taken off the stream, the session knows the rest.
    Found = 2,
    /// This protocol, but wrong: close.
    Malformed = 3,
}

/// Details of a `Look`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct LookOut {
    /// Bytes to take off the stream.
    pub consumed: usize,
    /// Why it is malformed; with `Look::More`, why it would be if nothing more came: a client that ends here is turned away
    /// (without a word where none of its bytes came). Empty with `More`: one that ends here is not this protocol's. A static text.
    pub reason: Str<'static>,
    /// Bytes to send back before closing when no server matches what was found, or it is malformed; a static text, may be binary.
    pub refusal: Slice<'static, u8>,
    /// The status that a refusal says, for logs; 0: none.
    pub status: u32,
}

/// Looks at the first bytes of a stream.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PrereadPoint {
    /// Name that directives refer to.
    pub name: Str<'static>,
    /// Headers in front of the stream come before domains.
    pub header: bool,
    /// Whether it runs on every `domain` listener without a directive.
    pub on_domain: bool,
    /// Most bytes it may ask for.
    pub max: u32,
    /// Whether this listener's configuration wants it.
    pub wanted: unsafe extern "C" fn(Place) -> bool,
    /// Looks; may set the session's domain, client address and request id.
    pub look: unsafe extern "C" fn(Place, *const SessionShared, *const u8, usize, *mut LookOut) -> Look,
}

/// Phases that hooks may join.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Before anything is read that is not a header in front of the stream.
    Access = 0,
    /// After the end.
    Log = 1,
    /// After server and local are chosen.
    Routed = 2,
}

/// A hook's answer.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Go on.
    Pass = 0,
    /// Close.
    Deny = 1,
    /// Run the asynchronous part.
    Ask = 2,
}

/// A step in a phase. Order is stated by the hooks themselves.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HookPoint {
    /// Its own name: `module.name`.
    pub name: Str<'static>,
    /// The phase.
    pub phase: Phase,
    /// Runs before these.
    pub before: Slice<'static, Str<'static>>,
    /// Runs after these.
    pub after: Slice<'static, Str<'static>>,
    /// Whether it has anything to do in a block: where not, it is not asked. Called once for each block of a configuration,
    /// before it is prepared, off the workers.
    pub applies: unsafe extern "C" fn(Place) -> bool,
    /// Decides at once, or asks for `run`.
    pub check: unsafe extern "C" fn(Place, *const SessionShared) -> Verdict,
    /// Decides in its own time. True: pass.
    pub run: Option<unsafe extern "C" fn(Place, *const SessionShared) -> LocalFuture<bool>>,
}

/// Carries bytes between two streams to the end of both.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RelayPoint {
    /// Name.
    pub name: Str<'static>,
    /// Higher is asked first.
    pub priority: i32,
    /// Whether it takes these two.
    pub takes: unsafe extern "C" fn(Place, *const SessionShared, client: &Stream, upstream: &Stream) -> bool,
    /// Runs it.
    pub run:
        unsafe extern "C" fn(Place, *const SessionShared, client: Stream, upstream: Stream) -> LocalFuture<Outcome<()>>,
}

/// An algorithm that picks peers. One object a worker and upstream.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct BalancerPoint {
    /// Name in `balancer "name"`.
    pub name: Str<'static>,
    /// One line of documentation.
    pub doc: Str<'static>,
    /// A new object for the upstream of `Place::conf`; `seed` is random.
    pub create: unsafe extern "C" fn(Place, seed: u64) -> *mut (),
    /// Picks.
    pub pick: unsafe extern "C" fn(*mut (), *const PickCx<'_>) -> Pick,
    /// A use ended.
    pub done: unsafe extern "C" fn(*mut (), peer: u32, *const PeerOutcome),
    /// Gives the object up.
    pub drop: unsafe extern "C" fn(*mut ()),
}

/// A variable `${name}`, or a family `${name<rest>}`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct VariablePoint {
    /// Name, or what a family's names begin with.
    pub name: Str<'static>,
    /// One line of documentation.
    pub doc: Str<'static>,
    /// Whether it is a family.
    pub prefix: bool,
    /// Writes the value of this session. False: it has none.
    pub write: unsafe extern "C" fn(Place, *const SessionShared, rest: Str<'_>, *mut Sink<'_>) -> bool,
}

/// A function `${name(…)}`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FunctionPoint {
    /// Name.
    pub name: Str<'static>,
    /// One line of documentation.
    pub doc: Str<'static>,
    /// Fewest arguments.
    pub arity_min: u8,
    /// Most arguments.
    pub arity_max: u8,
    /// Writes the result.
    pub call: unsafe extern "C" fn(args: Slice<'_, Str<'_>>, *mut Sink<'_>) -> bool,
}

/// An action of the control socket, `anyproxy ctl <module> <name> …`, or with an empty name the module's status.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ActionPoint {
    /// Name; empty: the module's entry in status.
    pub name: Str<'static>,
    /// One line of documentation.
    pub doc: Str<'static>,
    /// Takes a JSON text, writes a JSON text. False: what it wrote is the error.
    pub run: unsafe extern "C" fn(inst: *const (), args: Str<'_>, *mut Sink<'_>) -> bool,
    /// The same in its own time, in place of `run`: the text, or an error whose text is shown. `inst` is there until the future is
    /// dropped, on the thread that polled it.
    pub later: Option<unsafe extern "C" fn(inst: *const (), args: Str<'_>) -> SendFuture<Outcome<Buf>>>,
}

/// A contract that this module offers to others.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ProvidePoint {
    /// Name, `module.subject`.
    pub id: Str<'static>,
    /// Changes when something released changed.
    pub major: u16,
    /// Grows with additions.
    pub minor: u16,
    /// Fingerprint of the table's released part.
    pub layout: u64,
    /// The table for one generation, valid as long as it.
    pub table: unsafe extern "C" fn(inst: *const ()) -> *const (),
}

/// A contract that this module needs.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct RequirePoint {
    /// Name.
    pub id: Str<'static>,
    /// The major that it was written for.
    pub major: u16,
    /// The least minor.
    pub minor: u16,
    /// Whether it can do without.
    pub optional: bool,
}
