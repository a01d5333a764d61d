//! Choosing a peer: asking the balancer, taking a place, waiting in the queue.

use super::{
    again,
    budget::RetryBudget,
    lease::{Connects, Handed, Lease},
    pool::{Member, PeerSet, Pool},
    random::random,
    recover, render,
    shared::Place,
    turns::Turns,
};
use crate::{
    process::process,
    services::{
        balancer::{Balancer, Picker},
        current::{Current, enter},
        timers,
    },
    session::Session,
    worker::generation::WorkerGen,
};
use anyproxy_module_api::abi::{
    bytes::Slice,
    error::{Error, ErrorKind},
    upstream::{Pick, PickCx},
};
use std::{
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::Ordering::{Relaxed, SeqCst},
    },
};

/// Retries in ten seconds that a worker may make whatever the share says: sessions that begin at the same time, before a
/// dead peer is known as one, are too few to have earned any.
const LEAST_RETRIES: u32 = 10;

/// One pool on one worker.
#[derive(Debug)]
pub struct PoolWorker {
    /// One balancer a tier.
    pub(super) balancers: [Option<Balancer>; 2],
    pub(super) budget: RetryBudget,
    /// The peers as of the last pick here.
    pub(super) set: Arc<PeerSet>,
    /// Its members, to be held by leases of this worker: counts of what all workers hold would go from core to core with
    /// every request.
    members: Vec<Rc<Member>>,
}

impl PoolWorker {
    /// Balancers of the pool for this worker.
    pub fn new(pool: &Pool, worker: &WorkerGen) -> Self {
        let make = || match &pool.balancer {
            Some((module, point)) => {
                let place = worker.place(*module, worker.cycle.conf(pool.scope, *module));
                let _who = enter(Current::on_worker(worker, *module));
                Picker::create(point, place, random()).map(Balancer::Module)
            }
            None => Some(Balancer::Turns(Turns::default())),
        };
        Self {
            balancers: [make(), make()],
            budget: RetryBudget::new(pool.budget_percent, LEAST_RETRIES),
            members: Vec::new(),
            // Read by the first pick.
            set: Arc::default(),
        }
    }

    /// Gives the balancers up.
    pub fn end(&mut self) {
        self.balancers = [None, None];
    }
}

pub(super) enum Attempt<T> {
    Lease(T),
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
    let mut place: Option<Place<'_>> = None;
    loop {
        let found = match place {
            None => attempt(pool, worker, session, key, tried, |lease| lease),
            Some(_) => attempt_in_turn(pool, worker, session, key, tried, |lease| lease),
        };
        match found {
            Attempt::Lease(l) => {
                drop(place);
                let is_rendered = pool.lines[l.member.line].template.is_some();
                return if is_rendered { Box::pin(render::render(l)).await } else { Ok(l) };
            }
            Attempt::None if recover::last_resort(pool, tried) => {}
            Attempt::None => {
                // What it waits for now is nothing that those behind it wait for.
                place = None;
                if !answers(pool, worker).await {
                    pool.shared.no_peer.fetch_add(1, Relaxed);
                    return Err(Error::new(
                        ErrorKind::NoPeer,
                        format!("upstream \"{}\" has no usable peer", pool.name),
                    ));
                }
            }
            Attempt::Wait => wait(pool, worker, &mut place, tried).await?,
        }
    }
}

/// Chooses a peer of the session's own pool where that takes no waiting. `keep` is given the lease where it is made: with every
/// request it would be moved a few times otherwise.
pub fn pick_now<T>(session: &Rc<Session>, pool: &Arc<Pool>, key: &[u8], keep: impl Fn(Lease) -> T) -> Option<T> {
    if pool.has_templates {
        return None;
    }
    let noted = |mut lease: Lease| {
        note_own(session, &mut lease);
        keep(lease)
    };
    match attempt(pool, &session.worker, Some(session), key, &[], noted) {
        Attempt::Lease(kept) => {
            earn(session, pool);
            Some(kept)
        }
        Attempt::Wait | Attempt::None => None,
    }
}

