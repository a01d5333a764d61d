//! Jobs of modules on the pools: each counts in its generation on the worker that asked for it, until its work has ended,
//! and is cancelled with the generation, whoever still holds its future.

use super::{
    current::{Current, current, enter},
    jobs::{Canceller, Ticket, Work, submit},
};
use crate::{cycle::Cycle, worker::generation::WorkerGen};
use anyproxy_module_api::abi::{
    error::{Error, ErrorKind, Outcome},
    host::{Job, Pool},
    task::{LocalFuture, guard},
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::Future,
    pin::Pin,
    rc::Weak,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU8},
    task::{Context, Poll},
};

/// The jobs of one generation on one worker.
#[derive(Debug, Default)]
pub struct Jobs {
    next: Cell<u64>,
    running: RefCell<HashMap<u64, Running>>,
}

#[derive(Debug)]
struct Running {
    module: u16,
    canceller: Canceller,
    late: Arc<Mutex<Late>>,
}

/// Whether a job outlives the interest in it: then its thread tells the worker.
#[derive(Debug, Default)]
struct Late {
    ended: bool,
    tell: Option<Tell>,
}

/// Which job, of which generation and worker (its index).
#[derive(Clone, Copy, Debug)]
struct Tell {
    worker: u32,
    epoch: u32,
    id: u64,
}

impl Jobs {
    /// How many are under way.
    pub fn len(&self) -> u32 {
        self.running.borrow().len() as u32
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.running.borrow().is_empty()
    }

    /// How many are under way of each module, by number.
    pub fn by_module(&self) -> Vec<(u16, usize)> {
        let mut counts = HashMap::new();
        for job in self.running.borrow().values() {
            *counts.entry(job.module).or_insert(0) += 1;
        }
        counts.into_iter().collect()
    }

    /// Tells all to end. From now on a job counts until its work has ended, whoever holds its future.
    pub fn end_all(&self, worker: u32, epoch: u32) {
        self.running.borrow_mut().retain(|&id, job| {
            job.canceller.cancel();
            let mut late = job.late.lock().unwrap_or_else(PoisonError::into_inner);
            if !late.ended {
                late.tell = Some(Tell { worker, epoch, id });
            }
            !late.ended
        });
    }

    fn add(&self, job: Running) -> u64 {
        let id = self.next.replace(self.next.get() + 1);
        self.running.borrow_mut().insert(id, job);
        id
    }

    fn remove(&self, id: u64) {
        self.running.borrow_mut().remove(&id);
    }
}

/// A module's job, given up in any case.
struct ModuleJob(Option<Job>);

impl ModuleJob {
    fn run(mut self, cancelled: &AtomicU8) -> bool {
        // SAFETY: consumed here, once; the token outlives the call.
        self.0.take().is_none_or(|j| unsafe { (j.finish)(j.data, true, cancelled) })
    }
}

impl Drop for ModuleJob {
    fn drop(&mut self) {
        if let Some(j) = self.0.take() {
            let nobody = AtomicU8::new(1);
            // SAFETY: as above; it is only given up.
            unsafe { (j.finish)(j.data, false, &raw const nobody) };
        }
    }
}

/// The future of a module's job.
struct Waiting {
    ticket: Ticket,
    /// Where it counts; none off the workers.
    counted: Option<(Weak<WorkerGen>, Tell)>,
    late: Arc<Mutex<Late>>,
}

impl Future for Waiting {
    type Output = Outcome<()>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<()>> {
        Pin::new(&mut self.ticket).poll(cx).map(Into::into)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some((generation, tell)) = self.counted.take() else { return };
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        if !late.ended {
            late.tell = Some(tell);
            return;
        }
        drop(late);
        if let Some(g) = generation.upgrade() {
            g.jobs.remove(tell.id);
        }
    }
}

/// Notes that the work has ended, and tells the worker if nobody there will see it.
struct Ending(Arc<Mutex<Late>>);

