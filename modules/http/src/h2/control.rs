//! Frames without a message: RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, PRIORITY, and those that are not known
//! (RFC 9113 sections 6.3 to 6.9 and 5.5). PRIORITY_UPDATE has a file of its own.

use super::budget;
use super::code::{Code, Fatal};
use super::connection::{Connection, Going, Role};
use super::event::Event;
use super::frame::{self, ACK, Head, MOST};
use super::streams::Stream;

impl Connection {
    #[inline(never)]
    pub(super) fn control(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) -> Result<Option<Event>, Fatal> {
        match head.kind {
            frame::WINDOW_UPDATE => self.window_update(head, payload, out),
            frame::RST_STREAM => self.rst_stream(head, payload),
            frame::SETTINGS => self.settings(head, payload, out),
            frame::PING => self.pinged(head, payload, out),
            frame::GOAWAY => self.goaway(head, payload),
            frame::PUSH_PROMISE => Err(Fatal::protocol("PUSH_PROMISE")),
            frame::PRIORITY => self.old_priority(head, payload, out),
            frame::PRIORITY_UPDATE => self.priority_update(head, payload),
            _ => {
                self.budget.idle()?;
                Ok(None)
            }
        }
    }

    fn window_update(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) -> Result<Option<Event>, Fatal> {
        let Some(bytes) = exactly(payload) else { return Err(Fatal::size("WINDOW_UPDATE of the wrong size")) };
        let increment = u32::from_be_bytes(*bytes) & MOST;
        if (increment as usize) < budget::UPDATE {
            self.budget.idle()?;
        }
        if head.stream == 0 {
            if increment == 0 {
                return Err(Fatal::protocol("WINDOW_UPDATE of nothing"));
            }
            let Some(opened) = self.send.grow(i64::from(increment)) else {
                return Err(Fatal::flow("the connection's window is too large"));
            };
            return Ok(opened.then_some(Event::Writable { stream: 0, key: 0 }));
        }
        let Some(stream) = self.streams.stream(head.stream) else {
            if self.is_idle(head.stream) {
                return Err(Fatal::protocol("WINDOW_UPDATE on an idle stream"));
            }
            // The stream may have ended while it was on its way. Of a large increment there may be any number, too.
            self.budget.idle()?;
            return Ok(None);
        };
        if increment == 0 {
            return self.stream_error(head.stream, Code::PROTOCOL_ERROR, "WINDOW_UPDATE of nothing", out);
        }
        let Some(opened) = stream.send.grow(i64::from(increment)) else {
            return self.stream_error(
                head.stream,
                Code::FLOW_CONTROL_ERROR,
                "the window of a stream is too large",
                out,
            );
        };
        Ok(opened.then_some(Event::Writable { stream: head.stream, key: stream.key }))
    }

    fn rst_stream(&mut self, head: Head, payload: &[u8]) -> Result<Option<Event>, Fatal> {
        let Some(bytes) = exactly(payload) else { return Err(Fatal::size("RST_STREAM of the wrong size")) };
        let Some(slot) = self.streams.find(head.stream) else {
            if self.is_idle(head.stream) {
                return Err(Fatal::protocol("RST_STREAM on an idle stream"));
            }
            self.budget.idle()?;
            return Ok(None);
        };
        let Stream { key, sent_head, .. } = *self.streams.at(slot);
        // Who gives up an answer that has begun does as everybody who closes a page; before that it was work for nothing. A
        // client has asked for no more than it wanted, whatever becomes of it.
        if self.role == Role::Server && !sent_head {
            self.budget.reset()?;
        }
        self.streams.complete(slot);
        let code = Code(u32::from_be_bytes(*bytes));
        Ok(Some(Event::Reset { stream: head.stream, key, code, own: false }))
    }

