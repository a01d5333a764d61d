//! What modules ask the host for. Each file has one subject; `table` gathers their functions into the table that every
//! image gets. The only place besides the loader where the host touches raw pointers.

pub mod buffers;
pub mod contracts;
pub mod crash;
pub mod current;
pub mod datagram;
pub mod dns;
pub mod file_watch;
pub mod files;
pub mod instance;
pub mod jobs;
pub mod log;
pub mod metrics;
pub mod net;
pub mod platform;
pub mod session;
pub mod stream;
pub mod table;
pub mod tasks;
pub mod timers;
pub mod udp;
pub mod upstream;
pub mod waiters;
pub mod watch;
pub mod zones;

use crate::cycle::Cycle;

/// A module panicked and the host stopped it: counted and logged with the module's name.
pub fn panicked(cycle: &Cycle, module: u16, what: &str) {
    cycle.stats.panics.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let id = cycle.module_id(module);
    let version = cycle.instance(module).image.facts.version.as_str();
    tracing::error!(module = id, version, "panic in {what}; it was ended, the process goes on");
}
