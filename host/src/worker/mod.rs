//! A worker: one thread with a loop of its own, its sessions and its part of each generation.
//! Connections never move between workers; others reach one by its mailbox.

pub mod accept;
pub mod generation;

use crate::{
    cycle::Cycle,
    process::process,
    services::{buffers, datagram, platform, rt, timers, watchdog},
    session::Session,
};
use anyproxy_module_api::abi::session::{Cause, CloseReason, Stage, Who};
use generation::WorkerGen;
use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// How often deadlines are looked at.
const SWEEP: Duration = Duration::from_millis(100);
/// A session told to end gets this long before its task is dropped.
const KILL_GRACE_MS: u64 = 3000;

/// The process's loop waits no longer than this for a worker: operators and signals must be heard whatever a worker does.
const STUCK: Duration = Duration::from_secs(3);

/// Something to do on a worker's thread.
pub type Message = Box<dyn FnOnce(&Rc<Worker>) + Send>;

/// A worker as the rest of the process holds it.
#[derive(Debug)]
pub struct WorkerHandle {
    /// Its number among all that this process ever had.
    pub id: u32,
    /// Its number among those at work.
    pub index: u32,
    mailbox: mpsc::UnboundedSender<Message>,
    thread: Option<JoinHandle<()>>,
    /// Milliseconds (process clock) of its last turn, for the watchdog.
    pub turn: Arc<AtomicU64>,
}

impl WorkerHandle {
    /// Starts a worker on a thread of its own.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub fn start(index: u32, cpu: Option<usize>) -> std::io::Result<Self> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let id = NEXT.fetch_add(1, Relaxed);
        let (mailbox, inbox) = mpsc::unbounded_channel();
        let turn = Arc::new(AtomicU64::new(0));
        let published = Arc::clone(&turn);
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            if let Some(cpu) = cpu {
                platform::pin_thread(cpu);
            }
            // Who asked has given up when nobody hears it.
            run(id, index, |r| drop(ready.send(r)), inbox, &published);
        })?;
        started.recv().unwrap_or_else(|_| Err(std::io::Error::other("the worker ended at once")))?;
        Ok(Self { id, index, mailbox, thread: Some(thread), turn })
    }

    /// Runs `f` on the worker. False: it has ended.
    pub fn post(&self, f: impl FnOnce(&Rc<Worker>) + Send + 'static) -> bool {
        self.mailbox.send(Box::new(f)).is_ok()
    }

    /// Runs `f` on the worker and waits for what it says; `None`: the worker has ended, or is stuck. Then `f` still runs
    /// once it goes on, in order with what else was posted.
    pub async fn ask<R: Send + 'static>(&self, f: impl FnOnce(&Rc<Worker>) -> R + Send + 'static) -> Option<R> {
        let (tx, rx) = oneshot::channel();
        self.post(move |w| {
            // Whoever asked may have given up.
            let _ = tx.send(f(w));
        });
        timers::within(STUCK, rx).await?.ok()
    }

    /// A sender for other threads.
    pub fn mailbox(&self) -> mpsc::UnboundedSender<Message> {
        self.mailbox.clone()
    }

    /// Whether its thread has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for its thread.
    pub fn join(mut self) {
        if let Some(t) = self.thread.take() {
            // A panic there was reported by the hook.
            let _ = t.join();
        }
    }
}

fn run(
    id: u32,
    index: u32,
    ready: impl FnOnce(std::io::Result<()>),
    inbox: mpsc::UnboundedReceiver<Message>,
    turn: &Arc<AtomicU64>,
) {
    timers::tick();
    crate::cycle::listener_stats::count_as(index);
    let _watched = watchdog::Watched::worker(id);
    // What libraries do by tokio themselves, as the resolver does, is the process's loop's.
    let _others = crate::control::runtime().enter();
    let worker = || {
        Rc::new(Worker {
            id,
            index,
            cells: process().metrics.worker(),
            current: RefCell::default(),
            generations: RefCell::default(),
            sessions: RefCell::default(),
            accepting: RefCell::default(),
            receiving: RefCell::default(),
            logs: RefCell::default(),
            paused: Cell::new(false),
            leaving: Cell::new(false),
            end: tokio::sync::Notify::new(),
            room: tokio::sync::Notify::new(),
        })
    };
    let published = Arc::clone(turn);
    let root = || {
        let worker = worker();
        WORKER.set(Some(Rc::clone(&worker)));
        async move { worker.serve(inbox, &published).await }
    };
    let woke = || {
        watchdog::woke_up();
        timers::tick();
        turn.store(timers::now_ms(), Relaxed);
    };
    rt::run(ready, root, woke, timers::note_ready);
    WORKER.set(None);
}

thread_local! {
    static WORKER: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
}

/// The worker of this thread.
pub fn here() -> Option<Rc<Worker>> {
    WORKER.try_with(|w| w.borrow().clone()).ok().flatten()
}

/// Calls `f` with this thread's worker, without another hold on it.
pub fn with_here<R>(f: impl FnOnce(&Worker) -> R) -> Option<R> {
    WORKER.try_with(|w| w.borrow().as_ref().map(|w| f(w))).ok().flatten()
}