/// Chooses a peer for whoever connects and repeats by itself. `tried`: those that failed it, which are passed over as long
/// as there are others; then it is a retry of the pool's budget.
///
/// # Errors
/// `Limit` where that is used up; else as [`pick`].
pub async fn pick_for(session: &Rc<Session>, pool: &Arc<Pool>, key: &[u8], tried: &[u64]) -> Result<Lease, Error> {
    let _connects = is_own(session, pool.index).then(|| Connects::of(&session.lease));
    let mut lease = if tried.is_empty() {
        earn(session, pool);
        pick(pool, &session.worker, Some(session), key, &[]).await
    } else {
        again::pick_another(session, pool, key, tried).await
    }?;
    note(session, &mut lease);
    Ok(lease)
}

/// Whether the session's log and variables are about peers of this pool: its own, where it has one.
pub(super) fn is_own(session: &Session, pool: usize) -> bool {
    session.pool().is_none_or(|own| own.index == pool)
}

/// Keeps what the session's variables say of its peer, if that is of its own upstream.
pub(super) fn note(session: &Session, lease: &mut Lease) {
    if is_own(session, lease.pool) {
        note_own(session, lease);
    }
}

/// The same of a peer of its own upstream.
fn note_own(session: &Session, lease: &mut Lease) {
    lease.noted = true;
    let note = &mut *session.lease.borrow_mut();
    note.member = Some(Rc::clone(&lease.member));
    note.pool = lease.pool;
    note.tries += 1;
}

/// A first attempt, which pays for a share of a retry.
fn earn(session: &Session, pool: &Pool) {
    if let Some(state) = session.worker.pool(pool.index) {
        state.borrow_mut().budget.request(timers::now());
    }
}

/// One attempt of whoever has not waited yet: those who do come first.
pub(super) fn attempt<T>(
    pool: &Arc<Pool>,
    worker: &Rc<WorkerGen>,
    session: Option<&Rc<Session>>,
    key: &[u8],
    tried: &[u64],
    keep: impl Fn(Lease) -> T,
) -> Attempt<T> {
    if pool.queue.0 > 0 && pool.shared.waiting.load(Relaxed) > 0 {
        return Attempt::Wait;
    }
    attempt_in_turn(pool, worker, session, key, tried, keep)
}

/// One attempt of whoever's turn it is.
#[inline]
fn attempt_in_turn<T>(
    pool: &Arc<Pool>,
    worker: &Rc<WorkerGen>,
    session: Option<&Rc<Session>>,
    key: &[u8],
    tried: &[u64],
    keep: impl Fn(Lease) -> T,
) -> Attempt<T> {
    let Some(limited) = pool.shared.enter() else { return Attempt::Wait };
    let result = attempt_in(pool, worker, session, (key, tried), limited, keep);
    match result {
        Attempt::Lease(_) => pool.shared.begin(worker.worker, limited),
        // Nobody is let in by this: the place was taken a moment ago, and whoever lines up next wakes the first.
        _ if limited => _ = pool.shared.limited.fetch_sub(1, SeqCst),
        _ => {}
    }
    result
}

