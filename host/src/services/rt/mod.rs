//! The loop of one thread: tasks that stay on it, readiness of sockets, and timers. Knows nothing of modules, sessions or
//! protocols.
//!
//! A worker runs it as its own ([`run`]). On a thread that belongs to another runtime it is a guest there ([`attach`]): the
//! process's loop, which is tokio's, has one, and so have tests. What is made on a thread stays there; only wakers, and
//! the handles that abort a task, may go elsewhere (doc/decisions/0014).

mod guest;
mod io;
#[cfg_attr(not(target_os = "linux"), path = "ring_none.rs")]
mod ring;
mod slots;
mod task;
mod timers;

pub use guest::attach;
#[cfg(unix)]
pub use io::Borrowed;
pub use io::{Interest, Io, Registered};
pub use ring::{Ringed, lingering};
pub use slots::{READ, Seen, WRITE};
pub use task::{TaskHandle, spawn, waker_vtable};
pub use timers::{Sleep, sleep, within};

use slots::Slots;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::Future,
    io::Result,
    ptr,
    rc::Rc,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};
use task::{Queued, TaskRef};
use timers::Timers;

/// Readiness taken from the system at once, at most.
const EVENTS: usize = 1024;

/// The loop's part that other threads see.
struct Shared {
    /// Tasks that other threads woke.
    woken: Mutex<Woken>,
    /// The loop waits, or is about to: a wake-up from elsewhere must end that.
    sleeps: AtomicBool,
    /// Ends the wait: the system's way, or the task of the runtime whose guest the loop is.
    end_wait: OnceLock<EndWait>,
}

#[derive(Default)]
struct Woken {
    tasks: Vec<TaskRef>,
    /// The loop has ended: nobody takes them any more.
    closed: bool,
}

enum EndWait {
    System(mio::Waker),
    Host(Waker),
}

impl Shared {
    /// A task was woken on another thread.
    fn push(&self, task: TaskRef) {
        {
            let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
            if woken.closed {
                return;
            }
            woken.tasks.push(task);
        }
        if self.sleeps.swap(false, SeqCst) {
            match self.end_wait.get() {
                // It cannot fail but for a full counter, which ends the wait just as well.
                Some(EndWait::System(w)) => drop(w.wake()),
                Some(EndWait::Host(w)) => w.wake_by_ref(),
                None => {}
            }
        }
    }
}

/// One thread's loop.
struct Loop {
    shared: Arc<Shared>,
    ready: RefCell<VecDeque<Queued>>,
    /// Every task that is not over or that is queued, to be dropped with the loop.
    tasks: RefCell<slab::Slab<TaskRef>>,
    slots: Slots,
    /// Sockets that the kernel is told of in batches, where that is wanted.
    ring: Option<ring::Ring>,
    timers: Timers,
    /// The task of the runtime whose guest this is, to be woken when a task becomes ready between two turns.
    host: RefCell<Option<Waker>>,
    turning: Cell<bool>,
}

thread_local! {
    static HERE: Cell<*const Loop> = const { Cell::new(ptr::null()) };
}

/// Whether this thread's loop waits for results of io_uring.
pub fn is_ringed() -> bool {
    here(|l| l.is_some_and(|l| l.ring.is_some()))
}

/// Whether connections of this thread's are over but for the last bytes, which are not the system's yet.
pub fn lingers_here() -> bool {
    here(|l| l.and_then(|l| l.ring.as_ref()).is_some_and(ring::Ring::lingers))
}

/// Calls `f` with this thread's loop.
fn here<R>(f: impl FnOnce(Option<&Loop>) -> R) -> R {
    let here = HERE.try_with(Cell::get).unwrap_or(ptr::null());
    // SAFETY: set while the loop exists, by `Entered`, which is dropped before it on the same thread.
    f(unsafe { here.as_ref() })
}

/// What concerns a socket needs the loop that it was registered with.
fn no_loop() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::Unsupported, "this thread has no loop of the host's")
}

/// This thread's loop is known while it exists.
struct Entered(*const Loop);

impl Entered {
    fn new(this: &Loop) -> Self {
        Self(HERE.replace(this))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        HERE.set(self.0);
    }
}

impl Loop {
    fn new(registry: mio::Registry) -> Self {
        let shared = Shared { woken: Mutex::default(), sleeps: AtomicBool::new(false), end_wait: OnceLock::new() };
        Self {
            shared: Arc::new(shared),
            ready: RefCell::default(),
            tasks: RefCell::default(),
            slots: Slots::new(registry),
            ring: None,
            timers: Timers::default(),
            host: RefCell::default(),
            turning: Cell::new(false),
        }
    }

    /// A task of this loop was woken on this thread.
    fn push(&self, task: Queued) {
        self.ready.borrow_mut().push_back(task);
        self.wake_host();
    }

    /// Something is to be done, or waited for, that the last turn did not know of.
    fn wake_host(&self) {
        if !self.turning.get()
            && let Some(host) = &*self.host.borrow()
        {
            host.wake_by_ref();
        }
    }