    fn settings(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) -> Result<Option<Event>, Fatal> {
        if head.stream != 0 {
            return Err(Fatal::protocol("SETTINGS on a stream"));
        }
        if head.has(ACK) {
            return self.settings_acknowledged(payload, out);
        }
        if !payload.len().is_multiple_of(6) {
            return Err(Fatal::size("SETTINGS of the wrong size"));
        }
        if self.settings {
            self.budget.idle()?;
        }
        self.budget.answer(out.len())?;
        let first = !std::mem::replace(&mut self.settings, true);
        let (window, max_streams) = (self.peer.window, self.peer.max_streams);
        self.peer.update(payload, self.role == Role::Server, first, |size| self.encoder.allowed(size))?;
        let by = i64::from(self.peer.window) - i64::from(window);
        if by != 0 {
            // The windows of open streams move with it, those of what is sent (section 6.9.2).
            for stream in self.streams.iter_mut() {
                if stream.send.grow(by).is_none() {
                    return Err(Fatal::flow("SETTINGS_INITIAL_WINDOW_SIZE makes a window too large"));
                }
            }
        }
        out.extend_from_slice(&frame::encode_head(0, frame::SETTINGS, ACK, 0));
        let more = by > 0 || (self.role == Role::Client && self.peer.max_streams > max_streams);
        Ok(more.then_some(Event::Writable { stream: 0, key: 0 }))
    }

    /// The peer has accepted what [`Connection::start`] announced.
    fn settings_acknowledged(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<Option<Event>, Fatal> {
        if !payload.is_empty() {
            return Err(Fatal::size("SETTINGS acknowledged with a payload"));
        }
        if !self.settings {
            return Err(Fatal::protocol("the first frame is not SETTINGS"));
        }
        if self.acknowledged {
            self.budget.idle()?;
            return Ok(None);
        }
        let before = self.stream_window();
        self.acknowledged = true;
        self.decoder.acknowledged(self.config.header_table);
        let by = i64::from(self.config.window) - i64::from(before);
        if by != 0 {
            for stream in self.streams.iter_mut() {
                stream.receive.shift(by);
                // What was given back was half of the window only as of now.
                let more = stream.receive.release(0, self.config.window);
                if let (Some(more), false) = (more, stream.received_end) {
                    frame::put_number(frame::WINDOW_UPDATE, stream.id, more, out);
                }
            }
        }
        Ok(None)
    }

    fn pinged(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) -> Result<Option<Event>, Fatal> {
        let Some(&payload) = exactly::<8>(payload) else { return Err(Fatal::size("PING of the wrong size")) };
        if head.stream != 0 {
            return Err(Fatal::protocol("PING on a stream"));
        }
        if head.has(ACK) && self.pings > 0 {
            self.pings -= 1;
            return Ok(Some(Event::Pong { payload }));
        }
        self.budget.idle()?;
        if !head.has(ACK) {
            self.budget.answer(out.len())?;
            out.extend_from_slice(&frame::encode_head(8, frame::PING, ACK, 0));
            out.extend_from_slice(&payload);
        }
        Ok(None)
    }

    fn goaway(&mut self, head: Head, payload: &[u8]) -> Result<Option<Event>, Fatal> {
        if head.stream != 0 {
            return Err(Fatal::protocol("GOAWAY on a stream"));
        }
        let Some(&[a, b, c, d, e, f, g, h]) = payload.first_chunk() else {
            return Err(Fatal::size("GOAWAY of the wrong size"));
        };
        self.budget.idle()?;
        let last = u32::from_be_bytes([a, b, c, d]) & MOST;
        if self.role == Role::Client {
            // Never more streams than an earlier one let through (section 6.8).
            self.left_out = Some(self.left_out.map_or(last, |before| before.min(last)));
        }
        if self.going == Going::No {
            self.going = Going::Draining;
        }
        Ok(Some(Event::GoAway { last, code: Code(u32::from_be_bytes([e, f, g, h])) }))
    }

    /// PRIORITY, which says nothing any more (section 5.3.2), may come for any stream.
    fn old_priority(&mut self, head: Head, payload: &[u8], out: &mut Vec<u8>) -> Result<Option<Event>, Fatal> {
        if head.stream == 0 {
            return Err(Fatal::protocol("PRIORITY on stream 0"));
        }
        self.budget.idle()?;
        if payload.len() == 5 {
            return Ok(None);
        }
        if self.streams.find(head.stream).is_none() {
            return Err(Fatal::size("PRIORITY of the wrong size"));
        }
        self.stream_error(head.stream, Code::FRAME_SIZE_ERROR, "PRIORITY of the wrong size", out)
    }
}

/// The payload, where it has that length.
fn exactly<const LENGTH: usize>(payload: &[u8]) -> Option<&[u8; LENGTH]> {
    payload.try_into().ok()
}
