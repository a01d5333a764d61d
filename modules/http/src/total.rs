//! One limit of time for all that a peer has to do with a request: whatever waits for it ends, before the answer or within.

use crate::{
    Http,
    conf::Conf,
    fault::Fault,
    reply::{Body, Call, Reply},
    respond::refuse,
};
use anyproxy_http_contract::Segment;
use anyproxy_module_api::*;
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

directive! {
    /// From a request's head to the end of its answer at the peer it may take so long, however steadily bytes move. Then the
    /// client gets 504, or an answer that is cut off. A client that takes its time with an answer that the peer has ended is
    /// not meant, nor what became another protocol (101). Unset: no such limit.
    "http_total_timeout", Contexts::MSL,
    .args(&[ArgDesc::new("time", Kind::Time, "0: no limit").required().bounds(0, 86_400_000_000_000)])
    .default("no limit")
    .example("http_total_timeout \"30s\"")
}

/// Milliseconds of the block's limit; 0: none.
pub(crate) fn limit<C>(scope: &Scope<'_, C>) -> u64 {
    let ns = scope.node("http_total_timeout").and_then(|n| n.arg(0)).map_or(0, |v| v.num.unsigned_abs());
    ns.div_ceil(1_000_000)
}

/// When the request's time is over; 0: never.
pub(crate) fn due_ms(call: &Call<'_>, conf: &Conf) -> u64 {
    if conf.total_ms == 0 { 0 } else { call.exchange.started_ms + conf.total_ms }
}

/// Whether it is by now.
pub(crate) fn is_over(due_ms: u64) -> bool {
    due_ms != 0 && now_ms() >= due_ms
}

/// Gives a request to peers what is left of its time, and the answer what is left then.
pub(crate) async fn within(call: &Call<'_>, conf: &Conf, answer: impl Future<Output = Reply>) -> Reply {
    let spent = now_ms().saturating_sub(call.exchange.started_ms);
    let mut over = sleep(Duration::from_millis(conf.total_ms.saturating_sub(spent)));
    let reply = {
        let mut answer = pin!(answer);
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(reply) => Poll::Ready(Some(reply)),
            Poll::Pending => Pin::new(&mut over).poll(cx).map(|()| None),
        })
        .await
    };
    let Some(mut reply) = reply else {
        // Of whoever waited until now.
        call.watch.deadline_ms.set(0);
        call.exchange.close(CloseReason::new(Who::Upstream, Stage::Transfer, Cause::Timeout));
        return refuse(call, 504);
    };
    if matches!(reply.body, Body::Peer(_) | Body::Peer2(_)) {
        let inner = std::mem::replace(&mut reply.body, Body::Empty);
        reply.body = Body::Timed(Box::new(Timed { inner, over, is_over: false }));
    }
    reply
}

/// A body that has to be complete by a time.
#[derive(Debug)]
pub(crate) struct Timed {
    inner: Body,
    over: Sleep,
    is_over: bool,
}

impl Timed {
    fn look(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        self.is_over = self.is_over || Pin::new(&mut self.over).poll(cx).is_ready();
        if self.is_over { Err(self.stalled()) } else { Ok(()) }
    }

    /// The next piece.
    ///
    /// # Errors
    /// As the body's; also once the time is over.
    pub(crate) fn poll_next(
        &mut self,
        exchange: &Session<Http>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Segment>, Fault>> {
        self.look(cx)?;
        self.inner.poll_next(exchange, cx)
    }

    /// Goes on with the request's body.
    ///
    /// # Errors
    /// As [`Timed::poll_next`].
    pub(crate) fn drive(&mut self, exchange: &Session<Http>, cx: &mut Context<'_>) -> Result<(), Fault> {
        self.look(cx)?;
        self.inner.drive(exchange, cx)
    }

    /// Whose fault it is that nothing comes.
    pub(crate) fn stalled(&self) -> Fault {
        self.inner.stalled()
    }
}
