//! How a generation comes into force: built off the loop, its sockets bound, started on every worker, and only then served.
//! Whatever fails before the switch changes nothing. What workers do of it is `starting`.

use super::{
    Control, Retired,
    long::Answer,
    publish, runtime, spare,
    starting::{in_force, mailboxes, note_bound, start_workers, stop},
};
use crate::{
    config::{
        diagnostic::{Diagnostic, Diagnostics, Style},
        document::Sources,
        dump::{Needs, Standing},
    },
    cycle::{
        Cycle, build,
        listener::Listener,
        prepare::{self, Failure, Prepared},
        sockopts,
    },
    services::{platform, priority, timers, watchdog},
    worker::{WorkerHandle, accept::Assigned, all_done, share::Sharing},
};
use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

impl Control {
    pub(super) fn note_reload(&mut self, result: Answer) -> Answer {
        match &result {
            Ok(_) => {
                self.reloads += 1;
                self.last_error = None;
            }
            Err(e) => {
                self.failed_reloads += 1;
                self.last_error = Some(e.clone());
                tracing::error!("reload failed, the configuration before goes on:\n{e}");
            }
        }
        result
    }

    /// What is to be done next with a generation that was prepared, off the loop: it is started on the workers, with `reinit` on
    /// new ones, and committed.
    ///
    /// # Errors
    /// Why it does not go live.
    pub(super) fn starting(
        &self,
        next: Next,
        reinit: bool,
    ) -> Result<impl Future<Output = Result<Started, String>> + Send + use<>, String> {
        if self.quitting.is_some() {
            return Err(ENDING.to_owned());
        }
        let threads = if reinit { start_workers(&next.built.cycle.settings) } else { Ok(Vec::new()) };
        let fresh = threads.map_err(|e| format!("cannot start workers: {e}"))?;
        note_bound(&next.built.cycle, &self.sockets);
        note_bound(&next.built.cycle, next.prepared.sockets());
        let workers = mailboxes(if reinit { &fresh } else { &self.workers });
        Ok(async move {
            let Next { built, prepared, began } = next;
            match in_force(&workers, &built.cycle, prepared).await {
                Ok(prepared) => Ok(Started { next: Next { built, prepared, began }, fresh }),
                Err(e) => {
                    stop(&fresh);
                    Err(e)
                }
            }
        })
    }

    /// Switches to a generation that every worker has started.
    pub(super) async fn switch(&mut self, started: Started, reinit: bool) -> Answer {
        let Started { next, fresh } = started;
        if self.quitting.is_some() {
            stop(&fresh);
            return Err(ENDING.to_owned());
        }
        let Next { built, prepared, began } = next;
        let warnings = built.warnings.render(Style::PLAIN);
        let cycle = built.cycle;
        let pending = self.standing.pending(&built.standing).into_iter();
        let pending = pending.filter(|(_, n)| !reinit || *n == Needs::Restart);
        let mut needs: Vec<_> = pending.map(|(name, n)| format!("{name} needs {n}")).collect();
        needs.extend(sockopts::follow(&self.sockets, &self.cycle, &cycle));
        for what in &needs {
            tracing::warn!("not applied: {what}");
        }
        // Those that have the generation before; workers that are leaving since an earlier reinit never had it.
        let ids = self.workers.iter().map(|w| w.id).collect();
        if reinit {
            self.replace_workers(fresh);
        }
        self.sockets.extend(prepared.keep());
        needs.extend(self.find_again(&cycle).failed);
        let before = std::mem::replace(&mut self.cycle, Arc::clone(&cycle));
        let deadline = before.settings.reload_timeout.map(|t| Instant::now() + t);
        self.retired.insert(before.epoch, Retired { cycle: before, workers: ids, deadline });
        self.go_live(&cycle).await;
        if reinit {
            self.standing.reinit(built.standing);
            self.dismiss();
        }
        let ms = began.elapsed().as_millis() as u64;
        tracing::info!(epoch = cycle.epoch, ms, "configuration {:016x} is live", cycle.hash);
        Ok(serde_json::json!({
            "epoch": cycle.epoch,
            "hash": format!("{:016x}", cycle.hash),
            "ms": ms,
            "warnings": warnings,
            "not_applied": needs,
        }))
    }

