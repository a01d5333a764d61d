//! The life of a client's connection: request after request, each an exchange.
//!
//! ```text
//! head → exchange → host: server → path and rules: local → access → body limit → answerer → log
//! ```

use crate::{
    Http,
    answer::{self, Manner},
    body::Incoming,
    conf::{Answerer, Conf},
    conn::{Conn, within},
    exchange::{Request, State, known},
    h1::{self, Framing, Id, Method, Step, Version},
    headers, proxy, statics,
};
use anyproxy_module_api::{
    Cause, CloseReason, Error, ErrorKind, Exchange, Handler, Lease, Outcome, Routed, Session, Stage, Stream, Who, now,
    now_ms, tracing,
};
use std::{cell::RefCell, sync::atomic::Ordering::Relaxed, task::Poll};

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

    async fn handle(session: Session<Http>, stream: Stream) -> Result<(), Error> {
        serve(session, stream).await
    }
}

/// What becomes of the connection.
pub(crate) enum Next {
    /// Another request.
    Request,
    /// It ends in order.
    Close,
    /// It ends at once: what was sent is not whole, and the client can tell.
    Cut,
    /// It ends at once: what was sent is not whole, and only a reset tells the client.
    Reset,
    /// It is another protocol's now, with this peer.
    Upgraded(Stream, Lease),
}

async fn serve(session: Session<Http>, stream: Stream) -> Result<(), Error> {
    let mut conn = Conn::new(stream);
    let mut served = 0;
    loop {
        let request = session.worker().request();
        let got = receive_head(&session, &mut conn, &request, served).await?;
        let status = match got {
            Got::Nothing => break,
            // No request is lost: the next one is served by what the configuration says now.
            Got::Retired => {
                session.renew(conn.into_stream());
                return Ok(());
            }
            Got::Request => None,
            Got::Refused(status) => Some(status),
        };
        served += 1;
        session.module().stats.requests.fetch_add(1, Relaxed);
        let exchange = session.exchange();
        conn.lines.clear();
        let before = (conn.total_received - conn.unread().len() as u64, conn.total_sent);
        let bad_path = {
            let request = &mut *request.borrow_mut();
            if status.is_some() {
                request.path = None;
            }
            status.is_none() && request.decode_path().is_err()
        };
        exchange.slot(|| State::new(request, &session.worker().spare));
        let mut whole = false;
        let next = match status.or_else(|| bad_path.then_some(400)) {
            Some(status) => refuse(&session, &exchange, &mut conn, status, Manner::CLOSE).await,
            None => one(&session, &exchange, &mut conn, served, &mut whole).await,
        };
        let head = known(&exchange).map_or(0, |s| s.parts.borrow().request.bytes.len());
        exchange.client_received.set(conn.total_received - conn.unread().len() as u64 - before.0 + head as u64);
        exchange.client_sent.set(conn.total_sent - before.1);
        session.module().stats.answered(exchange.status.get() as u16);
        match next {
            Ok(Next::Request) => conn.rest(),
            // The client has sent all of it: nothing can come that would make the system throw the answer away.
            Ok(Next::Close) if conn.unread().is_empty() && whole => return Ok(()),
            Ok(Next::Close) => break,
            Ok(Next::Cut) => return Ok(()),
            Ok(Next::Reset) => {
                conn.stream.set_reset();
                return Ok(());
            }
            Ok(Next::Upgraded(upstream, lease)) => return relay(&session, &exchange, conn, upstream, lease).await,
            Err(e) => {
                exchange.close(CloseReason::new(Who::Client, Stage::Transfer, cause(&e)));
                return Err(e);
            }
        }
    }
    end(&session, &mut conn).await
}

/// Another protocol: the streams are joined to their ends. It is the connection that is watched and may be ended, and the
/// exchange that says in the log what it carried.
async fn relay(
    session: &Session<Http>,
    exchange: &Exchange<Http>,
    conn: Conn,
    upstream: Stream,
    lease: Lease,
) -> Result<(), Error> {
    let count = |s: &Session<Http>| {
        [&s.client_received, &s.client_sent, &s.upstream_received, &s.upstream_sent].map(std::cell::Cell::get)
    };
    let before = count(session);
    let began = now();
    let result = session.relay(conn.into_stream(), upstream).await;
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
    Request,
    Refused(u16),
}

