//! The life of a connection, from accept to access log, in one file. Knows no protocol: each step that does is a module's.
//!
//! ```text
//! accept → headers in front (preread) → access hooks → domain (preread) → server → the listener's own handshake
//!        → local, by rules → hooks → handler → log
//! ```
//!
//! A server's handler of exchanges takes the session before a local is chosen; each of its exchanges (`exchange`) is a
//! session of its own, which begins with domain, server and local, and ends with its log.

use super::{Ended, Session, cause_of};
use crate::{
    cycle::listener::Listener,
    process::process,
    services::{
        current::{Current, enter},
        points, rt,
    },
    worker::{Worker, generation::WorkerGen},
};
use anyproxy_module_api::abi::{
    bytes::Str,
    error::{Error, Outcome},
    module::Phase,
    net::Addr,
    session::{Cause, CloseReason, Stage, Who},
    stream::Stream,
    task::LocalFuture,
};
use pin_project_lite::pin_project;
use std::{
    future::{Future, poll_fn},
    net::IpAddr,
    pin::Pin,
    rc::Rc,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll},
};

/// Starts the session of a connection accepted by `listener`.
pub fn start(
    worker: &Rc<Worker>,
    generation: &Rc<WorkerGen>,
    listener: &Rc<Listener>,
    stream: Stream,
    remote: Addr,
    local: Addr,
) {
    let session = Session::new(generation, listener, remote, local);
    spawn(worker, session, |session| async move { live(&session, stream).await });
}

/// Goes on with a session of a retired generation, between two exchanges, as one of the generation that serves now. False:
/// no server there has its handler.
pub fn renew(old: &Rc<Session>, stream: Stream) -> bool {
    let Some(worker) = crate::worker::here() else { return false };
    let Some(generation) = worker.current().filter(|g| !Rc::ptr_eq(g, &old.worker)) else { return false };
    let Some(listener) = generation.listener(old.listener.key).cloned() else { return false };
    let session = Session::new(&generation, &listener, old.shared.remote, old.shared.local);
    session.shared.client.set(old.shared.client.get());
    old.peek(|t| {
        if !t.domain.borrow().is_empty() {
            session.texts().domain.borrow_mut().clone_from(&t.domain.borrow());
        }
    });
    let reader = old.user().and_then(|u| u.server.exchanges.as_ref()).map(|(_, point)| point.name);
    if session.choose_server(reader).is_err() {
        return false;
    }
    let handler = |s: &Session| {
        let (module, point) = s.user()?.server.exchanges.as_ref()?;
        Some((s.worker.cycle.module_id(*module).to_owned(), point.name.as_str().to_owned()))
    };
    let same = handler(&session).is_some_and(|h| handler(old) == Some(h));
    if !same {
        if let Some(user) = session.user() {
            user.server.stats.end();
        }
        return false;
    }
    process().sessions.fetch_add(1, Relaxed);
    spawn(&worker, session, |session| async move {
        session.note_waker().await;
        session.count_client()?;
        let (module, handler) = session.handler(stream)?;
        session.handled(module, session.run(module, handler).await?)
    });
    true
}

/// Runs a session's life as a task of the worker.
fn spawn<F>(worker: &Rc<Worker>, session: Rc<Session>, life: impl FnOnce(Rc<Session>) -> F)
where
    F: Future<Output = Ended<CloseReason>> + 'static,
{
    let key = worker.enter(&session);
    let lives = life(Rc::clone(&session));
    let life = Life { session, worker: Rc::clone(worker), key };
    worker.note_task(key, rt::spawn(Living { lives, life }));
}

pin_project! {
    /// A session's task. A type of its own: an `async` block around the future would hold it twice.
    struct Living<F> {
        #[pin]
        lives: F,
        life: Life,
    }
}

impl<F: Future<Output = Ended<CloseReason>>> Future for Living<F> {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        this.lives.poll(cx).map(|reason| this.life.session.close(reason.unwrap_or_else(|reason| reason)))
    }
}

/// The life, top down. Idle sessions are many, and each holds this future at its largest: so what few sessions wait for is
/// boxed.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice")]
fn live(session: &Rc<Session>, mut stream: Stream) -> impl Future<Output = Ended<CloseReason>> {
    async move {
        session.note_waker().await;
        session.count_client()?;
        if session.listener.prereads_headers() {
            stream = Box::pin(session.preread_headers(stream)).await?;
        }
        if let Some(rest) = session.hooks(Phase::Access)? {
            rest.await?;
        }
        session.stage(Str::new("access"));
        if session.listener.by_domain {
            stream = Box::pin(session.preread_domain(stream)).await?;
        } else {
            session.choose_server(None)?;
        }
        stream = match session.handshake(stream)? {
            Shaken::Already(stream) => stream,
            Shaken::Later(later) => later.await?,
        };
        if !session.has_exchanges() {
            if session.choose_local().is_none() {
                return Err(CloseReason::new(Who::Proxy, Stage::Route, Cause::NoRoute));
            }
            if let Some(rest) = session.hooks(Phase::Routed)? {
                rest.await?;
            }
            session.stage(Str::new("route"));
        }
        let (module, handler) = session.handler(stream)?;
        session.handled(module, session.run(module, handler).await?)
    }
}

