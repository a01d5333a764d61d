//! Tasks, timers, jobs and buffers of the fake host: everything runs on the test's thread when it says so.

use super::{give_shared, here, lend_shared, take_shared};
use crate::abi::{
    bytes::Buf,
    error::{Error, ErrorKind, Outcome},
    host::{Job, Object, Pool},
    task::{Closure, FfiContext, FfiPoll, LocalFuture, SendFuture},
};
use crate::testing::live::{Kind, Token, Waiters};
use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    mem::ManuallyDrop,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, RawWaker, RawWakerVTable, Waker},
};

// ---- the waker of the fake host's tasks. One static table: that is how the bridge knows it.

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: data is of `Arc::into_raw` in `waker`.
    unsafe { Arc::increment_strong_count(data.cast::<AtomicBool>()) };
    RawWaker::new(data, &WAKER)
}
unsafe fn wake(data: *const ()) {
    // SAFETY: as above; consumes one reference.
    unsafe { Arc::from_raw(data.cast::<AtomicBool>()) }.store(true, SeqCst);
}
unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: as above.
    unsafe { &*data.cast::<AtomicBool>() }.store(true, SeqCst);
}
unsafe fn drop_waker(data: *const ()) {
    // SAFETY: as above; consumes one reference.
    drop(unsafe { Arc::from_raw(data.cast::<AtomicBool>()) });
}
static WAKER: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop_waker);

fn waker(flag: &Arc<AtomicBool>) -> Waker {
    // SAFETY: the table works on one reference of the flag.
    unsafe { Waker::new(Arc::into_raw(Arc::clone(flag)).cast(), &WAKER) }
}

/// A waker as the fake host's tasks have it.
pub(crate) fn task_waker() -> Waker {
    waker(&Arc::new(AtomicBool::new(false)))
}

