//! What the host offers to modules: one table of functions, the same for every module.
//!
//! None of them unwinds. What they create belongs to the scope that the host is running (generation, worker, session,
//! exchange) and ends with it. Objects are opaque pointers that only these functions take; each has one `…_drop`.
//! Objects that are not streams, listeners, leases or futures (tasks, timers, datagram sockets, watches, files) may be used
//! and given up on any thread, after their scope too, and by several tasks: a call never wakes fewer tasks than wait.

mod values;

pub use values::{
    Connected, Job, MetricDesc, MetricKind, PeerInfo, PeerKey, Pool, Received, RecvBuf, Resolved, Transmit, Zone,
    ZoneDesc,
};

use super::{
    bytes::{Buf, Sink, Slice, Str},
    conf::Span,
    error::Outcome,
    module::{Place, Verdict},
    net::{Addr, SocketOptions},
    session::SessionShared,
    stream::Stream,
    task::{Closure, FfiContext, FfiWakerVtable, LocalFuture, SendFuture},
    upstream::Outcome as PeerOutcome,
};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

/// An object of the host.
pub type Object = *mut ();

/// A worker's clock, written once a turn of its loop.
#[repr(C)]
#[derive(Debug)]
pub struct Clock {
    /// Monotonic milliseconds since the process began.
    pub now_ms: AtomicU64,
    /// Milliseconds since 1970.
    pub unix_ms: AtomicU64,
    /// Monotonic nanoseconds since the process began.
    pub now_ns: AtomicU64,
    /// Tasks that have their turn between two looks at sockets and timers; 0: only what they woke has.
    pub ready: AtomicU64,
}

/// Where a module reports what is wrong with its configuration.
#[repr(C)]
#[derive(Debug)]
pub struct Report {
    /// The host's collection.
    pub data: *mut (),
    /// Adds one: place (or none), text, help, whether it is only a warning.
    pub push: unsafe extern "C" fn(*mut (), *const Span<'_>, message: Str<'_>, help: Str<'_>, warning: bool),
}

/// The host's functions. `size` first; a trailing field beyond it is absent.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "each group is described by the comment above it; the SDK documents each use")]
pub struct HostVtable {
    pub size: usize,
    pub abi_minor: u32,
    pub reserved: u32,
    /// See `task`.
    pub primary: *const FfiWakerVtable,

