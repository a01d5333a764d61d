//! One stream of HTTP/2: its exchange, from the request to the end of the answer.

use super::{
    deadlines,
    mux::{Link, Mux},
    sending::Sending,
    tunnel,
    unwanted::Rest,
};
use crate::{
    Http,
    conf::Conf,
    core::{date, priority::Parameters},
    exchange::known,
    h1::{self, Id, Method},
    h2::{Code, HeaderWriter},
    headers,
    incoming::Incoming,
    message::{Message, is_bare},
    reply::{self, Call, Reply, Upgrade},
    respond,
};
use anyproxy_http_contract::Bytes;
use anyproxy_module_api::{Addr, CloseReason, Error, Exchange, Outcome, Session, now, unix_ms};
use std::{
    cell::Cell,
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

/// A stream as its own task has it: the request's body, and where the answer goes. Dropping it ends the stream.
pub(crate) struct Body {
    link: Link,
    key: u32,
    id: u32,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.id)
    }
}

impl Body {
    pub(super) fn new(link: &Link, key: u32, id: u32) -> Self {
        Self { link: Rc::clone(link), key, id }
    }

    /// The same stream, for whoever reads the body.
    fn reader(&self) -> Self {
        Self::new(&self.link, self.key, self.id)
    }

    pub(super) fn link(&self) -> &Link {
        &self.link
    }

    pub(super) const fn id(&self) -> u32 {
        self.id
    }

    pub(super) const fn key(&self) -> u32 {
        self.key
    }

    /// All of the request's body was read.
    pub(crate) fn is_done(&self) -> bool {
        self.link.borrow_mut().entry(self.key).is_none_or(|e| e.ended && e.received.is_empty())
    }

    /// One of its sides has not ended.
    fn is_open(&self) -> bool {
        self.link.borrow().codec.key(self.id).is_some()
    }

    /// The lines behind it.
    pub(crate) fn trailers(&self) -> Vec<u8> {
        self.link.borrow_mut().entry(self.key).map_or_else(Vec::new, |e| e.trailers.clone())
    }

    /// The next piece of it. `None`: it is complete.
    ///
    /// # Errors
    /// `Reset`: the stream is gone.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Error>> {
        let mux = &mut *self.link.borrow_mut();
        let piece = mux.poll_piece(self.key, cx);
        if let Poll::Ready(Ok(Some(bytes))) = &piece
            && let Some(watch) = mux.entry(self.key).and_then(|e| e.watch.as_ref())
        {
            watch.client_received.set(watch.client_received.get() + bytes.len() as u64);
        }
        piece
    }

    /// Tells the client of an answer that another one follows.
    pub(crate) fn interim(&self, message: &Message) {
        let mux = &mut *self.link.borrow_mut();
        let Mux { conn, codec, .. } = mux;
        if let Some(mut writer) = codec.headers(self.id, &mut conn.out)
            && write_lines(&mut writer, message).is_ok()
        {
            writer.finish(false);
        }
        mux.wake();
    }

    /// Asks for the body (RFC 9110 section 10.1.1).
    pub(crate) fn ask(&self) {
        let mux = &mut *self.link.borrow_mut();
        if let Some(mut writer) = mux.codec.headers(self.id, &mut mux.conn.out)
            && writer.status(100).is_ok()
        {
            writer.finish(false);
        }
        mux.wake();
    }
}

/// Ends a stream that its task leaves.
struct Leave(Body, bool);

impl Drop for Leave {
    fn drop(&mut self) {
        let Body { link, key, id } = &self.0;
        let mux = &mut *link.borrow_mut();
        // Not over: the task was ended, or panicked.
        if !self.1 {
            mux.codec.reset(*id, Code::INTERNAL_ERROR, &mut mux.conn.out);
        }
        mux.leave(*key);
        mux.wake();
    }
}

