//! Streams, sessions, peers, and the tables of a module.

use super::{
    enums,
    lasting::{ConnectRequest, IoVec, PeerRef, PickCx, ScopeView, Sink, Slice, Str, StreamInfo},
    structs,
};
use crate::abi::{
    bytes::Buf,
    conf::DirectiveDesc,
    error::{Error, Outcome},
    host::{Received, Report},
    module::{
        ActionPoint, BalancerPoint, ConnectorPoint, DatagramPoint, FunctionPoint, GreetingPoint, HandlerPoint,
        HookPoint, Life, ListenerPoint, Look, LookOut, ModuleDesc, Phase, Place, PrereadPoint, ProbePoint,
        ProvidePoint, RelayPoint, RequirePoint, Route, VariablePoint, Verdict,
    },
    net::{Addr, SocketOptions},
    session::{Cause, SessionShared, Stage, Who},
    stream::{RawSocket, Stream, StreamVtable},
    task::{FfiContext, LocalFuture, SendFuture},
    upstream::{Outcome as PeerOutcome, PeerState, Pick},
};
use std::{
    cell::Cell,
    sync::atomic::{AtomicU8, AtomicU32, AtomicU64},
};

pub(super) fn list(out: &mut Vec<String>) {
    structs! { out:
        StreamInfo {
            peer: Addr,
            local: Addr,
            protocol: Str,
            server_name: Str,
            alpn: Str,
        }
        RawSocket {
            fd: i64,
            read_ahead: Buf,
            write_behind: Buf,
            can_recv: bool,
            can_send: bool,
        }
        StreamVtable {
            size: usize,
            bind: unsafe extern "C" fn(*mut (), &FfiContext<'_>),
            unbind: unsafe extern "C" fn(*mut ()),
            state: unsafe extern "C" fn(*mut ()) -> u8,
            read: unsafe extern "C" fn(*mut (), &FfiContext<'_>, *mut u8, usize) -> isize,
            write: unsafe extern "C" fn(*mut (), &FfiContext<'_>, *const u8, usize) -> isize,
            write_more: unsafe extern "C" fn(*mut (), &FfiContext<'_>, *const u8, usize) -> isize,
            writev: unsafe extern "C" fn(*mut (), &FfiContext<'_>, *const IoVec, usize) -> isize,
            flush: unsafe extern "C" fn(*mut (), &FfiContext<'_>) -> isize,
            shutdown: unsafe extern "C" fn(*mut (), &FfiContext<'_>) -> isize,
            error: unsafe extern "C" fn(*mut ()) -> Error,
            info: unsafe extern "C" fn(*mut ()) -> StreamInfo,
            poll_ready: unsafe extern "C" fn(*mut (), &FfiContext<'_>, u8) -> u8,
            clear_ready: unsafe extern "C" fn(*mut (), u8),
            raw_fd: unsafe extern "C" fn(*mut ()) -> i64,
            sendfile: unsafe extern "C" fn(*mut (), &FfiContext<'_>, file: i64, offset: u64, len: usize) -> isize,
            take_raw: unsafe extern "C" fn(*mut (), out: *mut RawSocket) -> bool,
            set_reset: unsafe extern "C" fn(*mut ()),
            unread: unsafe extern "C" fn(*mut (), Buf),
            set_option: unsafe extern "C" fn(*mut (), Str, i64) -> bool,
            drop: unsafe extern "C" fn(*mut ()),
            splice: unsafe extern "C" fn(*mut (), &FfiContext<'_>, pipe: i64, len: usize) -> isize,
        }
        Stream {
            data: *mut (),
            vtable: *const StreamVtable,
        }
        SessionShared {
            id: u64,
            started_ms: u64,
            deadline_ms: Cell<u64>,
            client_received: Cell<u64>,
            client_sent: Cell<u64>,
            upstream_received: Cell<u64>,
            upstream_sent: Cell<u64>,
            close_reason: Cell<u32>,
            status: Cell<u32>,
            fired: Cell<u8>,
            kill: Cell<u8>,
            draining: Cell<u8>,
            idle: Cell<u8>,
            reserved: [u8; 4],
            client: Cell<Addr>,
            remote: Addr,
            local: Addr,
        }
        PeerState {
            id: u64,
            ewma_ns: AtomicU64,
            weight: AtomicU32,
            ramp: AtomicU32,
            in_flight: AtomicU32,
            max_connections: AtomicU32,
            admin: AtomicU8,
            health: AtomicU8,
            ejected: AtomicU8,
            backup: AtomicU8,
            removed: AtomicU8,
            reserved: [u8; 3],
        }
        PickCx {
            peers: Slice<PeerRef>,
            key: Slice<u8>,
            tried: Slice<u64>,
            version: u64,
            random: u64,
            now_ms: u64,
        }
        PeerOutcome {
            connect_ns: u64,
            first_byte_ns: u64,
            total_ns: u64,
            failure: u8,
        }
        Place {
            inst: *const (),
            worker: *const (),
            conf: *const (),
        }
        Life {
            create: unsafe extern "C" fn() -> *mut (),
            conf: unsafe extern "C" fn(inst: *const (), *const ScopeView, *mut Report) -> *mut (),
            conf_drop: unsafe extern "C" fn(*mut ()),
            prepare: unsafe extern "C" fn(inst: *const (), *mut Report) -> bool,
            settle: unsafe extern "C" fn(inst: *const (), *mut Report) -> bool,
            commit: unsafe extern "C" fn(inst: *const ()),
            abort: unsafe extern "C" fn(inst: *const ()),
            worker_start: unsafe extern "C" fn(inst: *const (), worker: u32) -> *mut (),
            drain: unsafe extern "C" fn(inst: *const (), worker: *mut ()),
            worker_stop: unsafe extern "C" fn(inst: *const (), worker: *mut ()),
            stop: unsafe extern "C" fn(inst: *mut ()),
        }
        ListenerPoint {
            name: Str,
            options: unsafe extern "C" fn(Place, *mut SocketOptions),
            accept: Option<unsafe extern "C" fn(Place, *const SessionShared, Stream) -> LocalFuture<Outcome<Stream>>>,
        }
        Route {
            kind: u8,
            epoch: u32,
            worker: u32,
        }
        DatagramPoint {
            name: Str,
            route: unsafe extern "C" fn(inst: *const (), *const u8, usize) -> Route,
            start: unsafe extern "C" fn(Place, listener: u32, local: Addr) -> *mut (),
            deliver: unsafe extern "C" fn(endpoint: *mut (), *const Received, *const u8),
            stop: unsafe extern "C" fn(endpoint: *mut ()),
        }
        ConnectRequest {
            addr: Addr,
            host: Str,
            session: *const SessionShared,
            options: &'static SocketOptions,
            timeout_ms: u32,
            port: u16,
        }
        ConnectorPoint {
            name: Str,
            options: unsafe extern "C" fn(Place, *mut SocketOptions),
            connect: Option<unsafe extern "C" fn(Place, *const ConnectRequest) -> LocalFuture<Outcome<Stream>>>,
            resolves: bool,
            check: Option<unsafe extern "C" fn(Place, Stream) -> LocalFuture<Outcome<()>>>,
        }
        ProbePoint {
            name: Str,
            ask: unsafe extern "C" fn(Place, *const ConnectRequest, Stream) -> LocalFuture<Outcome<()>>,
        }
        GreetingPoint {
            name: Str,
            order: i32,
            write: unsafe extern "C" fn(Place, *const ConnectRequest, *mut Sink) -> bool,
        }
        HandlerPoint {
            name: Str,
            for_peers: bool,
            exchanges: bool,
            handle: unsafe extern "C" fn(Place, *const SessionShared, Stream) -> LocalFuture<Outcome<()>>,
        }
        LookOut {
            consumed: usize,
            reason: Str,
            refusal: Slice<u8>,
            status: u32,
        }
        PrereadPoint {
            name: Str,
            header: bool,
            on_domain: bool,
            max: u32,
            wanted: unsafe extern "C" fn(Place) -> bool,
            look: unsafe extern "C" fn(Place, *const SessionShared, *const u8, usize, *mut LookOut) -> Look,
        }
        HookPoint {
            name: Str,
            phase: Phase,
            before: Slice<Str>,
            after: Slice<Str>,
            applies: unsafe extern "C" fn(Place) -> bool,
            check: unsafe extern "C" fn(Place, *const SessionShared) -> Verdict,
            run: Option<unsafe extern "C" fn(Place, *const SessionShared) -> LocalFuture<bool>>,
        }
        RelayPoint {
            name: Str,
            priority: i32,
            takes: unsafe extern "C" fn(Place, *const SessionShared, client: &Stream, upstream: &Stream) -> bool,
            run: unsafe extern "C" fn(Place, *const SessionShared, client: Stream, upstream: Stream) -> LocalFuture<Outcome<()>>,
        }
        BalancerPoint {
            name: Str,
            doc: Str,
            create: unsafe extern "C" fn(Place, seed: u64) -> *mut (),
            pick: unsafe extern "C" fn(*mut (), *const PickCx) -> Pick,
            done: unsafe extern "C" fn(*mut (), peer: u32, *const PeerOutcome),
            drop: unsafe extern "C" fn(*mut ()),
        }
        VariablePoint {
            name: Str,
            doc: Str,
            prefix: bool,
            write: unsafe extern "C" fn(Place, *const SessionShared, rest: Str, *mut Sink) -> bool,
        }
        FunctionPoint {
            name: Str,
            doc: Str,
            arity_min: u8,
            arity_max: u8,
            call: unsafe extern "C" fn(args: Slice<Str>, *mut Sink) -> bool,
        }
        ActionPoint {
            name: Str,
            doc: Str,
            run: unsafe extern "C" fn(inst: *const (), args: Str, *mut Sink) -> bool,
            later: Option<unsafe extern "C" fn(inst: *const (), args: Str) -> SendFuture<Outcome<Buf>>>,
        }
        ProvidePoint {
            id: Str,
            major: u16,
            minor: u16,
            layout: u64,
            table: unsafe extern "C" fn(inst: *const ()) -> *const (),
        }
        RequirePoint {
            id: Str,
            major: u16,
            minor: u16,
            optional: bool,
        }
        ModuleDesc {
            size: usize,
            id: Str,
            version: Str,
            life: Life,
            directives: Slice<DirectiveDesc>,
            listeners: Slice<ListenerPoint>,
            datagrams: Slice<DatagramPoint>,
            connectors: Slice<ConnectorPoint>,
            greetings: Slice<GreetingPoint>,
            handlers: Slice<HandlerPoint>,
            prereads: Slice<PrereadPoint>,
            hooks: Slice<HookPoint>,
            relays: Slice<RelayPoint>,
            balancers: Slice<BalancerPoint>,
            variables: Slice<VariablePoint>,
            functions: Slice<FunctionPoint>,
            actions: Slice<ActionPoint>,
            provides: Slice<ProvidePoint>,
            requires: Slice<RequirePoint>,
            probes: Slice<ProbePoint>,
        }
    }
    enums! { out:
        Who { Client, Upstream, Proxy }
        Stage { Accept, Preread, Handshake, Access, Route, Connect, Transfer }
        Cause { Done, Closed, Reset, Timeout, Malformed, Limit, Denied, NoRoute, NoPeer, Refused, Unreachable, Panic, Killed, Shutdown, Internal, Protocol }
        Look { More, NotMine, Found, Malformed }
        Phase { Access, Log, Routed }
        Verdict { Pass, Deny, Ask }
    }
}
