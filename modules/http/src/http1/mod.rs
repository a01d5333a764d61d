//! The life of a client's connection of HTTP/1: request after request, each an exchange.
//!
//! ```text
//! head → exchange → respond → head and body of the answer → log
//! ```

mod heard;
mod sent;
mod splice;

pub(crate) use sent::sends_chunks;

use crate::{
    Http,
    conn::{Conn, within},
    exchange::{Protocol, Request, State},
    h1::{self, Framing, Id, Method, Version},
    http2,
    incoming::{self, Shared},
    proxy,
    reply::{Call, Upgrade},
    respond::{self, Begun},
};
use anyproxy_module_api::{
    Addr, Cause, CloseReason, Error, ErrorKind, Exchange, Handler, Lease, Outcome, Recycled, Session, Stage, Stream,
    Who, now, now_ms, tracing,
};
use heard::{First, Got, Idle, await_head, take_head};
use sent::{Done, Manner, deliver};
use std::{
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
};

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
/// Why a request ends whose body does not come.
const STALLED: u32 = CloseReason::new(Who::Client, Stage::Transfer, Cause::Timeout).code();

/// What becomes of the connection.
enum Next {
    /// Another request.
    Request,
    /// It ends in order.
    Close,
    /// It ends at once: all is said, or what was sent is not whole, and the client can tell.
    Cut,
    /// It ends at once: what was sent is not whole, and only a reset tells the client.
    Reset,
    /// It is HTTP/2.
    Http2,
    /// It is another protocol's now.
    Upgraded(Box<(Exchange<Http>, Upgrade)>),
}

/// What an idle connection holds is in here; all that a request needs is in its [`turn`]. Not an async fn, which would hold
/// what it is given twice.
fn serve(session: Session<Http>, stream: Stream) -> impl Future<Output = Result<(), Error>> {
    let info = stream.info();
    // What is neither a socket of its own has encryption in between.
    let secure = !info.is_plain();
    let agreed = info.alpn.as_str() == "h2";
    let conn: Shared = Rc::new(RefCell::new(Conn::new(stream)));
    let sender = session.client.get();
    async move {
        let mut served = 0_u32;
        loop {
            let next = match if agreed { First::Http2 } else { Idle::new(&session, &conn, served).await? } {
                First::Nothing => Next::Close,
                First::Http2 => Next::Http2,
                // No request is lost: the next one is served by what the configuration says now.
                First::Retired => {
                    if let Some(conn) = Rc::into_inner(conn) {
                        session.renew(conn.into_inner().into_stream());
                    }
                    return Ok(());
                }
                First::Bytes => Recycled::pin(turn(&session, &conn, &sender, served, secure)).await?,
            };
            match next {
                Next::Request => served = served.saturating_add(1),
                Next::Close => break,
                Next::Cut => return Ok(()),
                Next::Reset => {
                    conn.borrow_mut().stream.set_reset();
                    return Ok(());
                }
                Next::Http2 => {
                    let Some(conn) = Rc::into_inner(conn) else { return Ok(()) };
                    return Box::pin(http2::serve(session, conn.into_inner(), secure)).await;
                }
                Next::Upgraded(upgraded) => {
                    let Some(conn) = Rc::into_inner(conn) else { return Ok(()) };
                    return Box::pin(change(&session, *upgraded, conn.into_inner().into_stream())).await;
                }
            }
        }
        Box::pin(end(&session, &conn)).await
    }
}

