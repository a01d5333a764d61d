//! The host's table and what its functions take.

use super::{
    enums,
    lasting::{MetricDesc, PeerInfo, Sink, Slice, Span, Str, Transmit, ZoneDesc},
    structs,
};
use crate::abi::{
    bytes::Buf,
    error::{Error, Outcome},
    host::{
        Clock, Connected, HostVtable, Job, MetricKind, Object, PeerKey, Pool, Received, RecvBuf, Report, Resolved, Zone,
    },
    module::{Place, Verdict},
    net::{Addr, SocketOptions},
    session::SessionShared,
    stream::Stream,
    task::{Closure, FfiContext, FfiWakerVtable, LocalFuture, SendFuture},
    upstream::Outcome as PeerOutcome,
};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

pub(super) fn list(out: &mut Vec<String>) {
    structs! { out:
        Clock {
            now_ms: AtomicU64,
            unix_ms: AtomicU64,
            now_ns: AtomicU64,
            ready: AtomicU64,
        }
        Job {
            data: *mut (),
            finish: unsafe extern "C" fn(data: *mut (), run: bool, cancelled: *const AtomicU8) -> bool,
        }
        Transmit {
            to: Addr,
            from: Addr,
            bytes: Slice<u8>,
            segment: usize,
            ecn: u8,
        }
        Received {
            from: Addr,
            to: Addr,
            len: usize,
            segment: usize,
            ecn: u8,
        }
        RecvBuf {
            ptr: *mut u8,
            len: usize,
        }
        Resolved {
            addr: Addr,
            ttl_s: u32,
        }
        MetricDesc {
            name: Str,
            help: Str,
            labels: Str,
            unit: Str,
            kind: MetricKind,
        }
        ZoneDesc {
            name: Str,
            schema: u32,
            create: unsafe extern "C" fn() -> *mut (),
            export: unsafe extern "C" fn(*mut (), *mut Sink) -> bool,
            import: unsafe extern "C" fn(schema: u32, *const u8, usize) -> *mut (),
            drop: unsafe extern "C" fn(*mut ()),
        }
        Zone {
            data: *mut (),
            frozen: *const AtomicU8,
            handle: Object,
        }
        PeerInfo {
            upstream: Str,
            host: Str,
            addr: Addr,
            connector: Str,
            id: u64,
            connect_ns: u64,
            index: u32,
            greeted: u8,
            reserved: [u8; 3],
        }
        PeerKey {
            id: u64,
            greeted: u64,
        }
        Connected {
            stream: Stream,
            lease: Object,
        }
        Report {
            data: *mut (),
            push: unsafe extern "C" fn(*mut (), *const Span, message: Str, help: Str, warning: bool),
        }
        HostVtable {
            size: usize,
            abi_minor: u32,
            reserved: u32,
            primary: *const FfiWakerVtable,
            worker: unsafe extern "C" fn() -> u32,
            workers: unsafe extern "C" fn() -> u32,
            clock: unsafe extern "C" fn() -> *const Clock,
            intern: unsafe extern "C" fn(Str) -> Str,
            log_level: *const AtomicU8,
            log: unsafe extern "C" fn(level: u8, target: Str, message: Str, fields: Str),
            buf: unsafe extern "C" fn(size: usize) -> Buf,
            buf_wait: unsafe extern "C" fn(&FfiContext<'_>),
            spawn: unsafe extern "C" fn(LocalFuture<()>) -> Object,
            spawn_process: unsafe extern "C" fn(SendFuture<()>) -> Object,
            task_abort: unsafe extern "C" fn(Object),
            task_poll: unsafe extern "C" fn(Object, &FfiContext<'_>) -> u8,
            task_drop: unsafe extern "C" fn(Object),
            post: unsafe extern "C" fn(worker: u32, Closure) -> bool,
            job: unsafe extern "C" fn(Pool, Job) -> LocalFuture<Outcome<()>>,
            timer: unsafe extern "C" fn(after_ns: u64) -> Object,
            timer_reset: unsafe extern "C" fn(Object, after_ns: u64),
            timer_poll: unsafe extern "C" fn(Object, &FfiContext<'_>) -> u8,
            timer_drop: unsafe extern "C" fn(Object),
            connect: unsafe extern "C" fn(Addr, *const SocketOptions) -> LocalFuture<Outcome<Stream>>,
            adopt: unsafe extern "C" fn(fd: i64) -> Outcome<Stream>,
            listen: unsafe extern "C" fn(Addr, *const SocketOptions) -> Outcome<Object>,
            listener_accept: unsafe extern "C" fn(Object) -> LocalFuture<Outcome<Stream>>,
            listener_addr: unsafe extern "C" fn(Object) -> Addr,
            listener_drop: unsafe extern "C" fn(Object),
            udp: unsafe extern "C" fn(Addr, *const SocketOptions) -> Outcome<Object>,
            udp_addr: unsafe extern "C" fn(Object) -> Addr,
            udp_segments: unsafe extern "C" fn(Object, receive: bool) -> u32,
            udp_recv: unsafe extern "C" fn(Object, &FfiContext<'_>, *mut RecvBuf, *mut Received, usize) -> isize,
            udp_send: unsafe extern "C" fn(Object, &FfiContext<'_>, *const Transmit) -> isize,
            udp_writable: unsafe extern "C" fn(Object, &FfiContext<'_>) -> u8,
            last_error: unsafe extern "C" fn() -> Error,
            udp_drop: unsafe extern "C" fn(Object),
            watch: unsafe extern "C" fn(fd: i64, bits: u8) -> Outcome<Object>,
            watch_poll: unsafe extern "C" fn(Object, &FfiContext<'_>, bits: u8) -> u8,
            watch_clear: unsafe extern "C" fn(Object, bits: u8),
            watch_drop: unsafe extern "C" fn(Object),
            resolve: unsafe extern "C" fn(host: Str, port: u16) -> LocalFuture<Outcome<Object>>,
            resolved: unsafe extern "C" fn(Object) -> Slice<Resolved>,
            resolved_drop: unsafe extern "C" fn(Object),
            file_open: unsafe extern "C" fn(path: Str, flags: u32) -> LocalFuture<Outcome<Object>>,
            file_read: unsafe extern "C" fn(Object, offset: u64, Buf) -> LocalFuture<Outcome<Buf>>,
            file_write: unsafe extern "C" fn(Object, offset: u64, Buf) -> LocalFuture<Outcome<Buf>>,
            file_sync: unsafe extern "C" fn(Object) -> LocalFuture<Outcome<()>>,
            file_len: unsafe extern "C" fn(Object) -> Outcome<u64>,
            file_fd: unsafe extern "C" fn(Object) -> i64,
            file_drop: unsafe extern "C" fn(Object),
            file_watch: unsafe extern "C" fn(path: Str) -> Outcome<Object>,
            file_watch_poll: unsafe extern "C" fn(Object, &FfiContext<'_>) -> u8,
            file_watch_drop: unsafe extern "C" fn(Object),
            metric: unsafe extern "C" fn(*const MetricDesc) -> u32,
            metric_cell: unsafe extern "C" fn(u32) -> *const AtomicU64,
            metric_observe: unsafe extern "C" fn(u32, u64),
            zone: unsafe extern "C" fn(*const ZoneDesc) -> Outcome<Zone>,
            zone_drop: unsafe extern "C" fn(Object),
            publish: unsafe extern "C" fn(scope: u32, key: Str, kind: Str, data: *const ()) -> bool,
            shared: unsafe extern "C" fn(scope: u32, key: Str, kind: Str) -> *const (),
            contract: unsafe extern "C" fn(id: Str, major: u16, minor: u16, layout: u64) -> *const (),
            session_retain: unsafe extern "C" fn(*const SessionShared),
            session_release: unsafe extern "C" fn(*const SessionShared),
            session_domain: unsafe extern "C" fn(*const SessionShared) -> Str,
            session_set_domain: unsafe extern "C" fn(*const SessionShared, Str),
            session_request_id: unsafe extern "C" fn(*const SessionShared) -> Str,
            session_set_request_id: unsafe extern "C" fn(*const SessionShared, Str),
            session_stage: unsafe extern "C" fn(*const SessionShared, Str),
            session_slot: unsafe extern "C" fn(*const SessionShared, module: *const ()) -> *mut (),
            session_set_slot: unsafe extern "C" fn(*const SessionShared, module: *const (), data: *mut (), drop: unsafe extern "C" fn(*mut ())) -> *mut (),
            session_render: unsafe extern "C" fn(*const SessionShared, template: u32, absent: bool, *mut Sink) -> bool,
            session_variable: unsafe extern "C" fn(*const SessionShared, name: Str, *mut Sink) -> bool,
            session_place: unsafe extern "C" fn(*const SessionShared, module: *const ()) -> Place,
            exchange_begin: unsafe extern "C" fn(*const SessionShared) -> *const SessionShared,
            exchange_route: unsafe extern "C" fn(*const SessionShared) -> i32,
            exchange_hooks: unsafe extern "C" fn(*const SessionShared, *mut LocalFuture<bool>) -> Verdict,
            exchange_end: unsafe extern "C" fn(*const SessionShared),
            session_renew: unsafe extern "C" fn(*const SessionShared, Stream) -> bool,
            session_accept: unsafe extern "C" fn(listener: u32, Stream, *const Addr) -> bool,
            connect_upstream: unsafe extern "C" fn(*const SessionShared, upstream: u32) -> LocalFuture<Outcome<Connected>>,
            lease_pick: unsafe extern "C" fn(*const SessionShared, upstream: u32, key: Str, tried: Slice<u64>) -> LocalFuture<Outcome<Object>>,
            lease_pick_now: unsafe extern "C" fn(*const SessionShared) -> Object,
            lease_connect: unsafe extern "C" fn(Object) -> LocalFuture<Outcome<Stream>>,
            lease_info: unsafe extern "C" fn(Object) -> PeerInfo,
            lease_conf: unsafe extern "C" fn(Object, module: *const ()) -> *const (),
            lease_done: unsafe extern "C" fn(Object, *const PeerOutcome),
            relay: unsafe extern "C" fn(*const SessionShared, client: Stream, upstream: Stream) -> LocalFuture<Outcome<()>>,
            datagram_send: unsafe extern "C" fn(listener: u32, &FfiContext<'_>, *const Transmit) -> isize,
            epoch: unsafe extern "C" fn() -> u32,
            sessions: *const AtomicU32,
            stopped: unsafe extern "C" fn(module: Str, version: Str),
            defer: unsafe extern "C" fn(&FfiContext<'_>),
            names: unsafe extern "C" fn(Str) -> bool,
            session_capture: unsafe extern "C" fn(*const SessionShared, name: Str, value: Slice<u8>),
            session_exchanges: unsafe extern "C" fn(*const SessionShared) -> bool,
            lease_peer: unsafe extern "C" fn(Object) -> PeerKey,
            lease_instead: unsafe extern "C" fn(Object, *const SessionShared, tried: Slice<u64>) -> LocalFuture<Outcome<Object>>,
            running: unsafe extern "C" fn() -> *const (),
            run_as: unsafe extern "C" fn(module: *const ()) -> *const (),
        }
    }
    enums! { out:
        Pool { Blocking, Compute }
        MetricKind { Counter, Gauge, Histogram }
    }
}
