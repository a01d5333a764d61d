//! Work that would hold up a worker: two pools of threads. Knows nothing of modules (`module_jobs` does). Threads start when there is work and end when there is none;
//! what waits is bounded; a panic ends only its job.

use anyproxy_module_api::abi::{
    error::{Error, ErrorKind},
    host::Pool,
    task::guard,
};
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

/// Jobs that may wait in one pool.
const MOST_WAITING: usize = 10_000;
/// A thread without work ends after this.
const IDLE: Duration = Duration::from_secs(10);

/// What a thread of a pool does. False: it panicked.
pub(super) type Work = Box<dyn FnOnce(&AtomicU8) -> bool + Send>;

struct Queued {
    work: Work,
    state: Arc<State>,
}

/// One pool.
struct Threads {
    name: &'static str,
    queue: Mutex<Queue>,
    more: Condvar,
    done: AtomicU64,
    panicked: AtomicU64,
    refused: AtomicU64,
}

struct Queue {
    waiting: VecDeque<Queued>,
    threads: usize,
    idle: usize,
    most: usize,
}

/// What status shows of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Its name.
    pub name: &'static str,
    /// Most threads.
    pub most: usize,
    /// Threads now.
    pub threads: usize,
    /// Threads that work now.
    pub busy: usize,
    /// Jobs that wait.
    pub waiting: usize,
    /// Jobs that ended.
    pub done: u64,
    /// Jobs that panicked.
    pub panicked: u64,
    /// Jobs that found the queue full.
    pub refused: u64,
}

static POOLS: [Threads; 2] = [Threads::new("blocking", 64), Threads::new("compute", 1)];

/// Sets the most threads of each pool; at least one. Threads above it end with their job.
pub fn configure(blocking: usize, compute: usize) {
    for (pool, most) in POOLS.iter().zip([blocking, compute]) {
        pool.lock().most = most.max(1);
        pool.more.notify_all();
    }
}

/// Both pools, for status.
pub fn counts() -> [Counts; 2] {
    [POOLS[0].counts(), POOLS[1].counts()]
}

/// Has `work` done on a pool.
pub(super) fn submit(pool: Pool, work: Work) -> Result<Ticket, Error> {
    POOLS[pool as usize].submit(work)
}

/// Runs `f` on the blocking pool. Dropping the future gives the result up, and `f` too if it has not begun.
pub fn run_blocking<T: Send + 'static>(
    f: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, Error>> + Send {
    let value = Arc::new(Mutex::new(None));
    let to = Arc::clone(&value);
    let work: Work =
        Box::new(move |_| guard(f).map(|v| *to.lock().unwrap_or_else(PoisonError::into_inner) = Some(v)).is_some());
    let ticket = submit(Pool::Blocking, work);
    async move {
        ticket?.await?;
        let value = value.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or(Error::bare(ErrorKind::Cancelled))
    }
}

/// How a job stands.
#[derive(Debug, Default)]
struct State {
    /// 1: nobody wants the result any more.
    cancelled: AtomicU8,
    end: Mutex<End>,
}

#[derive(Debug, Default)]
struct End {
    /// `Some(false)`: it panicked.
    well: Option<bool>,
    waker: Option<Waker>,
}

impl State {
    fn finish(&self, well: bool) {
        let waker = {
            let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
            end.well = Some(well);
            end.waker.take()
        };
        if let Some(w) = waker {
            w.wake();
        }
    }
}

/// A job on its way. Dropping it cancels the job.
#[derive(Debug)]
pub(super) struct Ticket(Arc<State>);

/// Sets a job's cancel token from elsewhere.
#[derive(Debug)]
pub(super) struct Canceller(Arc<State>);

impl Canceller {
    pub(super) fn cancel(&self) {
        self.0.cancelled.store(1, Relaxed);
    }
}

impl Ticket {
    /// The token in other hands; the job does not end by dropping it.
    pub(super) fn canceller(&self) -> Canceller {
        Canceller(Arc::clone(&self.0))
    }
}

impl Future for Ticket {
    type Output = Result<(), Error>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut end = self.0.end.lock().unwrap_or_else(PoisonError::into_inner);
        match end.well {
            Some(true) => Poll::Ready(Ok(())),
            Some(false) => Poll::Ready(Err(Error::bare(ErrorKind::Panicked))),
            None => {
                if !end.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                    end.waker = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.cancelled.store(1, Relaxed);
    }
}

impl Threads {
    const fn new(name: &'static str, most: usize) -> Self {
        let queue = Queue { waiting: VecDeque::new(), threads: 0, idle: 0, most };
        Self {
            name,
            queue: Mutex::new(queue),
            more: Condvar::new(),
            done: AtomicU64::new(0),
            panicked: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts(&self) -> Counts {
        let q = self.lock();
        Counts {
            name: self.name,
            most: q.most,
            threads: q.threads,
            busy: q.threads - q.idle,
            waiting: q.waiting.len(),
            done: self.done.load(Relaxed),
            panicked: self.panicked.load(Relaxed),
            refused: self.refused.load(Relaxed),
        }
    }

    fn submit(&'static self, work: Work) -> Result<Ticket, Error> {
        let state = Arc::<State>::default();
        let mut q = self.lock();
        if q.waiting.len() >= MOST_WAITING {
            drop(q);
            self.refused.fetch_add(1, Relaxed);
            return Err(Error::new(ErrorKind::Limit, format!("the queue of the {} pool is full", self.name)));
        }
        let starts = q.idle <= q.waiting.len() && q.threads < q.most;
        if starts {
            q.threads += 1;
            if let Err(e) = self.start() {
                q.threads -= 1;
                // With threads there, the job only waits longer.
                if q.threads == 0 {
                    return Err(e.into());
                }
            }
        }
        q.waiting.push_back(Queued { work, state: Arc::clone(&state) });
        drop(q);
        self.more.notify_one();
        Ok(Ticket(state))
    }

    fn start(&'static self) -> std::io::Result<()> {
        std::thread::Builder::new().name(self.name.to_owned()).spawn(|| self.work()).map(drop)
    }

    /// A thread's life.
    fn work(&self) {
        if std::ptr::eq(self, &raw const POOLS[Pool::Compute as usize]) {
            super::priority::give_way(super::priority::Below::Share);
        }
        let mut q = self.lock();
        loop {
            if q.threads > q.most {
                break;
            }
            if let Some(job) = q.waiting.pop_front() {
                drop(q);
                self.run(job);
                q = self.lock();
                continue;
            }
            q.idle += 1;
            let (next, wait) = self.more.wait_timeout(q, IDLE).unwrap_or_else(PoisonError::into_inner);
            q = next;
            q.idle -= 1;
            if wait.timed_out() && q.waiting.is_empty() {
                break;
            }
        }
        q.threads -= 1;
        if !q.waiting.is_empty() {
            // Woken for a job and ended for another reason: somebody else takes it.
            self.more.notify_one();
        }
    }

    fn run(&self, job: Queued) {
        let Queued { work, state } = job;
        let well = if state.cancelled.load(Relaxed) == 0 {
            guard(|| work(&state.cancelled)).unwrap_or(false)
        } else {
            guard(|| drop(work));
            true
        };
        self.done.fetch_add(1, Relaxed);
        if !well {
            self.panicked.fetch_add(1, Relaxed);
        }
        state.finish(well);
    }
}

#[cfg(test)]
#[path = "jobs_tests.rs"]
mod tests;
