//! Passes a request to a peer and its answer back: both directions at once, nothing stored beyond a buffer of each.

use crate::{
    Http,
    answer::{self, Manner},
    body::{self, Incoming},
    conf::Conf,
    conn::{AHEAD, Conn},
    exchange::{Message, Request, State, known},
    h1::{self, Body, ChunkLimits, ChunkedEncoder, Event, Framing, Id, Ids, Keep, Method, Step, Target, Version},
    headers,
    server::{Next, refuse_with},
};
use anyproxy_module_api::{
    Cause, CloseReason, Error, ErrorKind, Exchange, Lease, Outcome, Session, Stage, Who, now, now_ms, tracing,
};
use std::{
    future::poll_fn,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll},
};

/// Most of a peer's head.
const HEAD: h1::Limits = h1::Limits { line: 8 << 10, head: 64 << 10, headers: 200 };

/// A connection to a peer, with the use of it that is counted.
struct Peer {
    conn: Box<Conn>,
    lease: Lease,
    id: u64,
    /// It carried a request before.
    reused: bool,
}

/// Why an exchange with a peer failed.
struct Fault {
    who: Who,
    cause: Cause,
    /// For the client, if nothing was sent to it yet.
    status: u16,
    /// The peer had sent nothing of an answer.
    unanswered: bool,
}

/// Passes the request on and the answer back.
///
/// # Errors
/// What the client's stream says.
pub(crate) async fn pass(
    session: &Session<Http>,
    exchange: &Exchange<Http>,
    conf: &Conf,
    conn: &mut Conn,
    incoming: &mut Incoming,
    manner: Manner,
) -> Result<Next, Error> {
    let Some(state) = known(exchange) else { return Ok(Next::Close) };
    let stats = &session.module().stats;
    if conn.address.is_empty() {
        // The connection's: whom a trusted sender speaks for is in the header already.
        match session.client.get().ip() {
            Some(ip) => conn.address = ip.to_string(),
            None => conn.address.push_str("unix:"),
        }
    }
    let mut fresh = false;
    loop {
        let peer = match connect(session, exchange, fresh).await {
            Ok(peer) => peer,
            Err(e) => {
                let (status, cause) = match e.kind {
                    ErrorKind::TimedOut => (504, Cause::Timeout),
                    ErrorKind::Refused => (502, Cause::Refused),
                    ErrorKind::NoPeer => (502, Cause::NoPeer),
                    ErrorKind::Limit => (503, Cause::Limit),
                    _ => (502, Cause::Unreachable),
                };
                tracing::debug!(session = exchange.id, status, "no peer: {e}");
                exchange.close(CloseReason::new(Who::Upstream, Stage::Connect, cause));
                return refuse_with(session, exchange, conn, status, manner, incoming).await;
            }
        };
        let reused = peer.reused;
        let sent_before = conn.total_sent;
        let mut run = Run::new(state, exchange, conf, conn, incoming, manner, peer);
        let fault = match run.finish(session).await {
            Ok(next) => return Ok(next),
            Err(fault) => fault,
        };
        let body_untouched = run.body_untouched;
        drop(run);
        let nothing_sent = conn.total_sent == sent_before;
        let idempotent =
            !matches!(state.parts.borrow().method(), Method::Post | Method::Patch | Method::Other | Method::Connect);
        // A connection that was kept may have ended while the request was on its way: another one is asked. Not about
        // what the peer may have done already.
        if fault.who == Who::Upstream && fault.unanswered && reused && idempotent && nothing_sent && body_untouched {
            stats.upstream_retried.fetch_add(1, Relaxed);
            conn.out.clear();
            fresh = true;
            continue;
        }
        exchange.close(CloseReason::new(fault.who, Stage::Transfer, fault.cause));
        let status = match (fault.status, fault.who) {
            (0, Who::Upstream) => 502,
            (status, _) => status,
        };
        if !nothing_sent || status == 0 {
            // What came of the answer belongs to the client, if it takes it.
            let sent = crate::conn::within(session, conf.body_ms, |cx| conn.poll_send(cx, true)).await;
            let delimited = manner.version == Version::Http11 && fault.who == Who::Upstream;
            return Ok(if delimited && sent.is_ok() { Next::Cut } else { Next::Reset });
        }
        conn.out.clear();
        let manner = if incoming.is_done() { manner } else { Manner { keep: false, ..manner } };
        return refuse_with(session, exchange, conn, status, manner, incoming).await;
    }
}

