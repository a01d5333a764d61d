//! The life of a connection, from accept to access log, in one file. Knows no protocol: each step that does is a module's.
//!
//! ```text
//! accept → headers in front (preread) → access hooks → domain (preread) → server → the listener's own handshake
//!        → local, by rules → hooks → handler → log
//! ```
//!
//! A server's handler of exchanges takes the session before a local is chosen; each of its exchanges (`exchange`) is a
//! session of its own, which begins with domain, server and local, and ends with its log.

mod exchange;
mod preread;

use crate::{
    config::tree::ScopeId,
    cycle::{
        listener::{Listener, ServerPlan, User},
        vars,
    },
    matcher::CaptureValues,
    process::process,
    services::{
        current::{Current, enter},
        instance, rt,
        session::Slots,
        timers,
    },
    template::Absent,
    upstream::{lease::LeaseNote, pool::Pool},
    worker::{Worker, generation::WorkerGen},
};
use anyproxy_module_api::abi::{
    bytes::Str,
    error::{Error, ErrorKind, Outcome},
    module::{HookPoint, Phase, Verdict},
    net::Addr,
    session::{Cause, CloseReason, SessionShared, Stage, Who},
    stream::Stream,
    task::{FfiPoll, LocalFuture},
};
use pin_project_lite::pin_project;
use preread::{Found, Preread, refuse};
use std::{
    cell::{Cell, OnceCell, RefCell},
    future::{Future, poll_fn},
    marker::PhantomData,
    pin::Pin,
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};

/// Most stages noted for `${stream_work_times}`.
const STAGES: usize = 64;

/// No server or local yet.
const NOT_CHOSEN: u32 = u32::MAX;

/// One accepted connection. Lives on one worker.
#[repr(C)]
pub struct Session {
    /// The part open to modules; first, so that its pointer is the session's.
    pub shared: SessionShared,
    /// The generation it belongs to.
    pub worker: Rc<WorkerGen>,
    /// The listener that accepted it.
    pub listener: Rc<Listener>,
    /// The block it is in now: the listener's first, then its server's, then its local's.
    pub scope: Cell<ScopeId>,
    /// Index of its server among the listener's users, and of its local in the server; [`NOT_CHOSEN`] until then.
    user: Cell<u32>,
    local: Cell<u32>,
    /// What few sessions have.
    texts: OnceCell<Box<Texts>>,
    /// What modules keep.
    pub slots: Slots,
    /// The peer in use, for logs.
    pub lease: RefCell<LeaseNote>,
    /// Wakes the session's task: deadline, kill.
    waker: RefCell<Option<Waker>>,
    /// By the loop's clock, nanoseconds.
    started: u64,
    counted_client: Cell<bool>,
    /// The session that an exchange is of.
    of: Option<Rc<Self>>,
    /// It had exchanges, which have lines of their own in the access log.
    exchanged: Cell<bool>,
    /// An exchange that is over, and waits to be another.
    parked: Cell<bool>,
}

/// What is known of few sessions: an idle one costs as much as its largest part.
#[derive(Debug, Default)]
pub struct Texts {
    /// The domain asked for.
    pub domain: RefCell<String>,
    /// Follows the session through a chain of hosts.
    pub request_id: RefCell<String>,
    /// Texts that were replaced: a module may still read them.
    pub replaced: RefCell<Vec<String>>,
    /// Named groups of what matched.
    pub captures: RefCell<CaptureValues>,
    /// Stages with their offset in microseconds.
    pub stages: RefCell<Vec<(Str, u32)>>,
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.parked.get() {
            let held = &self.worker.held;
            held.set(held.get().saturating_sub(1));
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({} {})", self.shared.id, self.shared.remote)
    }
}

/// Why the life of a session ended early.
type Ended<T> = Result<T, CloseReason>;

const DENIED: CloseReason = CloseReason::new(Who::Proxy, Stage::Access, Cause::Denied);

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
    if session.choose_server().is_err() {
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
        let mut refusal = None;
        if session.listener.prereads_headers() {
            stream = Box::pin(session.preread_headers(stream)).await?;
        }
        if let Some(rest) = session.hooks(Phase::Access)? {
            rest.await?;
        }
        session.stage(Str::new("access"));
        if session.listener.by_domain {
            (stream, refusal) = Box::pin(session.preread_domain(stream)).await?;
            session.stage(Str::new("preread"));
        }
        if let Err(reason) = session.choose_server() {
            if let Some(bytes) = refusal {
                // The client is told in its own protocol; whether it listens is not our concern.
                Box::pin(timers::within(Duration::from_secs(1), refuse(&mut stream, bytes))).await;
            }
            return Err(reason);
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
type Later<'a, T> = Pin<Box<dyn Future<Output = Ended<T>> + 'a>>;

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
        s.slots.clear(s);
        self.worker.leave(self.key, s);
    }
}

