//! One generation on one worker: the modules' worker objects, its sessions, tasks and jobs, and their end.

use super::books::Books;
use crate::{
    cycle::{Cycle, listener::Listener},
    matcher::rule::Scratch,
    services::{
        current::Current,
        datagram,
        instance::{Conf, Instance, WorkerObject},
        module_jobs::Jobs,
        rt::TaskHandle,
        tasks::Tasks,
    },
    session::Session,
    upstream::pick::PoolWorker,
};
use anyproxy_module_api::abi::module::Place;
use slab::Slab;
use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
    sync::Arc,
};
use tokio::sync::oneshot;

/// Exchanges that are kept for their memory, at most.
const EXCHANGES: usize = 64;

/// A generation on this worker. Sessions and tasks hold it; it ends when it is retired and they are gone.
pub struct WorkerGen {
    /// The generation.
    pub cycle: Arc<Cycle>,
    /// This worker.
    pub worker: u32,
    /// Its metrics and access logs.
    pub books: Rc<Books>,
    /// Balancers and budgets, one a pool; made when the pool is first used here: there may be thousands.
    pools: Vec<OnceCell<RefCell<PoolWorker>>>,
    /// Sessions of the generation that go on here.
    pub sessions: Cell<u32>,
    /// Sessions that exist here: also those that are over and that some module still holds.
    pub held: Cell<u32>,
    /// Tasks that modules spawned.
    pub tasks: Tasks,
    /// Jobs of modules.
    pub jobs: Jobs,
    /// No new session comes any more.
    pub retired: Cell<bool>,
    /// Memory for choosing locals.
    pub scratch: RefCell<Scratch>,
    /// Host tasks that end when it is retired: health checks, resolution.
    upkeep: RefCell<Vec<TaskHandle>>,
    /// Exchanges that are over, each for its memory. They hold the generation: none is kept once it is retired.
    exchanges: RefCell<Vec<Rc<Session>>>,
    /// Exchanges under way, for whoever asks what goes on. Each leaves as it ends.
    under_way: RefCell<Slab<Rc<Session>>>,
    /// By key.
    listeners: Vec<(u64, Rc<Listener>)>,
    ended: Cell<bool>,
    /// By number.
    modules: Box<[Seat]>,
    /// Whoever waits until it is gone: dropped with it.
    gone: Cell<Option<oneshot::Sender<()>>>,
}

/// A module's objects here, side by side: they are handed out with every call.
struct Seat {
    /// The generation's. Null: number 0, the host itself.
    instance: *const (),
    object: Cell<WorkerObject>,
}

impl Seat {
    fn new(instance: &Option<Instance>) -> Self {
        let instance = instance.as_ref().map_or(std::ptr::null(), Instance::as_ptr);
        Self { instance, object: Cell::new(WorkerObject::NONE) }
    }
}

impl std::fmt::Debug for WorkerGen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WorkerGen({} on {})", self.cycle.epoch, self.worker)
    }
}

impl WorkerGen {
    /// Starts the generation's modules on this worker; with the first that panicked there: the generation is not to serve. It
    /// has all others, should nobody be there any more to refuse it.
    pub fn start(cycle: Arc<Cycle>, worker: u32, books: &Rc<Books>) -> (Rc<Self>, Option<u16>) {
        let mut listeners: Vec<_> = cycle.listeners.iter().map(|l| (l.key, Rc::new(Listener::clone(l)))).collect();
        listeners.sort_unstable_by_key(|(key, _)| *key);
        let this = Rc::new(Self {
            worker,
            books: Rc::clone(books),
            pools: cycle.pools.iter().map(|_| OnceCell::new()).collect(),
            sessions: Cell::new(0),
            held: Cell::new(0),
            tasks: Tasks::default(),
            jobs: Jobs::default(),
            retired: Cell::new(false),
            scratch: RefCell::default(),
            upkeep: RefCell::default(),
            exchanges: RefCell::default(),
            under_way: RefCell::default(),
            listeners,
            ended: Cell::new(false),
            modules: cycle.instances.iter().map(Seat::new).collect(),
            gone: Cell::default(),
            cycle,
        });
        let mut panicked = None;
        for &module in this.cycle.start_order() {
            match this.cycle.instance(module).worker_start(Current::on_worker(&this, module), worker) {
                Some(object) => this.modules[usize::from(module)].object.set(object),
                None => panicked = panicked.or(Some(module)),
            }
        }
        datagram::start_generation(&this);
        (this, panicked)
    }

    /// Over once nothing of it is here any more.
    pub fn gone(&self) -> oneshot::Receiver<()> {
        let (told, gone) = oneshot::channel();
        self.gone.set(Some(told));
        gone
    }

