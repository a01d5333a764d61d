//! Places among the sessions of the process, and what else limits it as a whole.

use crate::{process::process, services::buffers};
use std::sync::atomic::Ordering::Relaxed;

/// A place among the sessions of the process, counted against `max_connections`. Given back when it is dropped, unless a
/// session took it over.
#[derive(Debug)]
pub(super) struct Seat(());

impl Seat {
    /// A place; `None` when all are taken.
    pub(super) fn take() -> Option<Self> {
        let p = process();
        let max = p.max_sessions.load(Relaxed);
        let before = p.sessions.fetch_add(1, Relaxed);
        let seat = Self(());
        (max == 0 || before < max).then_some(seat)
    }

    /// A place whatever the limit says: the connection was established long ago.
    pub(super) fn force() -> Self {
        process().sessions.fetch_add(1, Relaxed);
        Self(())
    }

    /// From now on it is the session's, which gives it back at its end.
    pub(super) fn pass_on(self) {
        std::mem::forget(self);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        process().sessions.fetch_sub(1, Relaxed);
    }
}

pub(super) fn process_limit() -> Option<&'static str> {
    let p = process();
    let max = p.max_sessions.load(Relaxed);
    if max != 0 && p.sessions.load(Relaxed) >= max {
        return Some("max_connections");
    }
    buffers::is_full().then_some("memory_limit")
}
