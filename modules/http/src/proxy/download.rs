//! One request at a peer of HTTP/1: from its head to the end of the answer's body.

use super::{
    Peer,
    head::{MOST_INTERIM, Manner, keep_alive_timeout, write_request},
};
use crate::{
    Http,
    conf::Conf,
    conn::{AHEAD, Conn, ROUNDS},
    fault::Fault,
    h1::{self, Body as Framed, ChunkLimits, ChunkedEncoder, Event, Framing, Id, Keep, Step},
    headers,
    incoming::Incoming,
    message::Message,
    reply::{Body, Call, Reply, Upgrade},
    total,
};
use anyproxy_http_contract::Segment;
use anyproxy_module_api::{Cause, Error, ErrorKind, Lease, Outcome, Session, Who, now, now_ms, timeout, tracing};
use std::{
    cell::Cell,
    future::poll_fn,
    task::{Context, Poll},
    time::Duration,
};

/// Most of a peer's head.
const HEAD: h1::Limits = h1::Limits { line: 8 << 10, head: 64 << 10, headers: 200 };

/// A client whose answer takes longer is watched: one that is gone gives its peer back.
const PATIENCE_MS: u64 = 500;

/// How far the answer is.
#[derive(Debug)]
enum Phase {
    Head,
    Body(Framed),
    Done,
}

/// A request that a peer answers. Until the head is there it is waited for; then it is the body of the reply, which goes
/// on with the request's own.
#[derive(Debug)]
pub(crate) struct Download {
    pub(super) incoming: Incoming,
    /// `None` once it was given back.
    up: Option<Box<Conn>>,
    /// What the connection had carried before, and what of the exchange is in its books.
    carried: (u64, u64),
    received_before: u64,
    pub(super) lease: Option<Lease>,
    /// It is the peer's fault that this does not come to its end.
    failed: Cell<bool>,
    /// Nobody waits for its head any longer than to then; 0: for ever.
    due_ms: u64,
    /// The connection carried a request before.
    reused: bool,
    peer: u64,
    began: u64,
    /// When the final head came; 0: not yet.
    answered: u64,
    phase: Phase,
    /// The request goes in chunks.
    chunked: bool,
    /// The whole request is in the peer's hands.
    uploaded: bool,
    /// The last chunk was written.
    ended: bool,
    /// The peer takes no more of the request.
    deaf: bool,
    /// The request asks for another protocol.
    upgrade: bool,
    peer_keeps: bool,
    keeps_ms: u64,
    most_idle: usize,
    /// The client has heard of an answer.
    pub(super) told: bool,
    /// How many came before the one that counts.
    interim: u8,
}

impl Download {
    pub(super) fn new(call: &Call<'_>, conf: &Conf, incoming: Incoming, peer: Peer) -> Self {
        let mut up = peer.conn;
        let carried = (up.total_sent, up.total_received);
        let mut lines = headers::render(&conf.request_headers, call.exchange);
        if let Some(name) = conf.request_id {
            // A name and an id are always a line.
            let _ = h1::field(name.as_bytes(), call.exchange.request_id().as_bytes(), &mut lines);
        }
        let parts = &mut *call.state.parts.borrow_mut();
        parts.response.clear();
        let chunked = incoming.length().is_none();
        // What begins with a client's greeting carries nobody else's request.
        let most_idle = if peer.greeted { 0 } else { conf.upstream_idle };
        let how = Manner { chunked, keeps: most_idle > 0 };
        let before = up.out.len();
        let upgrade = write_request(parts, call.client.address(), conf, how, &peer.lease, &lines, &mut up.out);
        parts.goes(&up.out[before..], call.exchange.worker().shows_heads);
        Self {
            incoming,
            received_before: carried.1,
            carried,
            up: Some(up),
            lease: Some(peer.lease),
            failed: Cell::new(false),
            due_ms: total::due_ms(call, conf),
            reused: peer.reused,
            peer: peer.id,
            began: now().as_nanos() as u64,
            answered: 0,
            phase: Phase::Head,
            chunked,
            uploaded: false,
            ended: false,
            deaf: false,
            upgrade,
            peer_keeps: true,
            keeps_ms: conf.upstream_idle_ms,
            most_idle,
            told: false,
            interim: 0,
        }
    }

