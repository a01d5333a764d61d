//! Tasks of modules on this worker's runtime: each runs in its module's name, a panic ends only itself, and all end
//! with their generation.

use super::current::{Current, current, enter};
use crate::{
    services::rt::{self, TaskHandle},
    worker::generation::WorkerGen,
};
use anyproxy_module_api::abi::{
    host::Object,
    task::{FfiContext, FfiPoll, LocalFuture, SendFuture},
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// How a task stands, shared with whoever holds its handle.
#[derive(Debug, Default)]
struct State {
    /// 0: running, 1: ended by itself, 2: aborted or panicked.
    done: AtomicU8,
    waiter: Mutex<Option<Waker>>,
}

impl State {
    fn finish(&self, how: u8) {
        if self.done.compare_exchange(0, how, Ordering::AcqRel, Ordering::Acquire).is_ok()
            && let Some(w) = self.waiter.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            w.wake();
        }
    }
}

/// Ends a task of a worker, or of the process's loop.
enum Abort {
    Here(TaskHandle),
    Process(tokio::task::AbortHandle),
}

/// What a module holds of a task.
struct Handle {
    abort: Abort,
    state: Arc<State>,
}

/// The tasks of one generation on one worker.
#[derive(Debug, Default)]
pub struct Tasks {
    next: Cell<u64>,
    running: RefCell<HashMap<u64, (u16, TaskHandle)>>,
    ending: Cell<bool>,
}

impl Tasks {
    /// How many run.
    pub fn len(&self) -> usize {
        self.running.borrow().len()
    }

    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many run of each module, by number.
    pub fn by_module(&self) -> Vec<(u16, usize)> {
        let mut counts = HashMap::new();
        for (module, _) in self.running.borrow().values() {
            *counts.entry(*module).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    /// Tells all to end. Their futures are dropped by the loop at its next turn, on this thread; until then they count.
    pub fn end_all(&self) {
        self.ending.set(true);
        for (_, task) in self.running.borrow().values() {
            task.abort();
        }
    }
}

/// A module's future in its module's name.
struct ModuleTask {
    future: Option<LocalFuture<()>>,
    owner: Rc<WorkerGen>,
    who: Current,
    id: u64,
    state: Arc<State>,
}

impl Future for ModuleTask {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let _who = enter(self.who);
        let Some(f) = self.future.as_mut() else { return Poll::Ready(()) };
        match f.poll_ffi(cx) {
            FfiPoll::Pending => Poll::Pending,
            FfiPoll::Ready(()) => {
                self.state.finish(1);
                Poll::Ready(())
            }
            FfiPoll::Panicked => {
                super::panicked(&self.owner.cycle, self.who.module, "a task");
                Poll::Ready(())
            }
        }
    }
}

impl Drop for ModuleTask {
    fn drop(&mut self) {
        let _who = enter(self.who);
        self.future = None;
        self.state.finish(2);
        self.owner.tasks.running.borrow_mut().remove(&self.id);
    }
}

fn object(abort: Abort, state: Arc<State>) -> Object {
    Box::into_raw(Box::new(Handle { abort, state })).cast()
}

pub(super) unsafe extern "C" fn spawn(future: LocalFuture<()>) -> Object {
    let mut who = current();
    // A task outlives the session that spawned it; it belongs to the generation.
    who.session = std::ptr::null();
    let state = Arc::<State>::default();
    let Some(owner) = who.worker_rc().filter(|o| !o.tasks.ending.get()) else {
        // Off the workers, or on a worker whose generation ends: nobody would poll it.
        if who.worker_rc().is_none() {
            let module = who.cycle().map_or("-", |c| c.module_id(who.module));
            tracing::error!(module, "spawn where there is no worker: the task does not run; spawn_process would");
        }
        drop(future);
        state.finish(2);
        return object(Abort::Here(TaskHandle::OVER), state);
    };
    let id = owner.tasks.next.replace(owner.tasks.next.get() + 1);
    let task = ModuleTask { future: Some(future), owner: Rc::clone(&owner), who, id, state: Arc::clone(&state) };
    let abort = rt::spawn(task);
    owner.tasks.running.borrow_mut().insert(id, (who.module, abort.clone()));
    object(Abort::Here(abort), state)
}

/// A module's future on the process's own loop.
struct ProcessTask {
    future: Option<SendFuture<()>>,
    cycle: Arc<crate::cycle::Cycle>,
    module: u16,
    state: Arc<State>,
}

impl Future for ProcessTask {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let _who = enter(Current::on_cycle(&this.cycle, this.module));
        let Some(f) = this.future.as_mut() else { return Poll::Ready(()) };
        match f.poll_ffi(cx) {
            FfiPoll::Pending => Poll::Pending,
            FfiPoll::Ready(()) => {
                this.state.finish(1);
                Poll::Ready(())
            }
            FfiPoll::Panicked => {
                super::panicked(&this.cycle, this.module, "a task");
                Poll::Ready(())
            }
        }
    }
}

