//! Signals as requests. Set before any module is loaded: a handler set later would steal what a module relies on.

use crate::control::commands::Request;
#[cfg(unix)]
use std::collections::VecDeque;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that the process takes.
#[cfg(unix)]
#[derive(Debug)]
pub struct Signals {
    hup: Option<Signal>,
    usr1: Option<Signal>,
    usr2: Option<Signal>,
    quit: Option<Signal>,
    int: Option<Signal>,
    term: Option<Signal>,
    /// What came before it could be done, once each.
    early: VecDeque<Request>,
}

#[cfg(unix)]
impl Signals {
    /// Takes them.
    pub fn new() -> Self {
        let take = |kind| signal(kind).ok();
        Self {
            hup: take(SignalKind::hangup()),
            usr1: take(SignalKind::user_defined1()),
            usr2: take(SignalKind::user_defined2()),
            quit: take(SignalKind::quit()),
            int: take(SignalKind::interrupt()),
            term: take(SignalKind::terminate()),
            early: VecDeque::new(),
        }
    }

    /// The next one that ends the process, now or gracefully. While it starts nothing else can be done: others are kept for
    /// [`next`](Self::next).
    pub async fn ends(&mut self) {
        loop {
            match self.heard(false).await {
                Request::Quit | Request::Stop => return,
                other if self.early.contains(&other) => {}
                other => self.early.push_back(other),
            }
        }
    }

    /// The next one. HUP: reload; USR1: reinit; USR2: check; QUIT, INT: quit (a second one stops); TERM: stop, or quit when
    /// `term_graceful`.
    pub async fn next(&mut self, term_graceful: bool) -> Request {
        match self.early.pop_front() {
            Some(request) => request,
            None => self.heard(term_graceful).await,
        }
    }

    async fn heard(&mut self, term_graceful: bool) -> Request {
        async fn of(s: &mut Option<Signal>) {
            match s {
                Some(s) => {
                    s.recv().await;
                }
                None => std::future::pending().await,
            }
        }
        tokio::select! {
            () = of(&mut self.hup) => Request::Reload,
            () = of(&mut self.usr1) => Request::Reinit,
            () = of(&mut self.usr2) => Request::Check,
            () = of(&mut self.quit) => Request::Quit,
            () = of(&mut self.int) => Request::Quit,
            () = of(&mut self.term) => if term_graceful { Request::Quit } else { Request::Stop },
        }
    }
}

/// Elsewhere: only the console's interrupt.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct Signals;

#[cfg(not(unix))]
impl Signals {
    /// Takes it.
    pub fn new() -> Self {
        Self
    }

    /// The next one that ends the process: any.
    pub async fn ends(&mut self) {
        self.next(false).await;
    }

    /// The next one: quit.
    pub async fn next(&mut self, _: bool) -> Request {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Request::Quit,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Default for Signals {
    fn default() -> Self {
        Self::new()
    }
}
