//! A generation that was prepared starts on every worker and is committed, off the loop; or it is taken back, and nothing of it
//! remains.

use super::{
    reload::{NotDone, off_the_loop},
    start::apply,
};
use crate::{
    cycle::{
        Cycle,
        bound::Sockets,
        prepare::{self, Prepared},
        settings::Settings,
    },
    services::{datagram, platform, rt, timers, watchdog},
    worker::{Mailbox, Message, STUCK, WorkerHandle, told},
};
use std::{pin::pin, sync::Arc};
use tokio::sync::oneshot;

/// Endpoints of datagrams are told where they are bound when they start.
pub(super) fn note_bound(cycle: &Cycle, sockets: &Sockets) {
    for l in cycle.listeners.iter().filter(|l| l.datagram.is_some()) {
        let bound = sockets.get(&l.key).and_then(|b| b.sockets.first()).and_then(|s| s.local_addr().ok());
        if let Some(at) = bound.and_then(|a| a.as_socket()) {
            datagram::note_bound(l.key, at.into());
        }
    }
}

/// Starts it on these workers and commits it; or takes it back from them.
///
/// # Errors
/// Why it is not in force.
pub(super) async fn in_force(workers: &[Mailbox], cycle: &Arc<Cycle>, prepared: Prepared) -> Result<Prepared, String> {
    let mut prepared = prepared;
    let well = match started(workers, cycle).await {
        Ok(()) => apply(&cycle.settings).map_err(|e| format!("error_log: {e}")),
        Err(e) => Err(e),
    };
    if let Err(e) = well {
        take_back(workers, cycle.epoch).await;
        // Modules may take long to undo what they prepared. Without a thread it is dropped here.
        let _ = off_the_loop(move || drop(prepared)).await;
        return Err(e);
    }
    committed(&mut prepared).await;
    Ok(prepared)
}

/// Starts a generation on these workers, one after the other.
///
/// # Errors
/// Which module could not start; the generation is to be taken back.
pub(super) async fn started(workers: &[Mailbox], cycle: &Arc<Cycle>) -> Result<(), String> {
    watchdog::know(Arc::downgrade(cycle));
    for w in workers {
        let (c, (tx, rx)) = (Arc::clone(cycle), oneshot::channel());
        let start: Message = Box::new(move |w| {
            // A worker that was stuck: nobody waits any more, and the generation is not refused.
            if let Err(Err(late)) = tx.send(w.start_generation(c)) {
                tracing::error!("{late}; the configuration is in force there without it");
            }
        });
        // One that is stuck starts it when it goes on, before whatever else it is told; one that has ended has nothing to start.
        let _ = w.send(start);
        timers::within(STUCK, rx).await.and_then(Result::ok).unwrap_or(Ok(()))?;
    }
    Ok(())
}

/// Takes a generation back from the workers that started it, and waits until nothing of it is there any more: until then what
/// it prepared is in use.
pub(super) async fn take_back(workers: &[Mailbox], epoch: u32) {
    let told: Vec<_> = workers.iter().map(|w| told(w, move |w| w.give_up(epoch))).collect();
    let gone = async {
        for told in told {
            if let Ok(Some(gone)) = told.await {
                // Its end is what is told.
                let _ = gone.await;
            }
        }
    };
    if timers::within(STUCK, pin!(gone)).await.is_none() {
        tracing::warn!(epoch, "undoing a configuration of which something still runs");
    }
}

/// Commits a generation.
pub(super) async fn committed(prepared: &mut Prepared) {
    let cycle = prepared.goes_live();
    let work = Arc::clone(&cycle);
    match off_the_loop(move || prepare::commit(&work)).await {
        Ok(()) => {}
        Err(NotDone::NoThread(_)) => prepare::commit(&cycle),
        Err(e) => tracing::error!("putting the configuration into force: {e}"),
    }
}

/// Where to reach them.
pub(super) fn mailboxes(workers: &[WorkerHandle]) -> Vec<Mailbox> {
    workers.iter().map(WorkerHandle::mailbox).collect()
}

/// New workers that are not needed.
pub(super) fn stop(fresh: &[WorkerHandle]) {
    for w in fresh {
        w.post(|w| w.stop());
    }
}

pub(super) fn start_workers(settings: &Settings) -> std::io::Result<Vec<WorkerHandle>> {
    let cpus = platform::cpus();
    let pin = settings.cpu_affinity && cpus.len() >= settings.worker_threads;
    let wait = if settings.io_uring { rt::Wait::Ring } else { rt::Wait::Readiness };
    (0..settings.worker_threads)
        .map(|n| WorkerHandle::start(n as u32, pin.then(|| cpus[n % cpus.len()]), wait))
        .collect()
}
