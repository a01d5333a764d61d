//! The life of a client's connection of HTTP/1: request after request, each an exchange.
//!
//! ```text
//! head → exchange → respond → head and body of the answer → log
//! ```

use crate::{
    Http,
    conn::{AHEAD, Conn, ROUNDS, within},
    exchange::{Protocol, Request, State, known},
    fault::Fault,
    h1::{self, ChunkedEncoder, Framing, Id, Method, Step, Version},
    http2,
    incoming::{self, Incoming, Shared},
    message::is_bare,
    proxy,
    reply::{Body, Call, Client, Flat, GONE, Reply, Upgrade},
    respond::{self, Begun},
};
use anyproxy_http_contract::{FilePart, Segment};
use anyproxy_module_api::{
    Cause, CloseReason, Error, ErrorKind, Exchange, Handler, Lease, Outcome, Recycled, Session, Stage, Stream, Who, now, now_ms,
    ready, tracing, unix_ms,
};
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
};

/// Most bytes of a request line: what is longer is no address that anybody wrote.
const LINE: u32 = 16 << 10;
/// How long a connection that ends is still heard, so that what the client has sent meanwhile does not make the system
/// throw the answer away.
const LINGER_MS: u64 = 1000;
/// Bytes of it, at most.
const LINGER: u64 = 4 << 20;

/// The stream handler `http`.
pub(crate) struct Handle;

impl Handler<Http> for Handle {
    const NAME: &'static str = "http";
    const EXCHANGES: bool = true;

    // Not an async fn, which would hold what it is given once more.
    fn handle(session: Session<Http>, stream: Stream) -> impl Future<Output = Result<(), Error>> {
        serve(session, stream)
    }
}

/// A body up to this length is read to keep the connection, though nobody wants it.
const SHORT: u64 = 64 << 10;
/// Buffers of answers that a worker keeps for the next ones.
const LENT: usize = 64;
/// How long a client may take to receive the head of an upgrade.
const BODY_MS: u64 = 60_000;

/// How the client's connection goes on after the answer.
#[derive(Clone, Copy, Debug)]
struct Manner {
    /// It takes another request.
    keep: bool,
    /// Of the request.
    version: Version,
    /// Only the head is wanted.
    head_only: bool,
}

impl Manner {
    /// Where nothing is known of the request.
    const CLOSE: Self = Self { keep: false, version: Version::Http11, head_only: false };
}

/// What becomes of the connection.
enum Next {
    /// Another request.
    Request,
    /// It ends in order.
    Close,
    /// It ends at once: what was sent is not whole, and the client can tell.
    Cut,
    /// It ends at once: what was sent is not whole, and only a reset tells the client.
    Reset,
    /// It is another protocol's now.
    Upgraded(Upgrade),
}

