//! Choosing a peer and connecting to it: pick, wait, connect, retry; and what a use of a peer leaves behind.

use super::{
    budget::RetryBudget,
    eject::Reason,
    pool::{CONNECT_TIMEOUT, Line, Member, PeerSet, Pool},
    recover,
    rendered::Target,
    turns::Turns,
};
use crate::{
    cycle::Cycle,
    process::process,
    services::{
        current::{Current, enter},
        dns,
        instance::{self, Balancer, Picker},
        net, timers,
    },
    session::Session,
    worker::generation::WorkerGen,
};
use anyproxy_module_api::abi::{
    bytes::Slice,
    error::{Error, ErrorKind},
    module::ConnectRequest,
    net::{Addr, SocketOptions},
    session::{Cause, CloseReason, SessionShared, Stage, Who},
    stream::Stream,
    upstream::{Outcome, Pick, PickCx},
};
use std::{
    cell::Cell,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Poll,
    time::Duration,
};

/// Retries in ten seconds that a worker may make whatever the share says: sessions that begin at the same time, before a
/// dead peer is known as one, are too few to have earned any.
const LEAST_RETRIES: u32 = 10;

/// One pool on one worker.
#[derive(Debug)]
pub struct PoolWorker {
    /// One balancer a tier.
    balancers: [Option<Balancer>; 2],
    budget: RetryBudget,
    version: u64,
}

impl PoolWorker {
    /// Balancers of the pool for this worker.
    pub fn new(pool: &Pool, cycle: &Cycle) -> Self {
        let make = || match &pool.balancer {
            Some((module, point)) => Picker::create(point, cycle.instance(*module), random()).map(Balancer::Module),
            None => Some(Balancer::Turns(Turns::default())),
        };
        Self { balancers: [make(), make()], budget: RetryBudget::new(pool.budget_percent, LEAST_RETRIES), version: 0 }
    }

    /// Gives the balancers up.
    pub fn end(&mut self) {
        self.balancers = [None, None];
    }
}