/// The same in a place of the pool that the caller has, one of those that the pool's limit gives if `limited`.
#[inline]
pub(super) fn attempt_in<T>(
    pool: &Arc<Pool>,
    worker: &Rc<WorkerGen>,
    session: Option<&Rc<Session>>,
    (key, tried): (&[u8], &[u64]),
    limited: bool,
    keep: impl Fn(Lease) -> T,
) -> Attempt<T> {
    let mut waits = false;
    let Some(state) = worker.pool(pool.index) else { return Attempt::None };
    let PoolWorker { balancers, set, members, .. } = &mut *state.borrow_mut();
    // A load; to hold what is shared costs more, and it changes seldom.
    if set.version != pool.version.load(Relaxed) {
        *set = pool.set.load_full();
        *members = set.members.iter().cloned().map(Rc::new).collect();
    }
    for (tier, peers) in set.tiers.iter().enumerate() {
        let Some(balancer) = balancers[tier].as_mut().filter(|_| !peers.members.is_empty()) else { continue };
        // A peer may fill up between the question and the answer, by another worker: ask again, not for ever.
        for _ in 0..4 {
            match ask(balancer, set, tier, key, tried, worker, pool) {
                Pick::Peer(n) => {
                    let Some(&m) = peers.members.get(n as usize) else {
                        out_of_range(n, peers.members.len(), pool, worker);
                        return Attempt::None;
                    };
                    let Some(member) = members.get(m) else { return Attempt::None };
                    if !enter_peer(member, worker.worker) {
                        waits = true;
                        continue;
                    }
                    return Attempt::Lease(keep(Lease {
                        pool: pool.index,
                        member: Rc::clone(member),
                        worker: Rc::clone(worker),
                        session: session.cloned(),
                        connect_ns: 0,
                        version: set.version,
                        tier,
                        index: n,
                        at: m as u32,
                        done: false,
                        limited,
                        handed: Handed::Nothing,
                        unheard: false,
                        noted: false,
                        chosen: None,
                        bytes: session
                            .map_or((0, 0), |s| (s.shared.upstream_sent.get(), s.shared.upstream_received.get())),
                    }));
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

/// A balancer named a peer that there is not: the module's fault, which nobody else would find.
#[cold]
fn out_of_range(peer: u32, peers: usize, pool: &Pool, worker: &WorkerGen) {
    let balancer = pool.balancer.as_ref().map_or("", |(_, point)| point.name.as_str());
    if let Some(more) = process().error_log.once_a_second(&format!("balancer {balancer}")) {
        let module = worker.cycle.module_id(pool.balancer_module());
        tracing::error!(module, balancer, upstream = pool.name, peer, peers, more, "it chose a peer that is not there");
    }
}

pub(super) fn enter_peer(member: &Member, worker: u32) -> bool {
    let s = &member.live.state;
    let max = s.max_connections.load(Relaxed);
    if s.in_flight.fetch_add(1, SeqCst) >= max && max != 0 {
        s.in_flight.fetch_sub(1, SeqCst);
        return false;
    }
    member.live.uses.begin(worker);
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
    let refs = set.tiers[tier].peers.refs();
    let picker = match balancer {
        Balancer::Turns(turns) => return turns.pick(refs, tried),
        Balancer::Module(picker) => picker,
    };
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
    picker.pick(&cx)
}

/// Waits for the first answer about a name that has none yet; false: there is none to wait for.
async fn answers(pool: &Pool, worker: &WorkerGen) -> bool {
    let mut told = pin!(pool.shared.answered.notified());
    told.as_mut().enable();
    // Nobody asks for a generation that is retired: the one that serves does, or has done so.
    if worker.retired.get() && pool.follow() {
        return true;
    }
    if pool.shared.unanswered.load(Relaxed) == 0 {
        return false;
    }
    // A resolution ends by a limit of its own.
    timers::within(pool.retry_timeout, told).await.is_some()
}

/// Waits in the queue until it is this one's turn, in the place that it has or gets.
async fn wait<'a>(
    pool: &'a Pool,
    worker: &WorkerGen,
    place: &mut Option<Place<'a>>,
    tried: &[u64],
) -> Result<(), Error> {
    let now = process().now();
    let place = match place {
        None => place.insert(pool.shared.line_up(now).ok_or_else(|| {
            let text = format!("every peer of upstream \"{}\" is at its limit, and its queue is full", pool.name);
            Error::new(ErrorKind::Limit, text)
        })?),
        Some(place) => {
            // Others may have peers that this one has tried, or that its generation does not know.
            if !tried.is_empty() || worker.retired.get() {
                place.pass_on();
            }
            place
        }
    };
    if timers::within(place.until.saturating_sub(now), place.turn()).await.is_none() {
        pool.shared.queue_timeouts.fetch_add(1, Relaxed);
        // A limit of this proxy's: a peer that does not answer is something else.
        let text = format!("waited too long for a peer of upstream \"{}\"", pool.name);
        return Err(Error::new(ErrorKind::Limit, text));
    }
    Ok(())
}
