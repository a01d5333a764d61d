//! The upkeep of pools: resolves names, checks health, returns ejected peers, ramps up new ones, ends waits that took too
//! long. One task for all pools of the generation that serves, on its first worker; a few pools a turn of the loop, because
//! connections must not wait for thousands.

use super::{
    ask::ask,
    health::{Change, CheckId, HealthCheck},
    pool::Pool,
    random::random,
    recover,
    resolve::{Schedule, diff, normalise},
};
use crate::{
    process::process,
    services::{dns, rt, timers},
    worker::generation::WorkerGen,
};
use anyproxy_module_api::abi::{net::Addr, upstream::health};
use std::{
    collections::{BTreeSet, HashMap},
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tokio::sync::mpsc;

/// Longest sleep of a pool's upkeep: what others change is seen within this.
const TURN: Duration = Duration::from_secs(1);
/// Shortest sleep of it.
const SOONEST: Duration = Duration::from_millis(5);
/// How often a ramp moves.
const RAMP: Duration = Duration::from_millis(250);

/// Why a check failed that took too long.
const LATE: &str = "no answer in time";

/// Pools, or events of pools, that are looked after in one turn of the loop.
const AT_ONCE: usize = 16;

/// Starts the upkeep of every pool that needs any.
pub fn start(generation: &Rc<WorkerGen>) {
    generation.note_upkeep(rt::spawn(run(Rc::clone(generation))));
}

fn needs_upkeep(pool: &Pool) -> bool {
    pool.eject.ejects()
        || pool.queue.0 > 0
        || !pool.slow_start.is_zero()
        || pool.lines.iter().any(|l| l.is_name || l.heartbeat.is_some())
}

async fn run(generation: Rc<WorkerGen>) {
    let (tell, mut heard) = mpsc::unbounded_channel();
    let mut all: Vec<Upkeep> = Vec::new();
    // When each is to be looked after next, by its number in `all`.
    let mut due = BTreeSet::new();
    for pool in generation.cycle.pools.iter().filter(|p| needs_upkeep(p)) {
        let n = all.len();
        let mut upkeep = Upkeep::new(Rc::clone(&generation), Arc::clone(pool), Tell(n, tell.clone()));
        upkeep.turn();
        due.insert((upkeep.next, n));
        all.push(upkeep);
        if n % AT_ONCE == AT_ONCE - 1 {
            rt::yield_now().await;
        }
    }
    let mut said = None;
    loop {
        let mut turns = 0;
        while turns < AT_ONCE {
            let said = said.take().or_else(|| heard.try_recv().ok());
            let now = process().now();
            let n = match &said {
                Some((n, _)) => *n,
                None => match due.first() {
                    Some((at, n)) if *at <= now => *n,
                    _ => break,
                },
            };
            let upkeep = &mut all[n];
            due.remove(&(upkeep.next, n));
            if let Some((_, event)) = said {
                upkeep.hear(event);
            }
            upkeep.turn();
            due.insert((upkeep.next, n));
            turns += 1;
        }
        if turns == AT_ONCE {
            rt::yield_now().await;
            continue;
        }
        let wait = due.first().map_or(TURN, |(at, _)| at.saturating_sub(process().now()));
        tokio::select! {
            event = heard.recv() => said = event,
            () = rt::sleep(wait) => {}
        }
    }
}

enum Event {
    Resolved(usize, Result<Vec<(Addr, u32)>, String>),
    Checked(u64, CheckId, Result<(), String>),
    /// The peer could not be asked, and why.
    Unasked(u64, CheckId, String),
}

/// Tells the upkeep of one pool what happened.
#[derive(Clone)]
struct Tell(usize, mpsc::UnboundedSender<(usize, Event)>);

impl Tell {
    fn send(&self, event: Event) {
        // The upkeep may have ended meanwhile.
        let _ = self.1.send((self.0, event));
    }
}

/// The upkeep of one pool.
struct Upkeep {
    generation: Rc<WorkerGen>,
    pool: Arc<Pool>,
    names: HashMap<usize, (Schedule, bool)>,
    addresses: Vec<Vec<Addr>>,
    checks: HashMap<u64, HealthCheck>,
    /// When it has to be looked after again.
    next: Duration,
    tell: Tell,
}

impl Upkeep {
    fn new(generation: Rc<WorkerGen>, pool: Arc<Pool>, tell: Tell) -> Self {
        let now = process().now();
        let names = pool.lines.iter().enumerate().filter(|(_, l)| l.is_name);
        let names = names.map(|(n, l)| (n, (Schedule::new(l.refresh, now), false))).collect();
        let addresses = pool.set.load().addresses.clone();
        Self { generation, pool, names, addresses, checks: HashMap::new(), next: now, tell }
    }

    /// Does what is due, and notes when something else is.
    fn turn(&mut self) {
        let now = process().now();
        let mut next = now + TURN;
        self.resolve(now, &mut next);
        self.check(now, &mut next);
        self.give_back(now, &mut next);
        self.ramp(now, &mut next);
        self.pool.shared.wake_in_time(now);
        self.next = next.max(now + SOONEST);
    }

    fn resolve(&mut self, now: Duration, next: &mut Duration) {
        for (n, (schedule, asking)) in &mut self.names {
            if *asking {
                continue;
            }
            if !schedule.is_due(now) {
                if let Some(at) = schedule.next() {
                    *next = (*next).min(at);
                }
                continue;
            }
            *asking = true;
            let (n, tell) = (*n, self.tell.clone());
            let line = &self.pool.lines[n];
            let (host, port) = (line.host.clone(), line.port);
            let task = rt::spawn(async move {
                // When to ask is decided here: an answer that is still kept somewhere is no news.
                let answer = dns::lookup_fresh(&host, port).await;
                let answer = answer.map(|l| l.iter().map(|r| (r.addr, r.ttl_s)).collect()).map_err(|e| e.to_string());
                tell.send(Event::Resolved(n, answer));
            });
            self.generation.note_upkeep(task);
        }
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Resolved(n, answer) => self.resolved(n, answer),
            Event::Checked(peer, id, result) => self.checked(peer, id, result),
            Event::Unasked(peer, id, why) => {
                if let Some(more) = process().error_log.once_a_second(&format!("check {}", self.pool.name)) {
                    tracing::warn!(upstream = self.pool.name, more, "peers cannot be checked: {why}");
                }
                if let Some(check) = self.checks.get_mut(&peer) {
                    check.give_up(id);
                }
            }
        }
    }

    fn resolved(&mut self, n: usize, answer: Result<Vec<(Addr, u32)>, String>) {
        let now = process().now();
        let line = &self.pool.lines[n];
        let Some((schedule, asking)) = self.names.get_mut(&n) else { return };
        *asking = false;
        let first = self.addresses[n].is_empty() && schedule.failures() == 0;
        match answer {
            Ok(list) if !list.is_empty() => {
                let ttl = list.iter().map(|(_, ttl)| *ttl).min().map(|s| Duration::from_secs(s.into()));
                schedule.resolved(now, ttl, random());
                let sockets = list.iter().filter_map(|(a, _)| a.socket()).collect();
                let new: Vec<_> = normalise(sockets);
                let old: Vec<_> = self.addresses[n].iter().filter_map(Addr::socket).collect();
                let change = diff(&old, &new);
                if !change.is_empty() {
                    let (added, removed) = (change.added.len(), change.removed.len());
                    tracing::info!(upstream = self.pool.name, peer = line.text, added, removed, "addresses changed");
                    self.addresses[n] = new.into_iter().map(Addr::from).collect();
                    self.pool.shared.remember(&line.text, &self.addresses[n]);
                    self.pool.replace(self.addresses.clone());
                    self.pool.shared.wake();
                }
            }
            other => {
                schedule.failed(now, random());
                let why = other.err().unwrap_or_else(|| "no address".to_owned());
                let kept = self.addresses[n].len();
                if schedule.failures() == 1 || schedule.failures() % 10 == 0 {
                    tracing::warn!(upstream = self.pool.name, peer = line.text, kept, "cannot be resolved: {why}");
                }
            }
        }
        if first {
            // Never below zero: each name that has no address at the start is counted, and answers once for the first time.
            let _ = self.pool.shared.unanswered.fetch_update(Relaxed, Relaxed, |n| n.checked_sub(1));
            self.pool.shared.answered.notify_waiters();
        }
    }

    fn check(&mut self, now: Duration, next: &mut Duration) {
        let set = self.pool.set.load_full();
        self.checks.retain(|id, _| set.members.iter().any(|m| m.live.state.id == *id));
        for m in &set.members {
            let Some(policy) = self.pool.lines[m.line].heartbeat else { continue };
            let up = m.live.state.health.load(Relaxed) != health::DOWN;
            let id = m.live.state.id;
            let check = self.checks.entry(id).or_insert_with(|| {
                let new = HealthCheck::new(policy, now, random()).with_state(up, m.live.against.load(Relaxed));
                match m.live.checked_ms.load(Relaxed) {
                    0 => new,
                    ms => new.checked_at(Duration::from_millis(ms), now, random()),
                }
            });
            let change = check.expire(now);
            m.live.against.store(check.against(), Relaxed);
            if let Some(change) = change {
                m.live.checked_ms.store(now.as_millis() as u64, Relaxed);
                m.live.note_check(Some(LATE));
                apply(&self.pool.name, &m.live, change, LATE);
            }
            if let Some((check_id, limit)) = check.start(now, random()) {
                let (generation, pool, member, tell) =
                    (Rc::clone(&self.generation), Arc::clone(&self.pool), m.clone(), self.tell.clone());
                let task = rt::spawn(async move {
                    tell.send(match timers::within(limit, ask(&generation, &pool, &member)).await {
                        Some(Ok(answer)) => Event::Checked(id, check_id, answer.map_err(|e| e.to_string())),
                        Some(Err(e)) => Event::Unasked(id, check_id, e.to_string()),
                        None => Event::Checked(id, check_id, Err(LATE.to_owned())),
                    });
                });
                self.generation.note_upkeep(task);
            }
            *next = (*next).min(now + check.next_check(now));
        }
    }

    fn checked(&mut self, peer: u64, id: CheckId, result: Result<(), String>) {
        let set = self.pool.set.load_full();
        let Some(m) = set.members.iter().find(|m| m.live.state.id == peer) else { return };
        let count = if result.is_ok() { &m.live.counts.checks_passed } else { &m.live.counts.checks_failed };
        count.fetch_add(1, Relaxed);
        m.live.note_check(result.as_ref().err().map(String::as_str));
        if result.is_ok() && self.pool.eject_by_connect {
            // What it was ejected for is what was checked.
            recover::release(&self.pool.shared, &m.live, "it answers");
        }
        m.live.checked_ms.store((process().now().as_millis() as u64).max(1), Relaxed);
        let Some(check) = self.checks.get_mut(&peer) else { return };
        let change = check.finish(id, result.is_ok());
        m.live.against.store(check.against(), Relaxed);
        if let Some(change) = change {
            apply(&self.pool.name, &m.live, change, result.as_ref().err().map_or("", String::as_str));
            if change == Change::Up {
                self.pool.shared.wake();
            }
        }
    }

    fn give_back(&self, now: Duration, next: &mut Duration) {
        if !self.pool.eject.ejects() {
            return;
        }
        let set = self.pool.set.load();
        let (back, later) = self.pool.shared.expire(set.members.iter().map(|m| &m.live.state), now);
        if let Some(at) = later {
            *next = (*next).min(at);
        }
        for m in set.members.iter().filter(|m| back.contains(&m.live.state.id)) {
            m.live.begins(now);
            tracing::info!(upstream = self.pool.name, peer = %m.live.addr_text, "peer is back after ejection");
            self.pool.shared.wake();
        }
    }

    fn ramp(&self, now: Duration, next: &mut Duration) {
        for m in &self.pool.set.load().members {
            if self.pool.ramp(&m.live, now) {
                *next = (*next).min(now + RAMP);
            }
        }
    }
}

fn apply(upstream: &str, live: &super::live::PeerLive, change: Change, why: &str) {
    let now = process().now();
    match change {
        Change::Up => {
            live.set_health(now, health::UP);
            tracing::info!(upstream, peer = %live.addr_text, "peer is up");
        }
        Change::Down => {
            live.set_health(now, health::DOWN);
            tracing::warn!(upstream, peer = %live.addr_text, "peer is down: {why}");
        }
    }
}
