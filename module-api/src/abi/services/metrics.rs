//! Metrics: registered at start, one cell a worker, summed by the host when read.

use super::host;
use crate::abi::{
    bytes::Str,
    host::{MetricDesc, MetricKind},
};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

fn register(kind: MetricKind, name: &str, help: &str, labels: &str, unit: &str) -> u32 {
    let desc =
        MetricDesc { name: Str::new(name), help: Str::new(help), labels: Str::new(labels), unit: Str::new(unit), kind };
    // SAFETY: the description is copied during the call.
    unsafe { (host().metric)(&raw const desc) }
}

#[inline]
fn cell(id: u32) -> &'static AtomicU64 {
    // SAFETY: this thread's cell; cells are never freed.
    unsafe { &*(host().metric_cell)(id) }
}

/// Only grows.
#[derive(Clone, Copy, Debug)]
pub struct Counter(u32);

impl Counter {
    /// Registers `name`; `labels` as `key=value,key=value`. The same name and labels are the same counter.
    pub fn new(name: &str, help: &str, labels: &str) -> Self {
        Self(register(MetricKind::Counter, name, help, labels, ""))
    }

    /// Adds `n`. The cell has one writer, its own thread.
    #[inline]
    pub fn add(self, n: u64) {
        let c = cell(self.0);
        c.store(c.load(Relaxed).wrapping_add(n), Relaxed);
    }
}

/// Goes up and down; the sum over workers is shown.
#[derive(Clone, Copy, Debug)]
pub struct Gauge(u32);

impl Gauge {
    /// Registers `name`.
    pub fn new(name: &str, help: &str, labels: &str) -> Self {
        Self(register(MetricKind::Gauge, name, help, labels, ""))
    }

    /// Adds `n`, which may be negative.
    #[inline]
    pub fn add(self, n: i64) {
        let c = cell(self.0);
        c.store(c.load(Relaxed).wrapping_add_signed(n), Relaxed);
    }

    /// Sets this thread's part of it, as what is shown is the sum of all threads': a value of the whole module is set by one of
    /// them alone, and a number of this worker's by each.
    #[inline]
    pub fn set(self, n: i64) {
        cell(self.0).store(n.cast_unsigned(), Relaxed);
    }
}

/// A distribution.
#[derive(Clone, Copy, Debug)]
pub struct Histogram(u32);

impl Histogram {
    /// Registers `name`; `unit` is `seconds` (observed in nanoseconds) or `bytes`.
    pub fn new(name: &str, help: &str, labels: &str, unit: &str) -> Self {
        Self(register(MetricKind::Histogram, name, help, labels, unit))
    }

    /// Adds one observation.
    #[inline]
    pub fn observe(self, value: u64) {
        // SAFETY: plain arguments.
        unsafe { (host().metric_observe)(self.0, value) }
    }
}