impl Drop for ProcessTask {
    fn drop(&mut self) {
        let _who = enter(Current::on_cycle(&self.cycle, self.module));
        self.future = None;
        self.state.finish(2);
    }
}

/// A module's future in its module's name, with its generation; `None`: it panicked.
struct Named<T> {
    future: Option<SendFuture<T>>,
    cycle: Arc<crate::cycle::Cycle>,
    module: u16,
}

/// Polls `future` as `module`, whose generation stays for as long.
pub(super) fn in_name_of<T: Send>(
    cycle: Arc<crate::cycle::Cycle>,
    module: u16,
    future: SendFuture<T>,
) -> impl Future<Output = Option<T>> + Send {
    Named { future: Some(future), cycle, module }
}

impl<T> Future for Named<T> {
    type Output = Option<T>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = &mut *self;
        let _who = enter(Current::on_cycle(&this.cycle, this.module));
        let Some(f) = this.future.as_mut() else { return Poll::Ready(None) };
        match f.poll_ffi(cx) {
            FfiPoll::Pending => Poll::Pending,
            FfiPoll::Ready(value) => Poll::Ready(Some(value)),
            FfiPoll::Panicked => {
                super::panicked(&this.cycle, this.module, "an action");
                Poll::Ready(None)
            }
        }
    }
}

impl<T> Drop for Named<T> {
    fn drop(&mut self) {
        let _who = enter(Current::on_cycle(&self.cycle, self.module));
        self.future = None;
    }
}

pub(super) unsafe extern "C" fn spawn_process(future: SendFuture<()>) -> Object {
    let who = current();
    let state = Arc::<State>::default();
    let Some(cycle) = who.cycle().and_then(crate::cycle::Cycle::shared) else {
        drop(future);
        return std::ptr::null_mut();
    };
    let task =
        ProcessTask { future: Some(future), cycle: Arc::clone(&cycle), module: who.module, state: Arc::clone(&state) };
    let abort = crate::control::runtime().spawn(task).abort_handle();
    cycle.note_process_task(abort.clone());
    object(Abort::Process(abort), state)
}

pub(super) unsafe extern "C" fn task_abort(task: Object) {
    // SAFETY: null or a handle of `spawn`, still held by the caller.
    if let Some(h) = unsafe { task.cast::<Handle>().as_ref() } {
        match &h.abort {
            Abort::Here(task) => task.abort(),
            Abort::Process(task) => task.abort(),
        }
    }
}

pub(super) unsafe extern "C" fn task_poll(task: Object, cx: &FfiContext<'_>) -> u8 {
    // SAFETY: as above.
    let Some(h) = (unsafe { task.cast::<Handle>().as_ref() }) else { return 2 };
    let done = h.state.done.load(Ordering::Acquire);
    if done != 0 {
        return done;
    }
    cx.with_context(|cx| {
        *h.state.waiter.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
    });
    h.state.done.load(Ordering::Acquire)
}

pub(super) unsafe extern "C" fn task_drop(task: Object) {
    if !task.is_null() {
        // SAFETY: a handle of `spawn`, given up once.
        drop(unsafe { Box::from_raw(task.cast::<Handle>()) });
    }
}
