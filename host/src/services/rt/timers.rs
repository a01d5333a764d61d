//! Timers of a loop. Few: a session's limits are stores in the session, which the worker sweeps (doc/decisions/0006).

use super::here;
use crate::process::process;
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, Waker},
    time::Duration,
};

/// Nobody waits longer: what is later is "never" and must not overflow.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Who is to be woken when, by the process's clock.
#[derive(Default)]
pub(super) struct Timers {
    due: RefCell<BTreeMap<(Duration, u64), Waker>>,
    next: Cell<u64>,
}

impl Timers {
    /// How long the loop may wait.
    pub(super) fn wait(&self) -> Option<Duration> {
        let due = self.due.borrow();
        due.first_key_value().map(|((at, _), _)| at.saturating_sub(process().now()))
    }

    /// Wakes whose time has come.
    pub(super) fn fire(&self) {
        if self.due.borrow().is_empty() {
            return;
        }
        let now = process().now();
        loop {
            // Without the timers: a waker may run whatever.
            let waker = {
                let mut due = self.due.borrow_mut();
                match due.first_entry() {
                    Some(first) if first.key().0 <= now => first.remove(),
                    _ => return,
                }
            };
            waker.wake();
        }
    }
}

/// Ready at its time. What waits for it stays on one thread.
#[derive(Debug)]
pub struct Sleep {
    at: Duration,
    /// Its place among the timers.
    noted: Option<u64>,
}

/// Ready after `limit`.
pub fn sleep(limit: Duration) -> Sleep {
    Sleep { at: process().now().saturating_add(limit.min(NEVER)), noted: None }
}

impl Sleep {
    /// Ready `limit` from now instead.
    pub fn reset(&mut self, limit: Duration) {
        self.forget();
        self.at = process().now().saturating_add(limit.min(NEVER));
    }

    fn forget(&mut self) {
        if let Some(n) = self.noted.take() {
            let waker = here(|here| here?.timers.due.borrow_mut().remove(&(self.at, n)));
            drop(waker);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if process().now() >= self.at {
            self.forget();
            return Poll::Ready(());
        }
        let this = &mut *self;
        let before = here(|here| {
            let timers = &here?.timers;
            let n = *this.noted.get_or_insert_with(|| {
                timers.next.set(timers.next.get() + 1);
                timers.next.get()
            });
            let before = timers.due.borrow_mut().insert((this.at, n), cx.waker().clone());
            here?.wake_host();
            before
        });
        drop(before);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.forget();
    }
}

/// Runs `f` for at most `limit`; `None`: it took longer.
pub async fn within<F: Future>(limit: Duration, f: F) -> Option<F::Output> {
    let mut f = pin!(f);
    let mut limit = pin!(sleep(limit));
    std::future::poll_fn(|cx| match f.as_mut().poll(cx) {
        Poll::Ready(v) => Poll::Ready(Some(v)),
        Poll::Pending => limit.as_mut().poll(cx).map(|()| None),
    })
    .await
}