/// One request from its first bytes to the end of its answer.
async fn turn(session: &Session<Http>, conn: &Shared, sender: &Addr, served: u32, secure: bool) -> Result<Next, Error> {
    let request = session.worker().request();
    if conn.borrow().out.capacity() == 0 {
        conn.borrow_mut().out = session.worker().lend();
    }
    let got = match take_head(session, conn, &request, served) {
        Some(got) => got,
        None => Box::pin(await_head(session, conn, &request, served)).await?,
    };
    let status = match got {
        Got::Nothing => return Ok(Next::Close),
        Got::Http2 => return Ok(Next::Http2),
        Got::Request => None,
        Got::Refused(status) => Some(status),
    };
    session.worker().stats.requests.add();
    let exchange = session.exchange();
    let before = {
        let conn = conn.borrow();
        (conn.total_received - conn.unread().len() as u64, conn.total_sent, conn.heads_sent)
    };
    let (status, received) = {
        let request = &mut *request.borrow_mut();
        if status.is_some() {
            request.path = None;
        }
        request.secure = secure;
        request.protocol =
            if request.request.head.version() == Version::Http10 { Protocol::Http10 } else { Protocol::Http11 };
        // One that is refused as it stands is not taken off the connection yet.
        let received = if status.is_some() { 0 } else { request.request.bytes.len() as u64 + 2 };
        (status.or_else(|| unserved(request)), received)
    };
    let state = exchange.fill_slot(State::new(request, &session.worker().spare));
    let book = |conn: &Conn| {
        exchange.client_received.set(conn.total_received - conn.unread().len() as u64 - before.0 + received);
        exchange.client_sent.set(conn.total_sent - before.1);
    };
    let next = {
        let mut one = pin!(one(session, &exchange, state, conn, sender, served.saturating_add(1), status));
        // Whoever waits is looked at: by logs of what is under way, and by an operator.
        poll_fn(|cx| {
            end_with(session, &exchange);
            let polled = one.as_mut().poll(cx);
            if polled.is_pending() {
                book(&conn.borrow());
            }
            polled
        })
        .await
    };
    let whole = {
        let conn = &mut *conn.borrow_mut();
        book(conn);
        let heads = &mut state.parts.borrow_mut().heads;
        (heads.client_received, heads.client_sent) = (received, conn.heads_sent.wrapping_sub(before.2).into());
        conn.rest();
        if !matches!(next, Ok(Done::Request)) {
            session.worker().take_back(&mut conn.out);
        }
        conn.last && conn.body.is_done() && conn.is_read()
    };
    session.worker().stats.answered(exchange.status.get() as u16);
    match next {
        // The client has sent all that it will: nothing can come that would make the system throw the answer away.
        Ok(Done::Close) if whole => Ok(Next::Cut),
        Ok(Done::Close) => Ok(Next::Close),
        Ok(Done::Request) => Ok(Next::Request),
        Ok(Done::Cut) => Ok(Next::Cut),
        Ok(Done::Reset) => Ok(Next::Reset),
        Ok(Done::Upgraded(upgrade)) => Ok(Next::Upgraded(Box::new((exchange, upgrade)))),
        Err(e) => {
            exchange.close(CloseReason::new(Who::Client, Stage::Transfer, cause(&e)));
            Err(e)
        }
    }
}

/// The status for a request that is well-formed and that nobody here is asked. Its path is decoded, if it has one.
fn unserved(request: &mut Request) -> Option<u16> {
    if request.method() == Method::Connect {
        // To another host, through this one: this is no such proxy (RFC 9110 section 9.3.6). A peer that took it for itself
        // would make a tunnel of a connection that other clients' requests go through.
        request.path = None;
        return Some(501);
    }
    request.decode_path().is_err().then_some(400)
}

/// An exchange that is told to end takes its connection along: nothing else tells the client that an answer is not whole.
fn end_with(session: &Session<Http>, exchange: &Exchange<Http>) {
    if exchange.kill.get() != 0 {
        session.kill.set(1);
    }
}