/// A connection to one of the local's peers: one that is kept, or a new one.
async fn connect(session: &Session<Http>, exchange: &Exchange<Http>, fresh: bool) -> Result<Peer, Error> {
    let stats = &session.module().stats;
    let mut lease = exchange.pick_peer("").await?;
    let id = lease.info().id;
    if !fresh && let Some(conn) = session.worker().idle.take(id) {
        stats.upstream_reused.fetch_add(1, Relaxed);
        return Ok(Peer { conn, lease, id, reused: true });
    }
    stats.upstream_new.fetch_add(1, Relaxed);
    match lease.connect().await {
        Ok(stream) => Ok(Peer { conn: Box::new(Conn::new(stream)), lease, id, reused: false }),
        Err(_) => {
            lease.done(&Outcome { connect_ns: 0, first_byte_ns: 0, total_ns: 0, failure: 1 });
            // Others, as the upstream's `retry` says.
            let (stream, lease) = exchange.connect_upstream().await?;
            let id = lease.info().id;
            Ok(Peer { conn: Box::new(Conn::new(stream)), lease, id, reused: false })
        }
    }
}

/// How far the answer is.
enum Phase {
    Head,
    Body {
        body: Body,
        chunked: bool,
    },
    /// All of it is in the client's hands, or on its way there.
    Done,
}

struct Run<'a> {
    state: &'a State,
    exchange: &'a Exchange<Http>,
    conf: &'a Conf,
    client: &'a mut Conn,
    incoming: &'a mut Incoming,
    manner: Manner,
    /// `None` once it was given back.
    up: Option<Box<Conn>>,
    /// What the connection had carried before.
    carried: (u64, u64),
    lease: Option<Lease>,
    peer: u64,
    began: u64,
    phase: Phase,
    /// The whole request is in the peer's hands.
    uploaded: bool,
    /// The last chunk was written.
    ended: bool,
    /// The peer takes no more of the request.
    deaf: bool,
    body_untouched: bool,
    /// The request asks for another protocol.
    upgrade: bool,
    upgraded: bool,
    peer_keeps: bool,
    keeps_ms: u64,
    /// Bytes moved since the deadline was set.
    moved: bool,
}

impl<'a> Run<'a> {
    fn new(
        state: &'a State,
        exchange: &'a Exchange<Http>,
        conf: &'a Conf,
        client: &'a mut Conn,
        incoming: &'a mut Incoming,
        manner: Manner,
        peer: Peer,
    ) -> Self {
        let mut up = peer.conn;
        let carried = (up.total_sent, up.total_received);
        let mut lines = headers::render(&conf.request_headers, exchange);
        if let Some(name) = conf.request_id {
            // A name and an id are always a line.
            let _ = h1::field(name.as_bytes(), exchange.request_id().as_bytes(), &mut lines);
        }
        let parts = &mut *state.parts.borrow_mut();
        parts.response.head.clear();
        parts.response.bytes.clear();
        let upgrade =
            write_request(parts, &client.address, conf, incoming, peer.lease.info().host.as_str(), &lines, &mut up.out);
        Self {
            state,
            exchange,
            conf,
            client,
            uploaded: false,
            ended: false,
            deaf: false,
            body_untouched: true,
            incoming,
            manner,
            up: Some(up),
            carried,
            lease: Some(peer.lease),
            peer: peer.id,
            began: now().as_nanos() as u64,
            phase: Phase::Head,
            upgrade,
            upgraded: false,
            peer_keeps: true,
            keeps_ms: conf.upstream_idle_ms,
            moved: false,
        }
    }