    /// Runs what is ready now, then once what became ready by that: a task may so let the others do the same as itself
    /// before it goes on. What is ready then has its turn after the next look at sockets and timers. False: nothing is.
    fn run_ready(&self, mut note: impl FnMut(usize)) -> bool {
        self.turning.set(true);
        self.take_woken();
        for first in [true, false] {
            let now = self.ready.borrow().len();
            note(if first { now } else { 0 });
            for _ in 0..now {
                let Some(task) = self.ready.borrow_mut().pop_front() else { break };
                task.run(self);
            }
        }
        self.turning.set(false);
        !self.ready.borrow().is_empty()
    }

    fn take_woken(&self) {
        let woken = std::mem::take(&mut self.shared.woken.lock().unwrap_or_else(PoisonError::into_inner).tasks);
        woken.iter().for_each(|task| task.heard(self));
    }

    /// Whether the loop may wait: from now on a wake-up from elsewhere ends the wait.
    fn may_sleep(&self) -> bool {
        self.shared.sleeps.store(true, SeqCst);
        let woken = self.shared.woken.lock().unwrap_or_else(PoisonError::into_inner);
        woken.tasks.is_empty() && self.ready.borrow().is_empty()
    }

    /// Waits, for ever (`None`) or so long at most, and wakes whom it concerns.
    fn wait(&self, poll: &mut mio::Poll, events: &mut mio::Events, wait: Option<Duration>, woke: impl FnOnce()) {
        let check = |waited: Result<()>| match waited {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            // Only a program error can do that; to spin on it would hide it.
            waited => waited.unwrap_or_else(|e| panic!("waiting: {e}")),
        };
        match &self.ring {
            Some(ring) => check(ring.wait(wait)),
            None => check(poll.poll(events, wait)),
        }
        self.shared.sleeps.store(false, SeqCst);
        woke();
        if let Some(ring) = &self.ring {
            if !ring.dispatch() {
                return;
            }
            // What is not by the ring: it said that something is there.
            check(poll.poll(events, Some(Duration::ZERO)));
        }
        self.slots.dispatch(events.iter().map(slots::bits_of));
    }

    /// Drops every task, on this thread; none will run any more.
    fn end(&self) {
        self.turning.set(true);
        // A future that is dropped may drop, abort or spawn others.
        while !self.tasks.borrow().is_empty() {
            self.tasks.borrow().iter().for_each(|(_, task)| task.abort_here(self));
            while let Some(task) = { self.ready.borrow_mut().pop_front() } {
                task.run(self);
            }
        }
        let mut woken = self.shared.woken.lock().unwrap_or_else(PoisonError::into_inner);
        woken.closed = true;
        let left = std::mem::take(&mut woken.tasks);
        drop(woken);
        drop(left);
    }
}

/// What a thread's loop waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Readiness.
    Readiness,
    /// Results of io_uring, where that is possible.
    Ring,
}

/// Runs this thread's loop until `root` is over, then drops every other task. `woke` is called each time the loop has
/// waited, `turn` with the number of tasks that have their turn now, and 0 before the second turn of those that woke themselves.
///
/// # Errors
/// When the system gives no place to wait at. `ready` is told in any case, before anything runs.
///
/// # Panics
/// When `root` panicked: the loop has ended then.
pub fn run<F: Future<Output = ()> + 'static>(
    wait: Wait,
    ready: impl FnOnce(Result<()>),
    root: impl FnOnce() -> F,
    mut woke: impl FnMut(),
    mut turn: impl FnMut(usize),
) {
    let made = mio::Poll::new().and_then(|poll| {
        let mut this = Loop::new(poll.registry().try_clone()?);
        if wait == Wait::Ring {
            this.ring =
                ring::Ring::new(&poll).inspect_err(|e| tracing::info!("no io_uring: {e}; epoll does its work")).ok();
        }
        let waker = mio::Waker::new(poll.registry(), slots::WAKE)?;
        // Set once, here.
        let _ = this.shared.end_wait.set(EndWait::System(waker));
        Ok((poll, this))
    });
    let (mut poll, this) = match made {
        Ok(made) => {
            ready(Ok(()));
            made
        }
        Err(e) => return ready(Err(e)),
    };
    let _entered = Entered::new(&this);
    let end = Rc::new(End::default());
    let (root, tell) = (root(), Tell(Rc::clone(&end)));
    spawn(async move {
        let tell = tell;
        root.await;
        tell.0.well.set(true);
    });
    let mut events = mio::Events::with_capacity(EVENTS);
    loop {
        let busy = this.run_ready(&mut turn);
        if end.over.get() {
            break;
        }
        let wait = if busy || !this.may_sleep() { Some(Duration::ZERO) } else { this.timers.wait() };
        this.wait(&mut poll, &mut events, wait, &mut woke);
        this.timers.fire();
    }
    this.end();
    // Without it the loop would go on, with nobody to end it.
    assert!(end.well.get(), "the root of a loop panicked");
}

/// The end of a loop's root.
#[derive(Default)]
struct End {
    over: Cell<bool>,
    /// By itself, and not by a panic.
    well: Cell<bool>,
}

/// Says, however the root ends, that it is over.
struct Tell(Rc<End>);

impl Drop for Tell {
    fn drop(&mut self) {
        self.0.over.set(true);
    }
}

/// For a test that tokio runs: a process and a loop.
#[cfg(test)]
pub(crate) fn for_test() {
    crate::process::start().expect("the log's thread starts");
    attach().expect("a loop can be made");
}

/// Lets others have their turn.
pub async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx: &mut Context<'_>| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests;