    // ---- who and where. `worker`: index of this worker, u32::MAX elsewhere. `clock`: this thread's page.
    pub worker: unsafe extern "C" fn() -> u32,
    pub workers: unsafe extern "C" fn() -> u32,
    pub clock: unsafe extern "C" fn() -> *const Clock,
    /// A copy of a text that lives as long as the process; equal texts share one. For what configuration bounds.
    pub intern: unsafe extern "C" fn(Str<'_>) -> Str<'static>,

    // ---- log. Levels: 1 error … 5 trace. `log_level` is the highest that any target wants, one page for all.
    pub log_level: *const AtomicU8,
    pub log: unsafe extern "C" fn(level: u8, target: Str<'_>, message: Str<'_>, fields: Str<'_>),

    // ---- memory: a pooled buffer of at least `size` bytes (16 KiB, 64 KiB and 1 MiB are pooled). Empty when
    // `memory_limit` is reached: stop reading and try again when woken.
    pub buf: unsafe extern "C" fn(size: usize) -> Buf,
    pub buf_wait: unsafe extern "C" fn(&FfiContext<'_>),

    // ---- tasks. A task ends with its scope. `task_drop` lets go without ending it; `task_abort` ends it.
    pub spawn: unsafe extern "C" fn(LocalFuture<()>) -> Object,
    pub spawn_process: unsafe extern "C" fn(SendFuture<()>) -> Object,
    pub task_abort: unsafe extern "C" fn(Object),
    pub task_poll: unsafe extern "C" fn(Object, &FfiContext<'_>) -> u8,
    pub task_drop: unsafe extern "C" fn(Object),
    /// Runs on that worker's thread, in this module's generation. False: there is no such worker any more.
    pub post: unsafe extern "C" fn(worker: u32, Closure) -> bool,
    /// Runs on a pool; the future's end is the job's. Dropping it sets the job's cancel token.
    pub job: unsafe extern "C" fn(Pool, Job) -> LocalFuture<Outcome<()>>,

    // ---- timers. `at_ns`: after now. `timer_poll`: 1 when it passed.
    pub timer: unsafe extern "C" fn(after_ns: u64) -> Object,
    pub timer_reset: unsafe extern "C" fn(Object, after_ns: u64),
    pub timer_poll: unsafe extern "C" fn(Object, &FfiContext<'_>) -> u8,
    pub timer_drop: unsafe extern "C" fn(Object),

    // ---- sockets.
    pub connect: unsafe extern "C" fn(Addr, *const SocketOptions) -> LocalFuture<Outcome<Stream>>,
    /// A stream over a connected, non-blocking socket that the caller gives up.
    pub adopt: unsafe extern "C" fn(fd: i64) -> Outcome<Stream>,
    pub listen: unsafe extern "C" fn(Addr, *const SocketOptions) -> Outcome<Object>,
    pub listener_accept: unsafe extern "C" fn(Object) -> LocalFuture<Outcome<Stream>>,
    pub listener_addr: unsafe extern "C" fn(Object) -> Addr,
    pub listener_drop: unsafe extern "C" fn(Object),
    pub udp: unsafe extern "C" fn(Addr, *const SocketOptions) -> Outcome<Object>,
    pub udp_addr: unsafe extern "C" fn(Object) -> Addr,
    /// Most segments of one `Transmit` (GSO), and of one `Received` (GRO).
    pub udp_segments: unsafe extern "C" fn(Object, receive: bool) -> u32,
    pub udp_recv: unsafe extern "C" fn(Object, &FfiContext<'_>, *mut RecvBuf, *mut Received, usize) -> isize,
    pub udp_send: unsafe extern "C" fn(Object, &FfiContext<'_>, *const Transmit<'_>) -> isize,
    pub udp_writable: unsafe extern "C" fn(Object, &FfiContext<'_>) -> u8,
    /// The error behind the last -2 of `udp_*` and `watch_*` on this thread.
    pub last_error: unsafe extern "C" fn() -> super::error::Error,
    pub udp_drop: unsafe extern "C" fn(Object),
    /// Readiness of any descriptor that epoll takes (bits of `stream::ready`). The descriptor stays the caller's.
    pub watch: unsafe extern "C" fn(fd: i64, bits: u8) -> Outcome<Object>,
    pub watch_poll: unsafe extern "C" fn(Object, &FfiContext<'_>, bits: u8) -> u8,
    pub watch_clear: unsafe extern "C" fn(Object, bits: u8),
    pub watch_drop: unsafe extern "C" fn(Object),

    // ---- names.
    pub resolve: unsafe extern "C" fn(host: Str<'_>, port: u16) -> LocalFuture<Outcome<Object>>,
    pub resolved: unsafe extern "C" fn(Object) -> Slice<'static, Resolved>,
    pub resolved_drop: unsafe extern "C" fn(Object),

    // ---- files, on the blocking pool. Flags: 1 read, 2 write, 4 create, 8 truncate, 16 append, 32 direct.
    pub file_open: unsafe extern "C" fn(path: Str<'_>, flags: u32) -> LocalFuture<Outcome<Object>>,
    /// Fills the spare room of the buffer from `offset`; the buffer comes back.
    pub file_read: unsafe extern "C" fn(Object, offset: u64, Buf) -> LocalFuture<Outcome<Buf>>,
    /// Writes the whole buffer at `offset`.
    pub file_write: unsafe extern "C" fn(Object, offset: u64, Buf) -> LocalFuture<Outcome<Buf>>,
    pub file_sync: unsafe extern "C" fn(Object) -> LocalFuture<Outcome<()>>,
    pub file_len: unsafe extern "C" fn(Object) -> Outcome<u64>,
    pub file_fd: unsafe extern "C" fn(Object) -> i64,
    pub file_drop: unsafe extern "C" fn(Object),
    /// Watches a file or directory; `file_watch_poll` is 1 once for any number of changes since the last time.
    pub file_watch: unsafe extern "C" fn(path: Str<'_>) -> Outcome<Object>,
    pub file_watch_poll: unsafe extern "C" fn(Object, &FfiContext<'_>) -> u8,
    pub file_watch_drop: unsafe extern "C" fn(Object),

    // ---- metrics. Registered in create, prepare or worker_start; `metric_cell` is this worker's own cell.
    pub metric: unsafe extern "C" fn(*const MetricDesc<'_>) -> u32,
    pub metric_cell: unsafe extern "C" fn(u32) -> *const AtomicU64,
    pub metric_observe: unsafe extern "C" fn(u32, u64),

    // ---- state that outlives a generation. In `prepare` only.
    pub zone: unsafe extern "C" fn(*const ZoneDesc<'_>) -> Outcome<Zone>,
    pub zone_drop: unsafe extern "C" fn(Object),

    // ---- data shared between modules, by scope (`ScopeView::id`) and key, inherited from outer blocks. `kind` names the
    // type with its version. Valid within the generation.
    pub publish: unsafe extern "C" fn(scope: u32, key: Str<'_>, kind: Str<'_>, data: *const ()) -> bool,
    pub shared: unsafe extern "C" fn(scope: u32, key: Str<'_>, kind: Str<'_>) -> *const (),
    /// The table of a contract of another module in this generation; from `prepare` on. Null: nobody provides it.
    pub contract: unsafe extern "C" fn(id: Str<'_>, major: u16, minor: u16, layout: u64) -> *const (),

    // ---- sessions. A pointer is valid while retained; the handler's own until its future ends. A retained session keeps
    // its generation: the SDK's `Session` holds the module's objects of it, and a module may keep a `Session`.
    pub session_retain: unsafe extern "C" fn(*const SessionShared),
    pub session_release: unsafe extern "C" fn(*const SessionShared),
    /// Texts handed out stay valid until the session ends, also when they are set anew.
    pub session_domain: unsafe extern "C" fn(*const SessionShared) -> Str<'static>,
    pub session_set_domain: unsafe extern "C" fn(*const SessionShared, Str<'_>),
    pub session_request_id: unsafe extern "C" fn(*const SessionShared) -> Str<'static>,
    pub session_set_request_id: unsafe extern "C" fn(*const SessionShared, Str<'_>),
    /// Notes a stage with its offset for `${stream_work_times}`. The text must be static.
    pub session_stage: unsafe extern "C" fn(*const SessionShared, Str<'static>),
    /// This module's private slot; null until set. `module` is the instance pointer that the host passed.
    pub session_slot: unsafe extern "C" fn(*const SessionShared, module: *const ()) -> *mut (),
    /// Keeps `data` there and gives it up by `drop` when the session ends, unless there is something already, which stays.
    /// Returns what is there.
    pub session_set_slot: unsafe extern "C" fn(
        *const SessionShared,
        module: *const (),
        data: *mut (),
        drop: unsafe extern "C" fn(*mut ()),
    ) -> *mut (),
    /// A template of the configuration with this session's values. `absent`: `-` instead of nothing.
    pub session_render: unsafe extern "C" fn(*const SessionShared, template: u32, absent: bool, *mut Sink<'_>) -> bool,
    pub session_variable: unsafe extern "C" fn(*const SessionShared, name: Str<'_>, *mut Sink<'_>) -> bool,
    /// This module's objects for the block that the session is in now.
    pub session_place: unsafe extern "C" fn(*const SessionShared, module: *const ()) -> Place,
    /// One exchange of a session that carries many: a session of its own (domain, local, variables, slots, lease, access
    /// log) for one request and its answer, several at a time if the protocol has that. One reference is the caller's.
    pub exchange_begin: unsafe extern "C" fn(*const SessionShared) -> *const SessionShared,
    /// Chooses the exchange's server, by its domain where the listener has many, and its local. Index of the local; -1: no
    /// local takes it; -2: no server with this handler has the domain.
    pub exchange_route: unsafe extern "C" fn(*const SessionShared) -> i32,
    /// Asks the hooks of `Phase::Routed` about an exchange whose local was chosen. `Ask`: the future says whether it passes.
    pub exchange_hooks: unsafe extern "C" fn(*const SessionShared, *mut LocalFuture<bool>) -> Verdict,
    /// It is over: it is logged, and its bytes are its session's. Gives the caller's reference back.
    pub exchange_end: unsafe extern "C" fn(*const SessionShared),
    /// The session's generation is retired, and nothing of it is under way on the stream: it goes on as a session of the one
    /// that serves now, with the handler of its server there, which has to be the same one. False: there is none, and the
    /// stream is closed.
    pub session_renew: unsafe extern "C" fn(*const SessionShared, Stream) -> bool,
    /// A connection accepted by the module itself (a stream of a multiplexed transport) enters the listener as a session.
    pub session_accept: unsafe extern "C" fn(listener: u32, Stream, *const Addr) -> bool,

    // ---- upstreams. A lease counts one use of one peer. `upstream`: the number of a value of `Kind::Upstream` of the session's
    // generation; `u32::MAX`: the session's own.
    pub connect_upstream: unsafe extern "C" fn(*const SessionShared, upstream: u32) -> LocalFuture<Outcome<Connected>>,
    /// `tried`: peers (`PeerInfo::id`) that were asked for this session before. Another one is chosen if there is one, as a
    /// retry of the upstream's budget; `Limit`: that is used up.
    pub lease_pick: unsafe extern "C" fn(
        *const SessionShared,
        upstream: u32,
        key: Str<'_>,
        tried: Slice<'_, u64>,
    ) -> LocalFuture<Outcome<Object>>,
    /// The same of the session's own at once, by the client's key; null: it has to be waited for, or fails, as `lease_pick` says.
    pub lease_pick_now: unsafe extern "C" fn(*const SessionShared) -> Object,
    pub lease_connect: unsafe extern "C" fn(Object) -> LocalFuture<Outcome<Stream>>,
    pub lease_info: unsafe extern "C" fn(Object) -> PeerInfo<'static>,
    pub lease_conf: unsafe extern "C" fn(Object, module: *const ()) -> *const (),
    pub lease_done: unsafe extern "C" fn(Object, *const PeerOutcome),
    /// Joins two streams by the best relay that takes them, to the end of both.
    pub relay: unsafe extern "C" fn(*const SessionShared, client: Stream, upstream: Stream) -> LocalFuture<Outcome<()>>,

    // ---- datagram listeners.
    pub datagram_send: unsafe extern "C" fn(listener: u32, &FfiContext<'_>, *const Transmit<'_>) -> isize,
    /// The epoch that connection ids of this process and generation carry.
    pub epoch: unsafe extern "C" fn() -> u32,
    /// Sessions of all generations in this process, for limits that modules keep.
    pub sessions: *const AtomicU32,

    // ---- faults, and turns.
    /// The image of this module and version stopped a panic at its edge: in a waker, a `Drop`, a thunk.
    pub stopped: unsafe extern "C" fn(module: Str<'_>, version: Str<'_>),
    /// Wakes the task at the loop's next turn: after the sockets and the timers had theirs.
    pub defer: unsafe extern "C" fn(&FfiContext<'_>),

    // ---- texts of the configuration.
    /// Whether a text of the running generation may name a variable that begins with this.
    pub names: unsafe extern "C" fn(Str<'_>) -> bool,
    /// What a named group of a regular expression (`Kind::Regex`) matched in this session: `${re.name}` from now on.
    pub session_capture: unsafe extern "C" fn(*const SessionShared, name: Str<'_>, value: Slice<'_, u8>),
    // ---- sessions, continued.
    /// Whether it carries exchanges, which are judged each for itself: its server's handler makes some, or, before a server
    /// is chosen, that of one that may be. Absent: not known, and taken as false.
    pub session_exchanges: unsafe extern "C" fn(*const SessionShared) -> bool,
    /// Two of what `lease_info` says.
    pub lease_peer: unsafe extern "C" fn(Object) -> PeerKey,
    /// `lease_pick` in place of a lease, which goes on, as one whose places the new one has: nothing is waited for, and the
    /// same peer may be chosen where others have no room. `Limit`, `NoPeer`: the lease is as before.
    pub lease_instead:
        unsafe extern "C" fn(Object, *const SessionShared, tried: Slice<'_, u64>) -> LocalFuture<Outcome<Object>>,

    // ---- whose code runs, for contracts. A module is its instance pointer, the host null.
    /// Who runs on this thread.
    pub running: unsafe extern "C" fn() -> *const (),
    /// From now on this module of the running generation runs; who ran before. One that is none of it changes nothing. Whoever
    /// the host was running runs again when its call returns, whatever was left out.
    pub run_as: unsafe extern "C" fn(module: *const ()) -> *const (),
}

// SAFETY: a table of functions and pages that live as long as the process.
unsafe impl Sync for HostVtable {}
// SAFETY: as above.
unsafe impl Send for HostVtable {}
