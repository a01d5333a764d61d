//! The session of one accepted connection: the fields that modules read and write without a call.
//! Everything else of a session is a function of `HostVtable`.

use super::net::Addr;
use std::cell::Cell;

/// The part of a session that is open to modules. Used on the session's own worker only.
#[repr(C)]
#[derive(Debug)]
pub struct SessionShared {
    /// Unique in the process.
    pub id: u64,
    /// Worker clock, milliseconds, when it began.
    pub started_ms: u64,
    /// When this passes (worker clock, ms; 0: never) `fired` is set and the session's task is woken. One store: no timer
    /// object. Looked at ten times a second.
    pub deadline_ms: Cell<u64>,
    /// Received from the client, bytes.
    pub client_received: Cell<u64>,
    /// Sent to the client, bytes.
    pub client_sent: Cell<u64>,
    /// Received from the upstream, bytes.
    pub upstream_received: Cell<u64>,
    /// Sent to the upstream, bytes.
    pub upstream_sent: Cell<u64>,
    /// Why it ended; set once (see `CloseReason`), 0: not yet.
    pub close_reason: Cell<u32>,
    /// Status for logs, by the protocol that runs it; 0: none.
    pub status: Cell<u32>,
    /// 1: the deadline passed. The handler clears it.
    pub fired: Cell<u8>,
    /// 1: the session is to end now (killed, `shutdown_timeout`). Where it is set for an exchange its session's `fired` is, too, and
    /// that one's task is woken.
    pub kill: Cell<u8>,
    /// Its generation is retired: finish the present exchange, start no other here. 1: another generation serves (see
    /// `session_renew`), 2: this worker takes nothing more.
    pub draining: Cell<u8>,
    /// Whether it may be ended to make room for others: one of [`idle`].
    pub idle: Cell<u8>,
    /// Zero.
    pub reserved: [u8; 4],
    /// The client: the socket's peer, or what a trusted header said.
    pub client: Cell<Addr>,
    /// The socket's peer.
    pub remote: Addr,
    /// The socket's own address.
    pub local: Addr,
}

/// Values of `SessionShared::idle`.
pub mod idle {
    /// Something is under way.
    pub const BUSY: u8 = 0;
    /// It waits for the client to ask for something.
    pub const WAITS: u8 = 1;
    /// It carries bytes, and is idle once its counters of bytes have not changed for a while: the host looks at them.
    pub const CARRIES: u8 = 2;
}

/// Who ended a session.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Who {
    /// The client's side.
    Client = 1,
    /// The upstream's side.
    Upstream = 2,
    /// This proxy.
    Proxy = 3,
}

/// In which stage of its life a session ended.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Accepting, limits.
    Accept = 1,
    /// Reading a header in front of the stream, or the domain.
    Preread = 2,
    /// The handshake of a listener's own protocol.
    Handshake = 3,
    /// Access hooks.
    Access = 4,
    /// Choosing server and local.
    Route = 5,
    /// Choosing a peer, connecting.
    Connect = 6,
    /// Carrying bytes or exchanges.
    Transfer = 7,
}

/// What ended a session.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Both sides ended in order.
    Done = 1,
    /// The side closed where more was expected.
    Closed = 2,
    /// Reset.
    Reset = 3,
    /// A time limit passed.
    Timeout = 4,
    /// Input was malformed.
    Malformed = 5,
    /// A bound was reached.
    Limit = 6,
    /// Refused by a rule.
    Denied = 7,
    /// Nothing matched.
    NoRoute = 8,
    /// No usable peer.
    NoPeer = 9,
    /// Refused by the other side.
    Refused = 10,
    /// Unreachable, name not resolved.
    Unreachable = 11,
    /// A module panicked.
    Panic = 12,
    /// Ended by an operator.
    Killed = 13,
    /// `shutdown_timeout` or `reload_timeout`.
    Shutdown = 14,
    /// A failure of this machine.
    Internal = 15,
    /// Another protocol than expected.
    Protocol = 16,
}

/// Who × stage × cause in one number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CloseReason {
    /// Who.
    pub who: Who,
    /// Stage.
    pub stage: Stage,
    /// Cause.
    pub cause: Cause,
}

impl CloseReason {
    /// Of its parts.
    pub const fn new(who: Who, stage: Stage, cause: Cause) -> Self {
        Self { who, stage, cause }
    }

    /// The number of `SessionShared::close_reason`.
    pub const fn code(self) -> u32 {
        (self.who as u32) << 16 | (self.stage as u32) << 8 | self.cause as u32
    }

    /// `client_transfer_done`: the same word in logs, counters and status; `-` for a code that is none.
    pub fn name(code: u32) -> String {
        Self::words(code).map_or_else(|| "-".to_owned(), |words| words.join("_"))
    }

    /// Who, stage and cause, each in one word; `None`: the code is none.
    pub fn words(code: u32) -> Option<[&'static str; 3]> {
        let who = ["client", "upstream", "proxy"];
        let stage = ["accept", "preread", "handshake", "access", "route", "connect", "transfer"];
        let cause = [
            "done",
            "closed",
            "reset",
            "timeout",
            "malformed",
            "limit",
            "denied",
            "no_route",
            "no_peer",
            "refused",
            "unreachable",
            "panic",
            "killed",
            "shutdown",
            "internal",
            "protocol",
        ];
        let part = |list: &[&'static str], n: u32| list.get((n & 255).wrapping_sub(1) as usize).copied();
        Some([part(&who, code >> 16)?, part(&stage, code >> 8)?, part(&cause, code)?])
    }
}
