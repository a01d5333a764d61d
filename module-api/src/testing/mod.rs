//! A host for unit tests of a module: deterministic, in memory, on the test's own thread. No proxy, no runtime, no sockets.
//!
//! ```
//! # use anyproxy_module_api::{*, testing::*};
//! # struct Echo;
//! # impl Module for Echo {
//! #     type Conf = ();
//! #     type Worker = ();
//! #     fn register(r: &mut Registry<Self>) { r.handler::<Answer>(); }
//! #     fn create() -> Self { Self }
//! #     fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}
//! #     fn worker_start(&self, _: u32) {}
//! # }
//! # struct Answer;
//! # impl Handler<Echo> for Answer {
//! #     const NAME: &'static str = "echo";
//! #     async fn handle(_: Session<Echo>, mut stream: Stream) -> Result<(), Error> {
//! #         let mut bytes = [0; 64];
//! #         let n = stream.read(&mut bytes).await?;
//! #         sleep(std::time::Duration::from_secs(1)).await;
//! #         stream.write_all(&bytes[..n]).await
//! #     }
//! # }
//! let module = ModuleUnderTest::<Echo>::start(&[Block::local()]);
//! let mut run = module.handle("echo");          // a session, a stream, and the handler on it
//! run.client.send(b"good day");
//! module.host().run_until_stalled();            // as far as it goes without the clock
//! assert_eq!(run.client.received(), b"");
//! module.host().advance(std::time::Duration::from_secs(1));
//! assert_eq!(run.client.received(), b"good day");
//! assert!(run.result().expect("it ended").is_ok());
//! drop(run);
//! module.stop();                                // drains, stops, and says what was left behind
//! ```
//!
//! Nothing happens by itself: tasks run in `run_until_stalled`, `run` and `advance`, time passes in `advance` only. Tests
//! run beside each other, each thread with its own host.

mod conf;
pub(crate) mod live;
mod module;
pub(crate) mod relay;
mod running;
mod session;
pub(crate) mod state;
mod tables;
mod typed;
pub(crate) mod wire;

pub use conf::{Block, Directive, Given};
pub use module::{ModuleUnderTest, Problem};
pub use running::{FakeBalancer, FakeEndpoint, Running};
pub use session::FakeSession;
pub use state::{Attempt, LogRecord, Metric, Sent};
pub use tables::Server;
pub use wire::{Peer, WINDOW, pair};

use crate::abi::fake::{enter, leave, poll_with};
use state::State;
use std::{
    future::Future,
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Poll,
    time::Duration,
};

/// Turns of the task list in one `run_until_stalled` before it says that a task keeps waking itself.
const TURNS: u32 = 100_000;

/// The host of this thread until it is dropped. One made later on the same thread covers it meanwhile.
pub struct FakeHost {
    pub(crate) state: Rc<State>,
}

impl std::fmt::Debug for FakeHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FakeHost({})", self.held())
    }
}

impl Default for FakeHost {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeHost {
    /// A host with one worker, this thread being worker 0, at second 1 of its clock.
    pub fn new() -> Self {
        Self { state: enter() }
    }

    /// Runs everything that can run: tasks that were woken, functions that were posted, jobs.
    ///
    /// # Panics
    /// When tasks keep waking themselves without end.
    pub fn run_until_stalled(&self) {
        for _ in 0..TURNS {
            if !self.turn() {
                return;
            }
        }
        panic!("tasks keep waking each other: {TURNS} turns without rest");
    }

    fn turn(&self) -> bool {
        let s = &self.state;
        let mut any = false;
        let posts = std::mem::take(&mut *s.posts.borrow_mut());
        for f in posts {
            any = true;
            f.call();
        }
        if !s.hold_jobs.get() {
            any |= self.run_jobs();
        }
        let tasks = s.tasks.borrow().clone();
        for t in tasks {
            any |= t.turn();
        }
        s.tasks.borrow_mut().retain(|t| !t.is_over());
        any
    }

    /// Runs `future` to its end, and everything beside it; time stands still.
    ///
    /// # Panics
    /// When it waits for what nothing here will do.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.try_run(future)
            .expect("the future waits for what nothing in this test will do (time passes in advance only)")
    }