/// Not an async fn, which would hold what it is given twice.
fn serve(session: Session<Http>, stream: Stream) -> impl Future<Output = Result<(), Error>> {
    let info = stream.info();
    // What is neither a socket of its own has encryption in between.
    let secure = !matches!(info.protocol.as_str(), "tcp" | "unix");
    let agreed = info.alpn.as_str() == "h2";
    let conn: Shared = Rc::new(RefCell::new(Conn::new(stream)));
    let client = Client::new(&session);
    async move {
        let mut served = 0;
        loop {
            let waited = if agreed { Got::Http2 } else { await_first(&session, &conn, served).await? };
            let request = session.worker().request();
            if conn.borrow().out.capacity() == 0 {
                conn.borrow_mut().out = session.worker().lent.borrow_mut().pop().unwrap_or_default();
            }
            let got = match waited {
                Got::Request => match take_head(&session, &conn, &request, served) {
                    Some(got) => got,
                    None => Box::pin(await_head(&session, &conn, &request, served)).await?,
                },
                other => other,
            };
            let status = match got {
                Got::Nothing => break,
                Got::Http2 => {
                    let Some(conn) = Rc::into_inner(conn) else { return Ok(()) };
                    return Box::pin(http2::serve(session, conn.into_inner(), secure)).await;
                }
                // No request is lost: the next one is served by what the configuration says now.
                Got::Retired => {
                    if let Some(conn) = Rc::into_inner(conn) {
                        session.renew(conn.into_inner().into_stream());
                    }
                    return Ok(());
                }
                Got::Request => None,
                Got::Refused(status) => Some(status),
            };
            served += 1;
            session.worker().stats.requests.add();
            let exchange = session.exchange();
            let before = {
                let conn = conn.borrow();
                (conn.total_received - conn.unread().len() as u64, conn.total_sent)
            };
            let (status, head) = {
                let request = &mut *request.borrow_mut();
                if status.is_some() {
                    request.path = None;
                }
                request.secure = secure;
                request.protocol =
                    if request.request.head.version() == Version::Http10 { Protocol::Http10 } else { Protocol::Http11 };
                let bad_path = status.is_none() && request.decode_path().is_err();
                (status.or_else(|| bad_path.then_some(400)), request.request.bytes.len() as u64 + 2)
            };
            exchange.slot(|| State::new(request, &session.worker().spare));
            // Boxed: an idle connection holds this future at its largest.
            let next = Recycled::pin(one(&session, &exchange, &conn, &client, served, status)).await;
            let whole = {
                let conn = &mut *conn.borrow_mut();
                let received = conn.total_received - conn.unread().len() as u64 - before.0;
                exchange.client_received.set(received + if status.is_some() { 0 } else { head });
                exchange.client_sent.set(conn.total_sent - before.1);
                conn.rest();
                conn.body.is_done() && conn.unread().is_empty()
            };
            session.worker().stats.answered(exchange.status.get() as u16);
            match next {
                Ok(Next::Request) => {}
                // The client has sent all of it: nothing can come that would make the system throw the answer away.
                Ok(Next::Close) if whole => return Ok(()),
                Ok(Next::Close) => break,
                Ok(Next::Cut) => return Ok(()),
                Ok(Next::Reset) => {
                    conn.borrow_mut().stream.set_reset();
                    return Ok(());
                }
                Ok(Next::Upgraded(upgrade)) => {
                    let Some(conn) = Rc::into_inner(conn) else { return Ok(()) };
                    let stream = conn.into_inner().into_stream();
                    return match upgrade {
                        Upgrade::Peer(upstream, lease) => {
                            Box::pin(relay(&session, &exchange, stream, upstream, lease)).await
                        }
                        Upgrade::Module(upgraded) => Box::pin(go_on(&session, &exchange, upgraded.go_on(stream))).await,
                    };
                }
                Err(e) => {
                    exchange.close(CloseReason::new(Who::Client, Stage::Transfer, cause(&e)));
                    return Err(e);
                }
            }
        }
        end(&session, &conn).await
    }
}

/// Another protocol: the streams are joined to their ends. It is the connection that is watched and may be ended, and the
/// exchange that says in the log what it carried.
async fn relay(
    session: &Session<Http>,
    exchange: &Exchange<Http>,
    client: Stream,
    upstream: Stream,
    lease: Lease,
) -> Result<(), Error> {
    let count =
        |s: &Session<Http>| [&s.client_received, &s.client_sent, &s.upstream_received, &s.upstream_sent].map(Cell::get);
    let before = count(session);
    let began = now();
    let result = session.relay(client, upstream).await;
    let total_ns = (now() - began).as_nanos() as u64;
    lease.done(&Outcome { connect_ns: 0, first_byte_ns: 0, total_ns, failure: 0 });
    // What the exchange moved is added to its session when it ends.
    let to = [&exchange.client_received, &exchange.client_sent, &exchange.upstream_received, &exchange.upstream_sent];
    let from = [&session.client_received, &session.client_sent, &session.upstream_received, &session.upstream_sent];
    for ((to, from), before) in to.into_iter().zip(from).zip(before) {
        to.set(to.get() + (from.get() - before));
        from.set(before);
    }
    exchange.close_reason.set(session.close_reason.get());
    result
}

/// Another module's protocol: its exchange hears what the connection is told.
async fn go_on(
    session: &Session<Http>,
    exchange: &Exchange<Http>,
    run: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let mut run = pin!(run);
    poll_fn(|cx| {
        exchange.kill.set(session.kill.get());
        exchange.draining.set(session.draining.get());
        run.as_mut().poll(cx)
    })
    .await
}

fn cause(e: &Error) -> Cause {
    match e.kind {
        ErrorKind::TimedOut => Cause::Timeout,
        ErrorKind::Reset | ErrorKind::BrokenPipe => Cause::Reset,
        ErrorKind::Cancelled => Cause::Killed,
        _ => Cause::Closed,
    }
}

