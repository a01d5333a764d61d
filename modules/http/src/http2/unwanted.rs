//! What is left of a request's body once the request is answered. A client may be told to stop sending it (RFC 9113 section
//! 8.1), but not in the same breath: curl 7.88 shows nothing of an answer that it reads together with the reset.

use super::stream::Body;
use crate::{exchange::Request, h1::Id};
use anyproxy_module_api::{sleep, timeout};
use std::{
    future::poll_fn,
    task::{Poll, ready},
    time::Duration,
};

/// A body up to so many bytes is taken to its end, if that comes so soon.
const SHORT: u64 = 64 << 10;
const SOON: Duration = Duration::from_secs(1);
/// For so long an answer is alone on its way.
const APART: Duration = Duration::from_millis(50);

/// How a client is heard that is answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rest {
    /// Bytes that are taken.
    most: u64,
    /// It is told to stop no sooner than so long after the answer.
    apart: Duration,
}

impl Rest {
    /// Of a request that is answered, and whose body may be of a known `length`. What follows a request for another protocol is
    /// none, and one that the client waits to be asked for may never come.
    pub(super) fn of(request: &Request, length: Option<u64>) -> Self {
        let comes = request.upgrade().is_none() && request.request.value(Id::Expect).is_none();
        let short = comes && length.is_none_or(|n| n <= SHORT);
        // After a refusal alone: behind another answer that curl goes on sending, hears of no reset then and waits for ever.
        let apart = if request.response.status() >= 300 { APART } else { Duration::ZERO };
        Self { most: if short { SHORT } else { 0 }, apart }
    }

    /// Waits until the client may be told to stop; a short rest comes to its end meanwhile.
    pub(super) async fn throw_away(self, stream: &Body) {
        let mut left = self.most;
        let rest = poll_fn(|cx| {
            while left > 0 {
                match ready!(stream.poll_next(cx)) {
                    Ok(Some(piece)) => left = left.saturating_sub(piece.len() as u64),
                    Ok(None) | Err(_) => return Poll::Ready(Ok(())),
                }
            }
            Poll::Ready(Ok(()))
        });
        // Late or not, nobody waits for it any longer.
        let _ = timeout(SOON, rest).await;
        if left == 0 && !self.apart.is_zero() {
            sleep(self.apart).await;
        }
    }
}
