//! Counts what the fake host gave out, so that a test can say that all of it came back; and the tasks that wait for it.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
    task::{Context, Waker},
};

/// What may be left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Task,
    Timer,
    Stream,
    Listener,
    Udp,
    Watch,
    Resolved,
    File,
    FileWatch,
    Zone,
    Lease,
    Buffer,
    Job,
}

const NAMES: [&str; 13] = [
    "task",
    "timer",
    "stream",
    "listener",
    "datagram socket",
    "watch",
    "resolved name",
    "file",
    "file watch",
    "zone",
    "lease",
    "buffer",
    "job",
];

/// The counters; shared by everything counted, which may be dropped on any thread.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live(Arc<[AtomicI64; NAMES.len()]>);

impl Live {
    pub(crate) fn token(&self, kind: Kind) -> Token {
        self.0[kind as usize].fetch_add(1, SeqCst);
        Token { live: self.clone(), kind }
    }

    /// `2 stream, 1 lease`; empty: nothing is held.
    pub(crate) fn held(&self) -> String {
        let counts = self.0.iter().zip(NAMES).filter(|(n, _)| n.load(SeqCst) != 0);
        counts.map(|(n, name)| format!("{} {name}", n.load(SeqCst))).collect::<Vec<_>>().join(", ")
    }
}

/// Counts one while it exists.
#[derive(Debug)]
pub(crate) struct Token {
    live: Live,
    kind: Kind,
}

impl Drop for Token {
    fn drop(&mut self) {
        self.live.0[self.kind as usize].fetch_sub(1, SeqCst);
    }
}

/// Whoever waits for one object: any number of tasks, on any thread, each of which is woken.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Mutex<Vec<Waker>>);

impl Waiters {
    /// The task of `cx` waits.
    pub(crate) fn note(&self, cx: &Context<'_>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.iter().any(|w| w.will_wake(cx.waker())) {
            all.push(cx.waker().clone());
        }
    }

    /// Wakes all. The list is free before: a waker may come back here.
    pub(crate) fn wake(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        all.into_iter().for_each(Waker::wake);
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}