impl Session {
    fn new(generation: &Rc<WorkerGen>, listener: &Rc<Listener>, remote: Addr, local: Addr) -> Rc<Self> {
        generation.held.set(generation.held.get() + 1);
        Rc::new(Self {
            shared: SessionShared {
                id: process().session_id(),
                started_ms: timers::now_ms(),
                deadline_ms: Cell::new(0),
                client_received: Cell::new(0),
                client_sent: Cell::new(0),
                upstream_received: Cell::new(0),
                upstream_sent: Cell::new(0),
                close_reason: Cell::new(0),
                status: Cell::new(0),
                fired: Cell::new(0),
                kill: Cell::new(0),
                draining: Cell::new(0),
                idle: Cell::new(0),
                reserved: [0; 4],
                client: Cell::new(remote),
                remote,
                local,
            },
            worker: Rc::clone(generation),
            listener: Rc::clone(listener),
            scope: Cell::new(listener.early_scope),
            user: Cell::new(NOT_CHOSEN),
            local: Cell::new(NOT_CHOSEN),
            texts: OnceCell::new(),
            slots: Slots::default(),
            lease: RefCell::default(),
            waker: RefCell::default(),
            started: timers::now_ns(),
            counted_client: Cell::new(false),
            of: None,
            exchanged: Cell::new(false),
            parked: Cell::new(false),
        })
    }

    /// The pointer that modules hold.
    pub fn shared_ptr(&self) -> *const SessionShared {
        &raw const self.shared
    }

    /// Whoever wakes the session wakes this task from now on.
    fn note_waker(&self) -> impl Future<Output = ()> {
        poll_fn(|cx| {
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Ready(())
        })
    }

    /// Notes why it ended; the first reason counts.
    pub fn close(&self, reason: CloseReason) {
        if self.shared.close_reason.get() == 0 {
            self.shared.close_reason.set(reason.code());
        }
    }

    /// Ends it from outside: at its next poll the handler sees `kill`, and a grace later the task is dropped.
    pub fn kill(&self, reason: CloseReason) {
        self.close(reason);
        self.shared.kill.set(1);
        self.wake();
    }

    /// Wakes its task.
    pub fn wake(&self) {
        if let Some(w) = &*self.waker.borrow() {
            w.wake_by_ref();
        }
    }

    /// Time since it began.
    pub fn age(&self) -> Duration {
        Duration::from_nanos(self.age_ns())
    }

    /// The same in nanoseconds.
    pub fn age_ns(&self) -> u64 {
        timers::now_ns().saturating_sub(self.started)
    }

    /// Notes a stage, if any text of the configuration shows stages.
    pub fn stage(&self, name: Str) {
        if !self.worker.cycle.notes_stages {
            return;
        }
        let mut stages = self.texts().stages.borrow_mut();
        if stages.len() < STAGES {
            stages.push((name, u32::try_from(self.age().as_micros()).unwrap_or(u32::MAX)));
        }
    }

    /// Makes a request id if none came with the session.
    pub fn ensure_request_id(&self) {
        let mut id = self.texts().request_id.borrow_mut();
        if id.is_empty() {
            *id = vars::request_id(self.shared.id);
        }
    }

    /// Renders a template of the configuration.
    pub fn render(&self, template: u32, absent: bool, out: &mut Vec<u8>) -> bool {
        let Some(t) = self.worker.cycle.templates.get(template as usize) else { return false };
        t.render(self, out, if absent { Absent::Dash } else { Absent::Empty });
        true
    }

    /// Writes a variable by name.
    pub fn variable(&self, name: &str, out: &mut Vec<u8>) -> bool {
        self.worker.cycle.vars.write_by_name(self, name, out)
    }