    /// As `run`; `None` when it waits for what nothing here will do. The future is dropped then.
    pub fn try_run<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        let woken = Arc::new(AtomicBool::new(true));
        loop {
            if woken.swap(false, SeqCst)
                && let Poll::Ready(v) = poll_with(&woken, |cx| future.as_mut().poll(cx))
            {
                return Some(v);
            }
            self.run_until_stalled();
            if !woken.load(SeqCst) {
                return None;
            }
        }
    }

    /// Polls `future` once with a task's waker.
    pub fn poll_once<F: Future + Unpin>(&self, future: &mut F) -> Poll<F::Output> {
        poll_with(&Arc::new(AtomicBool::new(false)), |cx| std::pin::Pin::new(future).poll(cx))
    }

    /// Time passes: from timer to timer, running whatever wakes at each.
    pub fn advance(&self, by: Duration) {
        let s = &self.state;
        let end = s.now_ns.get().saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX));
        self.run_until_stalled();
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            s.set_now(at.max(s.now_ns.get()));
            self.fire();
            self.run_until_stalled();
        }
        s.set_now(end);
        self.run_until_stalled();
    }

    /// The next timer that somebody waits for, or session deadline.
    fn next_event(&self) -> Option<u64> {
        let s = &self.state;
        let timers = s.timers.borrow();
        let timer = timers.iter().filter_map(std::sync::Weak::upgrade).filter_map(|t| t.awaited()).min();
        let sessions = s.sessions.borrow();
        let open = sessions
            .iter()
            .filter_map(std::rc::Weak::upgrade)
            .map(|s| (s.shared.deadline_ms.get(), s.shared.fired.get()));
        let deadline =
            open.filter(|(at, fired)| *at != 0 && *fired == 0).map(|(at, _)| at.saturating_mul(1_000_000)).min();
        timer.into_iter().chain(deadline).min()
    }

    fn fire(&self) {
        let s = &self.state;
        let now = s.now_ns.get();
        let timers: Vec<_> = s.timers.borrow().iter().filter_map(std::sync::Weak::upgrade).collect();
        for t in timers {
            t.fire(now);
        }
        let sessions: Vec<_> = s.sessions.borrow().iter().filter_map(std::rc::Weak::upgrade).collect();
        for x in sessions {
            let at = x.shared.deadline_ms.get();
            if at != 0 && at.saturating_mul(1_000_000) <= now && x.shared.fired.get() == 0 {
                x.shared.fired.set(1);
                x.wake();
            }
        }
    }

    /// Jobs wait for `run_jobs` from now on, as on a busy pool.
    pub fn hold_jobs(&self, hold: bool) {
        self.state.hold_jobs.set(hold);
    }

    /// Runs the jobs that wait; false: there were none. One whose future was dropped is given up without running.
    pub fn run_jobs(&self) -> bool {
        let jobs = std::mem::take(&mut *self.state.jobs.borrow_mut());
        let any = !jobs.is_empty();
        jobs.iter().for_each(|j| j.run());
        any
    }

    /// Ends every task that still runs, as the end of their scope does.
    pub fn abort_tasks(&self) {
        let tasks = std::mem::take(&mut *self.state.tasks.borrow_mut());
        tasks.iter().for_each(|t| t.abort());
    }

    /// What the module holds of the host's: `2 stream, 1 lease`; empty: nothing.
    pub fn held(&self) -> String {
        self.state.live.held()
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        self.abort_tasks();
        drop(std::mem::take(&mut *self.state.posts.borrow_mut()));
        drop(std::mem::take(&mut *self.state.jobs.borrow_mut()));
        drop(std::mem::take(&mut *self.state.accepted.borrow_mut()));
        self.state.module_variable.replace(None);
        self.state.module_function.replace(None);
        if let Some(dir) = self.state.dir.take() {
            // A directory that cannot be removed is the system's to clean up.
            let _ = std::fs::remove_dir_all(dir);
        }
        leave(&self.state);
    }
}
