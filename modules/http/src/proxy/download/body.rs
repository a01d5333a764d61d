//! The answer whose head is there, as a reply: all of it at once, or its body piece by piece beside the rest of the request's.

use super::{Download, Phase, malformed};
use crate::{
    Http,
    fault::Fault,
    h1::{Body as Framed, Event},
    reply::{Body, Call, Reply, Upgrade},
};
use anyproxy_http_contract::Segment;
use anyproxy_module_api::{
    Cause, Session, Who,
    pipe::{Moved, Pipe},
};
use std::task::{Context, Poll};

/// Most bytes that wait to be looked at: the body takes all that are there, but for the beginning of a chunk's head.
const UNREAD: usize = 64 << 10;

/// What came of a part of a body that was to go on as it is.
pub(crate) enum Poured {
    /// There is some.
    Some,
    /// It is to be read.
    NotNow,
    /// All of it is to be read.
    Never,
}

impl Download {
    /// The answer, whose head is there.
    pub(in crate::proxy) fn into_reply(mut self, call: &Call<'_>) -> Reply {
        match self.at_hand(call) {
            Some(reply) => reply,
            None => Reply::new(Body::Peer(Box::new(self)), None),
        }
    }

    /// The answer, if nothing of it is to be waited for.
    #[inline]
    pub(in crate::proxy) fn at_hand(&mut self, call: &Call<'_>) -> Option<Reply> {
        let Phase::Body(body) = &self.phase else { return None };
        if call.state.parts.borrow().response.status() == 101
            && let (Some(up), Some(lease)) = (self.up.take(), self.lease.take())
        {
            let upgrade = Some(Box::new(Upgrade::Peer(up.into_stream(), lease)));
            return Some(Reply { upgrade, ..Reply::new(Body::Empty, None) });
        }
        let body = match (body, &mut self.up) {
            (Framed::None | Framed::Length(0), _) => Body::Empty,
            // All of it is here: most answers are short.
            (Framed::Length(n), Some(up)) if up.unread().len() as u64 >= *n => Body::Bytes(up.take(0..*n as usize)),
            _ => return None,
        };
        self.complete(call.exchange);
        Some(Reply::new(body, None))
    }

    /// The next piece of the answer's body.
    ///
    /// # Errors
    /// When the peer does not send the rest, or the client not its own.
    pub(crate) fn poll_next(
        &mut self,
        exchange: &Session<Http>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Segment>, Fault>> {
        self.go_on(cx)?;
        let next = self.poll_body(exchange, cx);
        if matches!(next, Poll::Ready(Err(_))) {
            self.failed.set(true);
        }
        self.account(exchange);
        next
    }

    /// Bytes that are still to come, where that is known.
    pub(crate) fn rest(&self) -> u64 {
        if let Phase::Body(Framed::Length(n)) = &self.phase { *n } else { 0 }
    }

    /// Bytes of them that are here.
    pub(crate) fn unread(&self) -> usize {
        self.up.as_ref().map_or(0, |up| up.unread().len())
    }

    /// It comes from a socket, with nothing in between.
    pub(crate) fn is_plain(&self) -> bool {
        self.up.as_ref().is_some_and(|up| up.is_plain())
    }

    /// Moves what is there of a body of known length into an empty pipe; nothing of it is unread.
    ///
    /// # Errors
    /// As [`Download::poll_next`].
    pub(crate) fn poll_pour(
        &mut self,
        exchange: &Session<Http>,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
    ) -> Poll<Result<Poured, Fault>> {
        self.go_on(cx)?;
        let (Phase::Body(Framed::Length(rest)), Some(up)) = (&mut self.phase, &mut self.up) else {
            return Poll::Ready(Ok(Poured::NotNow));
        };
        match up.poll_pour(cx, pipe, *rest) {
            Poll::Pending => {
                self.account(exchange);
                Poll::Pending
            }
            Poll::Ready(Moved::Bytes(n @ 1..)) => {
                *rest -= n as u64;
                match rest {
                    0 => self.complete(exchange),
                    _ => self.account(exchange),
                }
                Poll::Ready(Ok(Poured::Some))
            }
            // Whether it is an end in order, a read tells.
            Poll::Ready(Moved::Bytes(0) | Moved::Again | Moved::NotNow) => Poll::Ready(Ok(Poured::NotNow)),
            Poll::Ready(Moved::Unsupported) => Poll::Ready(Ok(Poured::Never)),
            Poll::Ready(Moved::Failed(_)) => {
                self.failed.set(true);
                self.account(exchange);
                Poll::Ready(Err(Fault::new(Who::Upstream, Cause::Reset, 0)))
            }
        }
    }

    /// Goes on with the request's body.
    ///
    /// # Errors
    /// When the client does not send the rest.
    pub(crate) fn drive(&mut self, exchange: &Session<Http>, cx: &mut Context<'_>) -> Result<(), Fault> {
        self.go_on(cx)?;
        self.account(exchange);
        Ok(())
    }

    pub(super) fn poll_body(
        &mut self,
        exchange: &Session<Http>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Segment>, Fault>> {
        loop {
            let (Phase::Body(body), Some(up)) = (&mut self.phase, &mut self.up) else { return Poll::Ready(Ok(None)) };
            match body.decode(up.unread()) {
                Ok(Event::Data(range)) => {
                    let piece = up.take(range);
                    return Poll::Ready(Ok(Some(Segment::Bytes(piece))));
                }
                Ok(Event::End(n)) => {
                    up.consume(n);
                    let trailers = body.trailers().to_vec();
                    self.complete(exchange);
                    return Poll::Ready(Ok((!trailers.is_empty()).then_some(Segment::Trailers(trailers.into()))));
                }
                Ok(Event::More(n)) => up.consume(n),
                Err(why) => return Poll::Ready(Err(malformed(exchange, why))),
            }
            match self.fill(exchange.worker(), cx, UNREAD) {
                Poll::Ready(Ok(0)) => {
                    if let Phase::Body(body) = &mut self.phase
                        && body.end_of_stream().is_err()
                    {
                        return Poll::Ready(Err(Fault::new(Who::Upstream, Cause::Closed, 0)));
                    }
                    self.peer_keeps = false;
                    self.complete(exchange);
                    return Poll::Ready(Ok(None));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::new(Who::Upstream, Cause::Reset, 0))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