    /// Switches to a generation that every worker has started and that is committed.
    pub(super) async fn go_live(&mut self, cycle: &Arc<Cycle>) {
        watchdog::enable(!cycle.settings.watchdog.is_zero());
        let given_up: Vec<_> =
            self.sockets.extract_if(|key, _| !cycle.listeners.iter().any(|l| l.key == *key)).collect();
        // Before the workers let go: whoever holds a socket last must be the one that served its queue.
        crate::upgrade::offer(&self.sockets, cycle.epoch);
        crate::systemd::store(&self.sockets);
        for (_, bound) in given_up {
            bound.give_up();
        }
        self.end_shares(cycle);
        let epoch = cycle.epoch;
        let shares: Vec<_> = self.workers.iter().map(|w| self.share_of(w.index, cycle)).collect();
        let told = self.workers.iter().zip(shares).map(|(w, share)| {
            w.told(move |w| {
                w.accept_from(share);
                w.switch_to(epoch);
            })
        });
        all_done(told.collect()).await;
        // Only now: what is handed to a worker before it serves has nowhere to go.
        publish(&self.workers);
        self.accept_for_all(cycle);
    }

    /// The sockets that a worker accepts from.
    pub(super) fn share_of(&self, worker: u32, cycle: &Arc<Cycle>) -> Vec<Assigned> {
        let mut out = Vec::new();
        for l in &cycle.listeners {
            let Some(bound) = self.sockets.get(&l.key) else { continue };
            if !l.options.reuseport && l.datagram.is_none() {
                continue;
            }
            let workers = self.workers.len();
            for (n, s) in bound.sockets.iter().enumerate() {
                // An address keeps its sockets whatever the number of workers becomes: closing one of a group resets
                // what waits in it. Fewer workers take several each, more of them share.
                let mine = n % workers == worker as usize || (worker as usize) % bound.sockets.len() == n;
                if !mine {
                    continue;
                }
                match s.try_clone() {
                    Ok(socket) => {
                        let datagram = l.datagram.is_some();
                        out.push(Assigned {
                            key: l.key.wrapping_add(bound.number(n)),
                            listener: l.key,
                            socket,
                            datagram,
                        });
                    }
                    Err(e) => tracing::error!(listener = bound.label, "cannot share the socket: {e}"),
                }
            }
        }
        out
    }

    /// Ends the accept loops of this loop that the generation does not want any more.
    pub(super) fn end_shares(&mut self, cycle: &Cycle) {
        let wanted: HashSet<_> = cycle.listeners.iter().filter(|l| is_shared(l)).map(|l| l.key).collect();
        for (_, share) in self.shared_accepts.extract_if(|key, _| !wanted.contains(key)) {
            share.drain();
        }
    }

    /// Without reuseport: one accept loop here hands connections round.
    pub(super) fn accept_for_all(&mut self, cycle: &Cycle) {
        for l in cycle.listeners.iter().filter(|l| is_shared(l)) {
            if let Some(share) = self.shared_accepts.get(&l.key) {
                share.switch_to(l);
                continue;
            }
            let Some(socket) = self.sockets.get(&l.key).and_then(|b| b.sockets.first()) else { continue };
            match socket.try_clone().and_then(|s| Sharing::start(l, s)) {
                Ok(share) => {
                    self.shared_accepts.insert(l.key, share);
                }
                Err(e) => tracing::error!("cannot accept: {e}"),
            }
        }
    }

    /// New workers take the place of the present ones, which go on with their sessions.
    pub(super) fn replace_workers(&mut self, fresh: Vec<WorkerHandle>) {
        let deadline = Instant::now() + self.cycle.settings.shutdown_timeout;
        let old = std::mem::replace(&mut self.workers, fresh);
        self.leaving.extend(old.into_iter().map(|w| (w, deadline)));
    }

    /// The replaced workers accept no more, and end with their last session.
    pub(super) fn dismiss(&self) {
        let kept: HashSet<_> = self.cycle.listeners.iter().map(|l| l.key).collect();
        for (w, _) in &self.leaving {
            let kept = kept.clone();
            w.post(move |w| w.leave_when_done(&kept));
        }
    }
}

/// A generation that was built, and what of it a reload does not put into force.
pub struct Built {
    pub(super) cycle: Arc<Cycle>,
    pub(super) warnings: Diagnostics,
    pub(super) standing: Standing,
}

/// A generation that was prepared and may go live.
pub struct Next {
    built: Built,
    prepared: Prepared,
    began: Instant,
}

/// One that is committed, and that these new workers have started, or those at work if there are none.
pub struct Started {
    next: Next,
    fresh: Vec<WorkerHandle>,
}

const ENDING: &str = "the process is ending";

