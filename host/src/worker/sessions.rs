//! A worker's sessions: who is there, who is told to end, whose time is over.

use super::{Worker, generation::WorkerGen};
use crate::{
    process::process,
    services::{buffers, rt, timers},
    session::Session,
};
use anyproxy_module_api::abi::session::{Cause, SessionShared, idle};
use std::{rc::Rc, sync::atomic::Ordering::Relaxed};

/// A session told to end gets this long before its task is dropped.
const KILL_GRACE_MS: u64 = 3000;

/// One that carries bytes is idle when none moved for so long: shorter than people think, longer than machines answer.
const STILL_MS: u64 = 5000;

/// As small as may be: there is one for each idle connection.
pub(super) struct Entry {
    session: Rc<Session>,
    task: rt::TaskHandle,
    /// What its counters of bytes came to, or [`TOLD`].
    moved: u32,
    /// Since when that is so: the lowest bits of the worker's clock, whose differences count.
    since: u32,
}

/// In place of what moved: it was told to end.
const TOLD: u32 = u32::MAX;

impl Entry {
    /// Looks at what moved: a few loads beside the deadline's, and no store where nothing did.
    fn look(&mut self, now: u64) {
        let s = &self.session.shared;
        if s.kill.get() != 0 {
            if self.moved != TOLD {
                (self.moved, self.since) = (TOLD, now as u32);
            } else if self.age(now) > KILL_GRACE_MS {
                std::mem::replace(&mut self.task, rt::TaskHandle::OVER).abort();
            }
            return;
        }
        match s.idle.get() {
            idle::CARRIES => {
                let moved = moved(s);
                if moved != self.moved {
                    (self.moved, self.since) = (moved, now as u32);
                }
            }
            // Its silence begins when it may speak.
            idle::BUSY => self.since = now as u32,
            _ => {}
        }
    }

    /// For how long that is so, milliseconds.
    fn age(&self, now: u64) -> u64 {
        (now as u32).wrapping_sub(self.since).into()
    }

    /// Since when it is idle, those first whose client is known to wait for nothing; `None`: it is not.
    fn idle_since(&self, now: u64) -> Option<(bool, u64)> {
        let s = &self.session.shared;
        match s.idle.get() {
            idle::WAITS => Some((false, s.started_ms)),
            idle::CARRIES if self.moved == moved(s) && self.age(now) >= STILL_MS => {
                Some((true, now.saturating_sub(self.age(now))))
            }
            _ => None,
        }
    }
}

/// The lowest bits of all bytes that it moved, which say whether some did.
fn moved(s: &SessionShared) -> u32 {
    let all = [&s.client_received, &s.client_sent, &s.upstream_received, &s.upstream_sent];
    all.iter().fold(0_u64, |sum, n| sum.wrapping_add(n.get())) as u32 & (TOLD >> 1)
}

impl Worker {
    /// Notes a new session; its key.
    pub fn enter(&self, session: &Rc<Session>) -> usize {
        let g = &session.worker;
        g.sessions.set(g.sessions.get() + 1);
        session.listener.stats.begin();
        self.sessions.borrow_mut().insert(Entry {
            session: Rc::clone(session),
            task: rt::TaskHandle::OVER,
            moved: 0,
            since: session.shared.started_ms as u32,
        })
    }

    /// Notes the task of a session, to end it by force.
    pub fn note_task(&self, key: usize, task: rt::TaskHandle) {
        if let Some(e) = self.sessions.borrow_mut().get_mut(key) {
            e.task = task;
        }
    }

    /// A session is over.
    pub fn leave(&self, key: usize, session: &Session) {
        let entry = self.sessions.borrow_mut().try_remove(key);
        let g = &session.worker;
        g.sessions.set(g.sessions.get().saturating_sub(1));
        process().sessions.fetch_sub(1, Relaxed);
        session.listener.stats.end();
        if self.paused.get() {
            self.room.notify_waiters();
        }
        drop(entry);
        if g.retired.get() || self.leaving.get() {
            self.reap();
        }
    }

