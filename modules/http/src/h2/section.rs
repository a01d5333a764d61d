//! Field sections on their way in: HEADERS and CONTINUATION (RFC 9113 sections 6.2 and 6.10), and what becomes of the
//! stream.

use super::code::{Code, Fatal};
use super::connection::{Connection, Going, Role, Section, kept};
use super::event::Event;
use super::frame::{self, END_HEADERS, END_STREAM, Head, PRIORITIZED};
use super::hpack::Corrupt;
use super::message;
use super::streams::UNKNOWN;

/// CONTINUATION frames of one section. With frames of 16 KiB they hold more than any list that is allowed; smaller ones
/// are only sent to keep a server busy (CVE-2024-27316 and its like).
const CONTINUATIONS: u32 = 16;

/// What a section may have encoded beyond the list that is allowed: so much is decoded, for the tables' sake, and answered
/// with 431. Then the connection ends.
const EXCESS: usize = 32 << 10;

const NO_CONTENT: &str = "content-length, and no content";
const TOO_LARGE: &str = "more or larger fields than are allowed";

impl Connection {
    /// HEADERS.
    #[inline]
    pub(super) fn headers_frame(
        &mut self,
        head: Head,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Fatal> {
        if head.stream == 0 {
            return Err(Fatal::protocol("HEADERS on stream 0"));
        }
        let Some(mut fragment) = frame::unpadded(head, payload) else {
            return Err(Fatal::protocol("more padding than HEADERS"));
        };
        if head.has(PRIORITIZED) {
            let Some(rest) = fragment.get(5..) else { return Err(Fatal::size("HEADERS without their priority")) };
            fragment = rest;
        }
        let end = head.has(END_STREAM);
        if head.has(END_HEADERS) {
            return self.section(head.stream, end, fragment, out);
        }
        self.fragments.clear();
        self.begins();
        self.section = Some(Section { stream: head.stream, end, frames: 0 });
        self.fragment(fragment)?;
        Ok(None)
    }

    /// CONTINUATION, of the section in progress.
    pub(super) fn continuation(
        &mut self,
        head: Head,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Fatal> {
        let Some(section) = &mut self.section else { return Err(Fatal::protocol("CONTINUATION of nothing")) };
        section.frames += 1;
        let Section { stream, end, frames } = *section;
        if frames > CONTINUATIONS {
            return Err(Fatal::calm("too many CONTINUATION frames"));
        }
        self.fragment(payload)?;
        if !head.has(END_HEADERS) {
            return Ok(None);
        }
        (self.section, self.begun_ms) = (None, None);
        let fragments = std::mem::take(&mut self.fragments);
        let event = self.section(stream, end, &fragments, out)?;
        self.fragments = kept(fragments);
        Ok(event)
    }

    fn fragment(&mut self, fragment: &[u8]) -> Result<(), Fatal> {
        if self.fragments.len() + fragment.len() > self.config.header_list as usize + EXCESS {
            return Err(Fatal::calm("field section too large"));
        }
        self.fragments.extend_from_slice(fragment);
        Ok(())
    }

    /// A whole section. It is decoded whatever it is for, since the tables are those of the connection.
    #[inline]
    fn section(&mut self, id: u32, end: bool, fragment: &[u8], out: &mut Vec<u8>) -> Result<Option<Event>, Fatal> {
        if let Err(Corrupt(reason)) = self.decoder.decode(fragment, &mut self.block) {
            return Err(Fatal { code: Code::COMPRESSION_ERROR, reason });
        }
        let Some(slot) = self.streams.find(id) else {
            return match self.role {
                Role::Server => self.request(id, end, out),
                Role::Client => self.stray(id),
            };
        };
        let stream = self.streams.at(slot);
        if stream.received_end {
            return self.stream_error(id, Code::STREAM_CLOSED, "HEADERS behind the end of a stream", out);
        }
        if !stream.received_head {
            return self.response(id, slot, end, out);
        }
        self.trailers(id, slot, end, out)
    }

    /// A request (sections 5.1.1 and 8.3.1).
    #[inline]
    fn request(&mut self, id: u32, end: bool, out: &mut Vec<u8>) -> Result<Option<Event>, Fatal> {
        if id <= self.last || id.is_multiple_of(2) {
            return self.no_request(id);
        }
        self.last = id;
        let priority = self.early.open(id);
        if self.going == Going::Final {
            // The peer knows from GOAWAY that nobody looks at it (section 6.8).
            self.streams.ignore(id);
            self.turned_away(end);
            self.budget.idle()?;
            return Ok(None);
        }
        if self.streams.len() >= self.config.max_streams as usize {
            self.turned_away(end);
            return self.refused(id, out);
        }
        let too_large = self.block.is_too_large();
        let mut expected = UNKNOWN;
        let (mut is_head, mut is_connect) = (false, false);
        if !too_large {
            let request = match message::request(&self.block, self.config.extended_connect) {
                Ok(request) => request,
                Err(reason) => {
                    self.turned_away(end);
                    return self.stream_error(id, Code::PROTOCOL_ERROR, reason, out);
                }
            };
            (is_head, is_connect) = (request.is_head, request.is_connect);
            if !is_connect && let Some(length) = self.block.content_length() {
                expected = length;
            }
            if end && expected != UNKNOWN && expected != 0 {
                return self.stream_error(id, Code::PROTOCOL_ERROR, NO_CONTENT, out);
            }
        }
        self.budget.head();
        let slot = self.streams.insert(id, self.peer.window, self.stream_window());
        let stream = self.streams.at(slot);
        stream.expected = expected;
        stream.received_head = true;
        stream.received_end = end;
        (stream.is_head, stream.is_connect) = (is_head, is_connect);
        stream.priority = priority;
        Ok(Some(if too_large {
            Event::Refused { stream: id, end, status: 431 }
        } else {
            Event::Head { stream: id, key: 0, end }
        }))
    }

    /// One stream more than allowed. A peer that does not know yet how many are has done nothing wrong.
    #[cold]
    fn refused(&mut self, id: u32, out: &mut Vec<u8>) -> Result<Option<Event>, Fatal> {
        if self.acknowledged {
            return self.stream_error(id, Code::REFUSED_STREAM, "more streams than are allowed", out);
        }
        self.budget.idle()?;
        self.reset_by_error(id, Code::REFUSED_STREAM, out)
    }

    /// No stream is made of a request, whose content may be on its way.
    #[cold]
    fn turned_away(&mut self, end: bool) {
        if !end {
            self.budget.closed(self.stream_window());
        }
    }

    /// HEADERS on a stream that is not open, and cannot be opened.
    #[cold]
    fn no_request(&mut self, id: u32) -> Result<Option<Event>, Fatal> {
        if id % 2 == 1 && self.streams.is_ignored(id) {
            // Trailers that were on their way.
            self.budget.idle()?;
            return Ok(None);
        }
        if id % 2 == 1 && self.streams.was_completed(id) {
            return Err(Fatal { code: Code::STREAM_CLOSED, reason: "HEADERS on a closed stream" });
        }
        Err(Fatal::protocol("the id of a stream is even, or was passed over"))
    }

    /// Client: HEADERS on a stream that is not open: a response to what was reset, perhaps long ago.
    #[cold]
    fn stray(&mut self, id: u32) -> Result<Option<Event>, Fatal> {
        if self.is_idle(id) {
            return Err(Fatal::protocol("HEADERS on an idle stream"));
        }
        if self.streams.was_completed(id) {
            return Err(Fatal { code: Code::STREAM_CLOSED, reason: "HEADERS on a closed stream" });
        }
        self.budget.idle()?;
        Ok(None)
    }

    /// Client: a response (section 8.3.2), or an interim one (section 8.1).
    fn response(&mut self, id: u32, slot: usize, end: bool, out: &mut Vec<u8>) -> Result<Option<Event>, Fatal> {
        let length = self.block.content_length();
        let stream = self.streams.at(slot);
        if !stream.sent_head {
            return Err(Fatal::protocol("a response to no request"));
        }
        if self.block.is_too_large() {
            return self.stream_error(id, Code::ENHANCE_YOUR_CALM, TOO_LARGE, out);
        }
        let status = match message::response(&self.block) {
            Ok(status) => status,
            Err(reason) => return self.stream_error(id, Code::PROTOCOL_ERROR, reason, out),
        };
        let key = stream.key;
        if status < 200 {
            if end {
                let reason = "nothing follows an interim response";
                return self.stream_error(id, Code::PROTOCOL_ERROR, reason, out);
            }
            self.budget.idle()?;
            return Ok(Some(Event::Head { stream: id, key, end }));
        }
        stream.received_head = true;
        // Refused, it is a request like others, and its response may have trailers.
        stream.is_connect &= status < 300;
        // What the length says of a response without content is not what comes (RFC 9110 section 8.6).
        stream.expected = if stream.is_connect {
            UNKNOWN
        } else if stream.is_head || status == 204 || status == 304 {
            0
        } else {
            length.unwrap_or(UNKNOWN)
        };
        if end && stream.expected != UNKNOWN && stream.expected != 0 {
            return self.stream_error(id, Code::PROTOCOL_ERROR, NO_CONTENT, out);
        }
        self.budget.head();
        if end {
            self.end_received(slot);
        }
        Ok(Some(Event::Head { stream: id, key, end }))
    }

    /// Trailers (section 8.1), which must end the stream. A tunnel has none (section 8.5).
    fn trailers(&mut self, id: u32, slot: usize, end: bool, out: &mut Vec<u8>) -> Result<Option<Event>, Fatal> {
        let stream = self.streams.at(slot);
        if self.block.is_too_large() {
            return self.stream_error(id, Code::ENHANCE_YOUR_CALM, TOO_LARGE, out);
        }
        let complete = stream.expected == UNKNOWN || stream.expected == 0;
        if !end || !complete || stream.is_connect || !message::trailers(&self.block) {
            return self.stream_error(
                id,
                Code::PROTOCOL_ERROR,
                "malformed trailers, or content before them is missing",
                out,
            );
        }
        let key = stream.key;
        self.end_received(slot);
        Ok(Some(Event::Trailers { stream: id, key }))
    }
}