enum Got {
    /// The connection ended, or waited too long, between two requests.
    Nothing,
    /// Nothing is under way, and the configuration has changed.
    Retired,
    /// The client speaks HTTP/2.
    Http2,
    Request,
    Refused(u16),
}

/// Waits for the first bytes of a request, holding nothing. `Got::Request`: they are there.
async fn await_first(session: &Session<Http>, conn: &Shared, served: u64) -> Result<Got, Error> {
    if !conn.borrow().unread().is_empty() {
        return Ok(Got::Request);
    }
    let conf = session.conf();
    if served > 0 && conf.keepalive_ms == 0 {
        return Ok(Got::Nothing);
    }
    session.idle.set(1);
    if served > 0 {
        // Many are idle, and few speak at a time.
        let lent = &mut *session.worker().lent.borrow_mut();
        if lent.len() < LENT {
            lent.push(std::mem::take(&mut conn.borrow_mut().out));
        } else {
            conn.borrow_mut().out = Vec::new();
        }
    }
    let limit = if served == 0 { conf.header_ms } else { conf.keepalive_ms };
    let first = within(session, limit, |cx| {
        let filled = conn.borrow_mut().poll_fill(cx, conf.header_size);
        match filled {
            Poll::Pending if session.draining.get() != 0 => Poll::Ready(Ok(None)),
            filled => filled.map_ok(Some),
        }
    });
    let first = first.await;
    session.idle.set(0);
    match first {
        Ok(None) => Ok(Got::Retired),
        Ok(Some(0)) => Ok(Got::Nothing),
        Ok(Some(_)) => Ok(Got::Request),
        Err(e) if matches!(e.kind, ErrorKind::TimedOut | ErrorKind::Reset) => Ok(Got::Nothing),
        Err(e) => Err(e),
    }
}

fn limits(session: &Session<Http>) -> h1::Limits {
    let most = session.conf().header_size as u32;
    h1::Limits { line: LINE.min(most / 2), head: most, headers: session.conf().header_count }
}

/// Takes a request's head off the connection; `None`: not all of it is there.
fn take_head(session: &Session<Http>, conn: &Shared, to: &RefCell<Request>, served: u64) -> Option<Got> {
    let to = &mut to.borrow_mut().request;
    let conn = &mut *conn.borrow_mut();
    if served == 0 && conn.unread().starts_with(http2::PREFACE) {
        return Some(Got::Http2);
    }
    if served == 0 && http2::PREFACE.starts_with(conn.unread()) {
        return None;
    }
    match to.head.request(conn.unread(), &limits(session)) {
        Ok(Step::Done(len)) => {
            to.take(&conn.unread()[..len]);
            conn.consume(len);
            Some(Got::Request)
        }
        Ok(Step::More) => None,
        Err(bad) => {
            tracing::info!(session = session.id, status = bad.status(), "request refused: {}", bad.reason());
            Some(Got::Refused(bad.status()))
        }
    }
}

/// Waits for what is missing of a request's head.
async fn await_head(session: &Session<Http>, conn: &Shared, to: &RefCell<Request>, served: u64) -> Result<Got, Error> {
    let by = now_ms() + session.conf().header_ms;
    let most = session.conf().header_size;
    loop {
        let left = by.saturating_sub(now_ms()).max(1);
        match within(session, left, |cx| conn.borrow_mut().poll_fill(cx, most)).await {
            Ok(0) => return Ok(Got::Nothing),
            Ok(_) => {}
            Err(e) if e.kind == ErrorKind::TimedOut => return Ok(Got::Refused(408)),
            Err(e) => return Err(e),
        }
        if let Some(got) = take_head(session, conn, to, served) {
            return Ok(got);
        }
    }
}