/// Waits for a request's head and takes it off the connection.
async fn receive_head(
    session: &Session<Http>,
    conn: &mut Conn,
    to: &RefCell<Request>,
    served: u64,
) -> Result<Got, Error> {
    let conf = session.conf();
    let most = conf.header_size as u32;
    let limits = h1::Limits { line: LINE.min(most / 2), head: most, headers: conf.header_count };
    if conn.unread().is_empty() {
        if served > 0 && conf.keepalive_ms == 0 {
            return Ok(Got::Nothing);
        }
        session.idle.set(1);
        let limit = if served == 0 { conf.header_ms } else { conf.keepalive_ms };
        let first = within(session, limit, |cx| {
            let filled = conn.poll_fill(cx, limits.head as usize);
            match filled {
                Poll::Pending if session.draining.get() != 0 => Poll::Ready(Ok(None)),
                filled => filled.map_ok(Some),
            }
        });
        let first = first.await;
        session.idle.set(0);
        match first {
            Ok(None) => return Ok(Got::Retired),
            Ok(Some(0)) => return Ok(Got::Nothing),
            Ok(Some(_)) => {}
            Err(e) if matches!(e.kind, ErrorKind::TimedOut | ErrorKind::Reset) => return Ok(Got::Nothing),
            Err(e) => return Err(e),
        }
    }
    let by = now_ms() + conf.header_ms;
    loop {
        let parsed = {
            let to = &mut to.borrow_mut().request;
            let parsed = to.head.request(conn.unread(), &limits);
            if let Ok(Step::Done(len)) = parsed {
                to.bytes.extend_from_slice(&conn.unread()[..len]);
            }
            parsed
        };
        match parsed {
            Ok(Step::Done(len)) => {
                conn.consume(len);
                return Ok(Got::Request);
            }
            Ok(Step::More) => {}
            Err(bad) => {
                tracing::info!(session = session.id, status = bad.status(), "request refused: {}", bad.reason());
                return Ok(Got::Refused(bad.status()));
            }
        }
        let left = by.saturating_sub(now_ms()).max(1);
        match within(session, left, |cx| conn.poll_fill(cx, limits.head as usize)).await {
            Ok(0) => return Ok(Got::Nothing),
            Ok(_) => {}
            Err(e) if e.kind == ErrorKind::TimedOut => return Ok(Got::Refused(408)),
            Err(e) => return Err(e),
        }
    }
}

/// One request, from its head to the end of its answer. `whole`: there is nothing behind its head.
async fn one(
    session: &Session<Http>,
    exchange: &Exchange<Http>,
    conn: &mut Conn,
    served: u64,
    whole: &mut bool,
) -> Result<Next, Error> {
    let Some(state) = known(exchange) else { return Ok(Next::Close) };
    let (framing, manner, expects) = {
        let parts = &mut *state.parts.borrow_mut();
        exchange.set_domain(parts.host());
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
            return refuse(session, exchange, conn, bad.status(), Manner { keep: false, ..manner }).await;
        }
    };
    // A body that nobody reads is read and thrown away if it is short; otherwise the connection ends.
    let mut body = Incoming::new(framing, expects);
    *whole = body.is_done();
    // Before the local is chosen: rules and lists of addresses look at the client.
    session.conf().trusted.hear(exchange, state, session.conf().request_id);
    match exchange.choose() {
        Routed::Local(_) => {}
        Routed::NoLocal => return refuse_with(session, exchange, conn, 404, manner, &mut body).await,
        Routed::NoServer => return refuse_with(session, exchange, conn, 421, manner, &mut body).await,
    }
    if !exchange.is_allowed().await {
        return refuse_with(session, exchange, conn, 403, manner, &mut body).await;
    }
    let Some(conf) = exchange.block() else { return Ok(Next::Close) };
    if !conf.response_headers.is_empty() {
        conn.lines = headers::render(&conf.response_headers, exchange);
    }
    body.limit = conf.body_size;
    if body.is_too_long() {
        return refuse(session, exchange, conn, 413, Manner { keep: false, ..manner }).await;
    }
    match &conf.answerer {
        Answerer::Static(files) => statics::send(session, exchange, conf, files, conn, &mut body, manner).await,
        Answerer::Proxy => proxy::pass(session, exchange, conf, conn, &mut body, manner).await,
        Answerer::Return { status, text } => {
            let mut rendered = Vec::new();
            if let Some(t) = text {
                exchange.render(*t, &mut rendered);
            }
            let redirects = matches!(status, 301 | 302 | 303 | 307 | 308) && text.is_some();
            let (more, content) = if redirects {
                let mut line = Vec::new();
                if h1::field(b"Location", &rendered, &mut line).is_err() {
                    return refuse_with(session, exchange, conn, 500, manner, &mut body).await;
                }
                (line, Vec::new())
            } else {
                (Vec::new(), rendered)
            };
            let manner = body.manner(manner);
            answer::whole(conn, *status, manner, "text/plain", &more, &content);
            answered(session, exchange, conf, conn, &mut body, *status, manner).await
        }
        Answerer::Echo { body: Some(text), status, content_type } => {
            let mut content = Vec::new();
            exchange.render(*text, &mut content);
            let manner = body.manner(manner);
            answer::whole(conn, *status, manner, content_type, b"", &content);
            answered(session, exchange, conf, conn, &mut body, *status, manner).await
        }
        Answerer::Echo { body: None, status, content_type } => {
            echo(session, exchange, conf, conn, &mut body, manner, *status, content_type).await
        }
    }
}

