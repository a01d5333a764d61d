//! The process's end: no new connections, sessions until their time is over, then everything.

use super::{Control, publish};
use crate::worker::{WorkerHandle, all_done};
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

impl Control {
    pub(super) fn is_over(&self) -> bool {
        self.stop_now || (self.quitting.is_some() && self.all_workers().all(WorkerHandle::has_ended))
    }

    /// Accepts no more; ends when the last session has, or at `shutdown_timeout`. A second time: at once.
    pub(super) async fn quit(&mut self) {
        if self.quitting.is_some() {
            self.stop_now = true;
            return;
        }
        crate::systemd::stopping();
        tracing::info!(
            "quitting: no new connections, sessions may end within {:?}",
            self.cycle.settings.shutdown_timeout
        );
        self.quitting = Some(Instant::now() + self.cycle.settings.shutdown_timeout);
        let sockets = std::mem::take(&mut self.sockets);
        crate::upgrade::offer(&self.sockets, self.cycle.epoch);
        // Who took over goes on with the sockets and what waits in them.
        let kept: HashSet<_> =
            if crate::upgrade::was_taken_over() { sockets.keys().copied().collect() } else { HashSet::new() };
        for (key, share) in self.shared_accepts.drain() {
            if kept.contains(&key) {
                share.hand_over();
            } else {
                share.drain();
            }
        }
        for (key, bound) in sockets {
            if !kept.contains(&key) {
                bound.give_up();
            }
        }
        let told = self.workers.iter().map(|w| {
            let kept = kept.clone();
            w.told(move |w| w.leave_when_done(&kept))
        });
        // Whoever hears that the process quits may rely on no connection being taken any more.
        all_done(told.collect()).await;
    }

    pub(super) async fn end(mut self) -> i32 {
        crate::systemd::stopping();
        self.shared_accepts.clear();
        if !crate::upgrade::was_taken_over() {
            self.sockets.drain().for_each(|(_, bound)| bound.give_up());
        }
        self.cycle.end_process_tasks();
        let workers: Vec<_> = self.workers.drain(..).chain(self.leaving.drain(..).map(|(w, _)| w)).collect();
        publish(&[]);
        for w in &workers {
            w.post(|w| w.stop());
        }
        // On a thread of its own: the runtime would wait for one of its pool, for ever if a worker hangs.
        let (tell, joined) = oneshot::channel();
        std::thread::spawn(move || {
            workers.into_iter().for_each(WorkerHandle::join);
            let _ = tell.send(());
        });
        if crate::services::timers::within(Duration::from_secs(5), joined).await.is_none() {
            tracing::error!("a worker did not end; leaving it behind");
        }
        self.tasks.given_up().await;
        drop(self.names);
        tracing::info!("ended");
        0
    }
}
