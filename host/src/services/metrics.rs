//! Metrics that modules register: named with the module's id, owned by the generation, counted in the calling thread's
//! own cells.

use super::current::current;
use crate::{
    metrics::{self, Desc, Owner, Unit},
    process::process,
    worker,
};
use anyproxy_module_api::abi::{
    host::{MetricDesc, MetricKind},
    task::guard,
};
use std::{
    cell::{Cell, OnceCell},
    ptr,
    sync::atomic::AtomicU64,
};

/// Where the cell's number ends in an id, and kind and unit begin.
const KIND_SHIFT: u32 = 28;
const HISTOGRAM: u32 = 1 << KIND_SHIFT;
/// Observed in nanoseconds, counted in microseconds.
const SECONDS: u32 = 1 << (KIND_SHIFT + 1);
/// An id that counts nothing: the metric was refused.
const NOTHING: u32 = u32::MAX;

/// Counts that nobody reads.
static VOID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Cells of a thread that is no worker, given back at its end.
    static OWN: OnceCell<metrics::Worker> = const { OnceCell::new() };
    /// The module that is being created, before its generation exists.
    static CREATING: Cell<Option<(*const Owner, *const str)>> = const { Cell::new(None) };
}

/// Runs `f`, which creates module `id` of a generation that is being built: what it registers belongs to `owner`.
pub fn creating<R>(owner: &Owner, id: &str, f: impl FnOnce() -> R) -> R {
    struct Before(Option<(*const Owner, *const str)>);
    impl Drop for Before {
        fn drop(&mut self) {
            CREATING.set(self.0);
        }
    }
    let _before = Before(CREATING.replace(Some((owner, id))));
    f()
}

fn register(desc: &MetricDesc<'_>) -> Result<u32, String> {
    if let Some((owner, id)) = CREATING.get() {
        // SAFETY: lent by `creating`, which is on the stack.
        let (owner, id) = unsafe { (&*owner, &*id) };
        return register_as(owner, id, desc);
    }
    let who = current();
    let cycle = who.cycle().ok_or("metrics are registered in create, prepare and worker_start")?;
    register_as(&cycle.metrics_owner, cycle.module_id(who.module), desc)
}

fn register_as(owner: &Owner, module: &str, desc: &MetricDesc<'_>) -> Result<u32, String> {
    let name = format!("anyproxy_{}_{}", module.replace(|c: char| !c.is_ascii_alphanumeric(), "_"), desc.name);
    let unit = match desc.unit.as_str() {
        "seconds" => Unit::Seconds,
        "bytes" => Unit::Bytes,
        _ => Unit::None,
    };
    let labels: Vec<(&str, &str)> = desc
        .labels
        .split(',')
        .filter(|l| !l.is_empty())
        .map(|l| l.split_once('=').ok_or_else(|| format!("label \"{l}\" of {name} has no value")))
        .collect::<Result<_, _>>()?;
    let d = Desc { name: &name, help: desc.help.as_str(), unit };
    let cell = match desc.kind {
        MetricKind::Counter => owner.counter(&d, &labels).map(metrics::Counter::cell),
        MetricKind::Gauge => owner.gauge(&d, &labels).map(metrics::Gauge::cell),
        MetricKind::Histogram => owner.histogram(&d, &labels).map(|h| h.cell() | HISTOGRAM),
    };
    let cell = cell.map_err(|e| e.to_string())?;
    Ok(if unit == Unit::Seconds { cell | SECONDS } else { cell })
}

/// Calls `f` with this thread's cells.
fn with_cells<R>(f: impl FnOnce(&metrics::Worker) -> R) -> Option<R> {
    if let Some(w) = worker::here() {
        return Some(f(&w.books.cells));
    }
    OWN.try_with(|own| f(own.get_or_init(|| process().metrics.worker()))).ok()
}

pub(super) unsafe extern "C" fn metric(desc: *const MetricDesc<'_>) -> u32 {
    // SAFETY: lent for the call.
    let desc = unsafe { &*desc };
    guard(|| {
        register(desc).unwrap_or_else(|e| {
            tracing::error!(metric = desc.name.as_str(), "not registered: {e}");
            NOTHING
        })
    })
    .unwrap_or(NOTHING)
}

pub(super) unsafe extern "C" fn metric_cell(id: u32) -> *const AtomicU64 {
    let cell = || {
        let index = id & (HISTOGRAM - 1);
        with_cells(|cells| cells.cell(index).map(ptr::from_ref)).flatten()
    };
    let found = if id == NOTHING { None } else { guard(cell).flatten() };
    found.unwrap_or(&raw const VOID)
}

pub(super) unsafe extern "C" fn metric_observe(id: u32, value: u64) {
    if id == NOTHING || id & HISTOGRAM == 0 {
        return;
    }
    let value = if id & SECONDS == 0 { value } else { value / 1000 };
    let histogram = metrics::Histogram::from_cell(id & (HISTOGRAM - 1));
    guard(|| with_cells(|cells| cells.observe(histogram, value)));
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