thread_local! {
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

/// Random bits that need not be secret (splitmix64, seeded by the process).
pub fn random() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    RANDOM.with(|r| {
        if r.get() == 0 {
            r.set(std::hash::RandomState::new().build_hasher().finish() | 1);
        }
        let next = r.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        r.set(next);
        let z = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// What a session's log shows of its peer.
#[derive(Clone, Debug, Default)]
pub struct LeaseNote {
    /// The peer.
    pub member: Option<Member>,
    /// Index of its pool in the generation.
    pub pool: usize,
    /// Time the connect took.
    pub connect: Option<Duration>,
    /// Peers tried.
    pub tries: u32,
}

/// One counted use of one peer.
#[derive(Debug)]
pub struct Lease {
    /// Index of the pool in the generation: shared counts of its references would go from worker to worker.
    pool: usize,
    /// The peer.
    pub member: Member,
    /// The generation that uses it.
    pub worker: Rc<WorkerGen>,
    /// The session.
    pub session: Option<Rc<Session>>,
    /// Time the connect took, nanoseconds.
    pub connect_ns: u64,
    version: u64,
    tier: usize,
    index: u32,
    done: bool,
    /// The connect failed before the peer was asked.
    own_fault: bool,
    /// What was chosen, where `member` is an address that was rendered for it.
    chosen: Option<Member>,
    bytes: (u64, u64),
}

enum Attempt {
    Lease(Lease),
    Wait,
    None,
}

/// Chooses a peer of `pool`; waits in the pool's queue while all are at their limit.
///
/// # Errors
/// `NoPeer`; `Limit` when the queue is full, or was waited in too long.
pub async fn pick(
    pool: &Arc<Pool>,
    worker: &Rc<WorkerGen>,
    session: Option<&Rc<Session>>,
    key: &[u8],
    tried: &[u64],
) -> Result<Lease, Error> {
    let mut until = None;
    loop {
        match attempt(pool, worker, session, key, tried) {
            Attempt::Lease(l) if pool.lines[l.member.line].template.is_some() => return Box::pin(render(l)).await,
            Attempt::Lease(l) => return Ok(l),
            Attempt::None if recover::last_resort(pool, tried) || answers(pool).await => {}
            Attempt::None => {
                pool.shared.no_peer.fetch_add(1, Relaxed);
                return Err(Error::new(ErrorKind::NoPeer, format!("upstream \"{}\" has no usable peer", pool.name)));
            }
            Attempt::Wait => wait(pool, &mut until).await?,
        }
    }
}

fn attempt(
    pool: &Arc<Pool>,
    worker: &Rc<WorkerGen>,
    session: Option<&Rc<Session>>,
    key: &[u8],
    tried: &[u64],
) -> Attempt {
    if !pool.shared.enter(pool.max_connections) {
        return Attempt::Wait;
    }
    let result = attempt_in(pool, worker, session, key, tried);
    if !matches!(result, Attempt::Lease(_)) {
        // Nobody is let in by this: the place was taken a moment ago.
        pool.shared.in_flight.fetch_sub(1, Relaxed);
    }
    result
}

fn attempt_in(
    pool: &Arc<Pool>,
    worker: &Rc<WorkerGen>,
    session: Option<&Rc<Session>>,
    key: &[u8],
    tried: &[u64],
) -> Attempt {
    let set = pool.set.load();
    let mut waits = false;
    let Some(state) = worker.pools.get(pool.index) else { return Attempt::None };
    let mut state = state.borrow_mut();
    state.version = set.version;
    for (tier, peers) in set.tiers.iter().enumerate() {
        let Some(balancer) = state.balancers[tier].as_mut().filter(|_| !peers.refs.is_empty()) else { continue };
        // A peer may fill up between the question and the answer, by another worker: ask again, not for ever.
        for _ in 0..4 {
            match ask(balancer, &set, tier, key, tried, worker, pool) {
                Pick::Peer(n) => {
                    let Some(&m) = peers.members.get(n as usize) else { return Attempt::None };
                    let member = &set.members[m];
                    if !enter_peer(member) {
                        waits = true;
                        continue;
                    }
                    return Attempt::Lease(Lease {
                        pool: pool.index,
                        member: member.clone(),
                        worker: Rc::clone(worker),
                        session: session.cloned(),
                        connect_ns: 0,
                        version: set.version,
                        tier,
                        index: n,
                        done: false,
                        own_fault: false,
                        chosen: None,
                        bytes: session
                            .map_or((0, 0), |s| (s.shared.upstream_sent.get(), s.shared.upstream_received.get())),
                    });
                }
                Pick::Wait => {
                    waits = true;
                    break;
                }
                Pick::None => break,
            }
        }
        if waits {
            // Backups are for when no ordinary peer is usable, not for when they are busy.
            return Attempt::Wait;
        }
    }
    Attempt::None
}

/// Puts the address that the session's text names in the place of what was chosen.
///
/// # Errors
/// `Permission` where `peer_allow` does not let it through; `NoPeer`, `Limit`; what the resolution says.
async fn render(mut lease: Lease) -> Result<Lease, Error> {
    match rendered(&lease).await {
        Ok(member) => {
            lease.chosen = Some(std::mem::replace(&mut lease.member, member));
            Ok(lease)
        }
        Err(e) => {
            // Nothing was tried, and no peer is to blame.
            lease.finish(&Outcome { connect_ns: 0, first_byte_ns: 0, total_ns: 0, failure: 0 });
            Err(e)
        }
    }
}

async fn rendered(lease: &Lease) -> Result<Member, Error> {
    let (pool, line) = (lease.pool(), lease.line());
    let (Some(session), Some(template)) = (&lease.session, line.template) else {
        return Err(Error::new(ErrorKind::NoPeer, format!("{} has an address for sessions only", line.text)));
    };
    let mut text = Vec::new();
    session.render(template, false, &mut text);
    let text = String::from_utf8_lossy(&text);
    let found: Vec<Addr> = match Target::parse(&text) {
        Some(Target::Ip(at)) => vec![at.into()],
        Some(Target::Name(host, port)) => {
            let answer = within_session(session, pool.retry_timeout, pin!(dns::lookup(&host, port))).await?;
            answer.iter().map(|r| r.addr).collect()
        }
        None => Vec::new(),
    };
    let mut allowed = found;
    allowed.retain(|a| a.ip().is_some_and(|ip| line.allow.iter().any(|n| n.contains(ip))));
    if allowed.is_empty() {
        if let Some(more) = process().error_log.once_a_second(&format!("peer_allow {}", pool.name)) {
            let peer = &*text;
            tracing::warn!(
                session = session.shared.id,
                upstream = pool.name,
                peer,
                more,
                "peer_allow does not let it through"
            );
        }
        return Err(Error::new(
            ErrorKind::Permission,
            format!("peer_allow does not let {} through", text.escape_debug()),
        ));
    }
    let addr = allowed[(random() % allowed.len() as u64) as usize];
    let member = Member { live: line.rendered(pool, &text, addr), line: lease.member.line };
    if !member.live.state.is_usable() {
        return Err(Error::new(ErrorKind::NoPeer, format!("peer {addr} is {}", member.live.condition())));
    }
    if !enter_peer(&member) {
        return Err(Error::new(ErrorKind::Limit, format!("peer {addr} is at its limit")));
    }
    Ok(member)
}

fn enter_peer(member: &Member) -> bool {
    let s = &member.live.state;
    let max = s.max_connections.load(Relaxed);
    if s.in_flight.fetch_add(1, Relaxed) >= max && max != 0 {
        s.in_flight.fetch_sub(1, Relaxed);
        return false;
    }
    member.live.counts.picked.fetch_add(1, Relaxed);
    true
}

fn ask(
    balancer: &mut Balancer,
    set: &PeerSet,
    tier: usize,
    key: &[u8],
    tried: &[u64],
    worker: &WorkerGen,
    pool: &Pool,
) -> Pick {
    let refs = &set.tiers[tier].refs;
    let mut bits = [0_u64; 16];
    let mut many = Vec::new();
    let words = refs.len().div_ceil(64);
    let bits: &mut [u64] = if words <= bits.len() {
        &mut bits[..words]
    } else {
        many.resize(words, 0);
        &mut many
    };
    if !tried.is_empty() {
        for (n, p) in refs.iter().enumerate() {
            if tried.contains(&p.state().id) {
                bits[n / 64] |= 1 << (n % 64);
            }
        }
    }
    let cx = PickCx {
        peers: Slice::new(refs),
        key: Slice::new(key),
        tried: Slice::new(bits),
        version: set.version,
        random: random(),
        now_ms: timers::now_ms(),
    };
    let _who = enter(Current::on_worker(worker, pool.balancer_module()));
    balancer.pick(&cx)
}

/// Waits for the first answer about a name that has none yet; false: there is none to wait for.
async fn answers(pool: &Pool) -> bool {
    let mut told = pin!(pool.answered.notified());
    told.as_mut().enable();
    if pool.unanswered.load(Relaxed) == 0 {
        return false;
    }
    // A resolution ends by a limit of its own.
    timers::within(pool.retry_timeout, told).await.is_some()
}

/// Waits in the queue until it is this one's turn, in all not longer than to `until`.
async fn wait(pool: &Pool, until: &mut Option<Duration>) -> Result<(), Error> {
    let now = process().now();
    let Some((mut place, limit)) = pool.shared.line_up(now) else {
        let text = format!("every peer of upstream \"{}\" is at its limit, and its queue is full", pool.name);
        return Err(Error::new(ErrorKind::Limit, text));
    };
    let until = *until.get_or_insert(now.saturating_add(limit));
    if timers::within(until.saturating_sub(now), place.turn()).await.is_none() {
        pool.shared.queue_timeouts.fetch_add(1, Relaxed);
        // A limit of this proxy's: a peer that does not answer is something else.
        let text = format!("waited too long for a peer of upstream \"{}\"", pool.name);
        return Err(Error::new(ErrorKind::Limit, text));
    }
    Ok(())
}

impl Lease {
    /// The pool.
    pub fn pool(&self) -> &Pool {
        &self.worker.cycle.pools[self.pool]
    }

    /// The peer's line in it.
    pub fn line(&self) -> &Line {
        &self.pool().lines[self.member.line]
    }

    /// Connects to the peer and greets it.
    ///
    /// # Errors
    /// What the connector says; `TimedOut`.
    pub async fn connect(&mut self) -> Result<Stream, Error> {
        let began = timers::now();
        let line = self.line();
        let limit = connect_limit(line, &self.worker);
        // Before the peer is connected: one that is a proxy too takes a connection without a greeting for a client's.
        let greeting = self.greeting().inspect_err(|_| self.own_fault = true)?;
        let stream = match self.session.clone() {
            Some(session) => within_session(&session, limit, pin!(self.connect_now(&greeting))).await?,
            None => {
                let connecting = Box::pin(self.connect_now(&greeting));
                timers::within(limit, connecting).await.ok_or(Error::bare(ErrorKind::TimedOut))??
            }
        };
        let took = timers::now().saturating_sub(began);
        self.connect_ns = (took.as_nanos() as u64).max(1);
        if let Some(s) = &self.session {
            s.lease.borrow_mut().connect = Some(took);
        }
        Ok(stream)
    }

    async fn connect_now(&self, greeting: &[u8]) -> Result<Stream, Error> {
        let session = self.session.as_ref().map_or(std::ptr::null(), |s| s.shared_ptr());
        let mut stream = connect(self.pool(), &self.member, &self.worker, session).await?;
        if !greeting.is_empty() {
            stream.write_all(greeting).await?;
            if let Some(s) = &self.session {
                let sent = &s.shared.upstream_sent;
                sent.set(sent.get() + greeting.len() as u64);
            }
        }
        Ok(stream)
    }

    /// What modules send in front of the session's bytes.
    fn greeting(&self) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        let Some(session) = self.session.as_ref().filter(|s| !s.worker.cycle.greetings.is_empty()) else {
            return Ok(bytes);
        };
        let worker = &session.worker;
        let line = self.line();
        let request = request(line, worker, &self.member, session.shared_ptr());
        for (module, point) in &worker.cycle.greetings {
            let place = worker.place(*module, worker.cycle.conf(line.scope, *module));
            let _who = enter(Current::in_session(session, *module));
            if !instance::greet(point, place, &request, &mut bytes) {
                return Err(Error::new(
                    ErrorKind::Invalid,
                    format!("the greeting \"{}\" cannot be written", point.name),
                ));
            }
        }
        Ok(bytes)
    }

    /// Ends the use and says how it went.
    pub fn finish(mut self, outcome: &Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: &Outcome) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let (live, pool) = (&self.member.live, self.pool());
        live.state.in_flight.fetch_sub(1, Relaxed);
        if let Some(chosen) = &self.chosen {
            chosen.live.state.in_flight.fetch_sub(1, Relaxed);
        }
        if let Some(s) = &self.session {
            live.counts.sent.fetch_add(s.shared.upstream_sent.get() - self.bytes.0, Relaxed);
            live.counts.received.fetch_add(s.shared.upstream_received.get() - self.bytes.1, Relaxed);
        }
        let good = outcome.failure == 0;
        match outcome.failure {
            0 => {}
            1 => {
                live.counts.connect_failures.fetch_add(1, Relaxed);
            }
            _ => {
                live.counts.failures.fetch_add(1, Relaxed);
            }
        }
        let sample =
            if outcome.first_byte_ns > 0 { outcome.first_byte_ns } else { outcome.connect_ns.max(self.connect_ns) };
        if good && sample > 0 {
            live.observe(timers::now(), sample);
        }
        self.report(outcome.failure);
        self.tell_balancer(outcome);
        pool.shared.leave();
    }

    fn report(&self, failure: u8) {
        let (pool, live) = (self.pool(), &self.member.live);
        if !pool.eject.ejects() {
            return;
        }
        let good = failure == 0 || (pool.eject_by_connect && failure != 1);
        if !good {
            live.failing.store(true, Relaxed);
        } else if pool.eject.percent == 0 && !live.failing.swap(false, Relaxed) {
            // It would change nothing: no lock for it.
            return;
        }
        if let Some(e) = pool.shared.result(live.state.id, good, process().now()) {
            live.state.ejected.store(1, Relaxed);
            live.counts.ejections.fetch_add(1, Relaxed);
            let why = match e.reason {
                Reason::Consecutive(n) => format!("{n} failures in a row"),
                Reason::Percent(n) => format!("{n}% of its uses failed"),
            };
            tracing::warn!(upstream = pool.name, peer = %live.addr, "peer ejected: {why}");
        }
    }

    fn tell_balancer(&self, outcome: &Outcome) {
        let Some(state) = self.worker.pools.get(self.pool) else { return };
        // A lease that a balancer drops while it is asked: nothing to tell.
        let Ok(mut state) = state.try_borrow_mut() else { return };
        if state.version != self.version {
            return;
        }
        if let Some(b) = state.balancers[self.tier].as_mut() {
            let _who = enter(Current::on_worker(&self.worker, self.pool().balancer_module()));
            b.done(self.index, outcome);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end(&Outcome { connect_ns: self.connect_ns, first_byte_ns: 0, total_ns: 0, failure: 2 });
    }
}

/// Runs `f` for at most `limit` by the session's own deadline: one store, no timer.
async fn within_session<T>(
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
    let future = {
        let _who = enter(Current::on_worker(worker, line.module));
        instance::connect(&line.connector, place, &request)
    };
    if let Some(future) = future {
        return future.await.into();
    }
    // The limit of time is the caller's.
    let options = SocketOptions { connect_timeout_ms: 0, ..*options(line, worker) };
    net::connect(member.live.addr, &options).await
}

/// What the connector says of its sockets: asked once, as it is its block's.
fn options<'a>(line: &'a Line, worker: &WorkerGen) -> &'a SocketOptions {
    line.options.get_or_init(|| {
        let place = worker.place(line.module, worker.cycle.conf(line.scope, line.module));
        let mut options = SocketOptions { source: Addr::NONE, ..SocketOptions::default() };
        instance::connector_options(&line.connector, place, &mut options);
        options
    })
}

