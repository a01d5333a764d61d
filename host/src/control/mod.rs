//! The process's own loop on the main thread: generations, workers and sockets, and what an operator asks for.

pub mod channel;
pub mod check;
pub mod commands;
mod end;
mod long;
mod lost;
pub mod names;
mod reload;
pub mod socket;
mod spare;
mod start;
mod starting;

use crate::{
    cli::output::err,
    config::dump::Standing,
    cycle::{Cycle, bound::Sockets},
    process::process,
    services::{rt, watchdog},
    worker::{Mailbox, WorkerHandle, share::Sharing},
};
use anyproxy_module_api::abi::session::Cause;
use long::{Asker, Tasks};
use names::Names;
use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, OnceLock, PoisonError, RwLock, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// Exit codes.
pub mod exit {
    /// Configuration.
    pub const CONFIG: i32 = 1;
    /// Command line.
    pub const USAGE: i32 = 2;
    /// A socket cannot be bound.
    pub const BIND: i32 = 3;
    /// Something failed while running.
    pub const RUNNING: i32 = 4;
}

/// What happens to the process's loop.
pub enum Event {
    /// An operator asks; the answer is JSON or an error text.
    Ask(commands::Request, oneshot::Sender<long::Answer>),
    /// What takes long is done off the loop.
    Done(long::Done),
    /// Who was to take over did not: this process goes on.
    GoesOn,
    /// A generation left a worker.
    Left {
        /// The generation. What it is the last hold of is dropped here.
        cycle: Arc<Cycle>,
        /// The worker's id.
        worker: u32,
    },
}

/// What a log's target may take for its last lines. One that nobody reads, a pipe, must not hold the process up for ever.
const WRITING: Duration = Duration::from_secs(4);

static EVENTS: OnceLock<mpsc::UnboundedSender<Event>> = OnceLock::new();
static RUNTIME: OnceLock<tokio::runtime::Handle> = OnceLock::new();
static MAILBOXES: RwLock<Vec<Mailbox>> = RwLock::new(Vec::new());

/// The runtime of the process's own loop.
///
/// # Panics
/// Before `run`.
pub fn runtime() -> &'static tokio::runtime::Handle {
    RUNTIME.get().expect("the loop runs before any module does")
}

/// A worker's mailbox, by its number among those at work.
pub fn worker_mailbox(index: u32) -> Option<Mailbox> {
    MAILBOXES.read().unwrap_or_else(PoisonError::into_inner).get(index as usize).cloned()
}

/// Number of workers at work.
pub fn worker_count() -> u32 {
    MAILBOXES.read().unwrap_or_else(PoisonError::into_inner).len() as u32
}

/// Tells the loop, from any thread.
pub fn tell(event: Event) {
    if let Some(loop_) = EVENTS.get() {
        // It may have ended: nothing matters to it any more.
        let _ = loop_.send(event);
    }
}

/// A generation ended on a worker.
pub fn generation_left(cycle: Arc<Cycle>, worker: u32) {
    tell(Event::Left { cycle, worker });
}

/// Asks the loop, from any thread.
///
/// # Errors
/// What the loop says.
pub async fn ask(request: commands::Request) -> Result<serde_json::Value, String> {
    let (tx, rx) = oneshot::channel();
    let sent = EVENTS.get().is_some_and(|e| e.send(Event::Ask(request, tx)).is_ok());
    if !sent {
        return Err("the process is ending".to_owned());
    }
    rx.await.unwrap_or_else(|_| Err("the process is ending".to_owned()))
}

/// What the command line says about running.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration.
    pub config: PathBuf,
    /// The control socket, if said.
    pub control: Option<PathBuf>,
    /// Take over from the process whose number is in this file.
    pub hot: Option<PathBuf>,
}

/// A generation that was replaced and still has sessions.
struct Retired {
    cycle: Arc<Cycle>,
    workers: HashSet<u32>,
    deadline: Option<Instant>,
}

/// The process's loop.
pub struct Control {
    options: Options,
    cycle: Arc<Cycle>,
    workers: Vec<WorkerHandle>,
    /// Workers that were replaced by reinit and still have sessions, with the time when those are ended.
    leaving: Vec<(WorkerHandle, Instant)>,
    sockets: Sockets,
    retired: HashMap<u32, Retired>,
    shared_accepts: HashMap<u64, Sharing>,
    names: Names,
    tasks: Tasks,
    /// What only new threads or a new process change, as it is in force.
    standing: Standing,
    reloads: u64,
    failed_reloads: u64,
    last_error: Option<String>,
    /// Once quitting: when sessions are ended.
    quitting: Option<Instant>,
    stop_now: bool,
    /// When files that clients find the process by are looked at next.
    look_at: Instant,
}

