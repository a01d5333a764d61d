//! What a worker writes down of its sessions: metrics, and the lines of access logs. Its part of each generation holds them
//! too, so that a session has them at hand as long as it lives.

use crate::{cycle::access_log::Buffers, metrics, process::process};
use std::cell::RefCell;

/// See the module. Of one thread.
pub struct Books {
    /// The worker's metrics.
    pub cells: metrics::Worker,
    /// Buffers of access logs, by target. What they hold is handed over when they are dropped.
    pub logs: RefCell<Buffers>,
}

impl Default for Books {
    fn default() -> Self {
        Self { cells: process().metrics.worker(), logs: RefCell::default() }
    }
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Books").field("logs", &self.logs).finish_non_exhaustive()
    }
}
