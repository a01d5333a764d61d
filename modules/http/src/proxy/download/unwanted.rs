//! An answer in whose place another peer is asked.

use super::Download;
use crate::{incoming::Incoming, reply::Call, retry::Tries};
use anyproxy_http_contract::Segment;
use anyproxy_module_api::{Error, timeout};
use std::{
    future::poll_fn,
    task::{Poll, ready},
    time::Duration,
};

/// An answer up to so many bytes is read to keep the connection, though nobody wants it, if it comes so soon.
const SHORT: u64 = 64 << 10;
const SOON: Duration = Duration::from_millis(100);

impl Download {
    /// Whether another peer is asked in its place.
    pub(in crate::proxy) async fn again_instead(&mut self, call: &Call<'_>, tries: &mut Tries<'_>) -> bool {
        tries.again_instead(call, self.peer, self.lease.as_mut(), self.told, &self.incoming).await
    }

    /// Reads what is left of an answer that nobody wants, where that is little; else the connection ends with it.
    pub(in crate::proxy) async fn throw_away(mut self, call: &Call<'_>) -> Incoming {
        let (status, length) = {
            let response = &call.state.parts.borrow().response;
            (response.status(), response.length())
        };
        if status >= 500 {
            // Dropped as it is: a failure.
            self.lease = None;
        }
        if length.is_none_or(|n| n <= SHORT) {
            let mut left = SHORT;
            let rest = poll_fn(|cx| {
                while let Some(Segment::Bytes(piece)) = ready!(self.poll_body(call.exchange, cx))? {
                    left = left.saturating_sub(piece.len() as u64);
                    if left == 0 {
                        break;
                    }
                }
                Poll::Ready(Ok::<_, Error>(()))
            });
            let _ = timeout(SOON, rest).await;
        }
        self.account(call.exchange);
        self.into_incoming()
    }
}
