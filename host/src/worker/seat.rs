//! Places among the sessions of the process, and what else limits it as a whole.

use crate::{cycle::listener::Listener, process::process, services::buffers};
use std::sync::atomic::Ordering::Relaxed;

/// A place among the sessions of the process, counted against `max_connections`. Given back when it is dropped, unless a
/// session took it over.
#[derive(Debug)]
pub(super) struct Seat(());

impl Seat {
    /// A place; `None` when all are taken.
    fn take() -> Option<Self> {
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

/// A limit that is reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) name: &'static str,
    /// It is of this group of listeners; room is made among its sessions.
    pub(super) of: Option<u64>,
}

impl Limit {
    const SESSIONS: Self = Self { name: "max_connections", of: None };
    const MEMORY: Self = Self { name: "memory_limit", of: None };

    /// One of the process that is reached, or the listener's own.
    fn reached(listener: Option<&Listener>) -> Option<Self> {
        let p = process();
        let max = p.max_sessions.load(Relaxed);
        if max != 0 && p.sessions.load(Relaxed) >= max {
            return Some(Self::SESSIONS);
        }
        if buffers::is_full() {
            return Some(Self::MEMORY);
        }
        let listener = listener?;
        listener.limit_reached().map(|name| Self { name, of: Some(listener.group) })
    }
}

/// A place for a connection of this listener.
///
/// # Errors
/// The limit that is reached.
pub(super) fn seat(listener: Option<&Listener>) -> Result<Seat, Limit> {
    match Limit::reached(listener) {
        Some(limit) => Err(limit),
        // The last place may have gone meanwhile.
        None => Seat::take().ok_or(Limit::SESSIONS),
    }
}