/// How long a connect may take: as the configuration says, else the connector's options.
fn connect_limit(line: &Line, worker: &WorkerGen) -> Duration {
    line.connect_timeout.unwrap_or_else(|| match options(line, worker).connect_timeout_ms {
        0 => CONNECT_TIMEOUT,
        ms => Duration::from_millis(ms.into()),
    })
}

fn request(line: &Line, worker: &WorkerGen, member: &Member, session: *const SessionShared) -> ConnectRequest {
    let host = match line.template {
        Some(_) => member.live.host.rsplit_once(':').map_or("", |(host, _)| host),
        None => &line.host,
    };
    ConnectRequest {
        addr: member.live.addr,
        host: anyproxy_module_api::Str::new(host),
        session,
        timeout_ms: u32::try_from(connect_limit(line, worker).as_millis()).unwrap_or(u32::MAX),
    }
}

/// Chooses a peer for the session and connects, trying others as the upstream's `retry` says.
///
/// # Errors
/// The last attempt's.
pub async fn connect_session(session: &Rc<Session>, pool: &Arc<Pool>) -> Result<(Stream, Lease), Error> {
    let worker = &session.worker;
    let began = timers::now();
    let client = session.shared.client.get();
    if let Some(state) = worker.pools.get(pool.index) {
        state.borrow_mut().budget.request(began);
    }
    let mut tried = Vec::new();
    let mut last = None;
    loop {
        let mut lease = match pick(pool, worker, Some(session), client.key(), &tried).await {
            Ok(l) => l,
            // That there is no other peer to try is no reason of its own.
            Err(e) if e.kind == ErrorKind::Permission => {
                session.close(CloseReason::new(Who::Proxy, Stage::Connect, Cause::Denied));
                return Err(e);
            }
            Err(e) => return Err(last.filter(|_| e.kind == ErrorKind::NoPeer).unwrap_or(e)),
        };
        {
            let mut note = session.lease.borrow_mut();
            note.member = Some(lease.member.clone());
            note.pool = pool.index;
            note.tries += 1;
        }
        let error = match lease.connect().await {
            Ok(stream) => return Ok((stream, lease)),
            Err(e) => e,
        };
        let peer = lease.member.live.addr;
        tried.push(lease.chosen.as_ref().unwrap_or(&lease.member).live.state.id);
        let own_fault = lease.own_fault;
        lease.finish(&Outcome { connect_ns: 0, first_byte_ns: 0, total_ns: 0, failure: u8::from(!own_fault) });
        if let Some(more) = process().error_log.once_a_second(&format!("connect {peer}")) {
            tracing::warn!(session = session.shared.id, upstream = pool.name, %peer, more, "connect failed: {error}");
        }
        let now = timers::now();
        let may_retry = !own_fault
            && (tried.len() as u32) < pool.attempts
            && now.saturating_sub(began) < pool.retry_timeout
            && session.shared.kill.get() == 0
            && worker.pools.get(pool.index).is_some_and(|s| s.borrow_mut().budget.try_retry(now));
        if !may_retry {
            return Err(error);
        }
        pool.shared.retries.fetch_add(1, Relaxed);
        last = Some(error);
    }
}