    /// The peer had sent nothing of an answer.
    pub(super) fn is_unanswered(&self) -> bool {
        self.up.as_ref().is_some_and(|u| u.total_received == self.received_before)
    }

    /// The request's body, for another peer.
    pub(super) fn into_incoming(mut self) -> Incoming {
        std::mem::replace(&mut self.incoming, Incoming::NONE)
    }

    /// Nothing comes for too long.
    pub(crate) fn stalled(&self) {
        self.failed.set(true);
    }

    /// To the head of the answer.
    pub(super) async fn head(&mut self, call: &Call<'_>, conf: &Conf) -> Result<(), Fault> {
        let watch = call.watch;
        watch.fired.set(0);
        let mut moved = true;
        // The end of the wait; and whether the client is watched meanwhile. Most peers answer before that is worth it.
        let (mut by, mut watched) = (0, false);
        let r = poll_fn(|cx| {
            if watch.kill.get() != 0 {
                return Poll::Ready(Err(Fault::new(Who::Proxy, Cause::Killed, 0)));
            }
            match self.poll_head(call, cx, &mut moved) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(fault) => return Poll::Ready(Err(fault)),
            }
            let still = !std::mem::take(&mut moved);
            if !still {
                let now = now_ms();
                by = now + if self.uploaded { conf.first_byte_ms } else { conf.body_ms };
                watch.deadline_ms.set(if watched { by } else { by.min(now + PATIENCE_MS) });
            }
            if watch.fired.replace(0) != 0 {
                let now = now_ms();
                if now >= by {
                    return Poll::Ready(Err(self.timed_out()));
                }
                if now >= watch.deadline_ms.get() {
                    watched = true;
                    watch.deadline_ms.set(by);
                }
            }
            // While something moves there will be another look, at the latest when the client begins to be watched.
            if (still || watched) && self.uploaded && self.incoming.is_gone() {
                return Poll::Ready(Err(Fault::new(Who::Client, Cause::Reset, 0)));
            }
            if watched {
                self.incoming.watch(cx);
            }
            // Whoever waits may be left where it is.
            self.account(call.exchange);
            Poll::Pending
        })
        .await;
        watch.deadline_ms.set(0);
        self.account(call.exchange);
        // A kept connection that has ended says nothing of a peer: it ends connections as any server does.
        let stale = self.reused && self.is_unanswered();
        self.failed.set(r.as_ref().is_err_and(|fault| fault.who == Who::Upstream) && !stale);
        r
    }

    /// The same for a request whose deadline nobody looks after.
    pub(super) async fn head_alone(&mut self, call: &Call<'_>, conf: &Conf) -> Result<(), Fault> {
        let limit = Duration::from_millis(conf.first_byte_ms);
        let headed = timeout(limit, async { Ok(self.head(call, conf).await) }).await;
        headed.unwrap_or_else(|_| {
            let fault = self.timed_out();
            self.failed.set(fault.who == Who::Upstream);
            Err(fault)
        })
    }

    /// A deadline that passed before the head was there: whose fault it is.
    fn timed_out(&self) -> Fault {
        if self.uploaded || self.up.as_ref().is_some_and(|u| u.pending() > 0) {
            Fault::new(Who::Upstream, Cause::Timeout, 504)
        } else {
            Fault::new(Who::Client, Cause::Timeout, 408)
        }
    }

    /// Moves what can be moved, but for so many rounds. True: the head is there.
    fn poll_head(&mut self, call: &Call<'_>, cx: &mut Context<'_>, moved: &mut bool) -> Result<bool, Fault> {
        for _ in 0..ROUNDS {
            let sent = self.upload(cx)?;
            let mut heard = self.has_unread() && self.take_head(call)?;
            let mut came = heard;
            if !heard {
                came = match self.fill(cx) {
                    Poll::Ready(Ok(0)) => return Err(Fault::new(Who::Upstream, Cause::Closed, 502)),
                    Poll::Ready(Ok(_)) => true,
                    Poll::Ready(Err(e)) => {
                        let cause = if e.kind == ErrorKind::Reset { Cause::Reset } else { Cause::Closed };
                        return Err(Fault::new(Who::Upstream, cause, 502));
                    }
                    Poll::Pending => false,
                };
                heard = came && self.take_head(call)?;
            }
            if heard && self.pass_head(call)? {
                return Ok(true);
            }
            if let Poll::Ready(Err(e)) = self.incoming.poll_flush(cx) {
                return Err(Fault::of_request(&e));
            }
            *moved |= sent || came;
            // Once the request is sent, only the answer is waited for, and that has just been asked for.
            if !came && (!sent || self.uploaded) {
                return Ok(false);
            }
        }
        cx.waker().wake_by_ref();
        Ok(false)
    }

    /// The request's head and body, to the peer.
    fn upload(&mut self, cx: &mut Context<'_>) -> Result<bool, Fault> {
        if self.uploaded || self.deaf || matches!(self.phase, Phase::Done) {
            return Ok(false);
        }
        let Some(up) = self.up.as_mut() else { return Ok(false) };
        let mut moved = false;
        let mut done = self.incoming.is_done();
        while !done && up.pending() < AHEAD {
            match self.incoming.poll_next(cx) {
                Poll::Ready(Ok(Some(piece))) => {
                    up.put(piece, self.chunked);
                    moved = true;
                }
                Poll::Ready(Ok(None)) => {
                    done = self.incoming.is_done();
                    break;
                }
                Poll::Ready(Err(e)) => return Err(Fault::of_request(&e)),
                Poll::Pending => break,
            }
            done = self.incoming.is_done();
        }
        if done && self.chunked && !std::mem::replace(&mut self.ended, true) {
            ChunkedEncoder::last(&self.incoming.trailers(), &mut up.out);
        }
        if up.pending() > 0 {
            let before = up.pending();
            match up.poll_send(cx, false) {
                Poll::Ready(Ok(())) => moved = true,
                // It may have answered before it stopped listening.
                Poll::Ready(Err(_)) => self.deaf = true,
                Poll::Pending => moved |= up.pending() < before,
            }
        }
        if done && up.pending() == 0 && !self.deaf {
            self.uploaded = true;
            moved = true;
        }
        Ok(moved)
    }

    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Error>> {
        match self.up.as_mut() {
            Some(up) => up.poll_fill(cx, HEAD.head as usize),
            None => Poll::Ready(Ok(0)),
        }
    }

    fn has_unread(&self) -> bool {
        self.up.as_ref().is_some_and(|up| !up.unread().is_empty())
    }

    /// Takes the head of an answer, if it is there.
    fn take_head(&mut self, call: &Call<'_>) -> Result<bool, Fault> {
        let response = &mut call.state.parts.borrow_mut().response;
        let Some(up) = self.up.as_mut() else { return Ok(false) };
        match response.head.response(up.unread(), &HEAD) {
            Ok(Step::Done(len)) => {
                response.take(&up.unread()[..len]);
                up.consume(len);
                Ok(true)
            }
            Ok(Step::More) => Ok(false),
            Err(why) => Err(malformed(call.exchange, why)),
        }
    }

    /// Leaves in the head that was taken what is for the client. False: another answer follows.
    fn pass_head(&mut self, call: &Call<'_>) -> Result<bool, Fault> {
        let parts = &mut *call.state.parts.borrow_mut();
        let method = parts.method();
        let Message { bytes, head, struck } = &mut parts.response;
        // The last line end was not kept.
        parts.heads.upstream_received += bytes.len() as u64 + 2;
        let status = head.status();
        let framing = h1::response_framing(head, bytes, method).map_err(|why| malformed(call.exchange, why))?;
        let upgrades = status == 101;
        if upgrades && !self.upgrade {
            return Err(malformed(call.exchange, h1::Bad::Status));
        }
        let keep = Keep { upgrade: upgrades, trailers: false };
        h1::strip_response(head, bytes, method, keep, struck).map_err(|why| malformed(call.exchange, why))?;
        if (100..200).contains(&status) && !upgrades {
            self.told |= status != 100;
            self.interim += 1;
            if self.interim > MOST_INTERIM {
                tracing::info!(session = call.exchange.id, "answer refused: too many before it");
                return Err(Fault::new(Who::Upstream, Cause::Limit, 502));
            }
            self.incoming.interim(&parts.response);
            parts.response.clear();
            return Ok(false);
        }
        let says = h1::connection(head, bytes);
        self.peer_keeps = h1::keep_alive(head.version(), says) && framing != Framing::UntilClose;
        if let Some(n) = head.fields().value(bytes, Id::KeepAlive).and_then(keep_alive_timeout) {
            // A second less: it may have begun to count when it sent the answer.
            self.keeps_ms = self.keeps_ms.min((n * 1000).saturating_sub(1000));
        }
        self.phase = Phase::Body(Framed::new(framing, ChunkLimits::default()));
        self.answered = now().as_nanos() as u64;
        call.stage("answer");
        Ok(true)
    }

    /// The answer, whose head is there.
    pub(super) fn into_reply(mut self, call: &Call<'_>) -> Reply {
        match self.at_hand(call) {
            Some(reply) => reply,
            None => Reply::new(Body::Peer(Box::new(self)), None),
        }
    }

    /// The answer, if nothing of it is to be waited for.
    #[inline]
    pub(super) fn at_hand(&mut self, call: &Call<'_>) -> Option<Reply> {
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
        self.upload(cx)?;
        let next = self.poll_body(exchange, cx);
        if matches!(next, Poll::Ready(Err(_))) {
            self.failed.set(true);
        }
        self.account(exchange);
        next
    }

    /// Goes on with the request's body.
    ///
    /// # Errors
    /// When the client does not send the rest.
    pub(crate) fn drive(&mut self, exchange: &Session<Http>, cx: &mut Context<'_>) -> Result<(), Fault> {
        self.upload(cx)?;
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
            match self.fill(cx) {
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

    /// The answer is complete: the peer's connection is free before the client has it all.
    fn complete(&mut self, exchange: &Session<Http>) {
        self.account(exchange);
        self.phase = Phase::Done;
        let total = (now().as_nanos() as u64).saturating_sub(self.began);
        if let Some(lease) = self.lease.take() {
            let first_byte_ns = self.answered.saturating_sub(self.began).max(1);
            lease.done(&Outcome { connect_ns: 0, first_byte_ns, total_ns: total, failure: 0 });
        }
        let Some(up) = self.up.take() else { return };
        if self.peer_keeps && self.uploaded && !self.deaf && up.unread().is_empty() {
            exchange.worker().idle.give(self.peer, up, now_ms() + self.keeps_ms, self.most_idle);
        }
    }

    /// Enters what was moved into the exchange's books.
    pub(super) fn account(&mut self, exchange: &Session<Http>) {
        let Some(up) = &self.up else { return };
        let now = (up.total_sent, up.total_received);
        let (sent, received) = (&exchange.upstream_sent, &exchange.upstream_received);
        sent.set(sent.get() + now.0 - self.carried.0);
        received.set(received.get() + now.1 - self.carried.1);
        self.carried = now;
    }
}

impl Drop for Download {
    /// A client that gives up is not the peer's fault.
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            let total_ns = (now().as_nanos() as u64).saturating_sub(self.began);
            let late = self.answered == 0 && self.uploaded && total::is_over(self.due_ms);
            let failure = if late || self.failed.get() { 2 } else { 0 };
            let first_byte_ns = self.answered.saturating_sub(self.began);
            lease.done(&Outcome { connect_ns: 0, first_byte_ns, total_ns, failure });
        }
    }
}

fn malformed(exchange: &Session<Http>, why: h1::Bad) -> Fault {
    tracing::info!(session = exchange.id, "answer refused: {}", why.reason());
    Fault::new(Who::Upstream, Cause::Malformed, 502)
}
