//! How fast a client gets its answers.

use crate::{
    Http,
    core::limit::Bandwidth,
    fault::Fault,
    reply::{Body, Reply},
};
use anyproxy_http_contract::{Bytes, FilePart, Segment};
use anyproxy_module_api::*;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

directive! {
    /// Bytes a second of each answer's body to its client: several answers at a time are each this fast. An answer begins
    /// with what comes in an eighth of a second. A peer is slowed by it too, unless its answers are kept
    /// (`http_response_buffering`). Unset: as fast as it goes.
    "http_limit_rate", Contexts::MSL,
    .args(&[ArgDesc::new("rate", Kind::Rate, "Bytes a second; 0: no limit.").required().bounds(0, 1 << 40)])
    .props(&[ArgDesc::new("after", Kind::Size, "So many bytes of each answer come first, as fast as they may.").default("0").bounds(0, 1 << 50)])
    .default("no limit")
    .example("http_limit_rate \"1MiB/s\" after=\"10MiB\"")
}

/// What a block says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    rate: u64,
    after: u64,
}

impl Pace {
    pub(crate) fn new<C>(scope: &Scope<'_, C>) -> Option<Self> {
        let node = scope.node("http_limit_rate")?;
        let rate = node.arg(0).map_or(0, |v| v.num.unsigned_abs());
        let after = node.prop("after").map_or(0, |v| v.num.unsigned_abs());
        (rate > 0).then_some(Self { rate, after })
    }

    /// Slows the answer down, if it is longer than what may be sent at once.
    pub(crate) fn apply(self, mut reply: Reply) -> Reply {
        let mut bandwidth = Bandwidth::new(self.rate, self.after);
        let at_once = bandwidth.allow(now_us());
        let short = match &reply.body {
            Body::Empty => true,
            Body::Bytes(bytes) => bytes.len() <= at_once,
            _ => false,
        };
        if !short && reply.upgrade.is_none() {
            let inner = std::mem::replace(&mut reply.body, Body::Empty);
            reply.body = Body::Limited(Box::new(Limited { inner, left: None, bandwidth, wait: None }));
        }
        reply
    }
}

fn now_us() -> u64 {
    now().as_micros() as u64
}

/// A body that is handed out no faster than that.
#[derive(Debug)]
pub(crate) struct Limited {
    inner: Body,
    /// What of a piece was too much.
    left: Option<Segment>,
    bandwidth: Bandwidth,
    wait: Option<Sleep>,
}

impl Limited {
    /// The next piece, cut to what may be sent now.
    ///
    /// # Errors
    /// As the body's.
    pub(crate) fn poll_next(
        &mut self,
        exchange: &Session<Http>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Segment>, Fault>> {
        let allowed = loop {
            if let Some(wait) = &mut self.wait {
                if Pin::new(wait).poll(cx).is_pending() {
                    self.inner.drive(exchange, cx)?;
                    return Poll::Pending;
                }
                self.wait = None;
            }
            match self.bandwidth.allow(now_us()) {
                0 => {
                    let us = self.bandwidth.wait_us(now_us()).max(1);
                    self.wait = Some(sleep(Duration::from_micros(us)));
                }
                n => break n,
            }
        };
        let next = match self.left.take() {
            Some(left) => Some(left),
            None => ready!(self.inner.poll_next(exchange, cx))?,
        };
        let (now, sent) = match next {
            Some(Segment::Bytes(bytes)) => {
                let (now, left) = cut(bytes, allowed);
                self.left = left.map(Segment::Bytes);
                let n = now.len();
                (Some(Segment::Bytes(now)), n)
            }
            Some(Segment::File(part)) => {
                let n = part.len.min(allowed as u64);
                let left = FilePart { file: part.file.clone(), at: part.at + n, len: part.len - n };
                self.left = (left.len > 0).then_some(Segment::File(left));
                (Some(Segment::File(FilePart { len: n, ..part })), n as usize)
            }
            other => (other, 0),
        };
        self.bandwidth.spent(sent);
        Poll::Ready(Ok(now))
    }

    /// Goes on with what is to be done meanwhile.
    ///
    /// # Errors
    /// As the body's.
    pub(crate) fn drive(&mut self, exchange: &Session<Http>, cx: &mut Context<'_>) -> Result<(), Fault> {
        self.inner.drive(exchange, cx)
    }

    /// Whose fault it is that nothing comes.
    pub(crate) fn stalled(&self) -> Fault {
        self.inner.stalled()
    }

    /// It is the request's own body.
    pub(crate) fn is_echo(&self) -> bool {
        self.inner.is_echo()
    }
}

/// The first bytes, which are at least one of a piece that has any, and the rest.
fn cut(mut bytes: Bytes, most: usize) -> (Bytes, Option<Bytes>) {
    if bytes.len() <= most {
        return (bytes, None);
    }
    let first = Bytes::from(bytes[..most].to_vec());
    bytes.advance(most);
    (first, Some(bytes))
}