/// Answers one request, whose head is in the exchange's state. `length`: of its body, if that is known. `refused`: with this
/// status.
pub(super) async fn answer(
    stream: Body,
    exchange: Exchange<Http>,
    sender: Addr,
    length: Option<u64>,
    refused: Option<u16>,
) {
    let mut leave = Leave(stream.reader(), false);
    let watch = Session::clone(&exchange);
    let work = async {
        let Some(state) = known(&exchange) else { return };
        let conf = Cell::new(None);
        let call = Call {
            watch: &exchange,
            exchange: &exchange,
            state,
            sender: &sender,
            conf: &conf,
            alone: false,
            upstream: None,
        };
        let reply = match refused {
            Some(status) => respond::refused(&call, status),
            // What the client sends is the other protocol's: of the request it is no body.
            None if state.parts.borrow().upgrade().is_some() => {
                let reply = respond::respond(&call, &exchange, Incoming::NONE).await;
                or_no_tunnel(&call, reply)
            }
            None => {
                let expects = state.parts.borrow().request.value(Id::Expect).is_some();
                let incoming = Incoming::http2(stream.reader(), length, expects);
                respond::respond(&call, &exchange, incoming).await
            }
        };
        deliver(&call, &stream, reply).await;
        exchange.worker().stats.answered(exchange.status.get() as u16);
    };
    run(&stream, &watch, pin!(work)).await;
    let goes_on = stream.is_open() && watch.kill.get() == 0;
    let state = if goes_on { known(&exchange) } else { None };
    if let Some(rest) = state.map(|state| Rest::of(&state.parts.borrow(), length)) {
        // It is logged: what comes now is nobody's.
        drop(exchange);
        run(&stream, &watch, Box::pin(rest.throw_away(&stream)).as_mut()).await;
    }
    leave.1 = true;
    let mux = &mut *stream.link.borrow_mut();
    // The client may stop sending what nobody reads (RFC 9113 section 8.1).
    let code = if watch.kill.get() != 0 { Code::CANCEL } else { Code::NO_ERROR };
    mux.codec.reset(stream.id, code, &mut mux.conn.out);
    mux.wake();
}

/// Has a stream's task do this, as long as nobody ends the stream.
async fn run(stream: &Body, watch: &Session<Http>, mut work: Pin<&mut impl Future<Output = ()>>) {
    poll_fn(|cx| {
        if let Some(entry) = stream.link.borrow_mut().entry(stream.key) {
            entry.note(cx);
        }
        if watch.kill.get() != 0 {
            // Reset by the client, or ended from outside.
            return Poll::Ready(());
        }
        let polled = work.as_mut().poll(cx);
        if polled.is_pending()
            && let Some(connection) = &stream.link.borrow().session
        {
            deadlines::note(&connection.deadline_ms, watch.deadline_ms.get());
        }
        polled
    })
    .await;
}

/// Whoever answers a request for another protocol with success of its own has not understood it, and the client would take
/// that for the other protocol (RFC 8441 section 5).
fn or_no_tunnel(call: &Call<'_>, reply: Reply) -> Reply {
    let success = (200..300).contains(&call.state.parts.borrow().response.status());
    if reply.upgrade.is_some() || !success {
        return reply;
    }
    call.exchange.status.set(501);
    respond::refuse(call, 501)
}

/// Fields that are for one connection of HTTP/1 only (RFC 9113 section 8.2.2).
fn is_of_connection(id: Id) -> bool {
    matches!(id, Id::Connection | Id::KeepAlive | Id::ProxyConnection | Id::TransferEncoding | Id::Upgrade)
}

/// Index in the static table of HPACK of usual names of answers (RFC 7541 Appendix A); 0: look for it.
const fn index(id: Id) -> u8 {
    match id {
        Id::AcceptRanges => 18,
        Id::Age => 21,
        Id::CacheControl => 24,
        Id::ContentEncoding => 26,
        Id::ContentLength => 28,
        Id::ContentRange => 30,
        Id::ContentType => 31,
        Id::Date => 33,
        Id::ETag => 34,
        Id::Expires => 36,
        Id::LastModified => 44,
        Id::Location => 46,
        Id::Server => 54,
        Id::SetCookie => 55,
        Id::Vary => 59,
        Id::Via => 60,
        _ => 0,
    }
}

fn write_lines(writer: &mut HeaderWriter<'_>, message: &Message) -> Result<(), crate::h2::BadField> {
    writer.status(message.status())?;
    for line in message.lines().filter(|l| !is_of_connection(l.id)) {
        let value = line.value(&message.bytes);
        let sensitive = line.id == Id::SetCookie && value.len() < 24;
        match index(line.id) {
            0 => writer.field(line.name(&message.bytes), value, sensitive)?,
            index => writer.known(index, value, sensitive)?,
        }
    }
    Ok(())
}

