//! A worker as the rest of the process holds it: its thread and its mailbox.

use super::{Message, Worker, run};
use crate::services::{platform, rt, timers};
use std::{
    pin::pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot};

/// The process's loop waits no longer than this for a worker: operators and signals must be heard whatever a worker does.
pub const STUCK: Duration = Duration::from_secs(3);

/// What others put things to do for a worker into.
pub type Mailbox = mpsc::UnboundedSender<Message>;

/// Runs `f` on the worker, in order with what else was posted; what it says, unless the worker ends.
pub fn told<R: Send + 'static>(
    worker: &Mailbox,
    f: impl FnOnce(&Rc<Worker>) -> R + Send + 'static,
) -> oneshot::Receiver<R> {
    let (tx, rx) = oneshot::channel();
    // Whoever asked may have given up, and a worker that has ended hears nothing.
    let _ = worker.send(Box::new(move |w| drop(tx.send(f(w)))));
    rx
}

/// Asks all of these at once, and waits no longer for those that are stuck than for one: each with what it says, `None` if it is
/// stuck. One that has ended is not among them.
pub async fn ask_all<'a, R: Send + 'static>(
    workers: impl Iterator<Item = &'a WorkerHandle>,
    f: impl FnOnce(&Rc<Worker>) -> R + Clone + Send + 'static,
) -> Vec<(&'a WorkerHandle, Option<R>)> {
    let told: Vec<_> = workers.map(|w| (w, w.told(f.clone()))).collect();
    let until = Instant::now() + STUCK;
    let mut said = Vec::with_capacity(told.len());
    for (w, told) in told {
        let left = until.saturating_duration_since(Instant::now());
        match timers::within(left, told).await {
            None => said.push((w, None)),
            Some(Ok(answer)) => said.push((w, Some(answer))),
            Some(Err(_)) => {}
        }
    }
    said
}

/// Waits until all have done what they were told, for those that are stuck no longer than for one.
pub async fn all_done(told: Vec<oneshot::Receiver<()>>) {
    let all = async {
        for done in told {
            // One that has ended does nothing any more.
            let _ = done.await;
        }
    };
    timers::within(STUCK, pin!(all)).await;
}

/// A worker as the rest of the process holds it.
#[derive(Debug)]
pub struct WorkerHandle {
    /// Its number among all that this process ever had.
    pub id: u32,
    /// Its number among those at work.
    pub index: u32,
    mailbox: Mailbox,
    thread: Option<JoinHandle<()>>,
    /// Milliseconds (process clock) of its last turn, for the watchdog.
    pub turn: Arc<AtomicU64>,
}

impl WorkerHandle {
    /// Starts a worker on a thread of its own.
    ///
    /// # Errors
    /// When the thread or its runtime cannot be made.
    pub fn start(index: u32, cpu: Option<usize>, wait: rt::Wait) -> std::io::Result<Self> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let id = NEXT.fetch_add(1, Relaxed);
        let (mailbox, inbox) = mpsc::unbounded_channel();
        let turn = Arc::new(AtomicU64::new(0));
        let published = Arc::clone(&turn);
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            if let Some(cpu) = cpu {
                platform::pin_thread(cpu);
            }
            // Who asked has given up when nobody hears it.
            run(id, index, wait, |r| drop(ready.send(r)), inbox, &published);
        })?;
        started.recv().unwrap_or_else(|_| Err(std::io::Error::other("the worker ended at once")))?;
        Ok(Self { id, index, mailbox, thread: Some(thread), turn })
    }

    /// Runs `f` on the worker. False: it has ended.
    pub fn post(&self, f: impl FnOnce(&Rc<Worker>) + Send + 'static) -> bool {
        self.mailbox.send(Box::new(f)).is_ok()
    }

    /// Runs `f` on the worker and waits for what it says; `None`: the worker has ended, or is stuck. Then `f` still runs
    /// once it goes on, in order with what else was posted.
    pub async fn ask<R: Send + 'static>(&self, f: impl FnOnce(&Rc<Worker>) -> R + Send + 'static) -> Option<R> {
        timers::within(STUCK, self.told(f)).await?.ok()
    }

    /// The same, to be waited for later.
    pub fn told<R: Send + 'static>(&self, f: impl FnOnce(&Rc<Worker>) -> R + Send + 'static) -> oneshot::Receiver<R> {
        told(&self.mailbox, f)
    }

    /// A sender for other threads.
    pub fn mailbox(&self) -> Mailbox {
        self.mailbox.clone()
    }

    /// Whether its thread has ended.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for its thread.
    pub fn join(mut self) {
        if let Some(t) = self.thread.take() {
            // A panic there was reported by the hook.
            let _ = t.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(id: u32) -> (WorkerHandle, mpsc::UnboundedReceiver<Message>) {
        let (mailbox, messages) = mpsc::unbounded_channel();
        (WorkerHandle { id, index: id, mailbox, thread: None, turn: Arc::default() }, messages)
    }

    #[tokio::test]
    async fn those_that_do_not_answer_are_told_apart() {
        rt::for_test();
        let ((stuck, kept), (ended, messages)) = (handle(3), handle(4));
        drop(messages);
        let said = ask_all([&stuck, &ended].into_iter(), |w| w.id).await;
        let said: Vec<_> = said.into_iter().map(|(w, said)| (w.id, said)).collect();
        assert_eq!(said, [(3, None)], "one that has ended is no more among them");
        assert_eq!(kept.len(), 1, "it does it when it goes on");
    }
}
