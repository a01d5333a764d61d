//! What the caller sends: content, resets, pings, and the end of the connection.

use super::code::Code;
use super::config::SENT_FRAME;
use super::connection::{Connection, Going, Role, State};
use super::frame::{self, END_STREAM, HEAD, MOST};
use super::head::HeaderWriter;

impl Connection {
    /// Client: how many streams [`Connection::open`] would give now.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.role != Role::Client || self.is_draining() {
            return 0;
        }
        let allowed = (self.peer.max_streams as usize).saturating_sub(self.streams.len());
        // Ids are odd; there are none beyond.
        allowed.min((MOST.saturating_sub(self.last.max(1)) / 2) as usize)
    }

    /// Client: a new stream, whose request is to be sent with [`Connection::headers`] before another is opened, for ids
    /// must come in order. `None` where the peer allows no more, or the ids are used up, or the connection is about to
    /// end: see [`Connection::is_draining`].
    pub fn open(&mut self) -> Option<u32> {
        if self.room() == 0 {
            return None;
        }
        self.last = if self.last == 0 { 1 } else { self.last + 2 };
        self.streams.insert(self.last, self.peer.window, self.stream_window());
        Some(self.last)
    }

    /// Begins a head, an interim one, or trailers. `None` where the stream is gone, or this side has ended it. Appends
    /// nothing else to `out` until it is finished.
    #[inline]
    pub fn headers<'a>(&'a mut self, stream: u32, out: &'a mut Vec<u8>) -> Option<HeaderWriter<'a>> {
        let slot = self.streams.find(stream)?;
        if self.streams.at(slot).sent_end || matches!(self.state, State::Dead(_)) {
            return None;
        }
        Some(HeaderWriter::new(self, slot, out))
    }

    /// Bytes of content that may be sent on the stream now, in one frame or several; 0 where it is gone, or ended, or has
    /// no head yet. When more may be, there is [`super::Event::Writable`].
    #[must_use]
    #[inline]
    pub fn capacity(&self, stream: u32) -> usize {
        match self.streams.peek(stream) {
            Some(stream) if stream.sent_head && !stream.sent_end => stream.send.left().min(self.send.left()),
            _ => 0,
        }
    }

    /// Bytes of content that may be sent now on all streams together.
    #[must_use]
    #[inline]
    pub fn window(&self) -> usize {
        self.send.left()
    }

    /// The most that one frame of content may hold.
    #[must_use]
    #[inline]
    pub fn max_data(&self) -> usize {
        self.peer.max_frame.min(SENT_FRAME) as usize
    }

    /// Appends DATA for as much of `payload` as the windows allow, and returns how much that is. `end` ends the stream,
    /// once all of it is taken; with an empty payload it needs no window. Nothing is done where [`Connection::headers`]
    /// was not called, or has ended the stream, or where the stream is gone.
    #[inline]
    pub fn data(&mut self, stream: u32, payload: &[u8], end: bool, out: &mut Vec<u8>) -> usize {
        let Some(slot) = self.streams.find(stream) else { return 0 };
        let open = self.streams.at(slot);
        if !open.sent_head || open.sent_end {
            return 0;
        }
        let most = self.peer.max_frame.min(SENT_FRAME) as usize;
        let length = payload.len().min(open.send.left()).min(self.send.left());
        if length == 0 && !(end && payload.is_empty()) {
            return 0;
        }
        open.send.take(length);
        self.send.take(length);
        self.budget.sent(length);
        let end = end && length == payload.len();
        let mut rest = &payload[..length];
        loop {
            let (chunk, behind) = rest.split_at(rest.len().min(most));
            let flags = if end && behind.is_empty() { END_STREAM } else { 0 };
            out.reserve(HEAD + chunk.len());
            out.extend_from_slice(&frame::encode_head(chunk.len(), frame::DATA, flags, stream));
            out.extend_from_slice(chunk);
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        if end {
            self.end_sent(slot);
        }
        length
    }

    /// Appends the nine bytes in front of `length` bytes of DATA, which the caller puts behind them. `false`, and nothing
    /// done, where that is more than [`Connection::capacity`] or [`Connection::max_data`], or where
    /// [`Connection::data`] would do nothing.
    #[must_use]
    pub fn data_head(&mut self, stream: u32, length: usize, end: bool, out: &mut Vec<u8>) -> bool {
        let most = self.max_data();
        let Some(slot) = self.streams.find(stream) else { return false };
        let open = self.streams.at(slot);
        let room = open.send.left().min(self.send.left()).min(most);
        if !open.sent_head || open.sent_end || length > room || (length == 0 && !end) {
            return false;
        }
        open.send.take(length);
        self.send.take(length);
        self.budget.sent(length);
        out.extend_from_slice(&frame::encode_head(length, frame::DATA, if end { END_STREAM } else { 0 }, stream));
        if end {
            self.end_sent(slot);
        }
        true
    }

    #[inline]
    pub(super) fn end_sent(&mut self, slot: usize) {
        let stream = self.streams.at(slot);
        stream.sent_end = true;
        if stream.received_end {
            self.complete(slot);
        }
    }

    /// Ends a stream at once with RST_STREAM. Nothing is done where it is gone. What was received of it and not released
    /// is still to be released.
    pub fn reset(&mut self, stream: u32, code: Code, out: &mut Vec<u8>) {
        let Some(slot) = self.streams.find(stream) else { return };
        // Of a stream without a request the peer does not know.
        if self.role == Role::Server || self.streams.at(slot).sent_head {
            frame::put_number(frame::RST_STREAM, stream, code.0, out);
        }
        self.abandon(slot);
    }

    /// Appends PING, which [`super::Event::Pong`] answers.
    pub fn ping(&mut self, payload: [u8; 8], out: &mut Vec<u8>) {
        self.pings = self.pings.saturating_add(1);
        out.extend_from_slice(&frame::encode_head(8, frame::PING, 0, 0));
        out.extend_from_slice(&payload);
    }

    /// Appends what asks for no answer and changes nothing for a peer that has ended its side: WINDOW_UPDATE, of a byte that
    /// will not come. The system of one that is gone says so in return.
    pub fn probe(&self, out: &mut Vec<u8>) {
        frame::put_number(frame::WINDOW_UPDATE, 0, 1, out);
    }

    /// Begins a graceful end (RFC 9113 section 6.8): a server tells the peer to open no more streams, and takes those
    /// that are on their way. A client opens no more. To be followed by [`Connection::finish_drain`], after a round trip.
    pub fn drain(&mut self, out: &mut Vec<u8>) {
        if self.role == Role::Server && self.going != Going::Final {
            frame::put_go_away(MOST, Code::NO_ERROR.0, out);
        }
        if self.going == Going::No {
            self.going = Going::Draining;
        }
    }

    /// Takes no new streams from now on. The connection may be closed once [`Connection::streams`] is 0.
    pub fn finish_drain(&mut self, out: &mut Vec<u8>) {
        if self.going != Going::Final {
            self.go_away(Code::NO_ERROR, out);
        }
    }

    /// Appends GOAWAY with the last stream that was begun with; later ones are ignored.
    pub fn go_away(&mut self, code: Code, out: &mut Vec<u8>) {
        // A later one must not let more through, nor does it: `last` only grows where nothing was said.
        let last = if self.role == Role::Server && self.going != Going::Final { self.last } else { self.said_last };
        self.said_last = last;
        self.going = Going::Final;
        frame::put_go_away(last, code.0, out);
    }

    /// How many streams are open.
    #[must_use]
    #[inline]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Whether the stream is open, and this side may send on it.
    #[must_use]
    pub fn is_open(&self, stream: u32) -> bool {
        self.streams.peek(stream).is_some_and(|stream| !stream.sent_end)
    }

    /// Whether one of the sides has said that no more streams are to be opened.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.going != Going::No || matches!(self.state, State::Dead(_))
    }

    /// Whether the peer has said what it allows.
    #[must_use]
    pub fn has_settings(&self) -> bool {
        self.settings
    }

    /// Whether the peer, a server, takes extended `CONNECT` (RFC 8441 section 3).
    #[must_use]
    pub fn peer_extended_connect(&self) -> bool {
        self.peer.extended_connect
    }

    /// The size of a field section that the peer takes, if it has said so (RFC 9113 section 6.5.2).
    #[must_use]
    pub fn peer_header_list(&self) -> u32 {
        self.peer.header_list
    }

    /// Sets the number by which the caller finds what it has for the stream; events tell it. Nothing is done where the
    /// stream is gone.
    #[inline]
    pub fn set_key(&mut self, stream: u32, key: u32) {
        if let Some(stream) = self.streams.stream(stream) {
            stream.key = key;
        }
    }

    /// The number that was set; `None` where the stream is gone.
    #[must_use]
    #[inline]
    pub fn key(&self, stream: u32) -> Option<u32> {
        self.streams.peek(stream).map(|stream| stream.key)
    }
}
