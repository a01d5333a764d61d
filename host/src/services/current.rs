//! Whom the host is running on this thread: generation, worker, module and session. Every service that a module calls
//! belongs to it, and the crash handler and the watchdog name it.

use crate::{cycle::Cycle, session::Session, worker::generation::WorkerGen};
use std::{
    cell::Cell,
    ptr,
    rc::Rc,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering::Relaxed},
};

/// What is running. Pointers are valid while it is set: whoever sets it holds them.
#[derive(Clone, Copy, Debug)]
pub struct Current {
    /// The generation.
    pub cycle: *const Cycle,
    /// The generation's part on this worker; null off the workers.
    pub worker: *const WorkerGen,
    /// The session; null outside of one.
    pub session: *const Session,
    /// The module's number; 0: the host itself.
    pub module: u16,
}

impl Current {
    const NOBODY: Self = Self { cycle: ptr::null(), worker: ptr::null(), session: ptr::null(), module: 0 };

    /// Module `module` of a generation, off the workers.
    pub fn on_cycle(cycle: &Cycle, module: u16) -> Self {
        Self { cycle, module, ..Self::NOBODY }
    }

    /// Module `module` of a generation on this worker.
    pub fn on_worker(worker: &WorkerGen, module: u16) -> Self {
        Self { cycle: &raw const *worker.cycle, worker, module, ..Self::NOBODY }
    }

    /// Module `module` in a session.
    pub fn in_session(session: &Session, module: u16) -> Self {
        Self { session, ..Self::on_worker(&session.worker, module) }
    }

    /// The generation.
    pub fn cycle(&self) -> Option<&Cycle> {
        // SAFETY: null or valid while set, and `self` was taken from what is set now.
        unsafe { self.cycle.as_ref() }
    }

    /// The generation on this worker.
    pub fn worker(&self) -> Option<&WorkerGen> {
        // SAFETY: as above.
        unsafe { self.worker.as_ref() }
    }

    /// The generation on this worker, held.
    pub fn worker_rc(&self) -> Option<Rc<WorkerGen>> {
        if self.worker.is_null() {
            return None;
        }
        // SAFETY: every `WorkerGen` lives in an `Rc`, this one is alive and of this thread.
        unsafe {
            Rc::increment_strong_count(self.worker);
            Some(Rc::from_raw(self.worker))
        }
    }

    /// The session.
    pub fn session(&self) -> Option<&Session> {
        // SAFETY: as above.
        unsafe { self.session.as_ref() }
    }
}

thread_local! {
    // No destructor: read by the crash handler, and until the thread's very end.
    static CURRENT: Cell<Current> = const { Cell::new(Current::NOBODY) };
}

/// What is running on this thread now.
#[inline]
pub fn current() -> Current {
    CURRENT.get()
}

/// Threads that the watchdog can look at.
const WATCHED: usize = 1024;

/// What runs on one watched thread. Alone in its cache line: others write theirs all the time.
#[repr(align(64))]
struct Running {
    /// A count of entries above the module's number; 0 in the low half: the host.
    what: AtomicU64,
    /// The generation, only to be compared.
    cycle: AtomicPtr<Cycle>,
}

static RUNNING: [Running; WATCHED] =
    [const { Running { what: AtomicU64::new(0), cycle: AtomicPtr::new(ptr::null_mut()) } }; WATCHED];

thread_local! {
    static WATCH: Cell<&'static Running> = const { Cell::new(&RUNNING[0]) };
}

const fn place_of(worker: u32) -> usize {
    (worker as usize % (WATCHED - 1)) + 1
}

/// From now on the watchdog sees what runs on this thread, under the number of its worker.
pub fn watch_this_thread(worker: u32) {
    WATCH.set(&RUNNING[place_of(worker)]);
}

/// What runs on a worker now: a value that changes whenever that does, and the number of the module (0: the host).
pub fn running_on(worker: u32) -> (u64, u16) {
    let v = RUNNING[place_of(worker)].what.load(Relaxed);
    (v, v as u16)
}

/// The generation of what runs on a worker, only to be compared: it may have ended.
pub fn cycle_on(worker: u32) -> *const Cycle {
    RUNNING[place_of(worker)].cycle.load(Relaxed)
}

#[inline]
fn publish(now: &Current) {
    let at = WATCH.get();
    at.cycle.store(now.cycle.cast_mut(), Relaxed);
    // One writer a worker; what threads without a number write is looked at by nobody.
    at.what.store(((at.what.load(Relaxed) >> 16).wrapping_add(1) << 16) | u64::from(now.module), Relaxed);
}

/// Restores what was running before.
#[derive(Debug)]
pub struct Entered(Current);

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(self.0);
        publish(&self.0);
    }
}

/// States what runs from now on, until the result is dropped.
#[inline]
pub fn enter(now: Current) -> Entered {
    publish(&now);
    Entered(CURRENT.replace(now))
}

/// The same until whoever entered before leaves.
pub fn go_on(now: Current) {
    publish(&now);
    CURRENT.set(now);
}

/// The same of a module in a session. Nothing is to be stated where it runs already, and is called back by what it called.
#[inline]
pub fn enter_in(session: &Session, module: u16) -> Option<Entered> {
    is_other(&session.worker, module).then(|| enter(Current::in_session(session, module)))
}

/// The same of a module on its worker.
#[inline]
pub fn enter_on(worker: &WorkerGen, module: u16) -> Option<Entered> {
    is_other(worker, module).then(|| enter(Current::on_worker(worker, module)))
}

fn is_other(worker: &WorkerGen, module: u16) -> bool {
    let runs = current();
    runs.module != module || !ptr::eq(runs.worker, worker)
}
