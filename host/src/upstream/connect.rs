//! Connecting to a peer, whoever chose it: for sessions and for health checks.

use super::{
    line::{CONNECT_TIMEOUT, Line},
    pool::{Member, Pool},
};
use crate::{
    services::{
        current::{Current, enter},
        net, panicked, points, timers,
    },
    session::Session,
    worker::generation::WorkerGen,
};
use anyproxy_module_api::abi::{
    error::{Error, ErrorKind, Outcome},
    module::ConnectRequest,
    net::{Addr, SocketOptions},
    session::SessionShared,
    stream::Stream,
    task::{FfiPoll, LocalFuture},
};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

/// Runs `f` for at most `limit` by the session's own deadline: one store, no timer.
pub(super) async fn within_session<T>(
    session: &Session,
    limit: Duration,
    mut f: Pin<&mut impl Future<Output = Result<T, Error>>>,
) -> Result<T, Error> {
    let shared = &session.shared;
    let before = shared.deadline_ms.get();
    shared.fired.set(0);
    shared.deadline_ms.set(timers::now_ms().saturating_add(limit.as_millis() as u64).max(1));
    let result = poll_fn(|cx| match f.as_mut().poll(cx) {
        Poll::Ready(r) => Poll::Ready(r),
        Poll::Pending if shared.kill.get() != 0 => Poll::Ready(Err(Error::bare(ErrorKind::Cancelled))),
        Poll::Pending if shared.fired.get() != 0 => Poll::Ready(Err(Error::bare(ErrorKind::TimedOut))),
        Poll::Pending => Poll::Pending,
    })
    .await;
    shared.fired.set(0);
    shared.deadline_ms.set(before);
    result
}

/// Connects to a member, without greeting.
///
/// # Errors
/// What the connector says.
pub async fn connect(
    pool: &Pool,
    member: &Member,
    worker: &Rc<WorkerGen>,
    session: *const SessionShared,
) -> Result<Stream, Error> {
    let line = &pool.lines[member.line];
    let place = worker.place(line.module, worker.cycle.conf(line.scope, line.module));
    let request = request(line, worker, member, session);
    // The open part of a session is its first field.
    let who = Current { session: session.cast(), ..Current::on_worker(worker, line.module) };
    let future = {
        let _who = enter(who);
        points::connect(&line.connector, place, &request)
    };
    if let Some(future) = future {
        return Connecting { worker, who, future: Some(future) }.await;
    }
    // The limit of time is the caller's.
    let options = SocketOptions { connect_timeout_ms: 0, ..*options(line, worker) };
    net::connect(member.live.addr, &options).await
}

/// A connector's future in its module's name. Its panic is the attempt's error: another peer may be tried.
struct Connecting<'a> {
    worker: &'a WorkerGen,
    /// What is in it is held by whoever waits.
    who: Current,
    future: Option<LocalFuture<Outcome<Stream>>>,
}

impl Future for Connecting<'_> {
    type Output = Result<Stream, Error>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let _who = enter(this.who);
        let result = match this.future.as_mut().map(|f| f.poll_ffi(cx)) {
            Some(FfiPoll::Pending) => return Poll::Pending,
            Some(FfiPoll::Ready(outcome)) => outcome.into(),
            Some(FfiPoll::Panicked) | None => {
                panicked(&this.worker.cycle, this.who.module, "a connector");
                Err(Error::new(ErrorKind::Panicked, "the connector panicked"))
            }
        };
        this.future = None;
        Poll::Ready(result)
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        if self.future.is_some() {
            let _who = enter(self.who);
            self.future = None;
        }
    }
}

/// What the connector says of its sockets: asked once, as it is its block's. One of a module's own goes on from what the plain
/// ones say of the block: a profile of sockets holds whoever makes them.
fn options<'a>(line: &'a Line, worker: &WorkerGen) -> &'a SocketOptions {
    line.options.get_or_init(|| {
        let place = worker.place(line.module, worker.cycle.conf(line.scope, line.module));
        let mut options = SocketOptions { source: Addr::NONE, ..SocketOptions::default() };
        if line.connector.connect.is_some() {
            for (module, plain) in worker.cycle.plain_connectors() {
                let place = worker.place(module, worker.cycle.conf(line.scope, module));
                points::connector_options(plain, place, &mut options);
            }
        }
        let _who = enter(Current::on_worker(worker, line.module));
        points::connector_options(&line.connector, place, &mut options);
        options
    })
}

/// How long a connect may take: as the configuration says, else the connector's options.
pub(super) fn connect_limit(line: &Line, worker: &WorkerGen) -> Duration {
    line.connect_timeout.unwrap_or_else(|| match options(line, worker).connect_timeout_ms {
        0 => CONNECT_TIMEOUT,
        ms => Duration::from_millis(ms.into()),
    })
}

pub(super) fn request<'a>(
    line: &'a Line,
    worker: &WorkerGen,
    member: &'a Member,
    session: *const SessionShared,
) -> ConnectRequest<'a> {
    let host = match line.template {
        Some(_) => member.live.host.rsplit_once(':').map_or("", |(host, _)| host),
        None => &line.host,
    };
    let addr = member.live.addr;
    let port = if addr.is_none() { line.port } else { addr.port() };
    let timeout_ms = u32::try_from(connect_limit(line, worker).as_millis()).unwrap_or(u32::MAX);
    ConnectRequest::new(addr, host, port, session, options(line, worker), timeout_ms)
}
