//! Access logs: each worker gathers lines in a buffer of its own and hands whole buffers over. Knows nothing of formats and
//! filters: the caller renders a line, or does not.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file::Target;
use super::writer::{Channel, Writer};

/// Longest line, in bytes; the rest of it is cut off.
pub const MAX_LINE: usize = 64 * 1024;

/// When a buffer is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffering {
    /// Bytes that are gathered (`buffer=`). 0: each line by itself.
    pub size: usize,
    /// How long a line waits at most (`flush=`). None: until the buffer is full.
    pub flush: Option<Duration>,
}

impl Default for Buffering {
    fn default() -> Self {
        Self { size: 64 * 1024, flush: Some(Duration::from_secs(1)) }
    }
}

/// An open access log. Clones write to the same target.
#[derive(Clone)]
pub struct AccessLog {
    channel: Arc<Channel>,
}

impl AccessLog {
    /// Opens the target for appending. Two logs of one target share it, and their lines never interleave.
    pub fn open(writer: &Writer, target: Target) -> io::Result<Self> {
        Ok(Self { channel: writer.channel(target)? })
    }

    /// A worker's buffer.
    pub fn buffer(&self, buffering: Buffering) -> Buffer {
        Buffer { channel: self.channel.clone(), buffering, bytes: Vec::new(), lines: 0, deadline: None }
    }

    /// Where it goes.
    pub fn target(&self) -> &Target {
        &self.channel.target
    }

    /// Lines that were lost since the target was opened: by failed writes, or because too many waited.
    pub fn lost(&self) -> u64 {
        self.channel.lost()
    }
}

/// Lines of one worker. What it holds is handed over when it is dropped, whatever waits already.
pub struct Buffer {
    channel: Arc<Channel>,
    buffering: Buffering,
    bytes: Vec<u8>,
    lines: u64,
    deadline: Option<Instant>,
}

impl Buffer {
    /// Adds a line: `render` appends its text, a line feed is added when it has none. Never waits. An empty text is no line.
    pub fn line(&mut self, now: Instant, render: impl FnOnce(&mut Vec<u8>)) {
        if self.bytes.capacity() == 0 {
            self.bytes = self.channel.buffer();
        }
        let start = self.bytes.len();
        render(&mut self.bytes);
        if self.bytes.len() == start {
            return;
        }
        if self.bytes.len() - start > MAX_LINE {
            self.bytes.truncate(start + MAX_LINE - 1);
        }
        if self.bytes.last() != Some(&b'\n') {
            self.bytes.push(b'\n');
        }
        self.lines += 1;
        if self.deadline.is_none() {
            self.deadline = self.buffering.flush.and_then(|flush| now.checked_add(flush));
        }
        if self.bytes.len() >= self.buffering.size {
            self.flush();
        } else {
            self.tick(now);
        }
    }

    /// Hands over what has waited long enough. To be called by the worker's clock.
    pub fn tick(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.flush();
        }
    }

    /// When [`Buffer::tick`] has something to do next. None: the buffer is empty, or waits until it is full.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Hands over what there is. When too much waits already the lines are lost and counted.
    pub fn flush(&mut self) {
        self.hand_over(false);
    }

    fn hand_over(&mut self, force: bool) {
        self.deadline = None;
        if self.lines > 0 {
            self.channel.send(std::mem::take(&mut self.bytes), std::mem::take(&mut self.lines), force);
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Its memory is in use anyway, and there is one such buffer a worker: the bound need not cost the last lines.
        self.hand_over(true);
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
