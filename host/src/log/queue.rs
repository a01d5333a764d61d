//! The way from the workers to the writer thread: bounded in bytes, and a push never waits for a disk.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::file::{LogFile, Target};

/// Most emptied buffers that are kept for the next lines.
const SPARE: usize = 64;

/// What the writer thread is asked to do, in order.
pub(super) enum Job {
    /// A target that is open now; `lost` counts its lost lines.
    Open { id: u64, file: LogFile, lost: Arc<AtomicU64> },
    /// Whole lines for an open target.
    Lines(Lines),
    /// Nobody writes to this target any more.
    Close(u64),
    /// Open all files by their names again, and answer which could not be.
    Reopen(SyncSender<Vec<(Target, io::Error)>>),
    /// Answer when everything before this is written.
    Flush(SyncSender<()>),
}

pub(super) struct Lines {
    pub(super) id: u64,
    pub(super) bytes: Vec<u8>,
    pub(super) count: u64,
    /// Tells of lost lines, and is not itself counted when lost.
    pub(super) report: bool,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// Of lines that are not written yet, including those that the writer holds.
    bytes: usize,
    closed: bool,
}

pub(super) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    limit: usize,
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), ready: Condvar::new(), limit, spare: Mutex::default() }
    }

    /// Adds lines. False: there is no room, or the writer has ended; the lines are gone. `force`: room is not asked for.
    pub(super) fn lines(&self, lines: Lines, force: bool) -> bool {
        let mut state = self.state();
        let size = lines.bytes.len();
        // Reports are written even at the end: they come from the writer itself.
        if (state.closed && !lines.report) || (!force && state.bytes + size > self.limit) {
            drop(state);
            self.recycle(lines.bytes);
            return false;
        }
        state.bytes += size;
        state.jobs.push_back(Job::Lines(lines));
        self.ready.notify_one();
        true
    }

    /// Adds a job that is no lines. False: the writer has ended.
    pub(super) fn job(&self, job: Job) -> bool {
        let mut state = self.state();
        if !state.closed {
            state.jobs.push_back(job);
            self.ready.notify_one();
        }
        !state.closed
    }

    /// Ends the writer once it has done everything that is queued.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.ready.notify_one();
    }

    /// Moves all jobs to `jobs`, waiting for one, at most for `wait`. False: closed, and there is nothing left.
    pub(super) fn take(&self, jobs: &mut VecDeque<Job>, wait: Option<Duration>) -> bool {
        let mut state = self.state();
        let idle = |state: &mut State| state.jobs.is_empty() && !state.closed;
        state = match wait {
            None => self.ready.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner),
            Some(wait) => self.ready.wait_timeout_while(state, wait, idle).unwrap_or_else(PoisonError::into_inner).0,
        };
        std::mem::swap(&mut state.jobs, jobs);
        !(jobs.is_empty() && state.closed)
    }

    /// Says that lines were written or given up.
    pub(super) fn done(&self, bytes: Vec<u8>) {
        self.state().bytes -= bytes.len();
        self.recycle(bytes);
    }

    /// An empty buffer, used before when there is one.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.spare().pop().unwrap_or_default()
    }

    fn recycle(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        let mut spare = self.spare();
        // A buffer that one long line blew up is not worth keeping.
        if spare.len() < SPARE && (1024..256 * 1024).contains(&bytes.capacity()) {
            spare.push(bytes);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