/// Sends the head of an answer; false: the stream is gone, or the head is none.
fn send_head(call: &Call<'_>, stream: &Body, reply: &Reply, tunnel: bool, end: bool) -> bool {
    let parts = &mut *call.state.parts.borrow_mut();
    let message = &mut parts.response;
    if tunnel {
        // To a client of HTTP/2 a tunnel is a success (RFC 8441 section 5).
        message.set_status(200);
        message.remove("Sec-WebSocket-Accept");
    }
    let mux = &mut *stream.link.borrow_mut();
    let Mux { conn, codec, .. } = mux;
    let before = conn.out.len();
    let Some(mut writer) = codec.headers(stream.id, &mut conn.out) else { return false };
    let mut written = write_lines(&mut writer, message);
    if message.head.fields().first(Id::Date).is_none() {
        written = written.and_then(|()| writer.known(33, &date::format((unix_ms() / 1000) as i64), false));
    }
    if let Some(n) =
        reply.length.filter(|_| !tunnel && !is_bare(message.status()) && message.value(Id::ContentLength).is_none())
    {
        written = written.and_then(|()| writer.known(28, h1::decimal(n).as_bytes(), false));
    }
    if written.is_err() {
        return false;
    }
    writer.finish(end);
    let sent = (conn.out.len() - before) as u64;
    call.exchange.client_sent.set(call.exchange.client_sent.get() + sent);
    parts.heads.client_sent += sent;
    mux.wake();
    true
}

async fn deliver(call: &Call<'_>, stream: &Body, mut reply: Reply) {
    let (status, head_only) = {
        let parts = call.state.parts.borrow();
        (parts.response.status(), parts.method() == Method::Head)
    };
    if let Some(upgrade) = reply.upgrade.take() {
        if send_head(call, stream, &reply, true, false) {
            go_on(call, stream, *upgrade).await;
        }
        return;
    }
    if head_only || is_bare(status) {
        reply.body = reply::Body::Empty;
    }
    let end = matches!(reply.body, reply::Body::Empty);
    if !send_head(call, stream, &reply, false, end) {
        let mux = &mut *stream.link.borrow_mut();
        mux.codec.reset(stream.id, Code::INTERNAL_ERROR, &mut mux.conn.out);
        return;
    }
    if end {
        return;
    }
    let conf = call.conf().unwrap_or_else(|| call.watch.conf());
    order(call, stream, conf);
    let limit = conf.body_ms;
    let mut sending = Sending::new(reply.body);
    if let Err(fault) = sending.finish(call, stream, limit).await {
        call.exchange.close(CloseReason::new(fault.who, fault.stage, fault.cause));
        let mux = &mut *stream.link.borrow_mut();
        // What came is not the whole: the client is to know.
        mux.codec.reset(stream.id, Code::INTERNAL_ERROR, &mut mux.conn.out);
    }
}

/// Notes what client and origin say of the order of answers (RFC 9218 sections 5 and 8).
fn order(call: &Call<'_>, stream: &Body, conf: &Conf) {
    let parts = call.state.parts.borrow();
    let heeded = !headers::leave_out(&conf.request_headers, "priority");
    let asked = if heeded { parameters(&parts.request) } else { None };
    let origin = parameters(&parts.response).unwrap_or_default();
    stream.link.borrow_mut().order(stream.key, heeded, asked, origin);
}

/// What a message's `Priority` says; `None`: there is none that is one.
fn parameters(message: &Message) -> Option<Parameters> {
    let mut values = message.values(Id::Priority);
    match (values.next()?, values.next()) {
        (only, None) => Parameters::read(only),
        _ => Parameters::read(&message.joined(Id::Priority)?),
    }
}

/// The stream is another protocol's.
async fn go_on(call: &Call<'_>, stream: &Body, upgrade: Upgrade) {
    let client = tunnel::stream(stream);
    let result = match upgrade {
        Upgrade::Module(upgraded) => upgraded.go_on(client).await,
        Upgrade::Peer(upstream, lease) => {
            call.stage("relay");
            let began = now();
            let result = call.exchange.relay(client, upstream).await;
            let total_ns = (now() - began).as_nanos() as u64;
            lease.done(&Outcome { connect_ns: 0, first_byte_ns: 0, total_ns, failure: 0 });
            result
        }
    };
    if result.is_err() {
        let mux = &mut *stream.link.borrow_mut();
        mux.codec.reset(stream.id, Code::CANCEL, &mut mux.conn.out);
    }
}
