//! Names the module whose poll holds up a worker for 10 ms or more. One thread looks at what runs on each worker, and
//! sleeps while all of them do: the first that wakes up wakes it.

use super::{
    current::{cycle_on, running_on},
    faults,
};
use crate::{cycle::Cycle, process::process};
use std::{
    collections::HashMap,
    ptr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering::SeqCst, fence},
    },
    thread::{self, Thread},
    time::Duration,
};

/// Time between two looks: what runs at both without a change runs for as long.
const LOOK: Duration = Duration::from_millis(10);
/// Looks at workers that all sleep until the thread does too.
const QUIET_LOOKS: u32 = 2;

static THREAD: OnceLock<Option<Thread>> = OnceLock::new();
static ENABLED: AtomicBool = AtomicBool::new(false);
static ASLEEP: AtomicBool = AtomicBool::new(false);
/// The workers, by their numbers among all that ever were.
static WORKERS: Mutex<Vec<u32>> = Mutex::new(Vec::new());
/// Generations that may run.
static CYCLES: Mutex<Vec<Weak<Cycle>>> = Mutex::new(Vec::new());

/// Begins to look, or stops.
pub fn enable(on: bool) {
    ENABLED.store(on, SeqCst);
    if on {
        // Without the thread nothing is named; everything else works.
        let start = || thread::Builder::new().name("watchdog".to_owned()).spawn(look_for_ever).ok();
        THREAD.get_or_init(|| start().map(|t| t.thread().clone()));
        wake();
    }
}

/// A generation is going to run: its modules can be named from now on.
pub fn know(cycle: Weak<Cycle>) {
    let mut cycles = CYCLES.lock().unwrap_or_else(PoisonError::into_inner);
    cycles.retain(|c| c.strong_count() > 0);
    cycles.push(cycle);
}

/// A worker that is looked at while this exists.
#[derive(Debug)]
pub struct Watched(u32);

impl Watched {
    /// This worker, by its number among all that ever were.
    pub fn worker(id: u32) -> Self {
        super::current::watch_this_thread(id);
        WORKERS.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        Self(id)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        WORKERS.lock().unwrap_or_else(PoisonError::into_inner).retain(|w| *w != self.0);
    }
}

/// A worker woke up. One load while the thread is awake.
#[inline]
pub fn woke_up() {
    if ASLEEP.load(std::sync::atomic::Ordering::Relaxed) {
        wake();
    }
}

#[cold]
fn wake() {
    if ASLEEP.swap(false, SeqCst)
        && let Some(Some(t)) = THREAD.get()
    {
        t.unpark();
    }
}

/// What was seen of one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    what: u64,
    module: u16,
    /// This poll was counted.
    counted: bool,
}

fn look_for_ever() {
    let mut seen = HashMap::new();
    let mut quiet = 0;
    loop {
        thread::sleep(LOOK);
        quiet = if look(&mut seen) { 0 } else { quiet + 1 };
        if quiet < QUIET_LOOKS && ENABLED.load(SeqCst) {
            continue;
        }
        ASLEEP.store(true, SeqCst);
        fence(SeqCst);
        // Who began meanwhile may not have seen that this thread sleeps.
        if ENABLED.load(SeqCst) && look(&mut seen) {
            ASLEEP.store(false, SeqCst);
        }
        while ASLEEP.load(SeqCst) {
            thread::park();
        }
        quiet = 0;
    }
}

/// Looks once at every worker. Whether anything has run since the last look.
fn look(seen: &mut HashMap<u32, Seen>) -> bool {
    let workers = WORKERS.lock().unwrap_or_else(PoisonError::into_inner).clone();
    seen.retain(|w, _| workers.contains(w));
    let mut any = false;
    for worker in workers {
        let cycle = cycle_on(worker);
        let (what, module) = running_on(worker);
        let before = seen.entry(worker).or_default();
        if before.what != what {
            *before = Seen { what, module, counted: false };
            any = true;
        } else if module != 0 {
            any = true;
            if !std::mem::replace(&mut before.counted, true) {
                name(cycle, module, worker);
            }
        }
    }
    any
}

/// The generation at an address, if it has not ended.
fn found(cycle: *const Cycle) -> Option<Arc<Cycle>> {
    let cycles = CYCLES.lock().unwrap_or_else(PoisonError::into_inner);
    cycles.iter().find(|c| ptr::eq(c.as_ptr(), cycle)).and_then(Weak::upgrade)
}

/// Module and version of what runs on a worker; `host`: none.
pub fn running(worker: u32) -> (String, String) {
    let (cycle, (_, module)) = (cycle_on(worker), running_on(worker));
    match found(cycle).filter(|_| module != 0) {
        Some(cycle) => (cycle.module_id(module).to_owned(), cycle.instance(module).image.facts.version.clone()),
        None => ("host".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    }
}

/// A module's poll holds up a worker.
fn name(cycle: *const Cycle, module: u16, worker: u32) {
    let Some(cycle) = found(cycle) else { return };
    let (id, image) = (cycle.module_id(module), &cycle.instance(module).image);
    faults::note(id, |f| f.slow_polls += 1);
    if let Some(more) = process().error_log.once_a_second(&format!("slow poll {id}")) {
        let version = image.facts.version.as_str();
        tracing::warn!(
            module = id,
            version,
            worker,
            more,
            "a poll runs for more than {} ms: the worker's other sessions wait",
            LOOK.as_millis()
        );
    }
}