/// Another protocol takes the connection over.
async fn change(
    session: &Session<Http>,
    (exchange, upgrade): (Exchange<Http>, Upgrade),
    stream: Stream,
) -> Result<(), Error> {
    match upgrade {
        Upgrade::Peer(upstream, lease) => relay(session, &exchange, stream, upstream, lease).await,
        Upgrade::Module(upgraded) => go_on(session, &exchange, upgraded.go_on(stream)).await,
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
    let before = bytes(session).map(Cell::get);
    if session.worker().shows_stages {
        exchange.stage("relay");
    }
    let began = now();
    let mut relaying = pin!(session.relay(client, upstream));
    let result = poll_fn(|cx| {
        end_with(session, exchange);
        let polled = relaying.as_mut().poll(cx);
        // What the exchange moved is added to its session when it ends.
        for ((to, from), before) in bytes(exchange).into_iter().zip(bytes(session)).zip(&before) {
            to.set(to.get() + (from.get() - before));
            from.set(*before);
        }
        polled
    })
    .await;
    let total_ns = (now() - began).as_nanos() as u64;
    lease.done(&Outcome { connect_ns: 0, first_byte_ns: 0, total_ns, failure: 0 });
    exchange.close_reason.set(session.close_reason.get());
    result
}

fn bytes(s: &Session<Http>) -> [&Cell<u64>; 4] {
    [&s.client_received, &s.client_sent, &s.upstream_received, &s.upstream_sent]
}

/// Another module's protocol: its exchange hears what the connection is told.
async fn go_on(
    session: &Session<Http>,
    exchange: &Exchange<Http>,
    run: impl Future<Output = Result<(), Error>>,
) -> Result<(), Error> {
    let mut run = pin!(run);
    poll_fn(|cx| {
        exchange.kill.set(session.kill.get() | exchange.kill.get());
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

/// One request, from its head to the end of its answer. `status`: it is refused with that.
async fn one(
    session: &Session<Http>,
    exchange: &Exchange<Http>,
    state: &State,
    conn: &Shared,
    sender: &Addr,
    served: u32,
    status: Option<u16>,
) -> Result<Done, Error> {
    let conf = Cell::new(None);
    let call = Call { watch: session, exchange, state, sender, conf: &conf, alone: false, upstream: None };
    if let Some(status) = status {
        // What follows is heard and thrown away before the end.
        conn.borrow_mut().body = h1::Body::UntilClose;
        let reply = respond::refused(&call, status);
        return deliver(&call, conn, reply, Manner::CLOSE).await;
    }
    let (framing, mut manner, expects) = {
        let request = &mut state.parts.borrow_mut().request;
        let expects = request.value(Id::Expect).is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue"));
        if expects && request.head.version() == Version::Http10 {
            // It would not understand a 100, and no peer is to wait for it (RFC 9110 section 10.1.1).
            request.remove_known(Id::Expect);
        }
        let (head, bytes) = (&request.head, &request.bytes);
        let framing = h1::request_framing(head, bytes);
        let most = session.conf().keepalive_requests;
        let more = h1::keep_alive(head.version(), h1::connection(head, bytes));
        if !more {
            conn.borrow_mut().last = true;
        }
        let keep = more
            && session.draining.get() < 2
            && session.conf().keepalive_ms != 0
            && (most == 0 || u64::from(served) < most);
        let manner =
            Manner { keep, version: head.version(), head_only: head.method() == Method::Head, until_close: false };
        (framing, manner, expects && head.version() == Version::Http11)
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
    let mut incoming = incoming::begin_http1(conn, framing, manner.version, expects);
    // A body that nobody reads is read and thrown away if it is short; otherwise the connection ends.
    let short = incoming.length().is_some_and(|n| n <= SHORT);
    let mut reply = match respond::begin(&call, exchange, &mut incoming) {
        Begun::Reply(reply) => reply,
        Begun::Peer(conf) => respond::answered(&call, conf, proxy::pass(&call, conf, &mut incoming).await),
        Begun::Later(reply) => reply.await,
    };
    respond::finish(&call, &mut reply);
    {
        let conn = conn.borrow();
        // One that waits to be asked may send it or not: nobody knows where the next request begins.
        let ends = conn.body.is_done() || (short && !conn.expects) || reply.body.is_echo();
        // Whoever sends more than is taken may go on sending, and whoever has stood still may stand for ever (RFC 9110
        // section 15.5.9).
        manner.keep &= ends && exchange.status.get() != 413 && exchange.close_reason.get() != STALLED;
    }
    deliver(&call, conn, reply, manner).await
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