impl Drop for Ending {
    fn drop(&mut self) {
        let mut late = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        late.ended = true;
        let Some(tell) = late.tell.take() else { return };
        drop(late);
        // A worker that was replaced sees it when it looks at its retired generations.
        if let Some(mailbox) = crate::control::worker_mailbox(tell.worker) {
            let _ = mailbox.send(Box::new(move |w| {
                for g in w.generations().iter().filter(|g| g.cycle.epoch == tell.epoch) {
                    g.jobs.remove(tell.id);
                }
                w.reap();
            }));
        }
    }
}

pub(super) unsafe extern "C" fn job(pool: Pool, job: Job) -> LocalFuture<Outcome<()>> {
    let job = ModuleJob(Some(job));
    guard(|| start(pool, job)).unwrap_or_else(|| super::net::at_once(Err(Error::bare(ErrorKind::Panicked))))
}

fn start(pool: Pool, job: ModuleJob) -> LocalFuture<Outcome<()>> {
    let (module, cycle) = (current().module, current().cycle().and_then(Cycle::shared));
    let late = Arc::<Mutex<Late>>::default();
    let ending = Ending(Arc::clone(&late));
    let work: Work = Box::new(move |cancelled| {
        // The thread's clock stood still while it had no work.
        super::timers::tick();
        // Held: the module's objects outlive its jobs.
        let _who = cycle.as_ref().map(|c| enter(Current::on_cycle(c, module)));
        // Should it panic, its image says so.
        let well = job.run(cancelled);
        drop(ending);
        well
    });
    match submit(pool, work) {
        Ok(ticket) => {
            let counted = current().worker_rc().map(|g| {
                let id = g.jobs.add(Running { module, canceller: ticket.canceller(), late: Arc::clone(&late) });
                (std::rc::Rc::downgrade(&g), Tell { worker: g.worker, epoch: g.cycle.epoch, id })
            });
            LocalFuture::new(Waiting { ticket, counted, late })
        }
        Err(e) => super::net::at_once(Err(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    /// A module's job that tells how it was finished.
    fn told(tell: Sender<bool>) -> Job {
        unsafe extern "C" fn finish(data: *mut (), run: bool, _: *const AtomicU8) -> bool {
            // SAFETY: the box below, consumed once.
            let tell = unsafe { Box::from_raw(data.cast::<Sender<bool>>()) };
            tell.send(run).is_ok()
        }
        Job { data: Box::into_raw(Box::new(tell)).cast(), finish }
    }

    #[tokio::test]
    async fn a_modules_job_is_finished_exactly_once() {
        crate::process::start().unwrap();
        let (tell, how) = channel();
        // SAFETY: the job is given away.
        let done: Result<(), Error> = unsafe { job(Pool::Compute, told(tell)) }.await.into();
        done.unwrap();
        assert_eq!(how.iter().collect::<Vec<_>>(), [true]);
        let (tell, how) = channel();
        drop(ModuleJob(Some(told(tell))));
        assert_eq!(how.iter().collect::<Vec<_>>(), [false]);
    }

    #[tokio::test]
    async fn a_job_counts_until_its_work_has_ended_whoever_holds_its_future() {
        let jobs = Jobs::default();
        let (begun, begins) = channel();
        let late = Arc::<Mutex<Late>>::default();
        let ending = Ending(Arc::clone(&late));
        let work: Work = Box::new(move |cancelled| {
            begun.send(()).unwrap();
            while cancelled.load(std::sync::atomic::Ordering::Relaxed) == 0 {
                std::thread::yield_now();
            }
            drop(ending);
            true
        });
        let ticket = submit(Pool::Blocking, work).unwrap();
        jobs.add(Running { module: 3, canceller: ticket.canceller(), late });
        begins.recv().unwrap();
        assert_eq!((jobs.len(), jobs.by_module()), (1, vec![(3, 1)]));
        // Its future, the ticket, is held on purpose.
        while !jobs.is_empty() {
            jobs.end_all(0, 1);
            tokio::task::yield_now().await;
        }
        ticket.await.unwrap();
    }
}
