//! Values: text, buffers, errors, addresses, futures, configuration, the note.

use super::{
    enums,
    lasting::{Node, Prop, ScopeView, Sink, Slice, Span, Str, Value},
    structs,
};
use crate::abi::{
    bytes::Buf,
    conf::{Answers, ArgDesc, Contexts, DirectiveDesc, Inherit, Kind, Repeat, Role, ScopeKind},
    error::{Error, ErrorKind},
    net::{Addr, SocketOptions, Where},
    task::{Closure, FfiContext, FfiPoll, FfiWaker, FfiWakerVtable, LocalFuture},
};
use std::marker::PhantomData;

type LentContext = FfiContext<'static>;

pub(super) fn list(out: &mut Vec<String>) {
    structs! { out:
        Str [of] {
            ptr: *const u8,
            len: usize,
        }
        Slice<u8> [of] {
            ptr: *const u8,
            len: usize,
            owns: PhantomData<u8>,
        }
        Buf {
            ptr: *mut u8,
            len: usize,
            cap: usize,
            owner: *mut (),
            release: Option<unsafe extern "C" fn(owner: *mut (), ptr: *mut u8, cap: usize)>,
        }
        Sink [of] {
            data: *mut (),
            write: unsafe extern "C" fn(data: *mut (), ptr: *const u8, len: usize),
        }
        Error {
            kind: ErrorKind,
            reserved: u16,
            os: i32,
            text: Buf,
        }
        Addr {
            family: u8,
            reserved: u8,
            port: u16,
            scope: u32,
            place: Where,
        }
        SocketOptions {
            send_buffer: u32,
            recv_buffer: u32,
            connect_timeout_ms: u32,
            keepalive_s: u32,
            user_timeout_ms: u32,
            tos: u32,
            mark: u32,
            nodelay: bool,
            fastopen: bool,
            defer_accept: bool,
            reuseport: bool,
            v6_only: bool,
            transparent: bool,
            unix_mode: u16,
            backlog: u32,
            source: Addr,
        }
        FfiWaker {
            data: *const (),
            vtable: *const FfiWakerVtable,
        }
        FfiWakerVtable {
            clone: unsafe extern "C" fn(*const ()) -> FfiWaker,
            wake: unsafe extern "C" fn(*const ()),
            wake_by_ref: unsafe extern "C" fn(*const ()),
            drop: unsafe extern "C" fn(*const ()),
        }
        LentContext {
            waker: FfiWaker,
            borrowed: PhantomData<&'static ()>,
        }
        LocalFuture<()> {
            data: *mut (),
            poll: unsafe extern "C" fn(*mut (), &FfiContext<'_>) -> FfiPoll<()>,
            drop: unsafe extern "C" fn(*mut ()),
        }
        Closure {
            data: *mut (),
            finish: unsafe extern "C" fn(*mut (), run: bool) -> bool,
        }
        ArgDesc {
            name: Str,
            doc: Str,
            default: Str,
            choices: Slice<Str>,
            min: i64,
            max: i64,
            kind: Kind,
            required: bool,
            repeated: bool,
            secret: bool,
            reserved: [usize; 2],
        }
        DirectiveDesc {
            name: Str,
            doc: Str,
            example: Str,
            default: Str,
            point: Str,
            args: Slice<ArgDesc>,
            props: Slice<ArgDesc>,
            children: Slice<DirectiveDesc>,
            contexts: Contexts,
            role: Role,
            repeat: Repeat,
            inherit: Inherit,
            change: u8,
            answers: Answers,
            reserved: [usize; 3],
        }
        Span {
            file: Str,
            line: u32,
            column: u32,
            offset: u32,
            len: u32,
        }
        Value {
            kind: Kind,
            redacted: bool,
            num: i64,
            text: Str,
            span: Span,
        }
        Prop {
            name: Str,
            value: Value,
        }
        Node {
            name: Str,
            args: Slice<Value>,
            props: Slice<Prop>,
            children: Slice<Node>,
            span: Span,
            arg_defaults: Slice<Prop>,
            defaults: Slice<Prop>,
        }
        ScopeView {
            kind: ScopeKind,
            name: Str,
            nodes: Slice<Node>,
            parent: *const (),
            span: Span,
            id: u32,
        }
    }
    enums! { out:
        ErrorKind { Other, Refused, Reset, TimedOut, UnexpectedEof, Limit, NotFound, Permission, AddrInUse, Unsupported, Cancelled, Panicked, Invalid, NoPeer, BrokenPipe, Unreachable, Exists, StorageFull, WouldBlock }
        Kind { Bool, Int, Text, Size, Time, Rate, Choice, Path, Address, Template, Regex, Cidr, Float, Percent, Listen, Upstream }
        Role { Value, ListenPort, ListenDomain, Peer, Handler, Preread, Probe }
        Answers { No, Alone, WithPeers, ByPeers, Some }
        Repeat { Error, Append }
        Inherit { Never, Replace, Append }
        ScopeKind { Main, Net, Server, Local, Upstream, Peer }
    }
}
