//! What `ModuleUnderTest` hands out of the module: something that runs, a balancer, an endpoint.

use super::{FakeSession, Peer};
use crate::{
    Error, ErrorKind, Outcome, Pick, PickCx, Received, Task,
    abi::{
        error,
        fake::{BalancerObject, EndpointObject},
        task::{FfiPoll, LocalFuture},
    },
    spawn,
};
use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Something of the module that runs on a session: it goes on in `FakeHost::run_until_stalled` and `advance`.
#[derive(Debug)]
pub struct Running<T> {
    /// The test's end of the stream.
    pub client: Peer,
    /// The session.
    pub session: FakeSession,
    task: Task,
    result: Rc<RefCell<Option<Result<T, Error>>>>,
}

impl<T: 'static> Running<T> {
    pub(super) fn new(f: LocalFuture<error::Outcome<T>>, session: FakeSession, client: Peer) -> Self {
        let result = Rc::new(RefCell::new(None));
        let (to, shared) = (Rc::clone(&result), Rc::clone(&session.0));
        let task = spawn(async move {
            shared.note_waker().await;
            // Not a hold of the module's.
            drop(shared);
            let r = Guarded(f).await;
            *to.borrow_mut() = Some(r);
        });
        Self { client, session, task, result }
    }

    /// The result, once it ended; a panic is `Panicked`. It is given once.
    pub fn result(&mut self) -> Option<Result<T, Error>> {
        self.result.borrow_mut().take()
    }

    /// Ends it where it is, as the end of its session's scope does.
    pub fn abort(&self) {
        self.task.abort();
    }
}

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A future whose panic is a value.
struct Guarded<T>(LocalFuture<error::Outcome<T>>);

impl<T> Future for Guarded<T> {
    type Output = Result<T, Error>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.poll_ffi(cx) {
            FfiPoll::Ready(r) => Poll::Ready(r.into()),
            FfiPoll::Pending => Poll::Pending,
            FfiPoll::Panicked => Poll::Ready(Err(Error::bare(ErrorKind::Panicked))),
        }
    }
}

/// One balancer object; dropped before the module stops.
pub struct FakeBalancer(pub(super) BalancerObject);

impl std::fmt::Debug for FakeBalancer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeBalancer")
    }
}

impl FakeBalancer {
    /// Asks it.
    pub fn pick(&mut self, cx: &PickCx<'_>) -> Pick {
        self.0.pick(cx)
    }

    /// Tells it how a use ended.
    pub fn done(&mut self, peer: u32, outcome: &Outcome) {
        self.0.done(peer, outcome);
    }
}

/// One endpoint of a datagram listener; dropped before the module stops.
pub struct FakeEndpoint(pub(super) EndpointObject);

impl std::fmt::Debug for FakeEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FakeEndpoint")
    }
}

impl FakeEndpoint {
    /// Delivers one datagram, or a run of equal ones (`meta.segment`).
    pub fn deliver(&self, meta: &Received, bytes: &[u8]) {
        self.0.deliver(meta, bytes);
    }
}
