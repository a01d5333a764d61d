//! Content on its way in: DATA (RFC 9113 section 6.1), and the windows that are given back for it.

use super::code::{Code, Fatal, Wrong};
use super::config::INITIAL_WINDOW;
use super::connection::{Connection, Incoming, Role, State, Step};
use super::event::Event;
use super::frame::{self, END_STREAM, HEAD, Head, PADDED};
use super::streams::UNKNOWN;
use std::ops::Range;

impl Connection {
    /// A DATA frame, at the beginning of `input`. Its content is told as it comes, whether or not all of it is there.
    #[inline]
    pub(super) fn data_frame(
        &mut self,
        head: Head,
        input: &[u8],
        base: usize,
        out: &mut Vec<u8>,
    ) -> Result<Step, Fatal> {
        let (mut start, mut padding) = (HEAD, 0);
        if head.has(PADDED) {
            if head.length == 0 {
                return Err(Fatal::size("padding without its length"));
            }
            let Some(&length) = input.get(HEAD) else { return Ok(Step::More) };
            (start, padding) = (HEAD + 1, u32::from(length));
            if padding >= head.length {
                return Err(Fatal::protocol("more padding than DATA"));
            }
        }
        if head.stream == 0 {
            return Err(Fatal::protocol("DATA on stream 0"));
        }
        if !self.receive.take(head.length) {
            return Err(Fatal::flow("more DATA than the connection's window"));
        }
        let overhead = if start == HEAD { 0 } else { padding + 1 };
        let left = head.length - overhead;
        let end = head.has(END_STREAM);
        let Some(slot) = self.streams.find(head.stream) else {
            self.discard(head, start, out);
            return self.closed(head, out).map(|()| Step::Done(start));
        };
        let stream = self.streams.at(slot);
        let wrong = if stream.received_end {
            Some((Code::STREAM_CLOSED, "DATA behind the end of a stream"))
        } else if !stream.receive.take(head.length) {
            Some((Code::FLOW_CONTROL_ERROR, "DATA beyond the window of a stream"))
        } else if !stream.received_head {
            Some((Code::PROTOCOL_ERROR, "DATA before the head"))
        } else if stream.expected != UNKNOWN {
            // The length that the head gave is the sum of all DATA (section 8.1.1).
            let rest = stream.expected.checked_sub(u64::from(left));
            stream.expected = rest.unwrap_or_default();
            let as_said = rest.is_some_and(|rest| rest == 0 || !end);
            (!as_said).then_some((Code::PROTOCOL_ERROR, "content of another length than content-length"))
        } else {
            None
        };
        if let Some((code, reason)) = wrong {
            self.discard(head, start, out);
            let event = self.stream_error(head.stream, code, reason, out)?;
            return Ok(Step::of(start, event));
        }
        if left > 0 {
            self.budget.useful();
            let incoming = Incoming { stream: head.stream, left, padding, overhead, end };
            return Ok(match self.data_piece(incoming, &input[start..], base + start, out) {
                Step::More => Step::Done(start),
                Step::Done(length) => Step::Done(start + length),
                Step::Event(length, event) => Step::Event(start + length, event),
            });
        }
        self.skip(padding);
        if !end {
            self.budget.idle()?;
            self.release(head.stream, overhead, out);
            return Ok(Step::Done(start));
        }
        let key = self.streams.at(slot).key;
        self.end_received(slot);
        let payload = base + start..base + start;
        Ok(Step::Event(start, Event::Data { stream: head.stream, key, payload, end, credit: overhead }))
    }

    /// Content of a DATA frame, in front of `input`.
    #[inline]
    pub(super) fn data_piece(&mut self, incoming: Incoming, input: &[u8], base: usize, out: &mut Vec<u8>) -> Step {
        let Incoming { stream, left, padding, overhead, end } = incoming;
        let length = input.len().min(left as usize);
        if length == 0 {
            self.state = State::Data(incoming);
            return Step::More;
        }
        let left = left - length as u32;
        if left == 0 {
            self.skip(padding);
        } else {
            self.state = State::Data(Incoming { left, overhead: 0, ..incoming });
        }
        let credit = length as u32 + overhead;
        let Some(slot) = self.streams.find(stream) else {
            // Reset by the caller between two pieces.
            self.release_connection(credit, out);
            return Step::Done(length);
        };
        let key = self.streams.at(slot).key;
        let end = end && left == 0;
        if end {
            self.end_received(slot);
        }
        let payload: Range<usize> = base..base + length;
        Step::Event(length, Event::Data { stream, key, payload, end, credit })
    }