/// Polls `f` with a task's waker; whether it woke itself, and what it said.
pub(crate) fn poll_with<R>(woken: &Arc<AtomicBool>, f: impl FnOnce(&mut Context<'_>) -> R) -> R {
    // Borrowed for the poll, as a runtime does: no count is touched.
    // SAFETY: the flag outlives the waker, which is not dropped.
    let w = ManuallyDrop::new(unsafe { Waker::new(Arc::as_ptr(woken).cast(), &WAKER) });
    f(&mut Context::from_waker(&w))
}

// ---- tasks

enum Work {
    Local(LocalFuture<()>),
    Send(SendFuture<()>),
}

const RUNNING: u8 = 0;
const ENDED: u8 = 1;
const BROKEN: u8 = 2;

/// A task as its handles know it.
struct TaskShared {
    state: AtomicU8,
    waiters: Waiters,
}

impl TaskShared {
    fn end(&self, how: u8) {
        self.state.store(how, SeqCst);
        self.waiters.wake();
    }
}

/// One spawned task, on the thread that runs it.
pub(crate) struct FakeTask {
    work: RefCell<Option<Work>>,
    woken: Arc<AtomicBool>,
    shared: Arc<TaskShared>,
}

impl FakeTask {
    /// Polls it if it was woken; whether it was.
    pub(crate) fn turn(&self) -> bool {
        if self.is_over() {
            self.abort();
            return false;
        }
        if !self.woken.swap(false, SeqCst) {
            return false;
        }
        let Some(mut work) = self.work.borrow_mut().take() else { return false };
        let r = poll_with(&self.woken, |cx| match &mut work {
            Work::Local(f) => f.poll_ffi(cx),
            Work::Send(f) => f.poll_ffi(cx),
        });
        match r {
            FfiPoll::Pending if !self.is_over() => {
                self.work.replace(Some(work));
            }
            // Aborted by itself: dropped here.
            FfiPoll::Pending => drop(work),
            FfiPoll::Ready(()) => self.shared.end(ENDED),
            FfiPoll::Panicked => self.shared.end(BROKEN),
        }
        true
    }

    pub(crate) fn abort(&self) {
        if !self.is_over() {
            self.shared.end(BROKEN);
        }
        // Taken first: its drop may come back here.
        let work = self.work.borrow_mut().take();
        drop(work);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.shared.state.load(SeqCst) != RUNNING
    }
}

fn start(work: Work) -> Object {
    let shared = Arc::new(TaskShared { state: AtomicU8::new(RUNNING), waiters: Waiters::default() });
    let task = Rc::new(FakeTask {
        work: RefCell::new(Some(work)),
        woken: Arc::new(AtomicBool::new(true)),
        shared: Arc::clone(&shared),
    });
    let state = here();
    state.tasks.borrow_mut().push(task);
    give_shared(Arc::new((shared, state.live.token(Kind::Task))))
}

type Held = (Arc<TaskShared>, Token);

pub(super) unsafe extern "C" fn spawn(f: LocalFuture<()>) -> Object {
    start(Work::Local(f))
}
pub(super) unsafe extern "C" fn spawn_process(f: SendFuture<()>) -> Object {
    start(Work::Send(f))
}
pub(super) unsafe extern "C" fn task_abort(t: Object) {
    // SAFETY: a handle of `start`, held by the caller.
    let t = unsafe { lend_shared::<Held>(t) };
    if t.0.state.load(SeqCst) == RUNNING {
        t.0.end(BROKEN);
    }
    // At once, if it is this thread's; else when its thread turns to it.
    let state = here();
    let task = state.tasks.borrow().iter().find(|x| Arc::ptr_eq(&x.shared, &t.0)).cloned();
    if let Some(task) = task {
        task.abort();
    }
}
pub(super) unsafe extern "C" fn task_poll(t: Object, cx: &FfiContext<'_>) -> u8 {
    // SAFETY: as above.
    let t = unsafe { lend_shared::<Held>(t) };
    cx.with_context(|cx| t.0.waiters.note(cx));
    t.0.state.load(SeqCst)
}
pub(super) unsafe extern "C" fn task_drop(t: Object) {
    // SAFETY: as above; given back.
    drop(unsafe { take_shared::<Held>(t) });
}
pub(super) unsafe extern "C" fn post(worker: u32, f: Closure) -> bool {
    let state = here();
    let known = worker < state.workers.get();
    if known {
        state.posts.borrow_mut().push_back(f);
    }
    known
}

// ---- jobs

/// One job: run by `FakeHost::run_until_stalled`, or by `run_jobs` while jobs are held.
pub(crate) struct FakeJob {
    job: RefCell<Option<Job>>,
    cancelled: AtomicU8,
    done: Cell<Option<bool>>,
    waiters: Waiters,
    _token: Token,
}

impl FakeJob {
    /// Runs it, or gives it up when nobody wants it.
    pub(crate) fn run(&self) {
        let Some(job) = self.job.borrow_mut().take() else { return };
        let wanted = self.cancelled.load(SeqCst) == 0;
        // SAFETY: consumed once; the token outlives the call.
        let ok = unsafe { (job.finish)(job.data, wanted, &raw const self.cancelled) };
        self.done.set(Some(ok));
        self.waiters.wake();
    }
}

impl Drop for FakeJob {
    fn drop(&mut self) {
        self.cancelled.store(1, SeqCst);
        self.run();
    }
}

struct Cancels(Rc<FakeJob>);

impl Drop for Cancels {
    fn drop(&mut self) {
        self.0.cancelled.store(1, SeqCst);
    }
}

pub(super) unsafe extern "C" fn job(_: Pool, job: Job) -> LocalFuture<Outcome<()>> {
    let state = here();
    let job = Rc::new(FakeJob {
        job: RefCell::new(Some(job)),
        cancelled: AtomicU8::new(0),
        done: Cell::new(None),
        waiters: Waiters::default(),
        _token: state.live.token(Kind::Job),
    });
    if state.worker.get().is_none() && !state.hold_jobs.get() {
        // Off the workers a module may block on it: nothing would run it later.
        job.run();
    } else {
        state.jobs.borrow_mut().push_back(Rc::clone(&job));
    }
    let job = Cancels(job);
    LocalFuture::new(poll_fn(move |cx| match job.0.done.get() {
        Some(true) => Poll::Ready(Outcome::Ok(())),
        Some(false) => Poll::Ready(Outcome::Err(Error::bare(ErrorKind::Panicked))),
        None => {
            job.0.waiters.note(cx);
            Poll::Pending
        }
    }))
}

// ---- timers

/// One timer, on the manual clock.
pub(crate) struct FakeTimer {
    at_ns: AtomicU64,
    waiters: Waiters,
    _token: Token,
}

impl FakeTimer {
    /// Wakes whoever waits, if it passed.
    pub(crate) fn fire(&self, now: u64) {
        if self.at_ns.load(SeqCst) <= now {
            self.waiters.wake();
        }
    }

    /// When it passes, if somebody waits for that.
    pub(crate) fn awaited(&self) -> Option<u64> {
        (!self.waiters.is_empty()).then(|| self.at_ns.load(SeqCst))
    }
}

pub(super) unsafe extern "C" fn timer(after_ns: u64) -> Object {
    let state = here();
    let t = Arc::new(FakeTimer {
        at_ns: AtomicU64::new(state.now_ns.get().saturating_add(after_ns)),
        waiters: Waiters::default(),
        _token: state.live.token(Kind::Timer),
    });
    let mut timers = state.timers.borrow_mut();
    timers.retain(|t| t.strong_count() > 0);
    timers.push(Arc::downgrade(&t));
    give_shared(t)
}
pub(super) unsafe extern "C" fn timer_reset(t: Object, after_ns: u64) {
    // SAFETY: a handle of `timer`, held by the caller.
    let t = unsafe { lend_shared::<FakeTimer>(t) };
    t.at_ns.store(here().now_ns.get().saturating_add(after_ns), SeqCst);
}
pub(super) unsafe extern "C" fn timer_poll(t: Object, cx: &FfiContext<'_>) -> u8 {
    // SAFETY: as above.
    let t = unsafe { lend_shared::<FakeTimer>(t) };
    if t.at_ns.load(SeqCst) <= here().now_ns.get() {
        return 1;
    }
    cx.with_context(|cx| t.waiters.note(cx));
    0
}
pub(super) unsafe extern "C" fn timer_drop(t: Object) {
    // SAFETY: as above; given back.
    drop(unsafe { take_shared::<FakeTimer>(t) });
}

// ---- buffers

/// The pool of buffers: a limit, what is out, and who waits.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) limit: AtomicUsize,
    used: AtomicUsize,
    waiting: Waiters,
}

