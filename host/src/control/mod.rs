//! The process's own loop on the main thread: generations, workers and sockets, and what an operator asks for.

pub mod channel;
pub mod check;
pub mod commands;
mod end;
mod reload;
pub mod socket;
mod start;

use crate::{
    cli::output::err,
    config::dump::Standing,
    cycle::{Cycle, prepare::Sockets},
    process::process,
    services::{platform, priority, rt, watchdog},
    worker::{Message, WorkerHandle, share::Sharing},
};
use anyproxy_module_api::abi::session::Cause;
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
    Ask(commands::Request, oneshot::Sender<Result<serde_json::Value, String>>),
    /// A generation left a worker.
    Left {
        /// The generation.
        epoch: u32,
        /// The worker's id.
        worker: u32,
    },
}

static EVENTS: OnceLock<mpsc::UnboundedSender<Event>> = OnceLock::new();
static RUNTIME: OnceLock<tokio::runtime::Handle> = OnceLock::new();
static MAILBOXES: RwLock<Vec<mpsc::UnboundedSender<Message>>> = RwLock::new(Vec::new());

/// The runtime of the process's own loop.
///
/// # Panics
/// Before `run`.
pub fn runtime() -> &'static tokio::runtime::Handle {
    RUNTIME.get().expect("the loop runs before any module does")
}

/// A worker's mailbox, by its number among those at work.
pub fn worker_mailbox(index: u32) -> Option<mpsc::UnboundedSender<Message>> {
    MAILBOXES.read().unwrap_or_else(PoisonError::into_inner).get(index as usize).cloned()
}

/// Number of workers at work.
pub fn worker_count() -> u32 {
    MAILBOXES.read().unwrap_or_else(PoisonError::into_inner).len() as u32
}

/// A generation ended on a worker.
pub fn generation_left(epoch: u32, worker: u32) {
    if let Some(tell) = EVENTS.get() {
        // The loop may have ended: nobody counts any more.
        let _ = tell.send(Event::Left { epoch, worker });
    }
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
    control_path: PathBuf,
    /// What only new threads or a new process change, as it is in force.
    standing: Standing,
    reloads: u64,
    failed_reloads: u64,
    last_error: Option<String>,
    /// Once quitting: when sessions are ended.
    quitting: Option<Instant>,
    stop_now: bool,
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
    process().error_log.flush(Duration::from_secs(2));
    // Tasks of modules on this loop are dropped while everything they may touch is still there.
    drop(runtime);
    process().writer.stop();
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
                    Some(Event::Left { epoch, worker }) => self.left(epoch, worker),
                    Some(Event::Ask(commands::Request::Module(id, name, args), reply)) => {
                        self.act(&id, &name, &args, reply);
                    }
                    Some(Event::Ask(request, reply)) => {
                        let answer = self.answer(request).await;
                        // Whoever asked may have gone.
                        let _ = reply.send(answer);
                    }
                    None => break,
                },
                request = signals.next(self.cycle.settings.stop_graceful) => {
                    let told = matches!(request, commands::Request::Reload | commands::Request::Reinit);
                    if let Err(e) = self.answer(request).await
                        && !told
                    {
                        tracing::error!("{e}");
                    }
                }
                _ = tick.tick() => self.turn(),
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

    /// Deadlines of what was retired, the watchdog, systemd's watchdog.
    fn turn(&mut self) {
        let now = Instant::now();
        crate::services::timers::tick();
        crate::systemd::alive();
        for (epoch, r) in &mut self.retired {
            if r.deadline.is_some_and(|d| d <= now) {
                r.deadline = None;
                let epoch = *epoch;
                for w in &self.workers {
                    w.post(move |w| {
                        w.kill_sessions(Cause::Shutdown, |s| s.worker.cycle.epoch == epoch);
                    });
                }
            }
        }
        for (w, deadline) in &self.leaving {
            if *deadline <= now {
                w.post(|w| {
                    w.kill_sessions(Cause::Shutdown, |_| true);
                });
            }
        }
        if self.quitting.is_some_and(|d| d <= now) {
            for w in &self.workers {
                w.post(|w| {
                    w.kill_sessions(Cause::Shutdown, |_| true);
                });
            }
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
            // Stopping modules may take long; the loop goes on meanwhile.
            std::thread::spawn(move || {
                priority::give_way(priority::Below::Share);
                drop(r.cycle);
                platform::give_memory_back();
            });
        }
    }

    fn reopen(&self) -> Result<serde_json::Value, String> {
        match process().writer.reopen(Duration::from_secs(5)) {
            Ok(failed) if failed.is_empty() => Ok(serde_json::json!({ "reopened": true })),
            Ok(failed) => Err(failed.iter().map(|(t, e)| format!("{t}: {e}")).collect::<Vec<_>>().join("; ")),
            Err(e) => Err(e.to_string()),
        }
    }
}
