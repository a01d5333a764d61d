//! What all workers count with every use of a peer or an upstream: a line of memory for each of them, which would else go from
//! core to core. Knows neither peers nor sessions.

use std::{
    sync::{
        OnceLock,
        atomic::{
            AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    thread::available_parallelism,
};

/// Most lines: workers beyond that share them.
const MOST: usize = 64;

/// What one worker counts.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line {
    begun: AtomicU64,
    ended: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
    /// Uses now that no limit counts.
    free: AtomicU64,
}

/// The sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Uses begun.
    pub begun: u64,
    /// Uses ended.
    pub ended: u64,
    /// Bytes to peers, of uses that ended.
    pub sent: u64,
    /// Bytes from them.
    pub received: u64,
}

/// Counters of one peer or one upstream.
#[derive(Debug)]
pub struct Uses(Box<[Line]>);

impl Default for Uses {
    fn default() -> Self {
        static CORES: OnceLock<usize> = OnceLock::new();
        let lines = *CORES.get_or_init(|| available_parallelism().map_or(1, usize::from).next_power_of_two().min(MOST));
        Self((0..lines).map(|_| Line::default()).collect())
    }
}

impl Uses {
    fn line(&self, worker: u32) -> &Line {
        // A power of two: there is no division in it.
        &self.0[worker as usize & (self.0.len() - 1)]
    }

    /// One begins.
    pub fn begin(&self, worker: u32) {
        self.line(worker).begun.fetch_add(1, Relaxed);
    }

    /// One ended.
    pub fn end(&self, worker: u32, sent: u64, received: u64) {
        let line = self.line(worker);
        line.ended.fetch_add(1, Relaxed);
        line.sent.fetch_add(sent, Relaxed);
        line.received.fetch_add(received, Relaxed);
    }

    /// One begins that no limit counts. Seen by whoever reads them after it.
    pub fn begin_free(&self, worker: u32) {
        self.line(worker).free.fetch_add(1, SeqCst);
    }

    /// One of those ended, on its worker.
    pub fn end_free(&self, worker: u32) {
        self.line(worker).free.fetch_sub(1, SeqCst);
    }

    /// How many of those there are now.
    pub fn free(&self) -> u64 {
        self.0.iter().map(|line| line.free.load(SeqCst)).sum()
    }

    /// What all workers counted.
    pub fn read(&self) -> Used {
        self.0.iter().fold(Used::default(), |sum, line| Used {
            begun: sum.begun + line.begun.load(Relaxed),
            ended: sum.ended + line.ended.load(Relaxed),
            sent: sum.sent + line.sent.load(Relaxed),
            received: sum.received + line.received.load(Relaxed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_of_all_workers_those_that_share_a_line_too() {
        let uses = Uses::default();
        for worker in 0..200 {
            uses.begin(worker);
            uses.end(worker, 2, 3);
        }
        uses.begin(7);
        assert_eq!(uses.read(), Used { begun: 201, ended: 200, sent: 400, received: 600 });
    }
}
