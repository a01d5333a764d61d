//! What modules did wrong and the process survived: panics that were stopped, polls that held up a worker. Counted by
//! module for as long as the process lives. Knows nothing of who shows the counts.

use super::current::current;
use crate::{cycle::Cycle, worker};
use anyproxy_module_api::abi::{
    bytes::Str,
    task::{FfiContext, guard},
};
use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    sync::{Mutex, PoisonError, atomic::Ordering::Relaxed},
};

/// Faults of one module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Panics that were stopped.
    pub panics: u64,
    /// Polls of 10 ms or more that the watchdog saw.
    pub slow_polls: u64,
}

static FAULTS: Mutex<BTreeMap<String, Faults>> = Mutex::new(BTreeMap::new());

/// Every module that did something wrong, by id.
pub fn all() -> Vec<(String, Faults)> {
    FAULTS.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(id, f)| (id.clone(), *f)).collect()
}

/// Counts a fault of a module.
pub fn note(module: &str, count: impl FnOnce(&mut Faults)) {
    let mut all = FAULTS.lock().unwrap_or_else(PoisonError::into_inner);
    match all.get_mut(module) {
        Some(f) => count(f),
        None => count(all.entry(module.to_owned()).or_default()),
    }
}

/// A module panicked and the host learned of it by what a call returned: counted and logged with the module's name.
pub fn panicked(cycle: &Cycle, module: u16, what: &str) {
    cycle.stats.panics.fetch_add(1, Relaxed);
    let id = cycle.module_id(module);
    note(id, |f| f.panics += 1);
    let version = cycle.instance(module).image.facts.version.as_str();
    tracing::error!(module = id, version, "panic in {what}; it was ended, the process goes on");
}

/// For the table: an image stopped a panic by itself. It may belong to another generation than the one that runs: a waker
/// is called by whoever wakes.
pub(super) unsafe extern "C" fn stopped(module: Str<'_>, version: Str<'_>) {
    guard(|| {
        let who = current();
        match who.cycle() {
            Some(cycle) => _ = cycle.stats.panics.fetch_add(1, Relaxed),
            None => {
                if let Some(generation) = worker::here().and_then(|w| w.current()) {
                    generation.cycle.stats.panics.fetch_add(1, Relaxed);
                }
            }
        }
        let (module, version) = (module.as_str(), version.as_str());
        note(module, |f| f.panics += 1);
        tracing::error!(module, version, "panic stopped at the module's edge; the process goes on");
    });
}

/// For the table: the runtime wakes deferred tasks after its sockets and timers had their turn.
pub(super) unsafe extern "C" fn defer(cx: &FfiContext<'_>) {
    guard(|| {
        cx.with_context(|cx| {
            // It asks to be woken and says `Pending`; what is left of it is nothing.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_counted_by_module() {
        note("faults-test", |f| f.panics += 1);
        note("faults-test", |f| f.slow_polls += 2);
        let found = all().into_iter().find(|(id, _)| id == "faults-test").map(|(_, f)| f);
        assert_eq!(found, Some(Faults { panics: 1, slow_polls: 2 }));
    }
}
