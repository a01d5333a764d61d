//! A module's future within a session's task, in the module's name; what its errors say of the session's end.

use super::{Ended, Session};
use crate::services::current::{Current, enter};
use anyproxy_module_api::abi::{
    error::{Error, ErrorKind, Outcome},
    session::{Cause, CloseReason, Stage, Who},
    task::{FfiPoll, LocalFuture},
};
use std::{
    future::Future,
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// A module's future in its name.
pub(super) struct Running<'a, T, R> {
    session: &'a Rc<Session>,
    module: u16,
    future: Option<LocalFuture<T>>,
    result: PhantomData<fn() -> R>,
}

impl<T, R: From<T>> Future for Running<'_, T, R> {
    type Output = Ended<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended<R>> {
        let this = &mut *self;
        let _who = enter(Current::in_session(this.session, this.module));
        let end = match this.future.as_mut().map(|f| f.poll_ffi(cx)) {
            Some(FfiPoll::Pending) => return Poll::Pending,
            Some(FfiPoll::Ready(v)) => Ok(v.into()),
            Some(FfiPoll::Panicked) | None => {
                crate::services::panicked(&this.session.worker.cycle, this.module, "a session");
                Err(CloseReason::new(Who::Proxy, Stage::Transfer, Cause::Panic))
            }
        };
        this.future = None;
        Poll::Ready(end)
    }
}

impl<T, R> Drop for Running<'_, T, R> {
    fn drop(&mut self) {
        if self.future.is_some() {
            let _who = enter(Current::in_session(self.session, self.module));
            self.future = None;
        }
    }
}

impl Session {
    /// Runs a module's future in its name, to its end.
    pub fn run<T>(
        self: &Rc<Self>,
        module: u16,
        future: LocalFuture<Outcome<T>>,
    ) -> impl Future<Output = Ended<Result<T, Error>>> {
        self.run_plain(module, future)
    }

    pub(super) fn run_plain<T, R: From<T>>(self: &Rc<Self>, module: u16, future: LocalFuture<T>) -> Running<'_, T, R> {
        Running { session: self, module, future: Some(future), result: PhantomData }
    }
}

/// The cause that an error stands for.
pub fn cause_of(e: &Error) -> Cause {
    match e.kind {
        ErrorKind::Refused => Cause::Refused,
        ErrorKind::Reset | ErrorKind::BrokenPipe => Cause::Reset,
        ErrorKind::TimedOut => Cause::Timeout,
        ErrorKind::UnexpectedEof => Cause::Closed,
        ErrorKind::Limit => Cause::Limit,
        ErrorKind::Permission => Cause::Denied,
        ErrorKind::Cancelled => Cause::Killed,
        ErrorKind::Panicked => Cause::Panic,
        ErrorKind::Invalid => Cause::Malformed,
        ErrorKind::NoPeer => Cause::NoPeer,
        ErrorKind::Unreachable | ErrorKind::NotFound => Cause::Unreachable,
        ErrorKind::Unsupported => Cause::Protocol,
        ErrorKind::Other
        | ErrorKind::AddrInUse
        | ErrorKind::Exists
        | ErrorKind::StorageFull
        | ErrorKind::WouldBlock => Cause::Internal,
    }
}