    /// The caller is done with `credit` bytes of an [`Event::Data`]: the windows open again, with a WINDOW_UPDATE for
    /// each half of one (RFC 9113 section 6.9). Counts for the connection also where the stream is gone.
    pub fn release(&mut self, stream: u32, credit: u32, out: &mut Vec<u8>) {
        self.release_connection(credit, out);
        let full = self.stream_window();
        if let Some(open) = self.streams.stream(stream)
            && !open.received_end
            && let Some(more) = open.receive.release(credit, full)
        {
            frame::put_number(frame::WINDOW_UPDATE, stream, more, out);
        }
    }

    fn release_connection(&mut self, credit: u32, out: &mut Vec<u8>) {
        if let Some(more) = self.receive.release(credit, self.config.connection_window) {
            frame::put_number(frame::WINDOW_UPDATE, 0, more, out);
        }
    }

    /// The window that a stream begins with. A smaller one than the protocol's counts once the peer knows of it.
    pub(super) fn stream_window(&self) -> u32 {
        if self.acknowledged { self.config.window } else { self.config.window.max(INITIAL_WINDOW) }
    }

    /// The rest of a DATA frame, which is read up to `start`, is of no use.
    #[cold]
    fn discard(&mut self, head: Head, start: usize, out: &mut Vec<u8>) {
        self.skip(head.length - (start - HEAD) as u32);
        self.release_connection(head.length, out);
    }

    #[inline]
    fn skip(&mut self, length: u32) {
        self.state = if length == 0 { State::Head } else { State::Skip(length) };
    }

    /// DATA of a stream that is not open, which only may come where it was this side that closed it (section 5.1).
    #[cold]
    fn closed(&mut self, head: Head, out: &mut Vec<u8>) -> Result<(), Fatal> {
        if self.is_idle(head.stream) {
            return Err(Fatal::protocol("a frame on an idle stream"));
        }
        // Whose it is needs not be remembered for that: a peer may have many streams closed at once.
        // An end by itself goes with what is before it.
        let length = if head.has(END_STREAM) { head.length.max(1) } else { head.length };
        if !self.streams.was_completed(head.stream) && self.budget.was_in_flight(length) {
            return Ok(());
        }
        if self.streams.is_ignored(head.stream) {
            return self.budget.idle();
        }
        self.stream_error(head.stream, Code::STREAM_CLOSED, "DATA of a closed stream", out).map(|_| ())
    }

    /// This side is done with a stream of which more may come.
    pub(super) fn abandon(&mut self, slot: usize) {
        let stream = self.streams.at(slot);
        if !stream.received_end {
            self.budget.closed(stream.receive.left());
        }
        self.streams.abandon(slot);
    }

    /// Whether nobody has opened a stream yet. None is ever pushed, so that those with even ids stay idle.
    pub(super) fn is_idle(&self, stream: u32) -> bool {
        stream.is_multiple_of(2) || stream > self.last
    }

    /// The peer has ended the stream.
    #[inline]
    pub(super) fn end_received(&mut self, slot: usize) {
        let stream = self.streams.at(slot);
        stream.received_end = true;
        if stream.sent_end {
            self.complete(slot);
        }
    }

    /// Both sides are done with the stream.
    #[inline]
    pub(super) fn complete(&mut self, slot: usize) {
        self.budget.completed();
        self.streams.complete(slot);
    }

    /// Resets a stream because of what the peer sent (section 5.4.2). The event is for a caller who knows the stream.
    #[cold]
    pub(super) fn stream_error(
        &mut self,
        stream: u32,
        code: Code,
        reason: &'static str,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Fatal> {
        self.budget.reset()?;
        self.wrong = Some(Wrong { stream, code, reason });
        self.reset_by_error(stream, code, out)
    }

    /// The same where it is not the peer's doing.
    pub(super) fn reset_by_error(
        &mut self,
        stream: u32,
        code: Code,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Fatal> {
        self.budget.answer(out.len())?;
        frame::put_number(frame::RST_STREAM, stream, code.0, out);
        let Some(slot) = self.streams.find(stream) else {
            self.streams.ignore(stream);
            return Ok(None);
        };
        let key = self.streams.at(slot).key;
        self.abandon(slot);
        Ok(Some(Event::Reset { stream, key, code, own: true }))
    }

    /// Client: the next stream that the peer's GOAWAY leaves out.
    #[cold]
    pub(super) fn leave_out(&mut self) -> Option<Event> {
        let last = self.left_out?;
        let next = self.streams.iter_mut().find(|stream| stream.id > last).map(|stream| (stream.id, stream.key));
        let Some((stream, key)) = next else {
            self.left_out = None;
            return None;
        };
        if let Some(slot) = self.streams.find(stream) {
            self.abandon(slot);
        }
        debug_assert!(self.role == Role::Client);
        Some(Event::Reset { stream, key, code: Code::REFUSED_STREAM, own: true })
    }
}