/// Gives the request's body back.
#[expect(clippy::too_many_arguments, reason = "one caller")]
async fn echo(
    session: &Session<Http>,
    exchange: &Exchange<Http>,
    conf: &Conf,
    conn: &mut Conn,
    body: &mut Incoming,
    mut manner: Manner,
    status: u16,
    content_type: &str,
) -> Result<Next, Error> {
    body.ask(conn);
    if body.asked {
        within(session, conf.body_ms, |cx| conn.poll_send(cx, false)).await?;
    }
    let chunked = body.length().is_none() && manner.version == Version::Http11;
    if body.length().is_none() && !chunked {
        manner.keep = false;
    }
    answer::begin(status, manner, conn);
    match body.length() {
        Some(n) => answer::length(n, &mut conn.out),
        None if chunked => conn.out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        None => {}
    }
    conn.out.extend_from_slice(format!("Content-Type: {content_type}\r\n\r\n").as_bytes());
    exchange.status.set(status.into());
    loop {
        match within(session, conf.body_ms, |cx| body.poll_piece(conn, cx)).await {
            Ok(Some(piece)) => {
                let end = piece.end;
                if !manner.head_only {
                    let (unread, out) = conn.unread_and_out();
                    crate::body::put(&unread[piece], chunked, out);
                }
                conn.consume(end);
            }
            Ok(None) => break,
            Err(e) if e.kind == ErrorKind::Invalid || e.kind == ErrorKind::Limit => {
                exchange.close(CloseReason::new(Who::Client, Stage::Transfer, Cause::Malformed));
                return Ok(Next::Reset);
            }
            Err(e) => return Err(e),
        }
        within(session, conf.body_ms, |cx| conn.poll_send(cx, false)).await?;
    }
    if chunked && !manner.head_only {
        h1::ChunkedEncoder::last(body.trailers(), &mut conn.out);
    }
    within(session, conf.body_ms, |cx| conn.poll_send(cx, !manner.keep)).await?;
    Ok(if manner.keep { Next::Request } else { Next::Close })
}

/// An answer of this proxy's own is in the connection's hands: sends it, and reads what is left of the request.
pub(crate) async fn answered(
    session: &Session<Http>,
    exchange: &Exchange<Http>,
    conf: &Conf,
    conn: &mut Conn,
    body: &mut Incoming,
    status: u16,
    manner: Manner,
) -> Result<Next, Error> {
    exchange.status.set(status.into());
    let send = |cx: &mut std::task::Context<'_>| {
        if conn.puts_off(cx) { Poll::Pending } else { conn.poll_send(cx, !manner.keep) }
    };
    within(session, conf.body_ms, send).await?;
    if manner.keep {
        while let Some(piece) = within(session, conf.body_ms, |cx| body.poll_piece(conn, cx)).await? {
            conn.consume(piece.end);
        }
        return Ok(Next::Request);
    }
    Ok(Next::Close)
}

/// Answers with a status of this proxy's own, and the connection goes on if it may.
pub(crate) async fn refuse_with(
    session: &Session<Http>,
    exchange: &Exchange<Http>,
    conn: &mut Conn,
    status: u16,
    manner: Manner,
    body: &mut Incoming,
) -> Result<Next, Error> {
    session.module().stats.refused.fetch_add(1, Relaxed);
    let manner = body.manner(manner);
    answer::refusal(conn, status, manner);
    answered(session, exchange, session.conf(), conn, body, status, manner).await
}

/// The same where nothing more of the request is read.
async fn refuse(
    session: &Session<Http>,
    exchange: &Exchange<Http>,
    conn: &mut Conn,
    status: u16,
    manner: Manner,
) -> Result<Next, Error> {
    refuse_with(session, exchange, conn, status, manner, &mut Incoming::new(Framing::None, false)).await
}

/// Ends the connection in order: what the client still sends is heard for a moment.
async fn end(session: &Session<Http>, conn: &mut Conn) -> Result<(), Error> {
    within(session, LINGER_MS, |cx| conn.stream.poll_shutdown(cx)).await?;
    let by = now_ms() + LINGER_MS;
    let most = conn.total_received + LINGER;
    while conn.total_received < most {
        let unread = conn.unread().len();
        conn.consume(unread);
        let left = by.saturating_sub(now_ms());
        if left == 0 {
            break;
        }
        match within(session, left, |cx| conn.poll_fill(cx, 1)).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => break,
        }
    }
    Ok(())
}
