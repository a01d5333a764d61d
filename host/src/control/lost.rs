//! Files by which the process is found, and which somebody removed (a cleaner of `/tmp`): the control socket, the pid file, Unix
//! sockets of listeners. They are looked at once a second, and at a reload.

use super::Control;
use crate::{
    cycle::{Cycle, bound::Bound},
    log::file::may_be_made,
    worker::all_done,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How often they are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What became of listeners whose files were lost.
#[derive(Default)]
pub(super) struct Found {
    /// Some have a new socket.
    again: bool,
    /// What cannot be made again, in words.
    pub(super) failed: Vec<String>,
}

impl Control {
    /// Looks after them, when it is time.
    pub(super) async fn look_after_files(&mut self, now: Instant) {
        if crate::upgrade::was_taken_over() || now < self.look_at {
            return;
        }
        self.look_at = now + LOOK;
        self.names.keep();
        let cycle = Arc::clone(&self.cycle);
        if self.find_again(&cycle).again {
            self.assign(&cycle).await;
        }
    }

    /// Says which of them the user that the process became can neither remove nor make again.
    pub(super) fn warn_of_what_stays(&self) {
        if self.cycle.settings.user.is_none() {
            return;
        }
        for path in self.names.paths().chain(self.sockets.values().filter_map(Bound::path)) {
            if let Err(e) = may_be_made(path) {
                let path = path.display();
                tracing::warn!(%path, "user: it stays behind at the end, and is not made again when it is removed: {e}");
            }
        }
    }

    /// Binds what clients do not find any more. The new sockets are to be assigned.
    pub(super) fn find_again(&mut self, cycle: &Cycle) -> Found {
        let mut found = Found::default();
        for l in &cycle.listeners {
            match self.sockets.get_mut(&l.key).map_or(Ok(false), |bound| bound.find_again(l)) {
                Ok(false) => continue,
                Ok(true) => found.again = true,
                Err(e) => {
                    found.failed.push(e);
                    continue;
                }
            }
            crate::systemd::forget(l.key);
            // What waits in its queue is served.
            if let Some(share) = self.shared_accepts.remove(&l.key) {
                share.drain();
            }
        }
        found
    }

    /// Has the workers accept from the sockets that there are now, and others know of them.
    async fn assign(&mut self, cycle: &Arc<Cycle>) {
        crate::upgrade::offer(&self.sockets, cycle.epoch);
        crate::systemd::store(&self.sockets);
        let told = self.workers.iter().map(|w| {
            let share = self.share_of(w.index, cycle);
            w.told(move |w| w.accept_from(share))
        });
        all_done(told.collect()).await;
        self.accept_for_all(cycle);
    }
}