/// Runs the process until it is told to end; the exit code.
pub fn run(options: Options) -> i32 {
    let runtime = match new_runtime() {
        Ok(r) => r,
        Err(e) => {
            err(format_args!("anyproxy: cannot start: {e}\n"));
            return exit::RUNNING;
        }
    };
    let (tell, events) = mpsc::unbounded_channel();
    let _ = EVENTS.set(tell);
    let code = runtime.block_on(async {
        // Before any module is loaded, and before anybody may take the process for one that knows its signals.
        let mut signals = crate::signal::Signals::new();
        if let Err(e) = attached() {
            err(format_args!("anyproxy: cannot start: {e}\n"));
            return exit::RUNNING;
        }
        let started = tokio::select! {
            started = Control::start(options) => started,
            () = signals.ends() => Err(0),
        };
        match started {
            Ok(control) => control.serve(events, signals).await,
            Err(code) => code,
        }
    });
    process().error_log.all_last_words();
    process().error_log.flush(Duration::from_secs(2));
    // Tasks of modules on this loop are dropped while everything they may touch is still there.
    drop(runtime);
    // What cannot be told any more is not told.
    process().writer.stop(WRITING);
    code
}

/// The runtime of the process's own loop.
fn new_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Once a process.
    let _ = RUNTIME.set(runtime.handle().clone());
    Ok(runtime)
}

/// Makes this thread one on which modules' futures may run.
fn attached() -> std::io::Result<()> {
    anyproxy_module_api::abi::task::note_task_waker(rt::waker_vtable());
    rt::attach()
}

fn publish(workers: &[WorkerHandle]) {
    *MAILBOXES.write().unwrap_or_else(PoisonError::into_inner) = workers.iter().map(WorkerHandle::mailbox).collect();
}

impl Control {
    /// The loop.
    async fn serve(mut self, mut events: mpsc::UnboundedReceiver<Event>, mut signals: crate::signal::Signals) -> i32 {
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Left { cycle, worker }) => {
                        self.left(cycle.epoch, worker);
                        let_go(cycle);
                    }
                    Some(Event::Ask(request, hears)) => self.take(request, Asker::new(hears)).await,
                    Some(Event::Done(done)) => self.done(done).await,
                    Some(Event::GoesOn) => self.names.restore(),
                    None => break,
                },
                request = signals.next(self.cycle.settings.stop_graceful) => self.take(request, Asker::SIGNAL).await,
                _ = tick.tick() => {
                    let now = Instant::now();
                    self.turn(now);
                    self.look_after_files(now).await;
                }
            }
            if self.is_over() {
                break;
            }
        }
        // Nobody else is heard any more, and whoever asked for the end hears of it.
        drop(events);
        socket::answered().await;
        self.end().await
    }

    /// Every worker, also those that are leaving.
    fn all_workers(&self) -> impl Iterator<Item = &WorkerHandle> {
        self.workers.iter().chain(self.leaving.iter().map(|(w, _)| w))
    }

    /// Deadlines of what was retired, the watchdog, systemd's watchdog.
    fn turn(&mut self, now: Instant) {
        crate::services::timers::tick();
        crate::systemd::alive();
        let passed = |deadline: &Option<Instant>| deadline.is_some_and(|d| d <= now);
        let over: Vec<u32> =
            self.retired.iter().filter(|(_, r)| passed(&r.deadline)).map(|(epoch, _)| *epoch).collect();
        for epoch in over {
            for w in self.all_workers() {
                w.post(move |w| {
                    w.kill_sessions(Cause::Shutdown, |s| s.worker.cycle.epoch == epoch);
                });
            }
            if let Some(r) = self.retired.get_mut(&epoch) {
                r.deadline = None;
            }
        }
        let all_over = passed(&self.quitting);
        let leaving = self.leaving.iter().filter(|(_, deadline)| all_over || *deadline <= now).map(|(w, _)| w);
        for w in leaving.chain(self.workers.iter().filter(|_| all_over)) {
            w.post(|w| w.is_late());
        }
        let (gone, stay): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.leaving).into_iter().partition(|(w, _)| w.has_ended());
        self.leaving = stay;
        for (w, _) in gone {
            let (id, epochs) = (w.id, self.retired.keys().copied().collect::<Vec<_>>());
            w.join();
            // Should it have ended without a word.
            epochs.into_iter().for_each(|epoch| self.left(epoch, id));
        }
        self.watch_workers();
        process().error_log.last_words(now);
    }

    /// Reports a worker that did not return to its loop.
    fn watch_workers(&self) {
        let limit = self.cycle.settings.watchdog;
        if limit.is_zero() {
            return;
        }
        let now = process().now().as_millis() as u64;
        for w in &self.workers {
            let turn = w.turn.load(Relaxed);
            if turn != 0
                && now > turn + limit.as_millis() as u64
                && let Some(more) = process().error_log.once_a_second(&format!("watchdog {}", w.id))
            {
                let (running, version) = watchdog::running(w.id);
                tracing::error!(
                    worker = w.index,
                    stuck_ms = now - turn,
                    running,
                    version,
                    more,
                    "a worker does not return to its loop"
                );
            }
        }
    }

    fn left(&mut self, epoch: u32, worker: u32) {
        let Some(r) = self.retired.get_mut(&epoch) else { return };
        r.workers.remove(&worker);
        if r.workers.is_empty()
            && let Some(r) = self.retired.remove(&epoch)
        {
            r.cycle.end_process_tasks();
            let_go(r.cycle);
        }
    }
}

/// Stopping modules, where nobody else holds them, may take long; the loop goes on meanwhile.
fn let_go(cycle: Arc<Cycle>) {
    if Arc::strong_count(&cycle) == 1 {
        tokio::spawn(async move {
            // Without a thread it is dropped here.
            drop(reload::off_the_loop(move || drop(cycle)).await);
            spare::give_back_later();
        });
    }
}