impl Default for Memory {
    fn default() -> Self {
        Self { limit: AtomicUsize::new(usize::MAX), used: AtomicUsize::new(0), waiting: Waiters::default() }
    }
}

impl Memory {
    /// Bytes out.
    pub(crate) fn used(&self) -> usize {
        self.used.load(SeqCst)
    }

    /// Wakes all who wait for a buffer.
    pub(crate) fn wake(&self) {
        self.waiting.wake();
    }
}

struct Lent {
    memory: Arc<Memory>,
    _token: Token,
}

unsafe extern "C" fn release(owner: *mut (), ptr: *mut u8, cap: usize) {
    // SAFETY: the box and the vector of `buf`, given back once.
    let (lent, bytes) = unsafe { (Box::from_raw(owner.cast::<Lent>()), Vec::from_raw_parts(ptr, 0, cap)) };
    drop(bytes);
    lent.memory.used.fetch_sub(cap, SeqCst);
    lent.memory.wake();
}

pub(super) unsafe extern "C" fn buf(size: usize) -> Buf {
    let state = here();
    let m = &state.memory;
    let fits = |used: usize| used.checked_add(size).filter(|n| *n <= m.limit.load(SeqCst));
    if size == 0 || m.used.fetch_update(SeqCst, SeqCst, fits).is_err() {
        return Buf::new();
    }
    // The whole of a buffer is initialised: see `Buf::from_raw`.
    let mut bytes = ManuallyDrop::new(vec![0_u8; size].into_boxed_slice());
    let owner = Box::new(Lent { memory: Arc::clone(m), _token: state.live.token(Kind::Buffer) });
    // SAFETY: `size` initialised bytes, given back once by `release`, on any thread.
    unsafe { Buf::from_raw(bytes.as_mut_ptr(), 0, size, Box::into_raw(owner).cast(), release) }
}

pub(super) unsafe extern "C" fn buf_wait(cx: &FfiContext<'_>) {
    cx.with_context(|cx| here().memory.waiting.note(cx));
}