/// One request, from its head to the end of its answer. `status`: it is refused with that.
async fn one(
    session: &Session<Http>,
    exchange: &Exchange<Http>,
    conn: &Shared,
    client: &Client,
    served: u64,
    status: Option<u16>,
) -> Result<Next, Error> {
    let Some(state) = known(exchange) else { return Ok(Next::Close) };
    let conf = Cell::new(None);
    let call = Call { watch: session, exchange, state, client, conf: &conf };
    if let Some(status) = status {
        // What follows is heard and thrown away before the end.
        conn.borrow_mut().body = h1::Body::UntilClose;
        let reply = respond::refused(&call, status);
        return deliver(&call, conn, reply, Manner::CLOSE).await;
    }
    let (framing, mut manner, expects) = {
        let parts = &*state.parts.borrow();
        let (head, bytes) = (&parts.request.head, &parts.request.bytes);
        let framing = h1::request_framing(head, bytes);
        let most = session.conf().keepalive_requests;
        let keep = h1::keep_alive(head.version(), h1::connection(head, bytes))
            && session.draining.get() < 2
            && session.conf().keepalive_ms != 0
            && (most == 0 || served < most);
        let manner = Manner { keep, version: head.version(), head_only: head.method() == Method::Head };
        let expects = head.version() == Version::Http11
            && head.fields().value(bytes, Id::Expect).is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue"));
        (framing, manner, expects)
    };
    let framing = match framing {
        Ok(Framing::UntilClose) => Framing::None,
        Ok(framing) => framing,
        Err(bad) => {
            tracing::info!(session = session.id, status = bad.status(), "request refused: {}", bad.reason());
            manner.keep = false;
            conn.borrow_mut().body = h1::Body::UntilClose;
            let reply = respond::refused(&call, bad.status());
            return deliver(&call, conn, reply, manner).await;
        }
    };
    let (begun, short) = {
        let incoming = incoming::begin_http1(conn, framing, manner.version, expects);
        // A body that nobody reads is read and thrown away if it is short; otherwise the connection ends.
        let short = incoming.length().is_some_and(|n| n <= SHORT);
        (respond::begin(&call, exchange, incoming), short)
    };
    let reply = match begun {
        Begun::Reply(reply) => reply,
        Begun::Peer(conf, incoming) => respond::passed(&call, conf, proxy::pass(&call, conf, incoming).await),
        Begun::Later(reply) => reply.await,
    };
    let reply = respond::finish(&call, reply);
    {
        let conn = conn.borrow();
        // One that waits to be asked may send it or not: nobody knows where the next request begins.
        let ends = conn.body.is_done() || (short && !conn.expects) || reply.body.is_echo();
        // Whoever sends more than is taken may go on sending.
        manner.keep &= ends && exchange.status.get() != 413;
    }
    deliver(&call, conn, reply, manner).await
}

