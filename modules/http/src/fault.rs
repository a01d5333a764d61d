//! Why a message is not whole.

use anyproxy_module_api::{Cause, Error, ErrorKind, Stage, Who};

/// Why a message is not whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) who: Who,
    pub(crate) stage: Stage,
    pub(crate) cause: Cause,
    /// For the client, if nothing was sent to it yet; 0: it is not there to be told.
    pub(crate) status: u16,
}

impl Fault {
    pub(crate) const fn new(who: Who, cause: Cause, status: u16) -> Self {
        Self { who, stage: Stage::Transfer, cause, status }
    }

    /// A request's body that did not arrive.
    pub(crate) fn of_request(e: &Error) -> Self {
        let (cause, status) = match e.kind {
            ErrorKind::Invalid => (Cause::Malformed, 400),
            ErrorKind::Limit => (Cause::Limit, 413),
            ErrorKind::Reset | ErrorKind::BrokenPipe => (Cause::Reset, 0),
            ErrorKind::TimedOut => (Cause::Timeout, 408),
            _ => (Cause::Closed, 0),
        };
        Self::new(Who::Client, cause, status)
    }

    /// A body that another module made, or passed on.
    pub(crate) fn of_module(e: &Error) -> Self {
        let cause = match e.kind {
            ErrorKind::Panicked => Cause::Panic,
            ErrorKind::TimedOut => Cause::Timeout,
            ErrorKind::Limit => Cause::Limit,
            ErrorKind::Invalid => Cause::Malformed,
            ErrorKind::Reset => Cause::Reset,
            _ => Cause::Closed,
        };
        Self::new(Who::Proxy, cause, 500)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::bare(match fault.cause {
            Cause::Timeout => ErrorKind::TimedOut,
            Cause::Limit => ErrorKind::Limit,
            Cause::Malformed => ErrorKind::Invalid,
            Cause::Reset => ErrorKind::Reset,
            Cause::Killed => ErrorKind::Cancelled,
            Cause::Panic => ErrorKind::Panicked,
            _ => ErrorKind::UnexpectedEof,
        })
    }
}
