//! One request at a peer of HTTP/2: from its head to the end of the answer's body.

use super::{
    fetch::Awaited,
    head::{MOST_INTERIM, Manner, write_request},
    patience::Patience,
};
use crate::{
    Http,
    conf::Conf,
    fault::Fault,
    h1::{self, Method},
    headers,
    http2::{Gone, client::Stream, tunnel},
    incoming::Incoming,
    message::Message,
    reply::{Body, Call, Reply, Upgrade},
    response_head,
    retry::Tries,
    total,
};
use anyproxy_http_contract::{Bytes, Segment};
use anyproxy_module_api::{Cause, Lease, Outcome, Session, Who, now_ns, tracing};
use std::{
    cell::Cell,
    future::poll_fn,
    task::{Context, Poll, ready},
};

/// As much of a request's body is kept until there is an answer, should the peer not begin with the request.
const KEPT: usize = 64 << 10;

/// Why a peer has not begun with a request (RFC 9113 section 8.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The connection takes no more: GOAWAY.
    ByItsEnd,
    /// It takes this one not: REFUSED_STREAM.
    ByThePeer,
}

/// A request that a peer answers, as [`super::Download`] over HTTP/1.
#[derive(Debug)]
pub(crate) struct Download {
    stream: Stream,
    pub(super) incoming: Incoming,
    /// Of the request, to be sent next.
    piece: Option<Bytes>,
    uploaded: bool,
    /// What was read of the request's body, for another peer. `None`: more than is kept, or it is not needed any more.
    kept: Option<Vec<u8>>,
    lease: Option<Lease>,
    began: u64,
    /// When the final head came; 0: not yet.
    answered: u64,
    /// It is the peer's fault that this does not come to its end.
    failed: Cell<bool>,
    /// Nobody waits for its head any longer than to then; 0: for ever.
    due_ms: u64,
    /// The peer has not begun with the request, and why.
    pub(super) refused: Option<Refused>,
    /// The connection, which was kept, has ended before anything of an answer came.
    pub(super) stale: bool,
    /// The client has heard of an answer.
    pub(super) told: bool,
    /// How many came before the one that counts.
    interim: u8,
}

impl Download {
    /// Sends the request's head. `protocol`: it asks for that one, and the stream stays open.
    ///
    /// # Errors
    /// What HTTP/2 cannot carry: the request's body is given back.
    pub(super) fn new(
        call: &Call<'_>,
        conf: &Conf,
        incoming: Incoming,
        stream: Stream,
        lease: Lease,
        protocol: Option<&[u8]>,
    ) -> Result<Self, Incoming> {
        let mut lines = headers::render(call.rules(conf), call.exchange);
        if let Some(name) = conf.request_id {
            // A name and an id are always a line.
            let _ = h1::field(name.as_bytes(), call.exchange.request_id().as_bytes(), &mut lines);
        }
        let mut text = Vec::with_capacity(1024);
        {
            let parts = &mut *call.state.parts.borrow_mut();
            parts.response.clear();
            let how = Manner { length: incoming.length(), chunks: false, keeps: true };
            write_request(parts, call, conf, how, &lease, &lines, &mut text);
            parts.goes(&text, call.exchange.worker().shows_heads);
        }
        let uploaded = incoming.is_done() && incoming.trailers().is_empty();
        if let Err(e) = stream.send_head(&text, protocol, uploaded && protocol.is_none()) {
            tracing::info!(session = call.exchange.id, "a request that HTTP/2 cannot carry: {e:?}");
            return Err(incoming);
        }
        call.exchange.upstream_sent.set(call.exchange.upstream_sent.get() + text.len() as u64);
        let began = now_ns();
        Ok(Self {
            stream,
            incoming,
            piece: None,
            uploaded,
            kept: Some(Vec::new()),
            lease: Some(lease),
            began,
            answered: 0,
            failed: Cell::new(false),
            due_ms: total::due_ms(call, conf),
            refused: None,
            stale: false,
            told: false,
            interim: 0,
        })
    }

    /// The request's body, for another peer: untouched, if little of it was read.
    pub(super) fn into_incoming(mut self) -> Incoming {
        let mut incoming = std::mem::replace(&mut self.incoming, Incoming::NONE);
        if let Some(kept) = self.kept.take() {
            incoming.put_back(kept);
        }
        incoming
    }