struct Entry {
    session: Rc<Session>,
    task: Option<rt::TaskHandle>,
    /// When it was told to end, worker clock; 0: it was not.
    killed_ms: u64,
}

/// A worker, on its own thread.
pub struct Worker {
    /// Its number among all that this process ever had.
    pub id: u32,
    /// Its number among those at work.
    pub index: u32,
    /// Its metrics.
    pub cells: crate::metrics::Worker,
    current: RefCell<Option<Rc<WorkerGen>>>,
    generations: RefCell<Vec<Rc<WorkerGen>>>,
    sessions: RefCell<slab::Slab<Entry>>,
    accepting: RefCell<HashMap<u64, accept::Accepting>>,
    /// Datagram sockets.
    receiving: RefCell<HashMap<u64, datagram::Receiving>>,
    /// Buffers of access logs, by target.
    pub logs: RefCell<crate::cycle::access_log::Buffers>,
    /// Accepting pauses: a limit is reached.
    pub paused: Cell<bool>,
    leaving: Cell<bool>,
    end: tokio::sync::Notify,
    /// Told when a session ended.
    pub room: tokio::sync::Notify,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Worker({})", self.index)
    }
}

impl Worker {
    async fn serve(self: &Rc<Self>, mut inbox: mpsc::UnboundedReceiver<Message>, turn: &AtomicU64) {
        let mut sweep = rt::sleep(SWEEP);
        loop {
            tokio::select! {
                biased;
                () = self.end.notified() => break,
                message = inbox.recv() => match message {
                    Some(f) => f(self),
                    None => break,
                },
                () = &mut sweep => {
                    sweep.reset(SWEEP);
                    timers::tick();
                    turn.store(timers::now_ms(), Relaxed);
                    self.sweep();
                }
            }
        }
        let sessions: Vec<_> = self.sessions.borrow().iter().filter_map(|(_, e)| e.task.clone()).collect();
        for s in sessions {
            s.abort();
        }
        for _ in 0..8 {
            rt::yield_now().await;
        }
        let generations = self.generations.take();
        for g in &generations {
            g.tell_to_end();
        }
        for _ in 0..8 {
            rt::yield_now().await;
        }
        for g in generations {
            g.end();
            crate::control::generation_left(g.cycle.epoch, self.id);
        }
        // Aborted tasks are dropped at the runtime's next turns, while everything they may touch is still there.
        for _ in 0..8 {
            rt::yield_now().await;
        }
        self.current.take();
        self.logs.borrow_mut().flush();
    }

    /// The generation that new sessions get.
    pub fn current(&self) -> Option<Rc<WorkerGen>> {
        self.current.borrow().clone()
    }

    /// Starts a generation here, not yet serving. Its number of modules that failed to start is in the log.
    pub fn start_generation(&self, cycle: Arc<Cycle>) -> Rc<WorkerGen> {
        let generation = WorkerGen::start(cycle, self.index);
        self.generations.borrow_mut().push(Rc::clone(&generation));
        generation
    }

    /// From now on new sessions get the generation of `epoch`; the one before is retired.
    pub fn switch_to(&self, epoch: u32) {
        let next = self.generations.borrow().iter().find(|g| g.cycle.epoch == epoch).cloned();
        if self.index == 0
            && let Some(g) = &next
        {
            crate::upstream::maintain::start(g);
        }
        if let Some(g) = &next {
            for accepting in self.accepting.borrow().values() {
                if let Some(listener) = g.listener(accepting.listener) {
                    accepting.follow(listener);
                }
            }
        }
        let before = self.current.replace(next);
        if let Some(before) = before {
            self.retire(&before);
        }
    }

    /// Takes back a generation that was started and will not serve.
    pub fn give_up(&self, epoch: u32) {
        let given = self.generations.borrow().iter().find(|g| g.cycle.epoch == epoch).cloned();
        if let Some(g) = given {
            g.retire();
            self.reap();
        }
    }

    fn retire(&self, generation: &Rc<WorkerGen>) {
        generation.retire();
        for (_, e) in self.sessions.borrow().iter() {
            if Rc::ptr_eq(&e.session.worker, generation) {
                e.session.shared.draining.set(if self.leaving.get() { 2 } else { 1 });
                e.session.wake();
            }
        }
        self.reap();
    }

    /// Ends generations that nothing holds any more.
    pub fn reap(&self) {
        let all: Vec<_> = self.generations.borrow().clone();
        for g in all {
            if g.end_if_done() {
                self.generations.borrow_mut().retain(|x| !Rc::ptr_eq(x, &g));
                let epoch = g.cycle.epoch;
                // First: the last to let go of it has the work of dropping it, and that must not be a worker.
                drop(g);
                crate::control::generation_left(epoch, self.id);
            }
        }
        if self.leaving.get() && self.sessions.borrow().is_empty() {
            self.end.notify_one();
        }
    }

