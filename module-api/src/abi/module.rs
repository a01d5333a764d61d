//! What a module is to the host: its directives, its life, and the extension points it registers.
//!
//! None of the functions unwinds. `inst` is the module's object for one generation (shared by all workers), `worker` its
//! object on this worker, `conf` its object for the block in question.

use super::{
    bytes::{Sink, Slice, Str},
    conf::{DirectiveDesc, ScopeView},
    error::Outcome,
    host::{Received, Report},
    net::{Addr, SocketOptions},
    session::SessionShared,
    stream::Stream,
    task::LocalFuture,
    upstream::{Outcome as PeerOutcome, Pick, PickCx},
};

/// The module's objects that a call concerns.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The generation's object.
    pub inst: *const (),
    /// This worker's object; null off the workers.
    pub worker: *const (),
    /// The block's object; null where there is none.
    pub conf: *const (),
}

/// The life of a generation, in order. See architecture: describe → create → conf … → prepare → settle → commit →
/// worker_start → serve → drain → worker_stop → stop; `abort` undoes `prepare`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// A new generation's object; null: it panicked.
    pub create: unsafe extern "C" fn() -> *mut (),
    /// The object for one block; null after a report. Not called for a block that says nothing new: the parent's serves.
    pub conf: unsafe extern "C" fn(inst: *const (), *const ScopeView, *mut Report) -> *mut (),
    /// Gives a block's object up.
    pub conf_drop: unsafe extern "C" fn(*mut ()),
    /// Binds, opens, compiles: what can fail, off the workers.
    pub prepare: unsafe extern "C" fn(inst: *const (), *mut Report) -> bool,
    /// Every module has prepared: what others brought to this one is complete.
    pub settle: unsafe extern "C" fn(inst: *const (), *mut Report) -> bool,
    /// The generation goes live.
    pub commit: unsafe extern "C" fn(inst: *const ()),
    /// `prepare` is to be undone.
    pub abort: unsafe extern "C" fn(inst: *const ()),
    /// On each worker, before it serves this generation. The worker's object; null: it panicked.
    pub worker_start: unsafe extern "C" fn(inst: *const (), worker: u32) -> *mut (),
    /// On each worker: the generation is retired, finish.
    pub drain: unsafe extern "C" fn(inst: *const (), worker: *mut ()),
    /// On each worker, after its last session and task: gives the worker's object up.
    pub worker_stop: unsafe extern "C" fn(inst: *const (), worker: *mut ()),
    /// Gives the generation's object up.
    pub stop: unsafe extern "C" fn(inst: *mut ()),
}

/// A kind of listener over stream sockets.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ListenerPoint {
    /// Name that directives refer to.
    pub name: Str,
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
    pub name: Str,
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
pub struct ConnectRequest {
    /// The address.
    pub addr: Addr,
    /// The peer's name as written, without port.
    pub host: Str,
    /// The session it is for; null: a health check.
    pub session: *const SessionShared,
    /// Limit in milliseconds that the host enforces too.
    pub timeout_ms: u32,
}

/// A way to reach a peer.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ConnectorPoint {
    /// Name that directives refer to.
    pub name: Str,
    /// Adjusts the socket, by the peer's configuration.
    pub options: unsafe extern "C" fn(Place, *mut SocketOptions),
    /// Connects; absent: a plain socket, connected by the host.
    pub connect: Option<unsafe extern "C" fn(Place, *const ConnectRequest) -> LocalFuture<Outcome<Stream>>>,
    /// Whether the peer is well, once connected; absent: to connect is enough.
    pub check: Option<unsafe extern "C" fn(Place, Stream) -> LocalFuture<Outcome<()>>>,
}

/// A question to a peer, by which its health checks tell whether it is well.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ProbePoint {
    /// Name that directives of `Role::Probe` refer to.
    pub name: Str,
    /// Asks over a stream that the peer's connector made; `Place::conf` is of the peer's block. The host sees to the limit of
    /// time. An error's text is the reason that is shown.
    pub ask: unsafe extern "C" fn(Place, *const ConnectRequest, Stream) -> LocalFuture<Outcome<()>>,
}

/// What goes to a peer in front of a session's bytes (a header that names the client), whatever the connector.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct GreetingPoint {
    /// Name.
    pub name: Str,
    /// Lower is sent first.
    pub order: i32,
    /// Writes it, by the peer's configuration. Nothing written: nothing sent. False: the peer cannot be used.
    pub write: unsafe extern "C" fn(Place, *const ConnectRequest, *mut Sink) -> bool,
}

