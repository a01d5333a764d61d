//! One counted use of one peer: connecting to it, and what the use leaves behind. Knows not how the peer was chosen.

use super::{
    blame,
    connect::{connect, connect_limit, request, within_session},
    eject::Reason,
    line::Line,
    pool::{Member, Pool},
};
use crate::{
    process::process,
    services::{
        balancer::Balancer,
        current::{Current, enter},
        points, timers,
    },
    session::Session,
    worker::generation::WorkerGen,
};
use anyproxy_module_api::abi::{
    bytes::Str,
    error::{Error, ErrorKind},
    stream::Stream,
    upstream::Outcome,
};
use std::{
    cell::RefCell,
    pin::pin,
    rc::Rc,
    sync::atomic::Ordering::{Relaxed, SeqCst},
    time::Duration,
};

/// What a session's log shows of its peer.
#[derive(Clone, Debug, Default)]
pub struct LeaseNote {
    /// The peer.
    pub member: Option<Rc<Member>>,
    /// Index of its pool in the generation.
    pub pool: usize,
    /// Time the connect took.
    pub connect: Option<Duration>,
    /// Time from asking the peer to its answer, nanoseconds, if whoever asked says it; 0: no answer.
    pub first_byte_ns: u64,
    /// Peers tried.
    pub tries: u32,
    /// How often a peer is being chosen or connected now: see [`Connects`].
    connects: u32,
    /// While a module connects: one more than the stages that were noted before; else 0.
    pub watched: u32,
}

impl LeaseNote {
    /// For another exchange.
    pub fn forget(&mut self) {
        self.member = None;
        self.connect = None;
        self.first_byte_ns = 0;
        self.tries = 0;
    }

    /// A peer is being chosen or connected.
    pub const fn connects(&self) -> bool {
        self.connects > 0
    }
}

/// While it is there a peer of the session's own upstream is being chosen or connected.
pub(super) struct Connects<'a>(&'a RefCell<LeaseNote>);

impl<'a> Connects<'a> {
    pub(super) fn of(note: &'a RefCell<LeaseNote>) -> Self {
        note.borrow_mut().connects += 1;
        Self(note)
    }
}

impl Drop for Connects<'_> {
    fn drop(&mut self) {
        // It may be given up by a panic.
        if let Ok(mut note) = self.0.try_borrow_mut() {
            note.connects -= 1;
        }
    }
}

/// An error of a connect with the stage at which its time was over.
fn explained(e: Error, stage: Option<Str<'static>>) -> Error {
    match stage.filter(|_| e.kind == ErrorKind::TimedOut) {
        Some(stage) => Error::new(e.kind, format!("{e}, last stage {stage}")),
        None => e,
    }
}

/// Whoever refuses a connect is the peer, or stands before it: `Permission` is what `peer_allow` says.
fn theirs(e: Error) -> Error {
    if e.kind == ErrorKind::Permission { Error::new(ErrorKind::Refused, e.to_string()) } else { e }
}

/// What a use has handed on to the one that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handed {
    /// It has all that it began with.
    Nothing,
    /// Its place in the pool.
    Place,
    /// That and its place at the peer.
    Both,
}

/// One counted use of one peer.
#[derive(Debug)]
pub struct Lease {
    /// Index of the pool in the generation: shared counts of its references would go from worker to worker.
    pub(super) pool: usize,
    /// The peer.
    pub member: Rc<Member>,
    /// The generation that uses it.
    pub worker: Rc<WorkerGen>,
    /// The session.
    pub session: Option<Rc<Session>>,
    /// Time the connect took, nanoseconds.
    pub connect_ns: u64,
    pub(super) version: u64,
    pub(super) tier: usize,
    pub(super) index: u32,
    /// Index of the peer among all of the pool when it was chosen; `u32::MAX`: it is none of them.
    pub at: u32,
    pub(super) done: bool,
    /// It has one of the places that the pool's limit gives.
    pub(super) limited: bool,
    /// What of its places another use has now.
    pub(super) handed: Handed,
    /// Its connect is under way, or has failed for a reason that is not the peer's: nothing was heard of it then, whatever a
    /// module makes of that.
    pub(super) unheard: bool,
    /// It is what the session's log and variables say of its peer: no use of an upstream that a module names beside its own.
    pub(super) noted: bool,
    /// What was chosen, where `member` is an address that was rendered for it.
    pub(super) chosen: Option<Rc<Member>>,
    pub(super) bytes: (u64, u64),
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

    /// The peer of the set that was chosen.
    pub(super) fn first_chosen(&self) -> &Rc<Member> {
        self.chosen.as_ref().unwrap_or(&self.member)
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
        self.unheard = true;
        let greeting = self.greeting()?;
        let connected = match self.session.clone() {
            Some(session) => {
                let _connects = self.noted.then(|| Connects::of(&session.lease));
                if self.line().connector.connect.is_some() {
                    session.watch_stages();
                }
                let connected = within_session(&session, limit, pin!(self.connect_now(&greeting))).await;
                let stage = session.watched_stage();
                connected.map_err(|e| explained(e, stage))
            }
            None => {
                let connecting = Box::pin(self.connect_now(&greeting));
                timers::within(limit, connecting).await.unwrap_or(Err(Error::bare(ErrorKind::TimedOut)))
            }
        };
        self.unheard = connected.as_ref().is_err_and(|e| !blame::is_peers(e));
        let stream = connected.map_err(theirs)?;
        let took = timers::now().saturating_sub(began);
        self.connect_ns = (took.as_nanos() as u64).max(1);
        self.note(|note| note.connect = Some(took));
        Ok(stream)
    }

