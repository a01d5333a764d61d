//! One request at a peer of HTTP/1: what is known of it, the request on its way, what goes into the books and what is given
//! back. Up to the head of the answer it is waited for in [`head`]; from then on it is the reply's body, in [`body`].

mod body;
mod head;
mod switch;
mod unwanted;

pub(crate) use body::Poured;

use super::{
    Peer,
    head::{Manner, write_request},
};
use crate::{
    Http,
    conf::Conf,
    conn::{AHEAD, Conn, ROUNDS},
    fault::Fault,
    h1::{self, Body as Framed, ChunkedEncoder},
    headers,
    incoming::Incoming,
    reply::Call,
    total,
    worker::Worker,
};
use anyproxy_module_api::{Cause, Error, Lease, Outcome, Session, Who, now_ms, now_ns, tracing};
use std::{
    cell::Cell,
    task::{Context, Poll},
};

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
    lease: Option<Lease>,
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
    /// Of the answer's head.
    limits: h1::Limits,
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
        let mut lines = headers::render(call.rules(conf), call.exchange);
        if let Some(name) = conf.request_id {
            // A name and an id are always a line.
            let _ = h1::field(name.as_bytes(), call.exchange.request_id().as_bytes(), &mut lines);
        }
        let parts = &mut *call.state.parts.borrow_mut();
        parts.response.clear();
        let length = incoming.length();
        // What begins with a client's greeting carries nobody else's request.
        let most_idle = if peer.greeted { 0 } else { conf.upstream_idle };
        let how = Manner { length, chunks: true, keeps: most_idle > 0 };
        let before = up.out.len();
        let upgrade = write_request(parts, call, conf, how, &peer.lease, &lines, &mut up.out);
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
            began: now_ns(),
            answered: 0,
            phase: Phase::Head,
            limits: conf.response_head,
            chunked: length.is_none(),
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

    /// The request's head and body, to the peer. True: something moved, and more may.
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
                Poll::Ready(Err(e)) => return Err(self.incoming.fault(&e)),
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

    /// The same, until nothing can be moved that nobody is woken for, but for so many rounds.
    fn go_on(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        for _ in 0..ROUNDS {
            if !self.upload(cx)? {
                return Ok(());
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    /// Receives more, up to `most` bytes that are not read yet.
    fn fill(&mut self, worker: &Worker, cx: &mut Context<'_>, most: usize) -> Poll<Result<usize, Error>> {
        match self.up.as_mut() {
            Some(up) => up.poll_fill_into(cx, most, Some(&worker.spare_buf)),
            None => Poll::Ready(Ok(0)),
        }
    }

    /// The answer is complete: the peer's connection is free before the client has it all.
    fn complete(&mut self, exchange: &Session<Http>) {
        self.account(exchange);
        self.phase = Phase::Done;
        let total = now_ns().saturating_sub(self.began);
        if let Some(lease) = self.lease.take() {
            let first_byte_ns = self.answered.saturating_sub(self.began).max(1);
            lease.done(&Outcome { connect_ns: 0, first_byte_ns, total_ns: total, failure: 0 });
        }
        let Some(up) = self.up.take() else { return };
        if self.peer_keeps && self.uploaded && !self.deaf && up.is_read() {
            exchange.worker().idle.give(self.peer, up, now_ms() + self.keeps_ms, self.most_idle);
        }
    }

    /// Enters what was moved into the exchange's books.
    fn account(&mut self, exchange: &Session<Http>) {
        let Some(up) = &self.up else { return };
        let now = (up.total_sent, up.total_received);
        let (sent, received) = (&exchange.upstream_sent, &exchange.upstream_received);
        sent.set(sent.get() + now.0 - self.carried.0);
        received.set(received.get() + now.1 - self.carried.1);
        self.carried = now;
    }
}

impl Drop for Download {
    /// A client that gives up is not the peer's fault; nor is that a success of one that has not answered.
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take() {
            let total_ns = now_ns().saturating_sub(self.began);
            let late = self.answered == 0 && self.uploaded && total::is_over(self.due_ms);
            let failure = super::failure(late || self.failed.get(), self.answered != 0);
            let first_byte_ns = self.answered.saturating_sub(self.began);
            lease.done(&Outcome { connect_ns: 0, first_byte_ns, total_ns, failure });
        }
    }
}

fn malformed(exchange: &Session<Http>, why: h1::Bad) -> Fault {
    tracing::info!(session = exchange.id, "answer refused: {}", why.reason());
    Fault::new(Who::Upstream, Cause::Malformed, 502)
}
