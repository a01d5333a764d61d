//! Wakes any number of tasks where the runtime remembers only one: objects of the table may be waited for by several.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

/// Tasks that wait for one thing. As a waker of its own it wakes them all.
#[derive(Debug, Default)]
pub struct Waiters(Mutex<Vec<Waker>>);

impl Waiters {
    /// Notes a task, once.
    pub fn note(&self, waker: &Waker) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !waiting.iter().any(|w| w.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    /// Wakes all, who then wait no more.
    pub fn wake_all(&self) {
        // Woken without the lock: a waker may run code that waits again.
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for w in waiting {
            w.wake();
        }
    }

    /// Polls `f`, which remembers one waker, for this task and all the others.
    pub fn poll<T>(self: &Arc<Self>, cx: &mut Context<'_>, f: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        self.note(cx.waker());
        f(&mut Context::from_waker(&Waker::from(Arc::clone(self))))
    }
}

impl Wake for Waiters {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn each_waiting_task_is_woken_once() {
        let waiters = Arc::<Waiters>::default();
        let tasks = [Arc::<Count>::default(), Arc::<Count>::default()];
        for t in &tasks {
            let waker = Waker::from(Arc::clone(t));
            for _ in 0..3 {
                let _ = waiters.poll(&mut Context::from_waker(&waker), |_| Poll::<()>::Pending);
            }
        }
        Waker::from(Arc::clone(&waiters)).wake_by_ref();
        waiters.wake_all();
        assert_eq!(tasks.map(|t| t.0.load(Relaxed)), [1, 1]);
    }
}