    /// To the end of the answer.
    async fn finish(&mut self, session: &Session<Http>) -> Result<Next, Fault> {
        self.arm(session);
        session.fired.set(0);
        let r = poll_fn(|cx| {
            if session.kill.get() != 0 {
                return Poll::Ready(Err(self.fault(Who::Proxy, Cause::Killed, 0)));
            }
            match self.poll(cx) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(fault) => return Poll::Ready(Err(fault)),
            }
            if std::mem::take(&mut self.moved) {
                self.arm(session);
            }
            if session.fired.replace(0) != 0 && now_ms() >= session.deadline_ms.get().max(1) {
                return Poll::Ready(Err(self.timed_out()));
            }
            Poll::Pending
        })
        .await;
        session.deadline_ms.set(0);
        let up = self.up.as_ref();
        self.exchange
            .upstream_sent
            .set(self.exchange.upstream_sent.get() + up.map_or(0, |u| u.total_sent - self.carried.0));
        self.exchange
            .upstream_received
            .set(self.exchange.upstream_received.get() + up.map_or(0, |u| u.total_received - self.carried.1));
        r?;
        if self.upgraded
            && let (Some(up), Some(lease)) = (self.up.take(), self.lease.take())
        {
            return Ok(Next::Upgraded(up.into_stream(), lease));
        }
        Ok(if self.manner.keep { Next::Request } else { Next::Close })
    }

    /// Sets the deadline anew: something moved.
    fn arm(&mut self, session: &Session<Http>) {
        let waits_for_answer = matches!(self.phase, Phase::Head) && self.uploaded;
        let limit = if waits_for_answer { self.conf.first_byte_ms } else { self.conf.body_ms };
        session.deadline_ms.set(now_ms() + limit);
    }

    /// A deadline that passed: whose fault it is.
    fn timed_out(&self) -> Fault {
        match self.phase {
            Phase::Head if self.uploaded => self.fault(Who::Upstream, Cause::Timeout, 504),
            Phase::Head if self.up.as_ref().is_some_and(|u| u.pending() > 0) => {
                self.fault(Who::Upstream, Cause::Timeout, 504)
            }
            Phase::Head => self.fault(Who::Client, Cause::Timeout, 408),
            Phase::Body { .. } if self.client.pending() == 0 => self.fault(Who::Upstream, Cause::Timeout, 0),
            _ => self.fault(Who::Client, Cause::Timeout, 0),
        }
    }

    fn fault(&self, who: Who, cause: Cause, status: u16) -> Fault {
        let unanswered = self.up.as_ref().is_some_and(|u| u.total_received == self.carried.1);
        Fault { who, cause, status, unanswered }
    }

    /// Moves what can be moved. True: it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Result<bool, Fault> {
        loop {
            let mut moved = self.upload(cx)?;
            moved |= self.download(cx)?;
            if self.client.pending() > 0 && !self.client.puts_off(cx) {
                let before = self.client.pending();
                let last = matches!(self.phase, Phase::Done) && !self.manner.keep && !self.upgraded;
                match self.client.poll_send(cx, last) {
                    Poll::Ready(Ok(())) => moved = true,
                    Poll::Ready(Err(_)) => return Err(self.fault(Who::Client, Cause::Reset, 0)),
                    Poll::Pending => moved |= self.client.pending() < before,
                }
            }
            if matches!(self.phase, Phase::Done) && self.client.pending() == 0 {
                return Ok(true);
            }
            if !moved {
                return Ok(false);
            }
            self.moved = true;
        }
    }

    /// The request's head and body, to the peer.
    fn upload(&mut self, cx: &mut Context<'_>) -> Result<bool, Fault> {
        if self.uploaded || self.deaf || matches!(self.phase, Phase::Done) {
            return Ok(false);
        }
        let Some(up) = self.up.as_mut() else { return Ok(false) };
        let mut moved = false;
        let chunked = self.incoming.is_chunked();
        while !self.incoming.is_done() && up.pending() < AHEAD {
            match self.incoming.poll_piece(self.client, cx) {
                Poll::Ready(Ok(Some(piece))) => {
                    let end = piece.end;
                    body::put(&self.client.unread()[piece], chunked, &mut up.out);
                    self.client.consume(end);
                    self.body_untouched = false;
                    moved = true;
                }
                Poll::Ready(Ok(None)) => break,
                Poll::Ready(Err(e)) => {
                    let (cause, status) = match e.kind {
                        ErrorKind::Invalid => (Cause::Malformed, 400),
                        ErrorKind::Limit => (Cause::Limit, 413),
                        ErrorKind::Reset => (Cause::Reset, 0),
                        _ => (Cause::Closed, 0),
                    };
                    return Err(self.fault(Who::Client, cause, status));
                }
                Poll::Pending => break,
            }
        }
        let done = self.incoming.is_done();
        if done && chunked && !std::mem::replace(&mut self.ended, true) {
            ChunkedEncoder::last(self.incoming.trailers(), &mut up.out);
        }
        if up.pending() > 0 && !up.puts_off(cx) {
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

    /// The answer's head and body, to the client.
    fn download(&mut self, cx: &mut Context<'_>) -> Result<bool, Fault> {
        let mut moved = false;
        while self.client.pending() < AHEAD {
            match &mut self.phase {
                Phase::Done => break,
                Phase::Head => match self.head()? {
                    true => {
                        self.pass_head()?;
                        moved = true;
                    }
                    false => match self.fill(cx) {
                        Poll::Ready(Ok(0)) => {
                            let cause = Cause::Closed;
                            return Err(self.fault(Who::Upstream, cause, 502));
                        }
                        Poll::Ready(Ok(_)) => moved = true,
                        Poll::Ready(Err(e)) => {
                            let cause = if e.kind == ErrorKind::Reset { Cause::Reset } else { Cause::Closed };
                            return Err(self.fault(Who::Upstream, cause, 502));
                        }
                        Poll::Pending => break,
                    },
                },
                Phase::Body { body, chunked } => {
                    let Some(up) = self.up.as_mut() else { break };
                    match body.decode(up.unread()) {
                        Ok(Event::Data(range)) => {
                            let end = range.end;
                            body::put(&up.unread()[range], *chunked, &mut self.client.out);
                            up.consume(end);
                            moved = true;
                        }
                        Ok(Event::End(n)) => {
                            up.consume(n);
                            if *chunked {
                                ChunkedEncoder::last(body.trailers(), &mut self.client.out);
                            }
                            self.complete();
                            moved = true;
                        }
                        Ok(Event::More(n)) => {
                            up.consume(n);
                            match self.fill(cx) {
                                Poll::Ready(Ok(0)) => {
                                    let Phase::Body { body, chunked } = &mut self.phase else { break };
                                    if body.end_of_stream().is_err() {
                                        return Err(self.fault(Who::Upstream, Cause::Closed, 0));
                                    }
                                    if *chunked {
                                        self.client.out.extend_from_slice(ChunkedEncoder::LAST);
                                    }
                                    self.peer_keeps = false;
                                    self.complete();
                                    moved = true;
                                }
                                Poll::Ready(Ok(_)) => moved = true,
                                Poll::Ready(Err(_)) => return Err(self.fault(Who::Upstream, Cause::Reset, 0)),
                                Poll::Pending => break,
                            }
                        }
                        Err(_) => return Err(self.fault(Who::Upstream, Cause::Malformed, 0)),
                    }
                }
            }
        }
        Ok(moved)
    }

    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Error>> {
        match self.up.as_mut() {
            Some(up) => up.poll_fill(cx, HEAD.head as usize),
            None => Poll::Ready(Ok(0)),
        }
    }

    /// Takes the head of an answer, if it is there.
    fn head(&mut self) -> Result<bool, Fault> {
        let bad = |run: &Self, why: h1::Bad| {
            tracing::info!(session = run.exchange.id, "answer refused: {}", why.reason());
            run.fault(Who::Upstream, Cause::Malformed, 502)
        };
        let parts = &mut *self.state.parts.borrow_mut();
        let Some(up) = self.up.as_mut() else { return Ok(false) };
        let Message { bytes, head } = &mut parts.response;
        let len = match head.response(up.unread(), &HEAD) {
            Ok(Step::Done(len)) => len,
            Ok(Step::More) => return Ok(false),
            Err(why) => return Err(bad(self, why)),
        };
        bytes.clear();
        bytes.extend_from_slice(&up.unread()[..len]);
        up.consume(len);
        Ok(true)
    }

    /// Writes the head that was taken as the client gets it.
    fn pass_head(&mut self) -> Result<(), Fault> {
        let bad = |run: &Self, why: h1::Bad| {
            tracing::info!(session = run.exchange.id, "answer refused: {}", why.reason());
            run.fault(Who::Upstream, Cause::Malformed, 502)
        };
        let rules = &self.conf.response_headers;
        let status = self.state.parts.borrow().response.head.status();
        self.exchange.status.set(status.into());
        // Before the head is held for writing: the values may be of it.
        let lines = if rules.is_empty() { Vec::new() } else { headers::render(rules, self.exchange) };
        let parts = &mut *self.state.parts.borrow_mut();
        let method = parts.method();
        let Message { bytes, head } = &mut parts.response;
        let interim = (100..200).contains(&status) && status != 101;
        let framing = h1::response_framing(head, bytes, method).map_err(|why| bad(self, why))?;
        let upgrades = status == 101;
        if upgrades && !self.upgrade {
            return Err(bad(self, h1::Bad::Status));
        }
        let keep = Keep { upgrade: upgrades, trailers: false };
        h1::strip_response(head, bytes, method, keep, &mut parts.struck).map_err(|why| bad(self, why))?;
        let out = &mut self.client.out;
        if interim {
            if self.manner.version == Version::Http11 {
                h1::status_line(Version::Http11, status, head.reason(bytes), out).map_err(|why| bad(self, why))?;
                h1::headers(head, bytes, &parts.struck, &mut self.client.out);
                self.client.out.extend_from_slice(b"\r\n");
            }
            parts.response.head.clear();
            return Ok(());
        }
        headers::strike(rules, head.fields(), bytes, &mut parts.struck);
        let says = h1::connection(head, bytes);
        self.peer_keeps = h1::keep_alive(head.version(), says) && framing != Framing::UntilClose;
        if let Some(n) = head.fields().value(bytes, Id::KeepAlive).and_then(timeout) {
            // A second less: it may have begun to count when it sent the answer.
            self.keeps_ms = self.keeps_ms.min((n * 1000).saturating_sub(1000));
        }
        let unknown = matches!(framing, Framing::Chunked | Framing::UntilClose);
        let chunked = unknown && self.manner.version == Version::Http11;
        // Nobody can tell where the next request begins while this one's body is on its way.
        if (unknown && !chunked) || !(self.uploaded || self.incoming.is_done()) {
            self.manner.keep = false;
        }
        h1::status_line(Version::Http11, status, head.reason(bytes), &mut self.client.out)
            .map_err(|why| bad(self, why))?;
        h1::headers(head, bytes, &parts.struck, &mut self.client.out);
        let out = &mut self.client.out;
        out.extend_from_slice(&lines);
        if upgrades {
            out.extend_from_slice(b"Connection: upgrade\r\n");
        } else {
            answer::connection(self.manner, out);
        }
        if chunked {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
        }
        out.extend_from_slice(b"\r\n");
        self.phase = Phase::Body { body: Body::new(framing, ChunkLimits::default()), chunked };
        if upgrades {
            self.upgraded = true;
            self.phase = Phase::Done;
        }
        Ok(())
    }

    /// The answer is complete: the peer's connection is free before the client has it all.
    fn complete(&mut self) {
        self.phase = Phase::Done;
        let total = (now().as_nanos() as u64).saturating_sub(self.began);
        if let Some(lease) = self.lease.take() {
            lease.done(&Outcome { connect_ns: 0, first_byte_ns: 0, total_ns: total, failure: 0 });
        }
        let fit = self.peer_keeps && self.uploaded && !self.deaf;
        let Some(up) = self.up.as_ref().filter(|up| fit && up.unread().is_empty()) else { return };
        self.exchange.upstream_sent.set(self.exchange.upstream_sent.get() + up.total_sent - self.carried.0);
        self.exchange.upstream_received.set(self.exchange.upstream_received.get() + up.total_received - self.carried.1);
        if let Some(up) = self.up.take() {
            let idle = &self.exchange.worker().idle;
            idle.give(self.peer, up, now_ms() + self.keeps_ms, self.conf.upstream_idle);
        }
    }
}

/// `timeout=` of a Keep-Alive header, seconds.
fn timeout(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    text.split(',').find_map(|p| p.trim().strip_prefix("timeout=")?.parse().ok())
}

/// Writes the request's head as the peer gets it; whether it asks for another protocol.
fn write_request(
    parts: &mut Request,
    client: &str,
    conf: &Conf,
    incoming: &Incoming,
    peer_host: &str,
    lines: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    const OWN: Ids = Ids::of(&[Id::XForwardedFor, Id::XForwardedProto]);
    let struck = &mut std::mem::take(&mut parts.struck);
    let Message { bytes, head } = &parts.request;
    let fields = head.fields();
    let upgrade = h1::connection(head, bytes).upgrade && fields.first(Id::Upgrade).is_some();
    let keep = Keep { upgrade, trailers: false };
    if h1::strip_request(head, bytes, keep, struck).is_err() {
        // More names than anybody means: none of the headers they may hide is passed on.
        (0..fields.list().len()).for_each(|n| struck.strike(n));
    }
    struck.strike_ids(fields, OWN);
    headers::strike(&conf.request_headers, fields, bytes, struck);
    if let Some(name) = conf.request_id {
        headers::strike_name(name, fields, bytes, struck);
    }
    h1::request_line(head, bytes, out);
    let host = match head.form() {
        Target::Absolute { .. } => {
            struck.strike_ids(fields, Ids::of(&[Id::Host]));
            Some(parts.authority())
        }
        _ if fields.first(Id::Host).is_none() => Some(peer_host.as_bytes()),
        _ => None,
    };
    if let Some(host) = host {
        out.extend_from_slice(b"Host: ");
        out.extend_from_slice(host);
        out.extend_from_slice(b"\r\n");
    }
    h1::headers(head, bytes, struck, out);
    out.extend_from_slice(lines);
    out.extend_from_slice(b"X-Forwarded-For: ");
    for before in fields.all(Id::XForwardedFor) {
        out.extend_from_slice(before.value(bytes));
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(client.as_bytes());
    out.extend_from_slice(b"\r\nX-Forwarded-Proto: http\r\n");
    if incoming.is_chunked() {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if upgrade {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else if conf.upstream_idle == 0 {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    parts.struck = std::mem::take(struck);
    upgrade
}