    /// Every generation here.
    pub fn generations(&self) -> Vec<Rc<WorkerGen>> {
        self.generations.borrow().clone()
    }

    /// Notes a new session; its key.
    pub fn enter(&self, session: &Rc<Session>) -> usize {
        let g = &session.worker;
        g.sessions.set(g.sessions.get() + 1);
        session.listener.stats.begin();
        self.sessions.borrow_mut().insert(Entry { session: Rc::clone(session), task: None, killed_ms: 0 })
    }

    /// Notes the task of a session, to end it by force.
    pub fn note_task(&self, key: usize, task: rt::TaskHandle) {
        if let Some(e) = self.sessions.borrow_mut().get_mut(key) {
            e.task = Some(task);
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

    /// Ends the sessions that `which` chooses; how many.
    pub fn kill_sessions(&self, cause: Cause, which: impl Fn(&Session) -> bool) -> usize {
        let mut n = 0;
        self.each_session(|s| {
            if which(s) {
                s.kill(CloseReason::new(Who::Proxy, Stage::Transfer, cause));
                n += 1;
            }
        });
        n
    }

    /// Ends idle sessions to make room: at most `most`; how many.
    pub fn shed_idle(&self, most: usize) -> usize {
        let mut idle: Vec<_> = self
            .sessions
            .borrow()
            .iter()
            .filter(|(_, e)| e.session.shared.is_idle() && e.killed_ms == 0)
            .map(|(_, e)| Rc::clone(&e.session))
            .collect();
        idle.sort_by_key(|s| s.shared.started_ms);
        idle.truncate(most);
        for s in &idle {
            s.kill(CloseReason::new(Who::Proxy, Stage::Transfer, Cause::Limit));
            s.listener.stats.shed.fetch_add(1, Relaxed);
        }
        idle.len()
    }

    /// Deadlines, sessions that do not obey, log buffers, memory waiters.
    fn sweep(&self) {
        let now = timers::now_ms();
        let mut fired = Vec::new();
        for (_, e) in self.sessions.borrow_mut().iter_mut() {
            let s = &e.session.shared;
            let deadline = s.deadline_ms.get();
            if deadline != 0 && deadline <= now && s.fired.get() == 0 {
                s.fired.set(1);
                fired.push(Rc::clone(&e.session));
            }
            if s.kill.get() != 0 {
                if e.killed_ms == 0 {
                    e.killed_ms = now.max(1);
                } else if now > e.killed_ms + KILL_GRACE_MS
                    && let Some(t) = e.task.take()
                {
                    t.abort();
                }
            }
        }
        for s in fired {
            s.wake();
        }
        buffers::wake_waiting();
        self.logs.borrow_mut().tick(self);
        self.reap();
    }

    /// No more connections: ends the accept loops, then itself when the last session has. What waits in the queue of a
    /// socket is served, unless its listener is one of `kept`, whose sockets others go on with.
    pub fn leave_when_done(self: &Rc<Self>, kept: &HashSet<u64>) {
        for (_, accepting) in self.accepting.take() {
            if kept.contains(&accepting.listener) {
                accepting.hand_over(self);
            } else {
                accepting.drain(self);
            }
        }
        self.receiving.take();
        self.leaving.set(true);
        if let Some(g) = self.current.take() {
            self.retire(&g);
        }
        self.reap();
    }

    /// Ends now: sessions are dropped.
    pub fn stop(&self) {
        self.accepting.borrow_mut().clear();
        self.receiving.take();
        self.end.notify_one();
    }

    /// Accepts from these sockets only: new ones are begun, those not named are given up, their queues served first. To
    /// be called before the switch to a generation that does not know them.
    pub fn accept_from(self: &Rc<Self>, sockets: Vec<accept::Assigned>) {
        let keep: HashSet<_> = sockets.iter().map(|s| s.key).collect();
        let given_up: Vec<_> = self.accepting.borrow_mut().extract_if(|key, _| !keep.contains(key)).collect();
        for (_, accepting) in given_up {
            accepting.drain(self);
        }
        // Taken out first: what is let go of looks at this worker.
        let silent: Vec<_> = self.receiving.borrow_mut().extract_if(|key, _| !keep.contains(key)).collect();
        drop(silent);
        for socket in sockets {
            let key = socket.key;
            if socket.datagram {
                self.receive_from(socket);
                continue;
            }
            if self.accepting.borrow().contains_key(&key) {
                continue;
            }
            match accept::Accepting::start(self, socket) {
                Ok(a) => {
                    self.accepting.borrow_mut().insert(key, a);
                }
                Err(e) => tracing::error!("cannot accept: {e}"),
            }
        }
    }

    fn receive_from(self: &Rc<Self>, socket: accept::Assigned) {
        let (key, listener) = (socket.key, socket.listener);
        if self.receiving.borrow().contains_key(&key) {
            return;
        }
        match datagram::Receiving::start(self, key, listener, socket.socket) {
            Ok(r) => {
                self.receiving.borrow_mut().insert(key, r);
            }
            Err(e) => tracing::error!("cannot receive datagrams: {e}"),
        }
    }
}
