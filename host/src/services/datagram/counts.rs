//! What became of the datagrams that this process read.

use std::sync::atomic::AtomicU64;

/// Datagrams of the process, by what became of them.
#[derive(Debug, Default)]
pub struct Counts {
    /// Given to an endpoint.
    pub delivered: AtomicU64,
    /// Passed to another worker or an older generation's worker.
    pub passed: AtomicU64,
    /// Passed to the process before this one.
    pub to_predecessor: AtomicU64,
    /// Got from the process after this one.
    pub from_successor: AtomicU64,
    /// The module wanted none of them.
    pub refused: AtomicU64,
    /// The owner has ended, or the listener has no endpoint.
    pub no_owner: AtomicU64,
    /// The owner's queue, the channel between the processes, or memory was full.
    pub full: AtomicU64,
    /// Reading failed.
    pub errors: AtomicU64,
}

/// The process's counters.
pub static COUNTS: Counts = Counts {
    delivered: AtomicU64::new(0),
    passed: AtomicU64::new(0),
    to_predecessor: AtomicU64::new(0),
    from_successor: AtomicU64::new(0),
    refused: AtomicU64::new(0),
    no_owner: AtomicU64::new(0),
    full: AtomicU64::new(0),
    errors: AtomicU64::new(0),
};