    /// The upstream of its local.
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        let local = self.user()?.server.locals.get(self.local.get() as usize)?;
        local.pool.map(|n| &self.worker.cycle.pools[n])
    }

    /// What few sessions have, to be written.
    pub fn texts(&self) -> &Texts {
        self.texts.get_or_init(Box::default)
    }

    /// The same, to be read.
    pub fn peek<R>(&self, f: impl FnOnce(&Texts) -> R) -> R {
        match self.texts.get() {
            Some(texts) => f(texts),
            None => f(&Texts::default()),
        }
    }

    /// The listener's user that is its server.
    pub fn user(&self) -> Option<&User> {
        self.listener.users.get(self.user.get() as usize)
    }

    // ---- the steps of its life

    fn count_client(&self) -> Ended<()> {
        let limit = self.worker.cycle.settings.max_connections_per_client;
        let Some(ip) = self.shared.remote.ip().filter(|_| limit > 0) else { return Ok(()) };
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

    async fn preread_headers(self: &Rc<Self>, stream: Stream) -> Ended<Stream> {
        let wanted: Vec<_> = self.listener.header_prereads.iter().collect();
        let mut reader = Preread::new(self, stream);
        // Each kind of header may come once, in any order (a hello in a PROXY connection).
        let mut left = wanted;
        while !left.is_empty() {
            match reader.look(&left).await? {
                Found::By(n, _) => {
                    left.remove(n);
                }
                Found::Nobody(_) => break,
            }
        }
        Ok(reader.into_stream())
    }

    async fn preread_domain(self: &Rc<Self>, stream: Stream) -> Ended<(Stream, Option<&'static [u8]>)> {
        if self.peek(|t| !t.domain.borrow().is_empty()) {
            // A trusted header named it already.
            return Ok((stream, None));
        }
        let all: Vec<_> = self.listener.domain_prereads.iter().collect();
        let mut reader = Preread::new(self, stream);
        let refusal = match reader.look(&all).await? {
            Found::By(_, refusal) | Found::Nobody(refusal) => refusal,
        };
        Ok((reader.into_stream(), refusal))
    }

    fn choose_server(&self) -> Ended<()> {
        let user = if self.listener.by_domain {
            let texts = self.texts();
            let domain = texts.domain.borrow();
            let user = self.listener.user_of(domain.as_bytes(), &mut texts.captures.borrow_mut());
            // First bytes that name no domain may be of a protocol whose requests do, each for itself.
            let each_names_one = || self.listener.users.iter().position(|u| u.server.exchanges.is_some());
            user.or_else(|| if domain.is_empty() { each_names_one() } else { None })
        } else {
            Some(0)
        };
        let user = user.ok_or(CloseReason::new(Who::Client, Stage::Route, Cause::NoRoute))?;
        self.user.set(user as u32);
        self.listener.users[user].server.stats.begin();
        self.scope.set(self.listener.users[user].server.scope);
        Ok(())
    }

    fn handshake(self: &Rc<Self>, stream: Stream) -> Ended<Shaken<'_>> {
        let Some(user) = self.user() else { return Ok(Shaken::Already(stream)) };
        let (module, point) = &user.point;
        let place = self.worker.place(*module, self.worker.cycle.conf(self.scope.get(), *module));
        let accept = {
            let _who = enter(Current::in_session(self, *module));
            match instance::accept(point, place, self, stream) {
                Ok(future) => future,
                Err(stream) => return Ok(Shaken::Already(stream)),
            }
        };
        let failed = |cause| CloseReason::new(Who::Client, Stage::Handshake, cause);
        Ok(Shaken::Later(Box::pin(async move { self.run(*module, accept).await?.map_err(|e| failed(cause_of(&e))) })))
    }

    /// Chooses the local by its rules; its index in the server.
    pub fn choose_local(&self) -> Option<usize> {
        let server = &self.user()?.server;
        let local = server.rules.only().or_else(|| self.local_by_rules(server))?;
        self.local.set(local as u32);
        self.scope.set(server.locals[local].scope);
        Some(local)
    }

    fn local_by_rules(&self, server: &ServerPlan) -> Option<usize> {
        let scratch = &mut *self.worker.scratch.borrow_mut();
        // A copy: inputs may read what earlier matches captured.
        let mut captures = match server.rules.captures() {
            true => self.peek(|t| t.captures.borrow().clone()),
            false => CaptureValues::new(),
        };
        let local = server.rules.choose(scratch, &mut captures, |input, out| {
            let template = server.rule_inputs[input];
            self.worker.cycle.templates[template as usize].render(self, out, Absent::Empty);
            true
        })?;
        if !captures.is_empty() {
            self.texts().captures.replace(captures);
        }
        Some(local)
    }

    /// Asks the hooks of a phase, of which most answer at once; the rest is what one of them wants to wait for.
    fn hooks(self: &Rc<Self>, phase: Phase) -> Ended<Option<Later<'_, ()>>> {
        let scope = self.scope.get();
        for (n, (module, hook)) in self.worker.cycle.hooks(phase, scope).iter().enumerate() {
            match self.check(*module, hook) {
                Verdict::Pass => {}
                Verdict::Deny => return Err(DENIED),
                Verdict::Ask => return Ok(Some(Box::pin(self.hooks_from(phase, scope, n)))),
            }
        }
        Ok(None)
    }

    /// The hooks of a block from the n-th, which was asked and wants to wait.
    pub(crate) async fn hooks_from(self: &Rc<Self>, phase: Phase, scope: ScopeId, n: usize) -> Ended<()> {
        for (m, (module, hook)) in self.worker.cycle.hooks(phase, scope).iter().enumerate().skip(n) {
            let verdict = if m == n { Verdict::Ask } else { self.check(*module, hook) };
            let passes = match verdict {
                Verdict::Pass => true,
                Verdict::Deny => false,
                Verdict::Ask => match self.asked(*module, hook) {
                    Some(future) => self.run_plain(*module, future).await?,
                    None => false,
                },
            };
            if !passes {
                return Err(DENIED);
            }
        }
        Ok(())
    }

    fn check(&self, module: u16, hook: &HookPoint) -> Verdict {
        let place = self.worker.place(module, self.worker.cycle.conf(self.scope.get(), module));
        let _who = enter(Current::in_session(self, module));
        instance::check(hook, place, self)
    }

    fn asked(self: &Rc<Self>, module: u16, hook: &HookPoint) -> Option<LocalFuture<bool>> {
        let place = self.worker.place(module, self.worker.cycle.conf(self.scope.get(), module));
        let _who = enter(Current::in_session(self, module));
        instance::run_hook(hook, place, self)
    }

    /// Starts the handler of its local, or its server's of exchanges.
    fn handler(self: &Rc<Self>, stream: Stream) -> Ended<(u16, LocalFuture<Outcome<()>>)> {
        let no_route = CloseReason::new(Who::Proxy, Stage::Route, Cause::NoRoute);
        let server = &self.user().ok_or(no_route)?.server;
        let local = || server.locals.get(self.local.get() as usize)?.handler.as_ref();
        let (module, point) = server.exchanges.as_ref().or_else(local).ok_or(no_route)?;
        let place = self.worker.place(*module, self.worker.cycle.conf(self.scope.get(), *module));
        let _who = enter(Current::in_session(self, *module));
        Ok((*module, instance::handle(point, place, self, stream)))
    }

    /// What the handler's result says of the session's end.
    fn handled(&self, module: u16, result: Result<(), Error>) -> Ended<CloseReason> {
        match result {
            Ok(()) => Ok(CloseReason::new(Who::Client, Stage::Transfer, Cause::Done)),
            Err(e) if e.kind == ErrorKind::Panicked => {
                crate::services::panicked(&self.worker.cycle, module, "a handler");
                Err(CloseReason::new(Who::Proxy, Stage::Transfer, Cause::Panic))
            }
            Err(e) => {
                // In the session's name: its client may have a level of its own.
                let _who = enter(Current::in_session(self, module));
                tracing::debug!(session = self.shared.id, "handler: {e}");
                Err(CloseReason::new(Who::Proxy, Stage::Transfer, cause_of(&e)))
            }
        }
    }

    /// Runs a module's future in its name, to its end.
    pub fn run<T>(
        self: &Rc<Self>,
        module: u16,
        future: LocalFuture<Outcome<T>>,
    ) -> impl Future<Output = Ended<Result<T, Error>>> {
        self.run_plain(module, future)
    }

    fn run_plain<T, R: From<T>>(self: &Rc<Self>, module: u16, future: LocalFuture<T>) -> Running<'_, T, R> {
        Running { session: self, module, future: Some(future), result: PhantomData }
    }

    /// Adds it to its local's counters, if that has any.
    fn count_in_local(&self) {
        if !self.worker.cycle.settings.metrics_per_local {
            return;
        }
        let local = self.user().and_then(|u| u.server.locals.get(self.local.get() as usize));
        if let Some(stats) = local.and_then(|l| l.stats.as_ref()) {
            stats.count(self);
        }
    }

    /// Counters and logs; once, when it is over.
    fn finish(&self) {
        if self.counted_client.get()
            && let Some(ip) = self.shared.remote.ip()
        {
            process().clients.leave(ip);
        }
        let cycle = &self.worker.cycle;
        for (module, hook) in cycle.hooks(Phase::Log, self.scope.get()) {
            let place = self.worker.place(*module, cycle.conf(self.scope.get(), *module));
            let _who = enter(Current::in_session(self, *module));
            instance::check(hook, place, self);
        }
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
}

/// A module's future in its name.
struct Running<'a, T, R> {
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