/// Takes an accepted stream and its session to the end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HandlerPoint {
    /// Name that directives refer to.
    pub name: Str,
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
    /// Why it is malformed; a static text.
    pub reason: Str,
    /// Bytes to send back before closing when no server matches what was found; a static text, may be binary.
    pub refusal: Slice<u8>,
}

/// Looks at the first bytes of a stream.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PrereadPoint {
    /// Name that directives refer to.
    pub name: Str,
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
    pub name: Str,
    /// The phase.
    pub phase: Phase,
    /// Runs before these.
    pub before: Slice<Str>,
    /// Runs after these.
    pub after: Slice<Str>,
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
    pub name: Str,
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
    pub name: Str,
    /// One line of documentation.
    pub doc: Str,
    /// A new object; `seed` is random.
    pub create: unsafe extern "C" fn(inst: *const (), seed: u64) -> *mut (),
    /// Picks.
    pub pick: unsafe extern "C" fn(*mut (), *const PickCx) -> Pick,
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
    pub name: Str,
    /// One line of documentation.
    pub doc: Str,
    /// Whether it is a family.
    pub prefix: bool,
    /// Writes the value of this session. False: it has none.
    pub write: unsafe extern "C" fn(Place, *const SessionShared, rest: Str, *mut Sink) -> bool,
}

/// A function `${name(…)}`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct FunctionPoint {
    /// Name.
    pub name: Str,
    /// One line of documentation.
    pub doc: Str,
    /// Number of arguments.
    pub arity: u8,
    /// Writes the result.
    pub call: unsafe extern "C" fn(args: Slice<Str>, *mut Sink) -> bool,
}

/// An action of the control socket, `anyproxy ctl <module> <name> …`, or with an empty name the module's status.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ActionPoint {
    /// Name; empty: the module's entry in status.
    pub name: Str,
    /// One line of documentation.
    pub doc: Str,
    /// Takes a JSON text, writes a JSON text. False: what it wrote is the error.
    pub run: unsafe extern "C" fn(inst: *const (), args: Str, *mut Sink) -> bool,
}

/// A contract that this module offers to others.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ProvidePoint {
    /// Name, `module.subject`.
    pub id: Str,
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
    pub id: Str,
    /// The major that it was written for.
    pub major: u16,
    /// The least minor.
    pub minor: u16,
    /// Whether it can do without.
    pub optional: bool,
}

/// Everything that a module registers. Lives as long as the image.
#[repr(C)]
#[derive(Debug)]
pub struct ModuleDesc {
    /// Size of this table as the module knows it.
    pub size: usize,
    /// Id: directive namespace, log target, metric prefix.
    pub id: Str,
    /// The module's version.
    pub version: Str,
    /// Its life.
    pub life: Life,
    /// Directives.
    pub directives: Slice<DirectiveDesc>,
    /// Listeners over streams.
    pub listeners: Slice<ListenerPoint>,
    /// Listeners over datagrams.
    pub datagrams: Slice<DatagramPoint>,
    /// Connectors.
    pub connectors: Slice<ConnectorPoint>,
    /// Greetings to peers.
    pub greetings: Slice<GreetingPoint>,
    /// Stream handlers.
    pub handlers: Slice<HandlerPoint>,
    /// Prereads.
    pub prereads: Slice<PrereadPoint>,
    /// Phase hooks.
    pub hooks: Slice<HookPoint>,
    /// Relays.
    pub relays: Slice<RelayPoint>,
    /// Balancers.
    pub balancers: Slice<BalancerPoint>,
    /// Variables.
    pub variables: Slice<VariablePoint>,
    /// Functions.
    pub functions: Slice<FunctionPoint>,
    /// Actions and status.
    pub actions: Slice<ActionPoint>,
    /// Contracts offered.
    pub provides: Slice<ProvidePoint>,
    /// Contracts needed.
    pub requires: Slice<RequirePoint>,
    /// Questions of health checks. Read by `ModuleDesc::probes`.
    pub probes: Slice<ProbePoint>,
}

impl ModuleDesc {
    /// Questions of health checks; none of a module that was built before there were any.
    pub fn probes(&self) -> &[ProbePoint] {
        let known = self.size >= std::mem::offset_of!(Self, probes) + size_of::<Slice<ProbePoint>>();
        if known { self.probes.as_slice() } else { &[] }
    }
}

// SAFETY: tables that live as long as the image and are not written to.
unsafe impl Sync for ModuleDesc {}
// SAFETY: as above.
unsafe impl Send for ModuleDesc {}