    /// A pool by its number.
    pub fn pool(&self, n: usize) -> Option<&RefCell<PoolWorker>> {
        let made = || RefCell::new(PoolWorker::new(&self.cycle.pools[n], self));
        self.pools.get(n).map(|pool| pool.get_or_init(made))
    }

    /// A listener by its key.
    pub fn listener(&self, key: u64) -> Option<&Rc<Listener>> {
        let at = self.listeners.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(&self.listeners[at].1)
    }

    /// A module's object here.
    pub fn object(&self, module: u16) -> WorkerObject {
        self.modules[usize::from(module)].object.get()
    }

    /// The objects of a call of `module` about a block.
    pub fn place(&self, module: u16, conf: Conf) -> Place {
        let Seat { instance, object } = &self.modules[usize::from(module)];
        Place { inst: *instance, worker: object.get().as_ptr(), conf: conf.as_ptr() }
    }

    /// An exchange begins; its key.
    pub fn enter_exchange(&self, exchange: &Rc<Session>) -> u32 {
        self.under_way.borrow_mut().insert(Rc::clone(exchange)) as u32
    }

    /// It is over.
    pub fn leave_exchange(&self, key: u32) {
        let left = self.under_way.borrow_mut().try_remove(key as usize);
        drop(left);
    }

    /// Those under way.
    pub fn exchanges_under_way(&self) -> Vec<Rc<Session>> {
        self.under_way.borrow().iter().map(|(_, exchange)| Rc::clone(exchange)).collect()
    }

    /// An exchange that is over.
    pub fn spare_exchange(&self) -> Option<Rc<Session>> {
        self.exchanges.borrow_mut().pop()
    }

    /// Whether there is room for another.
    pub fn keeps_exchanges(&self) -> bool {
        !self.retired.get() && self.exchanges.borrow().len() < EXCHANGES
    }

    /// Keeps one for the next.
    pub fn keep_exchange(&self, exchange: Rc<Session>) {
        self.exchanges.borrow_mut().push(exchange);
    }

    /// A task of the host's that ends when the generation is retired.
    pub fn note_upkeep(&self, task: TaskHandle) {
        let mut tasks = self.upkeep.borrow_mut();
        // Those that are over are let go of only when there is no room, and then there is room for as many again.
        if tasks.len() == tasks.capacity() {
            tasks.retain(|t| !t.is_finished());
            let live = tasks.len();
            tasks.reserve(live.max(16));
        }
        tasks.push(task);
    }

    /// No new session will come: tells the modules once.
    pub fn retire(&self) {
        if self.retired.replace(true) {
            return;
        }
        drop(self.exchanges.take());
        for task in self.upkeep.borrow().iter() {
            task.abort();
        }
        for &module in self.cycle.start_order().iter().rev() {
            self.cycle.instance(module).drain(Current::on_worker(self, module), self.object(module));
        }
    }

    /// What still holds the generation here: sessions, tasks, jobs.
    pub fn held_by(&self) -> (u32, usize, u32) {
        (self.held.get(), self.tasks.len(), self.jobs.len())
    }

    /// Ends it if it is retired and its sessions are over: tasks are told to end, then, once nothing holds it, its modules
    /// stop. True once, when that happened. To be called again until then.
    pub fn end_if_done(&self) -> bool {
        if !self.retired.get() || self.sessions.get() > 0 || self.ended.get() {
            return false;
        }
        self.tell_to_end();
        // A check that is aborted drops what it has of a module's at the loop's next turn.
        let kept_up = self.upkeep.borrow().iter().any(|t| !t.is_finished());
        if kept_up || self.held_by() != (0, 0, 0) {
            return false;
        }
        self.end();
        true
    }

    /// Tells tasks and jobs to end.
    pub fn tell_to_end(&self) {
        self.tasks.end_all();
        self.jobs.end_all(self.worker, self.cycle.epoch);
    }

    /// Stops the modules on this worker. Their futures were dropped before, while their runtime lived.
    pub fn end(&self) {
        if self.ended.replace(true) {
            return;
        }
        datagram::stop_generation(self);
        for &module in self.cycle.start_order().iter().rev() {
            let object = self.modules[usize::from(module)].object.replace(WorkerObject::NONE);
            self.cycle.instance(module).worker_stop(Current::on_worker(self, module), object);
        }
        for pool in self.pools.iter().filter_map(OnceCell::get) {
            pool.borrow_mut().end();
        }
    }

    /// Whether it ended.
    pub fn has_ended(&self) -> bool {
        self.ended.get()
    }
}
