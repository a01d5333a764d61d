//! Waiting for a peer on behalf of a client that may go meanwhile: one that is gone gives back what it would have got.

use super::Failure;
use crate::{Http, fault::Fault, incoming::Incoming};
use anyproxy_module_api::{Cause, Error, Session, Who, now_ms};
use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll},
};

/// A client whose answer takes longer is watched. Most peers answer before that is worth it.
const WATCHED_FROM_MS: u64 = 500;

/// The client is gone: there is nobody to be told.
const GONE: Fault = Fault::new(Who::Client, Cause::Reset, 0);

/// The wait for the head of an answer.
#[derive(Default)]
pub(super) struct Patience {
    /// Its end, if nothing moves until then.
    by: u64,
    /// The client is watched meanwhile.
    watched: bool,
}

impl Patience {
    /// Nothing came, and there will be another look. `limit_ms`: how long nothing may move, counted from the last time that
    /// something `moved`. True: that is over.
    ///
    /// # Errors
    /// The client is gone.
    #[inline]
    pub(super) fn look(
        &mut self,
        watch: &Session<Http>,
        incoming: &Incoming,
        moved: bool,
        limit_ms: u64,
        cx: &mut Context<'_>,
    ) -> Result<bool, Fault> {
        if moved {
            let now = now_ms();
            self.by = now.saturating_add(limit_ms);
            watch.deadline_ms.set(if self.watched { self.by } else { self.by.min(now + WATCHED_FROM_MS) });
        }
        if watch.fired.replace(0) != 0 {
            let now = now_ms();
            if now >= self.by {
                return Ok(true);
            }
            if now >= watch.deadline_ms.get() {
                self.watched = true;
                watch.deadline_ms.set(self.by);
            }
        }
        // While something moves there will be another look, at the latest when the client begins to be watched.
        if (!moved || self.watched) && incoming.is_gone() {
            return Err(GONE);
        }
        if self.watched {
            incoming.watch(cx);
        }
        Ok(false)
    }
}

/// Waits for what may take long before there is a peer: a turn in a queue, say.
///
/// # Errors
/// As `work`; or the client is gone, and so is its turn.
pub(crate) async fn unless_gone<T>(
    incoming: &Incoming,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(done.map_err(Failure::Peer)),
        Poll::Pending if incoming.is_gone() => Poll::Ready(Err(Failure::Fault(GONE))),
        Poll::Pending => {
            incoming.watch(cx);
            Poll::Pending
        }
    })
    .await
}
