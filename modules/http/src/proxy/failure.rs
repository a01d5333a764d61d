//! Why no peer answers a request, and what is said of it: to the client by an answer of this proxy's, to a module by an
//! error.

use crate::{
    fault::Fault,
    multi_hop,
    reply::{Call, Reply},
    respond::refuse,
};
use anyproxy_module_api::{Cause, CloseReason, Error, ErrorKind, Stage, Who, tracing};

/// Why a request has no answer from a peer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody is there to be asked.
    Peer(Error),
    /// Who was asked gave no answer.
    Fault(Fault),
    /// It is no request that could be passed on: the status that says so.
    Refused(u16),
}

impl Failure {
    /// What the client gets.
    pub(crate) fn reply(self, call: &Call<'_>) -> Reply {
        match self {
            Self::Peer(e) => unreachable(call, &e),
            Self::Fault(fault) => failed(call, &fault),
            Self::Refused(status) => refuse(call, status),
        }
    }

    /// What a module is told.
    pub(super) fn error(self) -> Error {
        match self {
            Self::Peer(e) => e,
            // `Invalid` is what the module itself has made.
            Self::Fault(Fault { who: Who::Upstream, cause: Cause::Malformed, .. }) => {
                Error::new(ErrorKind::Other, "the peer's answer is malformed")
            }
            Self::Fault(fault) => fault.into(),
            Self::Refused(_) => Error::bare(ErrorKind::Invalid),
        }
    }
}

fn unreachable(call: &Call<'_>, e: &Error) -> Reply {
    let (status, cause) = match e.kind {
        ErrorKind::TimedOut => (504, Cause::Timeout),
        ErrorKind::Refused => (502, Cause::Refused),
        ErrorKind::NoPeer => (502, Cause::NoPeer),
        ErrorKind::Limit => (503, Cause::Limit),
        ErrorKind::Permission => (multi_hop::denied(call), Cause::Denied),
        _ => (502, Cause::Unreachable),
    };
    if e.kind == ErrorKind::NoPeer && call.exchange.worker().tells_no_peer() {
        tracing::warn!(session = call.exchange.id, status, "no peer: {e}");
    } else {
        tracing::debug!(session = call.exchange.id, status, "no peer: {e}");
    }
    // Both are this proxy's own word.
    let who = if matches!(cause, Cause::Denied | Cause::Limit) { Who::Proxy } else { Who::Upstream };
    call.exchange.close(CloseReason::new(who, Stage::Connect, cause));
    refuse(call, status)
}

fn failed(call: &Call<'_>, fault: &Fault) -> Reply {
    call.exchange.close(CloseReason::new(fault.who, fault.stage, fault.cause));
    let status = match (fault.status, fault.who) {
        (0, Who::Upstream) => 502,
        (0, Who::Proxy) => 503,
        (0, _) => 400,
        (status, _) => status,
    };
    refuse(call, status)
}
