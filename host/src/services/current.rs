//! Whom the host is running on this thread: generation, worker, module and session. Every service that a module calls
//! belongs to it, and the crash handler and the watchdog name it.

use crate::{cycle::Cycle, session::Session, worker::generation::WorkerGen};
use std::{
    cell::Cell,
    ptr,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
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
/// What runs on each watched thread: a count of entries above the epoch and module number. 0 in the low half: the host.
static RUNNING: [AtomicU64; WATCHED] = [const { AtomicU64::new(0) }; WATCHED];

thread_local! {
    static WATCH: Cell<usize> = const { Cell::new(0) };
}

/// From now on the watchdog sees what runs on this thread, under the number of its worker.
pub fn watch_this_thread(worker: u32) {
    WATCH.set((worker as usize % (WATCHED - 1)) + 1);
}

/// What runs on a worker now: a value that changes whenever that does, and the number of the module (0: the host).
pub fn running_on(worker: u32) -> (u64, u16) {
    let v = RUNNING[(worker as usize % (WATCHED - 1)) + 1].load(Relaxed);
    (v, v as u16)
}

#[inline]
fn publish(module: u16) {
    let at = &RUNNING[WATCH.get()];
    // One writer a worker; what threads without a number write is looked at by nobody.
    at.store(((at.load(Relaxed) >> 16).wrapping_add(1) << 16) | u64::from(module), Relaxed);
}

/// Restores what was running before.
#[derive(Debug)]
pub struct Entered(Current);

impl Drop for Entered {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(self.0);
        publish(self.0.module);
    }
}

/// States what runs from now on, until the result is dropped.
#[inline]
pub fn enter(now: Current) -> Entered {
    publish(now.module);
    Entered(CURRENT.replace(now))
}
