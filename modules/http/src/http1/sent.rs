//! An answer on its way to a client of HTTP/1: its head, its body, and how that leaves the connection.

use super::{SHORT, cause, splice::Splice};
use crate::{
    conn::{AHEAD, Conn, ROUNDS, within},
    core::date,
    fault::Fault,
    h1::{self, ChunkedEncoder, Framing, Id, Version},
    incoming::{Incoming, Shared},
    message::is_bare,
    reply::{Body, Call, Flat, GONE, Reply, Upgrade},
};
use anyproxy_http_contract::{FilePart, Segment};
use anyproxy_module_api::{
    ArgDesc, Cause, CloseReason, Contexts, Error, ErrorKind, Kind, Scope, Who, directive, now_ms, ready, unix_ms,
};
use std::{
    future::{Future, poll_fn},
    task::{Context, Poll},
};

directive! {
    /// Answers whose length is not known go to clients of HTTP/1.1 in chunks. Off: they end with the connection, as for clients of
    /// HTTP/1.0; for those that say 1.1 and cannot read chunks.
    "http_chunked", Contexts::MSL,
    .args(&[ArgDesc::new("on", Kind::Bool, "Whether chunks are sent.").default("#true")])
    .default("#true")
    .example("http_chunked #false")
}

/// What `http_chunked` says.
pub(crate) fn sends_chunks<C>(scope: &Scope<'_, C>) -> bool {
    scope.node("http_chunked").and_then(|node| node.arg(0)).is_none_or(|v| v.num != 0)
}

/// How long a client may take to receive the head of an upgrade.
const BODY_MS: u64 = 60_000;

/// How the client's connection goes on after the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// It takes another request.
    pub(super) keep: bool,
    /// Of the request.
    pub(super) version: Version,
    /// Only the head is wanted.
    pub(super) head_only: bool,
    /// Only the end of the connection tells that of the body.
    pub(super) until_close: bool,
}

impl Manner {
    /// Where nothing is known of the request.
    pub(super) const CLOSE: Self = Self { keep: false, version: Version::Http11, head_only: false, until_close: false };
}

/// How an exchange leaves the connection: see [`Next`].
pub(super) enum Done {
    Request,
    Close,
    Cut,
    Reset,
    Upgraded(Upgrade),
}

/// Writes an answer's head as this client gets it; whether its body goes in chunks.
fn write_head(call: &Call<'_>, reply: &Reply, manner: &mut Manner, out: &mut Vec<u8>) -> bool {
    let parts = &*call.state.parts.borrow();
    let message = &parts.response;
    let status = message.status();
    message.write_answer(out);
    if message.head.fields().first(Id::Date).is_none() {
        out.extend_from_slice(b"Date: ");
        out.extend_from_slice(&date::format((unix_ms() / 1000) as i64));
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
            None if manner.version == Version::Http11 && call.conf().is_none_or(|conf| conf.chunked) => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
                chunked = true;
            }
            None => (manner.keep, manner.until_close) = (false, true),
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
pub(super) fn deliver(
    call: &Call<'_>,
    conn: &Shared,
    mut reply: Reply,
    mut manner: Manner,
) -> impl Future<Output = Result<Done, Error>> {
    async move {
        let status = call.state.parts.borrow().response.status();
        let chunked = {
            let conn = &mut *conn.borrow_mut();
            let before = conn.out.len();
            let chunked = write_head(call, &reply, &mut manner, &mut conn.out);
            conn.wrote_head(conn.out.len() - before);
            chunked
        };
        if let Some(upgrade) = reply.upgrade.take() {
            within(call.watch, BODY_MS, |cx| conn.borrow_mut().poll_send(cx, false)).await?;
            return Ok(Done::Upgraded(*upgrade));
        }
        if manner.head_only || is_bare(status) {
            reply.body = Body::Empty;
        }
        match &mut reply.body {
            Body::Bytes(bytes) if !chunked => {
                conn.borrow_mut().put_body(std::mem::take(bytes), &call.exchange.worker().spare_buf);
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
                return Ok(Done::Reset);
            }
            Err(fault) => {
                call.exchange.close(CloseReason::new(fault.who, fault.stage, fault.cause));
                // What came of the answer belongs to the client, if it takes it.
                let sent = within(call.watch, limit, |cx| conn.borrow_mut().poll_send(cx, true)).await;
                let delimited = manner.version == Version::Http11 && !manner.until_close && fault.who != Who::Client;
                return Ok(if delimited && sent.is_ok() { Done::Cut } else { Done::Reset });
            }
        }
        if !manner.keep {
            return Ok(Done::Close);
        }
        if conn.borrow().body.is_done() || Box::pin(throw_away(call, conn, limit)).await.is_ok() {
            return Ok(Done::Request);
        }
        Ok(Done::Close)
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
    let splice = Splice::new(&conn.borrow(), &body, chunked);
    let mut sending = Sending { body: Flat::new(body), splice, file: None, ended: false, chunked, keep, moved: true };
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
    /// What goes past this process of it.
    splice: Splice,
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
            if self.body.body.is_held() {
                // Nobody stands still who is held back. Who goes leaves its turn to others.
                self.moved = true;
                let _ = conn.borrow_mut().stream.poll_ready(cx, ready::HUP);
            }
            if std::mem::take(&mut self.moved) {
                watch.deadline_ms.set(now_ms() + limit);
            }
            if watch.fired.replace(0) != 0 && now_ms() >= watch.deadline_ms.get().max(1) {
                let stands = conn.borrow().pending() > 0 || self.file.is_some() || !self.splice.is_empty();
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
                moved |= self.splice.drain(call, conn, cx).map_err(|e| client(&e))?;
            }
            if conn.pending() == 0 && self.splice.is_empty() {
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
            if let Some(some) = self.splice.fill(call, &mut self.body.body, cx)? {
                return Ok(moved | some);
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
        match conn.poll_sendfile(cx, part.file.as_file(), part.at, len) {
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