    /// Sessions here.
    pub fn session_count(&self) -> usize {
        self.sessions.borrow().len()
    }

    /// Calls `f` with each session here.
    pub fn each_session(&self, mut f: impl FnMut(&Rc<Session>)) {
        // Collected first: `f` may end a session.
        let all: Vec<_> = self.sessions.borrow().iter().map(|(_, e)| Rc::clone(&e.session)).collect();
        all.iter().for_each(&mut f);
    }

    /// Calls `f` with each session here, and with each exchange under way.
    pub fn each_with_exchanges(&self, mut f: impl FnMut(&Rc<Session>)) {
        self.each_session(&mut f);
        for generation in self.generations() {
            generation.exchanges_under_way().iter().for_each(&mut f);
        }
    }

    /// Ends the session, or the exchange, with this number; false: there is none here.
    pub fn kill_numbered(&self, id: u64) -> bool {
        let mut found = None;
        self.each_with_exchanges(|s| {
            if s.shared.id == id {
                found = Some(Rc::clone(s));
            }
        });
        found.is_some_and(|s| {
            s.kill(Cause::Killed);
            true
        })
    }

    /// Ends the sessions that `which` chooses; how many.
    pub fn kill_sessions(&self, cause: Cause, which: impl Fn(&Session) -> bool) -> usize {
        let mut n = 0;
        self.each_session(|s| {
            if which(s) {
                s.kill(cause);
                n += 1;
            }
        });
        n
    }

    /// Tells those of a generation that it is retired.
    pub(super) fn tell_retired(&self, generation: &Rc<WorkerGen>) {
        for (_, e) in self.sessions.borrow().iter() {
            if Rc::ptr_eq(&e.session.worker, generation) {
                e.session.shared.draining.set(if self.leaving.get() { 2 } else { 1 });
                e.session.wake();
            }
        }
    }

    /// Ends the tasks of all.
    pub(super) fn abort_sessions(&self) {
        let tasks: Vec<_> = self.sessions.borrow().iter().map(|(_, e)| e.task.clone()).collect();
        for task in tasks {
            task.abort();
        }
    }

    /// Ends idle sessions to make room, the longest idle first, until `most` are on their way out; how many are. `of`: of
    /// this group of listeners.
    pub fn shed_idle(&self, most: usize, of: Option<u64>) -> usize {
        let now = timers::now_ms();
        let (mut leaving, mut found) = (0, Vec::new());
        let is_of = |e: &Entry| of.is_none_or(|group| e.session.listener.group == group);
        for (_, e) in self.sessions.borrow().iter().filter(|(_, e)| is_of(e)) {
            if e.session.shared.kill.get() != 0 {
                leaving += 1;
            } else if let Some(since) = e.idle_since(now) {
                found.push((since, Rc::clone(&e.session)));
            }
        }
        found.sort_by_key(|(since, _)| *since);
        found.truncate(most.saturating_sub(leaving));
        for (_, s) in &found {
            s.kill(Cause::Limit);
            s.listener.stats.shed.fetch_add(1, Relaxed);
        }
        leaving + found.len()
    }

    /// Deadlines, sessions that do not obey, log buffers, memory waiters.
    pub(super) fn sweep(&self) {
        let now = timers::now_ms();
        let mut fired = Vec::new();
        for (_, e) in self.sessions.borrow_mut().iter_mut() {
            e.look(now);
            let s = &e.session.shared;
            let deadline = s.deadline_ms.get();
            if deadline != 0 && deadline <= now && s.fired.get() == 0 {
                s.fired.set(1);
                fired.push(Rc::clone(&e.session));
            }
        }
        for s in fired {
            s.wake();
        }
        buffers::sweep();
        self.books.logs.borrow_mut().tick(self);
        self.reap();
    }
}
