//! The process's own loop on the main thread: generations, workers and sockets, and what an operator asks for.

pub mod channel;
pub mod check;
pub mod commands;
mod reload;
pub mod socket;

use crate::{
    cli::output::err,
    config::{
        diagnostic::{Diagnostics, Style},
        dump::Standing,
    },
    cycle::{
        Cycle,
        prepare::{Failure, Sockets},
        settings::Settings,
    },
    log,
    process::process,
    services::{buffers, dns, jobs, platform, priority, rt, watchdog},
    worker::{Message, WorkerHandle, accept::Sharing},
};
use anyproxy_module_api::abi::session::Cause;
use check::checked;
use reload::{built, prepared, start_workers};
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
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

/// Whether a pid file is ours: who took over has written its own number there.
fn names_this_process(pid_file: &Path) -> bool {
    std::fs::read_to_string(pid_file).is_ok_and(|text| text.trim() == std::process::id().to_string())
}

fn report(diagnostics: &Diagnostics) {
    err(format_args!("{}", diagnostics.render(Style::of_stderr())));
}

fn apply(settings: &Settings) -> std::io::Result<()> {
    let targets: Vec<_> = settings.error_log.iter().map(|(t, l)| (log::Target::new(t), *l)).collect();
    process().error_log.set_targets(&targets)?;
    process().error_log.set_module_levels(settings.log_level.iter().cloned());
    crate::services::log::refresh();
    buffers::set_limit(settings.memory_limit);
    dns::configure(&settings.resolver, settings.resolver_timeout);
    jobs::configure(settings.worker_threads_blocking, settings.worker_threads_compute);
    priority::allow_hurry();
    let files = platform::raise_open_files(settings.max_open_file_limit);
    if settings.max_open_file_limit > files {
        tracing::warn!(
            wanted = settings.max_open_file_limit,
            got = files,
            "max_open_file_limit: the system allows less"
        );
    }
    if let Some(bytes) = settings.memlock_rlimit
        && !platform::raise_locked_memory(bytes)
    {
        tracing::warn!(wanted = bytes, "memlock_rlimit: the system refused");
    }
    // A session that is passed on needs two descriptors; a few stay for files and logs.
    let by_files = u32::try_from((files.saturating_sub(64) / 2).max(1)).unwrap_or(u32::MAX);
    let max = if settings.max_connections == 0 { by_files } else { settings.max_connections };
    process().max_sessions.store(max, Relaxed);
    Ok(())
}

fn publish(workers: &[WorkerHandle]) {
    *MAILBOXES.write().unwrap_or_else(PoisonError::into_inner) = workers.iter().map(WorkerHandle::mailbox).collect();
}

impl Control {
    /// Reads, prepares and starts; the exit code when it cannot.
    async fn start(options: Options) -> Result<Self, i32> {
        let built = match built(&options.config).await {
            Ok(b) => b,
            Err(d) => {
                report(&d);
                return Err(exit::CONFIG);
            }
        };
        if !built.warnings.is_empty() {
            report(&built.warnings);
        }
        let cycle = built.cycle;
        let settings = &cycle.settings;
        if let Err(e) = apply(settings) {
            err(format_args!("anyproxy: error_log: {e}\n"));
            return Err(exit::CONFIG);
        }
        let inherited = crate::upgrade::inherited(&options, &cycle).await.map_err(|e| {
            err(format_args!("anyproxy: {e}\n"));
            exit::RUNNING
        })?;
        let have = inherited.keys().copied().collect();
        let sources = built.warnings.sources().clone();
        let mut sockets = match prepared(&cycle, sources, have, settings.worker_threads).await {
            Ok(s) => s,
            Err(Failure::Bind(text)) => {
                err(format_args!("anyproxy: {text}\n"));
                return Err(exit::BIND);
            }
            Err(Failure::Module(d)) => {
                report(&d);
                return Err(exit::CONFIG);
            }
        };
        sockets.extend(inherited);
        // As who started it: the user that it becomes may not write there.
        let control_path = socket::path(&options, settings);
        let control = socket::bind(&control_path).map_err(|e| {
            err(format_args!("anyproxy: control socket {}: {e}\n", control_path.display()));
            exit::RUNNING
        })?;
        if let Some(path) = &settings.pid
            && let Err(e) = std::fs::write(path, format!("{}\n", std::process::id()))
        {
            err(format_args!("anyproxy: pid {}: {e}\n", path.display()));
            socket::remove(&control_path);
            return Err(exit::RUNNING);
        }
        if let Err(text) = crate::privileges::drop_to(settings) {
            err(format_args!("anyproxy: {text}\n"));
            return Err(exit::RUNNING);
        }
        let workers = start_workers(settings).map_err(|e| {
            err(format_args!("anyproxy: cannot start workers: {e}\n"));
            exit::RUNNING
        })?;
        publish(&workers);
        let mut me = Self {
            options,
            cycle: Arc::clone(&cycle),
            workers,
            leaving: Vec::new(),
            sockets,
            retired: HashMap::new(),
            shared_accepts: HashMap::new(),
            control_path,
            standing: built.standing,
            reloads: 0,
            failed_reloads: 0,
            last_error: None,
            quitting: None,
            stop_now: false,
        };
        me.go_live(&cycle).await;
        socket::serve(control);
        me.announce();
        crate::upgrade::taken_over(&me.options).await;
        crate::systemd::ready();
        Ok(me)
    }

