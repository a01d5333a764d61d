//! What a connection of HTTP/2 sends: how much of it waits, and which of its streams may add to that.

use super::{mux::Mux, order::Order, turns::SHARE};
use crate::core::priority::{Parameters, Priority};
use anyproxy_http_contract::Bytes;
use anyproxy_module_api::{Cause, Error, ready_tasks};
use std::task::{Context, Poll};

/// Bytes to be sent from which on streams wait.
pub(super) const FULL: usize = 256 << 10;
/// From so many on no more is read. Streams alone do not come to that: two sides that wait for each other to read would
/// wait for ever.
pub(super) const DEAF: usize = 2 * FULL;
/// From so many tasks in one turn on, less than this waits for what other streams have to say.
const TOGETHER: u64 = 4;
const LITTLE: usize = 16 << 10;
/// From so many bytes on a piece is sent without a copy.
const WHOLE: usize = 4 << 10;

impl Mux {
    /// Sends what is to be sent, and lets streams go on that wait for room.
    ///
    /// # Errors
    /// What the stream says.
    pub(super) fn send(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        if self.conn.pending() > 0
            && !self.puts_off(cx)
            && let Poll::Ready(Err(e)) = self.conn.poll_send(cx, false)
        {
            return Err(e);
        }
        if self.open == 0 && self.conn.pending() == 0 {
            self.conn.rest();
        }
        if self.conn.pending() < DEAF && std::mem::take(&mut self.deaf) {
            // Nobody else says that there is something to be read.
            self.wake();
        }
        self.share_out();
        Ok(())
    }

    /// Whether little waits for this task's next turn, which comes before the worker looks at sockets again: what the
    /// streams say until then goes with it, in one write.
    fn puts_off(&self, cx: &Context<'_>) -> bool {
        let off = self.conn.pending() < LITTLE && ready_tasks() >= TOGETHER;
        if off {
            cx.waker().wake_by_ref();
        }
        off
    }

    /// Lets as many streams go on as there is room for, here and in the window of all streams.
    fn share_out(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        // Where it opens no more they have their turn all the same, and hear of that.
        let window = if self.closed { usize::MAX } else { self.codec.window() };
        let room = FULL.saturating_sub(self.conn.pending()).min(window);
        let Self { waiting, streams, codec, .. } = self;
        waiting.deal(room, codec.max_data(), |key, turn| {
            if let Some(entry) = streams.get_mut(key as usize).and_then(Option::as_mut) {
                entry.queued = false;
                entry.share = turn;
                entry.wake();
            }
        });
        if room > 0 && !self.waiting.is_empty() {
            // Those that were woken may have nothing to send.
            self.wake();
        }
    }

    /// Puts a piece of a body into frames, as much as windows and the connection take; the piece keeps the rest. False: they
    /// take no more now, and the stream's task is woken when they do.
    pub(super) fn put(&mut self, key: u32, piece: &mut Bytes, end: bool, cx: &Context<'_>) -> bool {
        let alone = self.open < 2;
        loop {
            let full = self.conn.pending() >= FULL;
            let Self { conn, codec, streams, waiting, closed, .. } = self;
            let Some(entry) = streams.get_mut(key as usize).and_then(Option::as_mut) else { return false };
            if alone && entry.share == 0 {
                entry.share = SHARE;
            }
            let mut waits = full || entry.share == 0 || entry.queued;
            if !waits {
                let (id, len) = (entry.id, piece.len());
                let room = codec.capacity(id).min(codec.max_data());
                let sent = if len > WHOLE && len <= room && codec.data_head(id, len, end, &mut conn.out) {
                    conn.put(std::mem::take(piece), false);
                    len
                } else {
                    let part = len.min(entry.share);
                    let sent = codec.data(id, &piece[..part], end && part == len, &mut conn.out);
                    piece.advance(sent);
                    sent
                };
                entry.share = entry.share.saturating_sub(sent);
                if piece.is_empty() {
                    self.wake();
                    return true;
                }
                if sent > 0 {
                    continue;
                }
                if *closed {
                    // No window opens any more.
                    entry.lose(Cause::Closed);
                } else {
                    // Of the stream's own window there is an event when it opens; that of all streams is shared out.
                    waits = codec.window() == 0;
                }
            }
            if waits && !std::mem::replace(&mut entry.queued, true) {
                waiting.push(key, entry.id, entry.order);
            }
            entry.note(cx);
            self.wake();
            return false;
        }
    }

    /// The answer of a stream is about to be sent: what its origin says of its order, and its client, where that is heeded.
    pub(super) fn order(&mut self, key: u32, heeded: bool, asked: Option<Parameters>, origin: Parameters) {
        let Some(entry) = self.streams.get_mut(key as usize).and_then(Option::as_mut) else { return };
        let mut client = None;
        if heeded {
            client = self.codec.priority(entry.id).or_else(|| asked.map(|asked| asked.over(Priority::default())));
            self.orders |= client.is_some();
            // Whoever says something of one request means the defaults where it says nothing of another.
            client = client.or_else(|| self.orders.then(Priority::default));
            entry.origin = Some(origin);
        }
        entry.order = Order::of(client, origin);
        if entry.order != Order::default() {
            // Not before those that wait.
            entry.share = 0;
        }
    }

    /// The client has changed its mind about a stream (RFC 9218 section 7). Until its answer is there that is noted by the
    /// codec.
    pub(super) fn reorder(&mut self, stream: u32, key: u32) {
        self.orders = true;
        let client = self.codec.priority(stream);
        let Self { streams, waiting, .. } = self;
        let Some(entry) = streams.get_mut(key as usize).and_then(Option::as_mut).filter(|e| e.id == stream) else {
            return;
        };
        let Some(origin) = entry.origin else { return };
        entry.order = Order::of(client, origin);
        entry.share = 0;
        if entry.queued {
            waiting.change(key, entry.order);
        }
    }
}