/// What few sessions wait for.
pub(super) type Later<'a, T> = Pin<Box<dyn Future<Output = Ended<T>> + 'a>>;

/// A stream after the listener's own handshake, or after it will have been made.
enum Shaken<'a> {
    Already(Stream),
    Later(Later<'a, Stream>),
}

/// Ends the session's books however its task ends: returned, panicked or dropped with the runtime.
struct Life {
    session: Rc<Session>,
    worker: Rc<Worker>,
    key: usize,
}

impl Drop for Life {
    fn drop(&mut self) {
        let s = &self.session;
        // Not returned: it panicked, or was dropped because its worker ends.
        let cause = if std::thread::panicking() { Cause::Panic } else { Cause::Shutdown };
        s.close(CloseReason::new(Who::Proxy, Stage::Transfer, cause));
        s.finish();
        self.worker.leave(self.key, s);
    }
}

impl Session {
    /// Whoever wakes the session wakes this task from now on.
    fn note_waker(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Ready(())
        })
    }

    /// Whose connection counts: a client of IPv4 is one, however it came.
    fn client_to_count(&self) -> Option<IpAddr> {
        self.shared.remote.ip().map(|ip| ip.to_canonical())
    }

    fn count_client(&self) -> Ended<()> {
        let limit = self.worker.cycle.settings.max_connections_per_client;
        let Some(ip) = self.client_to_count().filter(|_| limit > 0) else { return Ok(()) };
        if process().clients.enter(ip, limit) {
            self.counted_client.set(true);
            return Ok(());
        }
        self.listener.stats.shed.fetch_add(1, Relaxed);
        if let Some(more) = process().error_log.once_a_second("max_connections_per_client") {
            tracing::warn!(client = %ip, more, "max_connections_per_client reached; the connection is closed");
        }
        Err(CloseReason::new(Who::Client, Stage::Accept, Cause::Limit))
    }

    fn handshake(self: &Rc<Self>, stream: Stream) -> Ended<Shaken<'_>> {
        let Some(user) = self.user() else { return Ok(Shaken::Already(stream)) };
        let (module, point) = &user.point;
        let place = self.worker.place(*module, self.worker.cycle.conf(self.scope.get(), *module));
        let accept = {
            let _who = enter(Current::in_session(self, *module));
            match points::accept(point, place, self, stream) {
                Ok(future) => future,
                Err(stream) => return Ok(Shaken::Already(stream)),
            }
        };
        let failed = |cause| CloseReason::new(Who::Client, Stage::Handshake, cause);
        Ok(Shaken::Later(Box::pin(async move { self.run(*module, accept).await?.map_err(|e| failed(cause_of(&e))) })))
    }

    /// Starts the handler of its local, or its server's of exchanges.
    fn handler(self: &Rc<Self>, stream: Stream) -> Ended<(u16, LocalFuture<Outcome<()>>)> {
        let no_route = CloseReason::new(Who::Proxy, Stage::Route, Cause::NoRoute);
        let server = &self.user().ok_or(no_route)?.server;
        let local = || server.locals.get(self.local.get() as usize)?.handler.as_ref();
        let (module, point) = server.exchanges.as_ref().or_else(local).ok_or(no_route)?;
        let place = self.worker.place(*module, self.worker.cycle.conf(self.scope.get(), *module));
        let _who = enter(Current::in_session(self, *module));
        Ok((*module, points::handle(point, place, self, stream)))
    }

    /// What the handler's result says of the session's end.
    fn handled(&self, module: u16, result: Result<(), Error>) -> Ended<CloseReason> {
        match result {
            Ok(()) => Ok(CloseReason::new(Who::Client, Stage::Transfer, Cause::Done)),
            // A panic, too: whoever stopped it has counted it, perhaps for another module.
            Err(e) => {
                // In the session's name: its client may have a level of its own.
                let _who = enter(Current::in_session(self, module));
                tracing::debug!(session = self.shared.id, "handler: {e}");
                Err(CloseReason::new(Who::Proxy, Stage::Transfer, cause_of(&e)))
            }
        }
    }

    /// Counters and logs; once, when it is over.
    fn finish(&self) {
        if self.counted_client.get()
            && let Some(ip) = self.client_to_count()
        {
            process().clients.leave(ip);
        }
        self.log_hooks();
        self.listener.stats.count(self);
        if let Some(user) = self.user() {
            user.server.stats.count(self);
            user.server.stats.end();
        }
        self.count_in_local();
        // Nor has one anything to say that asked for nothing and ended in order: a load balancer's check, a browser's spare.
        let in_order =
            || CloseReason::new(Who::Client, Stage::Transfer, Cause::Done).code() == self.shared.close_reason.get();
        if !(self.exchanged.get() || self.has_exchanges() && in_order()) {
            crate::cycle::access_log::write(self, false);
        }
    }

    /// Adds it to its local's counters, if that has any.
    pub(super) fn count_in_local(&self) {
        if !self.worker.cycle.settings.metrics_per_local {
            return;
        }
        let local = self.user().and_then(|u| u.server.locals.get(self.local.get() as usize));
        if let Some(stats) = local.and_then(|l| l.stats.as_ref()) {
            stats.count(self);
        }
    }
}
