//! Tasks, timers and jobs.

use super::{host, result};
use crate::abi::{
    error::{Error, ErrorKind},
    host::{Job, Object, Pool},
    task::{LocalFuture, SendFuture, guard, with_ffi},
};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

/// A spawned task. Dropping it lets go; the task ends with its scope: the generation on its worker, or in the process.
#[derive(Debug)]
pub struct Task(Object);

/// Spawns on this worker: from a call that is made there. In `prepare`, `settle` and `commit`, in an action, and on a thread of a
/// module's own there is no worker: the task is dropped unpolled, which the log tells as an error; [`spawn_process`] works
/// in the first four.
pub fn spawn(future: impl Future<Output = ()> + 'static) -> Task {
    // SAFETY: the future is given away.
    Task(unsafe { (host().spawn)(LocalFuture::new(future)) })
}

/// Spawns on the process's own loop, a thread beside the workers: outlives a worker, ends with the generation. `make` makes the
/// future there, which need not be `Send` then: files, jobs, names, timers and contracts without a worker may be used in it,
/// sockets may not.
///
/// ```
/// # use anyproxy_module_api::*;
/// # fn start(path: String) -> Task {
/// spawn_process(move || async move {
///     if let Ok(file) = File::open(&path, Open::READ).await {
///         let _ = file.read_at(0, Buf::from(vec![0; 512])).await;
///     }
/// })
/// # }
/// ```
pub fn spawn_process<F: Future<Output = ()> + 'static>(make: impl FnOnce() -> F + Send + 'static) -> Task {
    // SAFETY: the future is given away; the process's loop is one thread, which drops it, too.
    Task(unsafe { (host().spawn_process)(SendFuture::made_there(make)) })
}

impl Task {
    /// Ends it.
    pub fn abort(&self) {
        // SAFETY: the host's object.
        unsafe { (host().task_abort)(self.0) }
    }
}

impl Future for Task {
    /// Whether it ended by itself; false: aborted or panicked.
    type Output = bool;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<bool> {
        // SAFETY: the host's object.
        match with_ffi(cx, |f| unsafe { (host().task_poll)(self.0, f) }) {
            0 => Poll::Pending,
            n => Poll::Ready(n == 1),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { (host().task_drop)(self.0) }
    }
}

// SAFETY: objects of the host that are not streams may be used on any thread (see `HostVtable`).
unsafe impl Send for Task {}
// SAFETY: as above.
unsafe impl Sync for Task {}

/// A timer of the loop that it is made on.
#[derive(Debug)]
pub struct Sleep(Object);

// SAFETY: see `Task`. Futures of `spawn_process` and hyper's `rt::Sleep` need it.
unsafe impl Send for Sleep {}
// SAFETY: as above.
unsafe impl Sync for Sleep {}

/// Lets the other tasks of this loop, its sockets and its timers have their turn. What computes for long calls it now and
/// then; a task that only wakes itself would hold up the sockets.
pub async fn yield_now() {
    let mut gave_way = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut gave_way, true) {
            return Poll::Ready(());
        }
        super::defer(cx);
        Poll::Pending
    })
    .await;
}

/// Ends after `after`.
pub fn sleep(after: Duration) -> Sleep {
    // SAFETY: plain arguments.
    Sleep(unsafe { (host().timer)(nanos(after)) })
}

/// Gives `future` this long.
///
/// # Errors
/// Its own, or `TimedOut`.
pub async fn timeout<T>(after: Duration, future: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let mut future = std::pin::pin!(future);
    let mut limit = sleep(after);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Pending => Pin::new(&mut limit).poll(cx).map(|()| Err(Error::bare(ErrorKind::TimedOut))),
        ready => ready,
    })
    .await
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

impl Sleep {
    /// Starts anew.
    pub fn reset(&mut self, after: Duration) {
        // SAFETY: the host's object.
        unsafe { (host().timer_reset)(self.0, nanos(after)) }
    }
}

impl Future for Sleep {
    type Output = ();
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the host's object.
        match with_ffi(cx, |f| unsafe { (host().timer_poll)(self.0, f) }) {
            0 => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { (host().timer_drop)(self.0) }
    }
}

/// Tells a job that nobody wants its result any more.
#[derive(Clone, Copy, Debug)]
pub struct Cancel<'a>(&'a AtomicU8);

impl Cancel<'_> {
    /// Whether to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Relaxed) != 0
    }
}

/// A job on its way. Dropping it cancels the job.
pub struct JobHandle<T> {
    done: LocalFuture<crate::abi::error::Outcome<()>>,
    value: Arc<Mutex<Option<T>>>,
}

impl<T> std::fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JobHandle")
    }
}

/// Runs `f` on a pool of threads.
pub fn run<T: Send + 'static>(pool: Pool, f: impl FnOnce(Cancel<'_>) -> T + Send + 'static) -> JobHandle<T> {
    unsafe extern "C" fn finish<F: FnOnce(Cancel<'_>)>(data: *mut (), run: bool, cancelled: *const AtomicU8) -> bool {
        guard(|| {
            // SAFETY: the box made below, consumed once; the token outlives the call.
            let f = unsafe { Box::from_raw(data.cast::<F>()) };
            if run {
                // SAFETY: as above.
                f(Cancel(unsafe { &*cancelled }));
            }
        })
        .is_some()
    }
    fn job<F: FnOnce(Cancel<'_>) + Send + 'static>(f: F) -> Job {
        Job { data: Box::into_raw(Box::new(f)).cast(), finish: finish::<F> }
    }
    let value = Arc::new(Mutex::new(None));
    let to = Arc::clone(&value);
    let job = job(move |cancel| {
        let v = f(cancel);
        *to.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(v);
    });
    JobHandle {
        // SAFETY: the job is given away.
        done: unsafe { (host().job)(pool, job) },
        value,
    }
}

/// Waits on this thread for a future to end: for `prepare`, which runs off the workers and may block. Never on a worker,
/// whose loop would stand still.
///
/// # Panics
/// On a worker.
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    assert!(super::worker().is_none(), "block_on on a worker would stop its loop");
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(v) => return v,
            Poll::Pending => std::thread::park(),
        }
    }
}

impl<T> Future for JobHandle<T> {
    /// # Errors
    /// `Panicked`, `Cancelled`, or `Limit` when the pool's queue is full.
    type Output = Result<T, Error>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.done).poll(cx).map(|r| {
            result(r)?;
            let mut v = self.value.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            v.take().ok_or(Error::bare(ErrorKind::Cancelled))
        })
    }
}