    /// Whether another peer is asked in place of this answer.
    pub(super) async fn again_instead(&mut self, call: &Call<'_>, tries: &mut Tries<'_>) -> bool {
        let Some(lease) = self.lease.as_mut() else { return false };
        tries.again_instead(call, lease.peer().id, Some(lease), self.told, &self.incoming).await
    }

    /// Ends an answer that nobody wants.
    pub(super) fn throw_away(mut self, call: &Call<'_>) -> Incoming {
        if call.state.parts.borrow().response.status() < 500 {
            self.done();
        }
        self.failed.set(true);
        self.into_incoming()
    }
}

impl Awaited for Download {
    async fn head(&mut self, call: &Call<'_>, conf: &Conf) -> Result<(), Fault> {
        let watch = call.watch;
        watch.fired.set(0);
        let (mut moved, mut patience) = (true, Patience::default());
        let r = poll_fn(|cx| {
            if watch.kill.get() != 0 {
                return Poll::Ready(Err(Fault::new(Who::Proxy, Cause::Killed, 0)));
            }
            moved |= self.upload(call.exchange, cx)?;
            if let Poll::Ready(r) = self.poll_head(call, conf, cx) {
                return Poll::Ready(r);
            }
            if let Poll::Ready(Err(e)) = self.incoming.poll_flush(cx) {
                return Poll::Ready(Err(Fault::of_request(&e)));
            }
            let limit = if self.uploaded { conf.first_byte_ms } else { conf.body_ms };
            if patience.look(watch, &self.incoming, std::mem::take(&mut moved), limit, cx)? {
                return Poll::Ready(Err(self.timed_out()));
            }
            Poll::Pending
        });
        let r = r.await;
        watch.deadline_ms.set(0);
        // One that it has not begun with says nothing of a peer, unless nothing else is on the connection; nor does a kept
        // one that has ended: it ends them as any server does.
        let usual = (self.refused.is_some() && !self.stream.is_alone()) || self.stale;
        self.failed.set(r.as_ref().is_err_and(|fault| fault.who == Who::Upstream) && !usual);
        r
    }

    fn timed_out(&mut self) -> Fault {
        if self.uploaded || self.piece.is_some() {
            self.stream.distrust();
            self.failed.set(true);
            return Fault::new(Who::Upstream, Cause::Timeout, 504);
        }
        Fault::new(Who::Client, Cause::Timeout, 408)
    }
}