/// Writes an answer's head as this client gets it; whether its body goes in chunks.
fn write_head(call: &Call<'_>, reply: &Reply, manner: &mut Manner, out: &mut Vec<u8>) -> bool {
    let parts = &*call.state.parts.borrow();
    let message = &parts.response;
    let status = message.status();
    message.write_answer(out);
    if message.head.fields().first(Id::Date).is_none() {
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(&h1::http_date(unix_ms() / 1000));
        out.extend_from_slice(b"\r\n");
    }
    let mut chunked = false;
    if reply.upgrade.is_some() {
        out.extend_from_slice(b"Connection: upgrade\r\n\r\n");
        return false;
    }
    if !is_bare(status) && message.value(Id::ContentLength).is_none() {
        match reply.length {
            Some(n) => {
                out.extend_from_slice(b"Content-Length: ");
                out.extend_from_slice(h1::decimal(n).as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            None if manner.head_only => {}
            None if manner.version == Version::Http11 => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                chunked = true;
            }
            None => manner.keep = false,
        }
    }
    if status == 426 {
        // What it offers is said of this connection (RFC 9110 section 7.8).
        out.extend_from_slice(b"Connection: upgrade\r\n");
    }
    match (manner.keep, manner.version) {
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
    out.extend_from_slice(b"\r\n");
    chunked
}

/// Sends an answer, and reads what is left of the request where the connection goes on.
#[expect(clippy::manual_async_fn, reason = "an async fn holds the answer twice")]
fn deliver(
    call: &Call<'_>,
    conn: &Shared,
    mut reply: Reply,
    mut manner: Manner,
) -> impl Future<Output = Result<Next, Error>> {
    async move {
        let status = call.state.parts.borrow().response.status();
        let chunked = write_head(call, &reply, &mut manner, &mut conn.borrow_mut().out);
        if let Some(upgrade) = reply.upgrade.take() {
            within(call.watch, BODY_MS, |cx| conn.borrow_mut().poll_send(cx, false)).await?;
            return Ok(Next::Upgraded(upgrade));
        }
        if manner.head_only || is_bare(status) {
            reply.body = Body::Empty;
        }
        match &mut reply.body {
            Body::Bytes(bytes) if !chunked => {
                conn.borrow_mut().put(std::mem::take(bytes), false);
                reply.body = Body::Empty;
            }
            Body::Small(bytes) if !chunked => {
                conn.borrow_mut().out.extend_from_slice(bytes);
                reply.body = Body::Empty;
            }
            _ => {}
        }
        let limit = call.conf().unwrap_or_else(|| call.watch.conf()).body_ms;
        let sent = if matches!(reply.body, Body::Empty) && !chunked {
            // All of it is in the connection's hands, as with most answers.
            let send = |cx: &mut Context<'_>| conn.borrow_mut().poll_send(cx, !manner.keep);
            within(call.watch, limit, send).await.map_err(|e| client(&e))
        } else {
            Box::pin(send_body(call, conn, reply.body, chunked, manner.keep, limit)).await
        };
        match sent {
            Ok(()) => {}
            Err(fault)
                if fault.who == Who::Client && fault.cause != Cause::Malformed && fault.cause != Cause::Limit =>
            {
                call.exchange.close(CloseReason::new(fault.who, fault.stage, fault.cause));
                return Ok(Next::Reset);
            }
            Err(fault) => {
                call.exchange.close(CloseReason::new(fault.who, fault.stage, fault.cause));
                // What came of the answer belongs to the client, if it takes it.
                let sent = within(call.watch, limit, |cx| conn.borrow_mut().poll_send(cx, true)).await;
                let delimited = manner.version == Version::Http11 && fault.who != Who::Client;
                return Ok(if delimited && sent.is_ok() { Next::Cut } else { Next::Reset });
            }
        }
        if !manner.keep {
            return Ok(Next::Close);
        }
        if conn.borrow().body.is_done() || Box::pin(throw_away(call, conn, limit)).await.is_ok() {
            return Ok(Next::Request);
        }
        Ok(Next::Close)
    }
}

async fn send_body(
    call: &Call<'_>,
    conn: &Shared,
    body: Body,
    chunked: bool,
    keep: bool,
    limit: u64,
) -> Result<(), Fault> {
    let mut sending = Sending { body: Flat::new(body), file: None, ended: false, chunked, keep, moved: true };
    sending.finish(call, conn, limit).await
}

/// Reads what nobody read of a request's body.
async fn throw_away(call: &Call<'_>, conn: &Shared, limit: u64) -> Result<(), Error> {
    let mut rest = Incoming::http1(conn, Framing::Chunked, Version::Http11);
    rest.limit = SHORT;
    while within(call.watch, limit, |cx| rest.poll_next(cx)).await?.is_some() {}
    Ok(())
}

/// The sending of one body.
struct Sending {
    body: Flat,
    /// Sent by the stream itself, once nothing is left before it.
    file: Option<FilePart>,
    /// All of the body is in the connection's hands.
    ended: bool,
    chunked: bool,
    keep: bool,
    /// Bytes moved since the deadline was set.
    moved: bool,
}

impl Sending {
    async fn finish(&mut self, call: &Call<'_>, conn: &Shared, limit: u64) -> Result<(), Fault> {
        let watch = call.watch;
        watch.fired.set(0);
        let mut uploaded = 0;
        let r = poll_fn(|cx| {
            if watch.kill.get() != 0 {
                return Poll::Ready(Err(Fault::new(Who::Proxy, Cause::Killed, 0)));
            }
            match self.poll(call, conn, cx) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(fault) => return Poll::Ready(Err(fault)),
            }
            if conn.borrow().stream.state() & ready::HUP != 0 {
                return Poll::Ready(Err(Fault::new(Who::Client, Cause::Reset, 0)));
            }
            // The request's body may go on while nothing of the answer comes.
            let sent = call.exchange.upstream_sent.get();
            self.moved |= std::mem::replace(&mut uploaded, sent) != sent;
            if std::mem::take(&mut self.moved) {
                watch.deadline_ms.set(now_ms() + limit);
            }
            if watch.fired.replace(0) != 0 && now_ms() >= watch.deadline_ms.get().max(1) {
                let stands = conn.borrow().pending() > 0 || self.file.is_some();
                let fault = if stands { Fault::new(Who::Client, Cause::Timeout, 0) } else { self.body.body.stalled() };
                return Poll::Ready(Err(fault));
            }
            Poll::Pending
        })
        .await;
        watch.deadline_ms.set(0);
        r
    }

    /// Moves what can be moved, but for so many rounds. True: it is over.
    fn poll(&mut self, call: &Call<'_>, conn: &Shared, cx: &mut Context<'_>) -> Result<bool, Fault> {
        for _ in 0..ROUNDS {
            let mut moved = self.gather(call, conn, cx)?;
            let conn = &mut *conn.borrow_mut();
            if conn.pending() > 0 {
                let before = conn.pending();
                let more = self.file.is_some() || (self.ended && !self.keep);
                match conn.poll_send(cx, more) {
                    Poll::Ready(Ok(())) => moved = true,
                    Poll::Ready(Err(e)) => return Err(client(&e)),
                    Poll::Pending => moved |= conn.pending() < before,
                }
            }
            if conn.pending() == 0 {
                if self.ended && self.file.is_none() {
                    return Ok(true);
                }
                moved |= self.send_file(conn, cx)?;
            }
            if !moved {
                return Ok(false);
            }
            self.moved = true;
        }
        cx.waker().wake_by_ref();
        Ok(false)
    }

    /// Takes pieces of the body up to a bound.
    fn gather(&mut self, call: &Call<'_>, conn: &Shared, cx: &mut Context<'_>) -> Result<bool, Fault> {
        let mut moved = false;
        while !self.ended && self.file.is_none() {
            if conn.borrow().pending() >= AHEAD {
                self.body.body.drive(call.exchange, cx)?;
                break;
            }
            // It may read from the client meanwhile.
            let next = if self.body.is_reading() {
                self.body.poll_next(call.exchange, cx)
            } else {
                self.body.body.poll_next(call.exchange, cx)
            };
            let Poll::Ready(next) = next else { break };
            moved = true;
            let conn = &mut *conn.borrow_mut();
            match next? {
                Some(Segment::Bytes(piece)) => conn.put(piece, self.chunked),
                // The head of a chunk would be needed for each call that sends: few bodies have both.
                Some(Segment::File(part)) if self.chunked => self.body.read(part),
                Some(Segment::File(part)) => self.file = (part.len > 0).then_some(part),
                Some(Segment::Trailers(lines)) => {
                    if self.chunked {
                        ChunkedEncoder::last(&lines, &mut conn.out);
                    }
                    self.chunked = false;
                    self.ended = true;
                }
                None => {
                    if self.chunked {
                        conn.out.extend_from_slice(ChunkedEncoder::LAST);
                    }
                    self.ended = true;
                }
            }
        }
        Ok(moved)
    }

    fn send_file(&mut self, conn: &mut Conn, cx: &mut Context<'_>) -> Result<bool, Fault> {
        let Some(part) = &mut self.file else { return Ok(false) };
        let len = usize::try_from(part.len).unwrap_or(usize::MAX).min(1 << 30);
        match conn.poll_sendfile(cx, part.file.fd(), part.at, len) {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(0)) => Err(GONE),
            Poll::Ready(Ok(n)) => {
                part.at += n as u64;
                part.len -= (n as u64).min(part.len);
                if part.len == 0 {
                    self.file = None;
                }
                Ok(true)
            }
            Poll::Ready(Err(e)) if e.kind == ErrorKind::Unsupported => {
                self.body.read(part.clone());
                self.file = None;
                Ok(true)
            }
            Poll::Ready(Err(e)) => Err(client(&e)),
        }
    }
}

fn client(e: &Error) -> Fault {
    Fault::new(Who::Client, cause(e), 0)
}

/// Ends the connection in order: what the client still sends is heard for a moment.
async fn end(session: &Session<Http>, conn: &Shared) -> Result<(), Error> {
    within(session, LINGER_MS, |cx| conn.borrow_mut().stream.poll_shutdown(cx)).await?;
    let by = now_ms() + LINGER_MS;
    let most = conn.borrow().total_received + LINGER;
    while conn.borrow().total_received < most {
        {
            let conn = &mut *conn.borrow_mut();
            let unread = conn.unread().len();
            conn.consume(unread);
        }
        let left = by.saturating_sub(now_ms());
        if left == 0 {
            break;
        }
        match within(session, left, |cx| conn.borrow_mut().poll_fill(cx, 1)).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => break,
        }
    }
    Ok(())
}