    fn announce(&self) {
        let modules: Vec<_> = self.cycle.modules().map(|(_, i)| i.image.facts.id.clone()).collect();
        let listeners: Vec<_> = self
            .cycle
            .listeners
            .iter()
            .map(|l| self.sockets.get(&l.key).map_or_else(|| l.label.clone(), |b| b.address.clone()))
            .collect();
        tracing::info!(
            "anyproxy {} configuration {:016x}, modules {}, {} workers, listening on {}",
            env!("CARGO_PKG_VERSION"),
            self.cycle.hash,
            modules.join(" "),
            self.workers.len(),
            listeners.join(" "),
        );
    }

    /// The loop.
    async fn serve(mut self, mut events: mpsc::UnboundedReceiver<Event>, mut signals: crate::signal::Signals) -> i32 {
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(Event::Left { epoch, worker }) => self.left(epoch, worker),
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

    fn is_over(&self) -> bool {
        self.stop_now
            || (self.quitting.is_some()
                && self.workers.iter().chain(self.leaving.iter().map(|(w, _)| w)).all(WorkerHandle::has_ended))
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

    /// Accepts no more; ends when the last session has, or at `shutdown_timeout`. A second time: at once.
    async fn quit(&mut self) {
        if self.quitting.is_some() {
            self.stop_now = true;
            return;
        }
        crate::systemd::stopping();
        tracing::info!(
            "quitting: no new connections, sessions may end within {:?}",
            self.cycle.settings.shutdown_timeout
        );
        self.quitting = Some(Instant::now() + self.cycle.settings.shutdown_timeout);
        let sockets = std::mem::take(&mut self.sockets);
        crate::upgrade::offer(&self.sockets, self.cycle.epoch);
        // Who took over goes on with the sockets and what waits in them.
        let kept: HashSet<_> =
            if crate::upgrade::was_taken_over() { sockets.keys().copied().collect() } else { HashSet::new() };
        for (key, share) in self.shared_accepts.drain() {
            if kept.contains(&key) {
                share.hand_over();
            } else {
                share.drain();
            }
        }
        for (key, bound) in sockets {
            if !kept.contains(&key) {
                bound.give_up();
            }
        }
        for w in &self.workers {
            let kept = kept.clone();
            // Asked and not told: whoever hears that the process quits may rely on no connection being taken any more.
            w.ask(move |w| w.leave_when_done(&kept)).await;
        }
    }

    async fn end(mut self) -> i32 {
        crate::systemd::stopping();
        self.shared_accepts.clear();
        if !crate::upgrade::was_taken_over() {
            self.sockets.drain().for_each(|(_, bound)| bound.give_up());
        }
        self.cycle.end_process_tasks();
        let workers: Vec<_> = self.workers.drain(..).chain(self.leaving.drain(..).map(|(w, _)| w)).collect();
        publish(&[]);
        for w in &workers {
            w.post(|w| w.stop());
        }
        // On a thread of its own: the runtime would wait for one of its pool, for ever if a worker hangs.
        let (tell, joined) = oneshot::channel();
        std::thread::spawn(move || {
            workers.into_iter().for_each(WorkerHandle::join);
            let _ = tell.send(());
        });
        if crate::services::timers::within(Duration::from_secs(5), joined).await.is_none() {
            tracing::error!("a worker did not end; leaving it behind");
        }
        socket::remove(&self.control_path);
        if let Some(pid) = self.cycle.settings.pid.as_deref().filter(|p| names_this_process(p)) {
            let _ = std::fs::remove_file(pid);
        }
        tracing::info!("ended");
        0
    }
}