impl Built {
    /// The same to take the place of one that listens. What would close every listener is hardly meant: a file that was cut short,
    /// or made of nothing.
    ///
    /// # Errors
    /// It listens on nothing.
    pub(super) fn that_listens(self) -> Result<Self, Diagnostics> {
        if !self.cycle.listeners.is_empty() {
            return Ok(self);
        }
        let said = self.warnings.iter().find(|d| d.code == build::NO_LISTENER).and_then(|d| d.place);
        let found = Diagnostic::error(build::NO_LISTENER, "there is no server: every listener would be closed");
        let mut wrong = Diagnostics::new(self.warnings.sources().clone());
        wrong.push(found.at_some(said).help("to serve nobody any more, end the process: -s quit"));
        Err(wrong)
    }
}

/// Builds the next generation and prepares it. `workers`: how many go on; `None`: as many as it says itself.
pub(super) async fn built_next(path: &Path, have: Vec<u64>, workers: Option<usize>) -> Result<Next, String> {
    let began = Instant::now();
    let built = built(path).await.and_then(|b| if have.is_empty() { Ok(b) } else { b.that_listens() });
    let mut built = built.map_err(|d| d.render(Style::PLAIN))?;
    let workers = workers.unwrap_or(built.cycle.settings.worker_threads);
    match prepared(&built.cycle, built.warnings.sources().clone(), have, workers).await {
        Ok((prepared, warnings)) => {
            built.warnings.append(warnings);
            Ok(Next { built, prepared, began })
        }
        Err(Failure::Bind(text)) => Err(text),
        Err(Failure::Module(d)) => Err(d.render(Style::PLAIN)),
    }
}

/// So long a reload may wait for processors that nobody else wants.
const PATIENCE: Duration = Duration::from_millis(250);

/// Why something was not done off the loop.
#[derive(Debug)]
pub(super) enum NotDone {
    NoThread(std::io::Error),
    Panicked,
}

impl std::fmt::Display for NotDone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoThread(e) => write!(f, "no thread for it: {e}"),
            Self::Panicked => f.write_str("it panicked; this is a fault of anyproxy"),
        }
    }
}

/// Does what may take long on a thread of its own, with the services that modules have everywhere: timers, tasks, names.
/// Beside workers it takes the time that they leave, and competes with them only when that was too little.
pub(super) async fn off_the_loop<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, NotDone> {
    let (tx, mut rx) = oneshot::channel();
    let thread = Arc::new(AtomicI32::new(0));
    let me = Arc::clone(&thread);
    let beside_workers = super::worker_count() > 0;
    let spawned = std::thread::Builder::new().name("reload".to_owned()).spawn(move || {
        if beside_workers {
            me.store(priority::this_thread(), Relaxed);
            priority::give_way(priority::Below::Idle);
        }
        let _in = runtime().enter();
        // Whoever asked waits.
        let _ = tx.send(work());
    });
    spawned.map_err(NotDone::NoThread)?;
    let in_time = timers::within(PATIENCE, &mut rx).await;
    let done = match in_time {
        Some(done) => done,
        None => {
            priority::hurry(thread.load(Relaxed));
            rx.await
        }
    };
    done.map_err(|_| NotDone::Panicked)
}

/// Builds a generation.
pub(super) async fn built(path: &Path) -> Result<Built, Diagnostics> {
    let path = path.to_owned();
    let first = super::worker_count() == 0;
    let work = move || {
        let built = build::build(&path).map(|build::Built { cycle, warnings }| {
            let standing = Standing::of(&cycle.tree);
            Built { cycle, warnings, standing }
        });
        if first {
            // The files of all modules were in memory: it is given back before anybody hears that this is done.
            platform::give_memory_back();
        }
        built
    };
    let failed = |e| Err(Diagnostic::error("internal", format!("reading the configuration: {e}")).into());
    let built = off_the_loop(work).await.unwrap_or_else(failed);
    if !first {
        spare::give_back_later();
    }
    built
}

/// Binds what is new, and lets the modules prepare.
pub(super) async fn prepared(
    cycle: &Arc<Cycle>,
    sources: Sources,
    have: Vec<u64>,
    workers: usize,
) -> Result<(Prepared, Diagnostics), Failure> {
    let cycle = Arc::clone(cycle);
    let failed = |e| Err(Failure::Bind(format!("preparing: {e}")));
    off_the_loop(move || prepare::prepare(&cycle, &sources, &have, workers)).await.unwrap_or_else(failed)
}

/// Whether the listener's connections are accepted on this loop.
pub(super) fn is_shared(l: &Listener) -> bool {
    !l.options.reuseport && l.datagram.is_none()
}