impl Download {
    fn poll_head(&mut self, call: &Call<'_>, conf: &Conf, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            let mut message = match ready!(self.stream.poll_head(cx)) {
                Ok(message) => message,
                Err(gone) => return Poll::Ready(Err(self.lost(gone))),
            };
            let (exchange, bytes) = (call.exchange, message.bytes.len() as u64);
            exchange.upstream_received.set(exchange.upstream_received.get() + bytes);
            call.state.parts.borrow_mut().heads.upstream_received += bytes;
            let Message { bytes, head, struck } = &mut message;
            if let Some(why) = response_head::too_much(&conf.response_head, bytes.len(), head.fields().list().len()) {
                tracing::info!(session = exchange.id, "answer refused: {}", why.reason());
                return Poll::Ready(Err(Fault::new(Who::Upstream, Cause::Malformed, 502)));
            }
            let method = call.state.parts.borrow().method();
            h1::strip_response(head, bytes, method, false, struck);
            if (100..200).contains(&message.status()) {
                self.told |= message.status() != 100;
                self.interim += 1;
                if self.interim > MOST_INTERIM {
                    tracing::info!(session = exchange.id, "answer refused: too many before it");
                    return Poll::Ready(Err(Fault::new(Who::Upstream, Cause::Limit, 502)));
                }
                self.incoming.interim(&message);
                continue;
            }
            self.kept = None;
            self.answered = now_ns();
            call.stage("answer");
            call.state.parts.borrow_mut().response = message;
            return Poll::Ready(Ok(()));
        }
    }

    /// There is no answer.
    fn lost(&mut self, gone: Gone) -> Fault {
        let cause = match gone {
            Gone::Refused => {
                let leaves = self.stream.is_leaving();
                self.refused = Some(if leaves { Refused::ByItsEnd } else { Refused::ByThePeer });
                Cause::Refused
            }
            Gone::Reset => Cause::Reset,
            Gone::Malformed => Cause::Malformed,
            Gone::Ended => {
                self.stale = self.stream.is_on_kept() && self.interim == 0;
                Cause::Closed
            }
        };
        Fault::new(Who::Upstream, cause, 502)
    }

    /// The request's body, to the peer. True: something moved.
    fn upload(&mut self, exchange: &Session<Http>, cx: &mut Context<'_>) -> Result<bool, Fault> {
        let mut moved = false;
        while !self.uploaded {
            if self.piece.is_none() {
                match self.incoming.poll_next(cx) {
                    Poll::Ready(Ok(Some(piece))) => {
                        match &mut self.kept {
                            Some(kept) if kept.len() + piece.len() <= KEPT => kept.extend_from_slice(&piece),
                            kept => *kept = None,
                        }
                        self.piece = Some(piece);
                    }
                    Poll::Ready(Ok(None)) => {
                        self.stream.end(&self.incoming.trailers());
                        self.uploaded = true;
                        return Ok(true);
                    }
                    Poll::Ready(Err(e)) => return Err(self.incoming.fault(&e)),
                    Poll::Pending => return Ok(moved),
                }
            }
            let Some(piece) = &mut self.piece else { break };
            let end = self.incoming.is_done() && self.incoming.trailers().is_empty();
            let before = piece.len();
            let all = self.stream.send(piece, end, cx);
            let sent = (before - piece.len()) as u64;
            moved |= sent > 0;
            exchange.upstream_sent.set(exchange.upstream_sent.get() + sent);
            if !all {
                return Ok(moved);
            }
            self.piece = None;
            self.uploaded = end;
        }
        Ok(moved)
    }

    /// The answer, whose head is there.
    pub(super) fn into_reply(self, call: &Call<'_>) -> Reply {
        match self.stream.is_whole() {
            Some(0) => {
                // That of HEAD says nothing of a length.
                let length = (call.state.parts.borrow().method() != Method::Head).then_some(0);
                Reply::new(Body::Empty, length)
            }
            _ => {
                let length = call.state.parts.borrow().response.length();
                Reply::new(Body::Peer2(Box::new(self)), length)
            }
        }
    }

    /// The stream, as that of another protocol from now on. The head of the answer is the caller's.
    pub(super) fn into_tunnel(mut self) -> Reply {
        let stream = tunnel::to_peer(self.stream.hand_over());
        let upgrade = self.lease.take().map(|lease| Upgrade::Peer(stream, lease));
        Reply { upgrade: upgrade.map(Box::new), ..Reply::new(Body::Empty, None) }
    }

    /// The answer to a request for another protocol that the peer declines.
    pub(super) fn declined(self, call: &Call<'_>) -> Reply {
        // Nothing comes of the stream that it was to be.
        self.stream.end(&[]);
        self.into_reply(call)
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
        self.upload(exchange, cx)?;
        match ready!(self.stream.poll_piece(cx)) {
            Ok(Some(piece)) => {
                exchange.upstream_received.set(exchange.upstream_received.get() + piece.len() as u64);
                Poll::Ready(Ok(Some(Segment::Bytes(piece))))
            }
            Ok(None) => {
                let trailers = self.stream.trailers();
                self.done();
                Poll::Ready(Ok((!trailers.is_empty()).then(|| Segment::Trailers(trailers.into()))))
            }
            Err(_) => {
                self.failed.set(true);
                Poll::Ready(Err(Fault::new(Who::Upstream, Cause::Reset, 0)))
            }
        }
    }

    /// Nothing comes for too long.
    pub(crate) fn stalled(&self) {
        self.failed.set(true);
    }

    /// Goes on with the request's body.
    ///
    /// # Errors
    /// When the client does not send the rest.
    pub(crate) fn drive(&mut self, exchange: &Session<Http>, cx: &mut Context<'_>) -> Result<(), Fault> {
        self.upload(exchange, cx).map(|_| ())
    }

    fn done(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        let since = |then: u64| then.saturating_sub(self.began);
        let first_byte_ns = if self.answered == 0 { 0 } else { since(self.answered).max(1) };
        let total_ns = since(now_ns());
        let late = self.answered == 0 && self.uploaded && total::is_over(self.due_ms);
        let failure = super::failure(late || self.failed.get(), self.answered != 0);
        lease.done(&Outcome { connect_ns: 0, first_byte_ns, total_ns, failure });
    }
}

impl Drop for Download {
    /// Also where the client has given up: that is not the peer's fault.
    fn drop(&mut self) {
        self.done();
    }
}
