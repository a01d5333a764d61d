//! The body of an answer on its way into frames.

use super::{mux::Mux, stream::Body};
use crate::{
    fault::Fault,
    h1::{self, Fields},
    h2::Connection,
    reply::{self, Call, Flat},
};
use anyproxy_http_contract::{Bytes, Segment};
use anyproxy_module_api::{Cause, Who, now_ms};
use std::{
    future::poll_fn,
    task::{Context, Poll},
};

/// The sending of one body.
pub(super) struct Sending {
    body: Flat,
    /// To be sent next.
    piece: Option<Bytes>,
    /// Nothing comes after `piece`.
    ended: bool,
    trailers: Vec<u8>,
    /// The end was sent.
    done: bool,
    /// Bytes moved since the deadline was set.
    moved: bool,
}

impl Sending {
    /// Nothing is sent yet.
    pub(super) fn new(body: reply::Body) -> Self {
        let body = Flat::new(body);
        Self { body, piece: None, ended: false, trailers: Vec::new(), done: false, moved: true }
    }

    /// Sends all of it. `limit`: milliseconds for which both sides may stand still.
    ///
    /// # Errors
    /// Who stood still, or is gone.
    pub(super) async fn finish(&mut self, call: &Call<'_>, stream: &Body, limit: u64) -> Result<(), Fault> {
        let watch = call.watch;
        watch.fired.set(0);
        let mut uploaded = 0;
        let r = poll_fn(|cx| {
            let polled = self.poll(call, stream, cx);
            if polled.is_ready() {
                return polled;
            }
            // The request's body may go on while nothing of the answer comes.
            let sent = call.exchange.upstream_sent.get();
            self.moved |= std::mem::replace(&mut uploaded, sent) != sent;
            // Nobody stands still who is held back.
            self.moved |= self.body.body.is_held();
            if std::mem::take(&mut self.moved) {
                watch.deadline_ms.set(now_ms() + limit);
            }
            if watch.fired.replace(0) != 0 && now_ms() >= watch.deadline_ms.get().max(1) {
                let stands = self.piece.is_some();
                let fault = if stands { Fault::new(Who::Client, Cause::Timeout, 0) } else { self.body.body.stalled() };
                return Poll::Ready(Err(fault));
            }
            Poll::Pending
        });
        let r = r.await;
        watch.deadline_ms.set(0);
        r
    }

    fn poll(&mut self, call: &Call<'_>, stream: &Body, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            // One ahead: the last frame of data says that it is the last.
            let mut next = None;
            if !self.ended {
                match self.body.poll_next(call.exchange, cx)? {
                    Poll::Ready(Some(Segment::Bytes(bytes))) => next = Some(bytes),
                    Poll::Ready(Some(Segment::Trailers(lines))) => {
                        self.trailers = lines.to_vec();
                        self.ended = true;
                    }
                    Poll::Ready(Some(Segment::File(_)) | None) => self.ended = true,
                    Poll::Pending if self.piece.is_none() => return Poll::Pending,
                    Poll::Pending => {}
                }
            }
            if self.piece.is_none() && !self.ended {
                self.piece = next;
                continue;
            }
            if !self.send(call, stream, next, cx)? {
                self.body.body.drive(call.exchange, cx)?;
                return Poll::Pending;
            }
            self.moved = true;
            if self.done {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Sends what may be sent of the piece; false: the windows, or the connection, take no more. `next` comes after it.
    fn send(&mut self, call: &Call<'_>, stream: &Body, next: Option<Bytes>, cx: &Context<'_>) -> Result<bool, Fault> {
        let mux = &mut *stream.link().borrow_mut();
        if mux.entry(stream.key()).is_none_or(|e| e.gone.is_some()) || !mux.codec.is_open(stream.id()) {
            return Err(Fault::new(Who::Client, Cause::Reset, 0));
        }
        let end = self.ended && self.trailers.is_empty();
        let Some(piece) = &mut self.piece else {
            // Only the end is left.
            let Mux { conn, codec, .. } = mux;
            if end {
                codec.data(stream.id(), &[], true, &mut conn.out);
            } else {
                send_trailers(codec, stream.id(), &self.trailers, &mut conn.out);
            }
            mux.wake();
            self.done = true;
            return Ok(true);
        };
        let before = piece.len();
        let all = mux.put(stream.key(), piece, end, cx);
        let sent = before - piece.len();
        call.exchange.client_sent.set(call.exchange.client_sent.get() + sent as u64);
        self.moved |= sent > 0;
        if all {
            self.piece = next;
            self.done = end;
        } else if let Some(next) = next {
            self.body.unread(next);
        }
        Ok(all)
    }
}

/// Ends the stream with what of these lines a trailer section may hold (RFC 9110 section 6.5.1): nothing that is said of a
/// connection of HTTP/1 is among that, which would make the whole malformed (RFC 9113 section 8.2.2).
pub(super) fn send_trailers(codec: &mut Connection, id: u32, lines: &[u8], out: &mut Vec<u8>) {
    let (mut fields, mut text) = (Fields::default(), Vec::new());
    let kept = h1::keep_trailers(lines, &mut text);
    text.extend_from_slice(b"\r\n");
    if !kept || fields.parse(&text, 100).is_err() {
        codec.data(id, &[], true, out);
        return;
    }
    let Some(mut writer) = codec.headers(id, out) else { return };
    for line in fields.list() {
        let _ = writer.field(line.name(&text), line.value(&text), false);
    }
    writer.finish(true);
}
