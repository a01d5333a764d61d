//! The contract between the host and its modules, and the face on which a module is written.
//!
//! A module is a type that implements [`Module`], a few [`directive!`]s and one [`export_module!`]. It is ordinary async
//! Rust: [`spawn`], [`sleep`], [`connect`] and streams with `read` and `write`; there is no runtime in it, the host's
//! services do the work. `abi` underneath is the only place with `unsafe` and the only one that crosses images.

pub mod abi;
/// The examples of the book.
#[cfg(doctest)]
#[doc = include_str!("../../doc/src/points.md")]
mod book {}
pub mod io;
mod log;
mod macros;
#[cfg(feature = "splice")]
pub mod pipe;
mod regular;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;

/// The socket of `services`; `Listener` itself is the extension point.
pub use abi::services::Listener as SocketListener;
pub use abi::{
    bytes::{Buf, IoVec, Sink, Slice, Str},
    conf::{
        Answers, ArgDesc, Contexts, DirectiveDesc, Inherit, Kind, Node, Prop, Repeat, Role, ScopeKind, Span, SpanBuf,
        Value,
    },
    error::{Error, ErrorKind},
    export::{
        Action, ActionLater, Asked, At, BalancerImpl, Connect, Connector, ContractTable, DatagramEndpoint,
        DatagramListener, Exchange, Function, Greeting, Handler, Hook, Listener, Module, Preread, Probe, Problems,
        Registry, Relay, Routed, Scope, Session, Variable, is_preparing,
    },
    fd::{AsSocket, BorrowedFile, BorrowedSocket, OwnedSocket},
    host::{PeerInfo, PeerKey, Pool, Received, Resolved, Transmit},
    module::{Look, LookOut, Phase, Route, Verdict},
    net::{Addr, SocketOptions},
    recycled::Recycled,
    services::*,
    session::{Cause, CloseReason, SessionShared, Stage, Who, idle},
    stream::{RawSocket, Stream, StreamImpl, StreamInfo, ready},
    upstream::{Outcome, PeerRef, PeerState, Pick, PickCx},
};
pub use regular::{open_regular, read_regular};
pub use tracing;

#[doc(hidden)]
pub use inventory;
