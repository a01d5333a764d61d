//! A worker: one thread with a loop of its own, its sessions and its part of each generation.
//! Connections never move between workers; others reach one by its mailbox.

pub mod accept;
pub mod books;
mod door;
pub mod generation;
mod handle;
mod seat;
mod sessions;
pub mod share;

pub use handle::{Mailbox, STUCK, WorkerHandle, all_done, ask_all, told};

use crate::{
    cycle::Cycle,
    services::{datagram, rt, timers, watchdog},
};
use anyproxy_module_api::abi::session::Cause;
use books::Books;
use generation::WorkerGen;
use sessions::Entry;
use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

/// How often deadlines are looked at.
const SWEEP: Duration = Duration::from_millis(100);
/// How often one that ends looks whether the last bytes of its sessions have gone.
const SETTLES: Duration = Duration::from_millis(10);

/// Something to do on a worker's thread.
pub type Message = Box<dyn FnOnce(&Rc<Worker>) + Send>;

/// A worker, on its own thread.
pub struct Worker {
    /// Its number among all that this process ever had.
    pub id: u32,
    /// Its number among those at work.
    pub index: u32,
    /// Metrics and access logs.
    pub books: Rc<Books>,
    current: RefCell<Option<Rc<WorkerGen>>>,
    generations: RefCell<Vec<Rc<WorkerGen>>>,
    sessions: RefCell<slab::Slab<Entry>>,
    accepting: RefCell<HashMap<u64, accept::Accepting>>,
    /// Datagram sockets.
    receiving: RefCell<HashMap<u64, datagram::Receiving>>,
    /// Accepting pauses: a limit is reached.
    pub paused: Cell<bool>,
    leaving: Cell<bool>,
    /// The last session is over, but for its last bytes.
    settling: Cell<bool>,
    /// Its time to leave in is over.
    late: Cell<bool>,
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
        self.abort_sessions();
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
            self.let_go(g);
        }
        // Aborted tasks are dropped at the runtime's next turns, while everything they may touch is still there.
        for _ in 0..8 {
            rt::yield_now().await;
        }
        self.current.take();
        self.books.logs.borrow_mut().flush();
    }

    /// The generation that new sessions get.
    pub fn current(&self) -> Option<Rc<WorkerGen>> {
        self.current.borrow().clone()
    }

    /// Starts a generation here, not yet serving.
    ///
    /// # Errors
    /// Which module panicked, and has no part in it here; the generation is to be given up.
    pub fn start_generation(&self, cycle: Arc<Cycle>) -> Result<(), String> {
        let (generation, panicked) = WorkerGen::start(cycle, self.index, &self.books);
        let id = panicked.map(|module| generation.cycle.module_id(module).to_owned());
        self.generations.borrow_mut().push(generation);
        id.map_or(Ok(()), |id| Err(format!("module {id} panicked in worker_start of worker {}", self.index)))
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

    /// Takes back a generation that was started and will not serve. What it gives back is over once nothing of the generation is
    /// here any more; `None`: nothing is.
    pub fn give_up(&self, epoch: u32) -> Option<oneshot::Receiver<()>> {
        let given = self.generations.borrow().iter().find(|g| g.cycle.epoch == epoch).cloned()?;
        let gone = given.gone();
        given.retire();
        drop(given);
        self.reap();
        Some(gone)
    }

    fn retire(&self, generation: &Rc<WorkerGen>) {
        generation.retire();
        self.tell_retired(generation);
        self.reap();
    }

    /// Ends generations that nothing holds any more.
    pub fn reap(&self) {
        let all: Vec<_> = self.generations.borrow().clone();
        for g in all {
            if g.end_if_done() {
                self.generations.borrow_mut().retain(|x| !Rc::ptr_eq(x, &g));
                self.let_go(g);
            }
        }
        if self.leaving.get() && self.sessions.borrow().is_empty() && !self.settling.get() {
            self.settle();
        }
    }

    /// One that leaves has no time any more: sessions are ended, and what they left to be sent is given up.
    pub fn is_late(&self) {
        self.late.set(true);
        self.kill_sessions(Cause::Shutdown, |_| true);
    }

    /// Ends once all that sessions left to be sent is the system's.
    fn settle(&self) {
        self.settling.set(true);
        rt::spawn(async {
            // A session that is over may not have let go of its streams yet.
            for _ in 0..8 {
                rt::yield_now().await;
            }
            while rt::lingers_here() && with_here(|w| !w.late.get()) == Some(true) {
                rt::sleep(SETTLES).await;
            }
            with_here(|w| w.end.notify_one());
        });
    }

    fn let_go(&self, generation: Rc<WorkerGen>) {
        // The last to hold it has the work of dropping it, and that must not be a worker.
        let cycle = Arc::clone(&generation.cycle);
        drop(generation);
        crate::control::generation_left(cycle, self.id);
    }

    /// Every generation here.
    pub fn generations(&self) -> Vec<Rc<WorkerGen>> {
        self.generations.borrow().clone()
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

fn run(
    id: u32,
    index: u32,
    wait: rt::Wait,
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
            books: Rc::default(),
            current: RefCell::default(),
            generations: RefCell::default(),
            sessions: RefCell::default(),
            accepting: RefCell::default(),
            receiving: RefCell::default(),
            paused: Cell::new(false),
            leaving: Cell::new(false),
            settling: Cell::new(false),
            late: Cell::new(false),
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
    rt::run(wait, ready, root, woke, timers::note_ready);
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
fn with_here<R>(f: impl FnOnce(&Worker) -> R) -> Option<R> {
    WORKER.try_with(|w| w.borrow().as_ref().map(|w| f(w))).ok().flatten()
}
