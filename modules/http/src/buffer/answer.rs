//! Answers that are read from the peer faster than the client takes them.

use super::{Buffering, spool::Spool};
use crate::{
    Http,
    conf::{Answerer, Conf},
    fault::Fault,
    h1::Id,
    reply::{Body, Call, Reply},
};
use anyproxy_http_contract::Segment;
use anyproxy_module_api::Session;
use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Pieces that are read in one turn: then others on the worker get theirs.
const TURN: usize = 4;

/// A body that is read on while the client takes its time.
#[derive(Debug)]
pub(crate) struct Buffered {
    inner: Body,
    /// What comes after all that is kept: a part of a file, or trailers.
    next: Option<Segment>,
    end: End,
    spool: Spool,
    /// The client has taken something since this was last driven.
    taken: bool,
}

#[derive(Debug)]
enum End {
    Open,
    Whole,
    Failed(Fault),
}

impl Buffering {
    /// Keeps the answer, if it is a peer's and none that is to pass at once.
    pub(crate) fn apply(&self, conf: &Conf, call: &Call<'_>, mut reply: Reply) -> Reply {
        let passed = matches!(
            reply.body,
            Body::Peer(_) | Body::Peer2(_) | Body::Timed(_) | Body::Compressed(_) | Body::Module(_)
        );
        let memory = &call.exchange.worker().buffers;
        if !passed || !matches!(conf.answerer, Answerer::Proxy) || reply.upgrade.is_some() || memory.is_full() {
            return reply;
        }
        let parts = &mut *call.state.parts.borrow_mut();
        let response = &mut parts.response;
        let kind = response.value(Id::ContentType).unwrap_or_default();
        let stream = kind.get(..17).is_some_and(|k| k.eq_ignore_ascii_case(b"text/event-stream"));
        let told = {
            let mut lines = response.lines();
            let line = lines.find(|l| l.name(&response.bytes).eq_ignore_ascii_case(ACCEL.as_bytes()));
            line.map(|l| l.value(&response.bytes).eq_ignore_ascii_case(b"no"))
        };
        if told.is_some() {
            // It was for this proxy.
            response.remove(ACCEL);
        }
        if stream || told == Some(true) {
            return reply;
        }
        let spool = Spool::new(self, Rc::clone(memory), call.exchange.id);
        let inner = std::mem::replace(&mut reply.body, Body::Empty);
        let buffered = Buffered { inner, next: None, end: End::Open, spool, taken: true };
        reply.body = Body::Buffered(Box::new(buffered));
        reply
    }
}

/// By which peers say that an answer is not to be kept.
const ACCEL: &str = "X-Accel-Buffering";

impl Buffered {
    /// The next piece: of what is kept, or straight from the peer.
    ///
    /// # Errors
    /// As the body's, once what came before is taken.
    pub(crate) fn poll_next(
        &mut self,
        exchange: &Session<Http>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Segment>, Fault>> {
        self.taken = true;
        if !self.spool.is_empty() {
            self.inner.drive(exchange, cx)?;
            if let Some(chunk) = ready!(self.spool.poll_pop(cx))? {
                return Poll::Ready(Ok(Some(Segment::Bytes(chunk.into()))));
            }
        }
        if let Some(next) = self.next.take() {
            return Poll::Ready(Ok(Some(next)));
        }
        match self.end {
            End::Open => {}
            End::Whole => return Poll::Ready(Ok(None)),
            End::Failed(fault) => return Poll::Ready(Err(fault)),
        }
        let next = ready!(self.inner.poll_next(exchange, cx))?;
        if next.is_none() {
            self.end = End::Whole;
        }
        Poll::Ready(Ok(next))
    }

    /// Reads on from the peer, and goes on with the request's body.
    ///
    /// # Errors
    /// When the client does not send the rest.
    pub(crate) fn drive(&mut self, exchange: &Session<Http>, cx: &mut Context<'_>) -> Result<(), Fault> {
        self.spool.poll(cx);
        if std::mem::take(&mut self.taken) {
            // It takes what comes, so far: nothing is kept before it has had its turn.
            cx.waker().wake_by_ref();
            return self.inner.drive(exchange, cx);
        }
        for _ in 0..TURN {
            if self.next.is_some() || !matches!(self.end, End::Open) {
                return Ok(());
            }
            if !self.spool.has_room() {
                return self.inner.drive(exchange, cx);
            }
            match self.inner.poll_next(exchange, cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(Some(Segment::Bytes(bytes)))) => {
                    self.spool.push(&bytes);
                    self.spool.poll(cx);
                }
                Poll::Ready(Ok(Some(next @ Segment::File(_)))) => self.next = Some(next),
                Poll::Ready(Ok(Some(next @ Segment::Trailers(_)))) => {
                    self.next = Some(next);
                    self.finish(End::Whole);
                }
                Poll::Ready(Ok(None)) => self.finish(End::Whole),
                Poll::Ready(Err(fault)) => self.finish(End::Failed(fault)),
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn finish(&mut self, end: End) {
        self.end = end;
        self.inner = Body::Empty;
    }

    /// Whose fault it is that nothing comes.
    pub(crate) fn stalled(&self) -> Fault {
        self.inner.stalled()
    }
}
