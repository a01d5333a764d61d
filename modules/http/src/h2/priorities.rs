//! PRIORITY_UPDATE (RFC 9218 section 7.1): what a client says of its streams, those included that are yet to come.

use super::code::Fatal;
use super::connection::{Connection, Going, Role};
use super::event::Event;
use super::frame::{Head, MOST};
use crate::core::priority::{Parameters, Priority};

impl Connection {
    /// Server: what the client said last of the stream in frames of their own, which counts before its head (RFC 9218
    /// section 7). `None`: nothing, or the stream is gone.
    #[must_use]
    #[inline]
    pub fn priority(&self, stream: u32) -> Option<Priority> {
        self.streams.peek(stream)?.priority
    }

    pub(super) fn priority_update(&mut self, head: Head, payload: &[u8]) -> Result<Option<Event>, Fatal> {
        if self.role == Role::Client {
            return Err(Fatal::protocol("PRIORITY_UPDATE of a server"));
        }
        if head.stream != 0 {
            return Err(Fatal::protocol("PRIORITY_UPDATE on a stream"));
        }
        let Some((id, field)) = payload.split_first_chunk() else {
            return Err(Fatal::size("PRIORITY_UPDATE of the wrong size"));
        };
        let id = u32::from_be_bytes(*id) & MOST;
        if id.is_multiple_of(2) {
            // Nothing is pushed here: each stream of a push is idle.
            return Err(Fatal::protocol("PRIORITY_UPDATE for stream 0 or a push"));
        }
        self.budget.idle()?;
        // What is left out is as usual. A field that is none says nothing: the RFC leaves it open whether that is an error.
        let said = Parameters::read(field).map(|said| said.over(Priority::default()));
        if let Some(stream) = self.streams.stream(id) {
            stream.priority = said.or(stream.priority);
            return Ok(said.map(|_| Event::Priority { stream: id, key: stream.key }));
        }
        // Of one that is gone, or will not be looked at, there is nothing to remember.
        if self.is_idle(id) && self.going != Going::Final {
            self.remember(id, said)?;
        }
        Ok(None)
    }

    /// Of a stream that is yet to come. Those, and the open ones, are no more than may be open.
    fn remember(&mut self, id: u32, said: Option<Priority>) -> Result<(), Fatal> {
        if !self.early.has(id) && self.streams.len() + self.early.0.len() >= self.config.max_streams as usize {
            // A peer that does not know yet how many it may open has done nothing wrong.
            let wrong = Fatal::protocol("PRIORITY_UPDATE for more streams than allowed");
            return if self.acknowledged { Err(wrong) } else { Ok(()) };
        }
        if let Some(said) = said {
            self.early.put(id, said);
        }
        Ok(())
    }
}

/// What was said of streams that are not open yet, in no order: there are few, and mostly none.
#[derive(Clone, Debug, Default)]
pub(super) struct Early(Vec<(u32, Priority)>);

impl Early {
    fn has(&self, id: u32) -> bool {
        self.0.iter().any(|(stream, _)| *stream == id)
    }

    fn put(&mut self, id: u32, said: Priority) {
        match self.0.iter_mut().find(|(stream, _)| *stream == id) {
            Some((_, before)) => *before = said,
            None => self.0.push((id, said)),
        }
    }

    /// The stream is opened: what was said of it. Those below will not be any more (RFC 9113 section 5.1.1).
    #[inline]
    pub(super) fn open(&mut self, id: u32) -> Option<Priority> {
        if self.0.is_empty() {
            return None;
        }
        let said = self.0.iter().find(|(stream, _)| *stream == id).map(|(_, said)| *said);
        self.0.retain(|(stream, _)| *stream > id);
        if self.0.is_empty() {
            // A connection lasts, and most say such a thing at their beginning.
            self.0 = Vec::new();
        }
        said
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.0.capacity() * size_of::<(u32, Priority)>()
    }
}