    fn note(&self, what: impl FnOnce(&mut LeaseNote)) {
        if let Some(s) = self.session.as_ref().filter(|_| self.noted)
            && let Ok(mut note) = s.lease.try_borrow_mut()
        {
            what(&mut note);
        }
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

    /// Whether its connections speak for one client from their first byte on. The same for all sessions of a block.
    pub fn is_greeted(&self) -> bool {
        let Some(session) = self.session.as_ref().filter(|s| !s.worker.cycle.greetings.is_empty()) else {
            return false;
        };
        // Block and answer in one: who asks is of the same block nearly always.
        let of_block = (u64::from(session.scope.get().0) + 1) << 1;
        let known = self.line().greeted.load(Relaxed);
        if known & !1 == of_block {
            return known & 1 == 1;
        }
        // One that cannot be written is one.
        let greeted = self.greeting().map_or(true, |bytes| !bytes.is_empty());
        self.line().greeted.store(of_block | u64::from(greeted), Relaxed);
        greeted
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
            if !points::greet(point, place, &request, &mut bytes) {
                // A bound of what can be written, and nothing that the peer has said.
                return Err(Error::new(ErrorKind::Limit, format!("the greeting \"{}\" cannot be written", point.name)));
            }
        }
        Ok(bytes)
    }

    /// Ends the use and says how it went.
    pub fn finish(mut self, outcome: &Outcome) {
        self.end(outcome);
    }

    /// The same, where it is. Once.
    pub fn end(&mut self, outcome: &Outcome) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let (live, pool) = (&self.member.live, self.pool());
        if self.handed != Handed::Both {
            self.first_chosen().live.state.in_flight.fetch_sub(1, SeqCst);
        }
        if self.chosen.is_some() {
            live.state.in_flight.fetch_sub(1, SeqCst);
        }
        let (mut sent, mut received) = (0, 0);
        if let Some(s) = &self.session {
            sent = s.shared.upstream_sent.get() - self.bytes.0;
            received = s.shared.upstream_received.get() - self.bytes.1;
        }
        if outcome.first_byte_ns > 0 {
            self.note(|note| note.first_byte_ns = outcome.first_byte_ns);
        }
        live.uses.end(self.worker.worker, sent, received);
        let outcome = &if self.unheard { Outcome::UNHEARD } else { *outcome };
        match outcome.failure {
            0 => {}
            1 => _ = live.counts.connect_failures.fetch_add(1, Relaxed),
            _ if outcome.is_unheard() => {}
            _ => _ = live.counts.failures.fetch_add(1, Relaxed),
        }
        let sample =
            if outcome.first_byte_ns > 0 { outcome.first_byte_ns } else { outcome.connect_ns.max(self.connect_ns) };
        if !outcome.is_unheard() {
            if outcome.failure == 0 && sample > 0 {
                live.observe(timers::now(), sample);
            }
            self.report(pool, outcome.failure);
        }
        self.tell_balancer(pool, outcome);
        match self.handed {
            Handed::Nothing => pool.shared.leave(self.worker.worker, self.limited),
            handed => pool.shared.hand_on(self.worker.worker, handed == Handed::Place),
        }
    }

    fn report(&self, pool: &Pool, failure: u8) {
        let live = &self.member.live;
        if !pool.eject.ejects() {
            return;
        }
        let good = failure == 0 || (pool.eject_by_connect && failure != 1);
        if !good {
            live.failing.store(true, Relaxed);
        } else if pool.eject.percent == 0 && !(live.failing.load(Relaxed) && live.failing.swap(false, Relaxed)) {
            // It would change nothing: no lock for it, and nothing written that other workers read.
            return;
        }
        if let Some(e) = pool.shared.result(&live.state, good, process().now()) {
            live.counts.ejections.fetch_add(1, Relaxed);
            let why = match e.reason {
                Reason::Consecutive(n) => format!("{n} failures in a row"),
                Reason::Percent(n) => format!("{n}% of its uses failed"),
            };
            tracing::warn!(upstream = pool.name, peer = %live.addr_text, "peer ejected: {why}");
        }
    }

    fn tell_balancer(&self, pool: &Pool, outcome: &Outcome) {
        if pool.balancer.is_none() {
            return;
        }
        let Some(state) = self.worker.pool(self.pool) else { return };
        // A lease that a balancer drops while it is asked: nothing to tell.
        let Ok(mut state) = state.try_borrow_mut() else { return };
        if state.set.version != self.version {
            return;
        }
        if let Some(Balancer::Module(picker)) = state.balancers[self.tier].as_mut() {
            let _who = enter(Current::on_worker(&self.worker, pool.balancer_module()));
            picker.done(self.index, outcome);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Whoever had it was given up: a module says how a use went, and says so to `end`.
        self.end(&Outcome::UNHEARD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_connects_until_the_last_attempt_is_over_or_given_up() {
        let note = RefCell::<LeaseNote>::default();
        let choosing = Connects::of(&note);
        drop(Connects::of(&note));
        assert!(note.borrow().connects(), "another peer is being chosen");
        drop(choosing);
        assert!(!note.borrow().connects());
    }
}
