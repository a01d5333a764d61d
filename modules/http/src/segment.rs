//! What bodies are made of: bytes that are handed on without a copy, parts of files, trailers.

use crate::files::{self, Opened};
use anyproxy_module_api::{Buf, Cause, Error, ErrorKind, Stage, Who};
use std::{fmt, ops::Deref, rc::Rc};

/// Bytes with their memory: handed on, never copied, cut from the front.
pub(crate) struct Chunk {
    memory: Memory,
    at: usize,
    end: usize,
}

enum Memory {
    /// Of the host's pool.
    Host(Buf),
    Own(Vec<u8>),
    Shared(Rc<[u8]>),
}

impl Chunk {
    /// A part of a buffer.
    pub(crate) fn host(buf: Buf, at: usize, end: usize) -> Self {
        let end = end.min(buf.len());
        Self { at: at.min(end), end, memory: Memory::Host(buf) }
    }

    pub(crate) fn shared(bytes: Rc<[u8]>) -> Self {
        Self { at: 0, end: bytes.len(), memory: Memory::Shared(bytes) }
    }

    /// The first `n` bytes are done with.
    pub(crate) fn advance(&mut self, n: usize) {
        self.at = (self.at + n).min(self.end);
    }
}

impl From<Vec<u8>> for Chunk {
    fn from(bytes: Vec<u8>) -> Self {
        Self { at: 0, end: bytes.len(), memory: Memory::Own(bytes) }
    }
}

impl Deref for Chunk {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        let all = match &self.memory {
            Memory::Host(buf) => buf,
            Memory::Own(bytes) => &bytes[..],
            Memory::Shared(bytes) => bytes,
        };
        &all[self.at..self.end]
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.len())
    }
}

/// A part of a file.
#[derive(Clone, Debug)]
pub(crate) struct FilePart {
    pub(crate) file: Rc<Opened>,
    pub(crate) at: u64,
    pub(crate) end: u64,
}

impl FilePart {
    pub(crate) fn len(&self) -> u64 {
        self.end - self.at
    }

    /// The descriptor for the stream to send from; below 0: there is none.
    pub(crate) fn descriptor(&self) -> i64 {
        files::descriptor(&self.file.file)
    }
}

/// A piece of a body.
#[derive(Debug)]
pub(crate) enum Segment {
    Bytes(Chunk),
    /// To be sent from the file, or read by whoever needs bytes.
    File(FilePart),
    /// Header lines behind the body, each with its line end. Nothing follows.
    Trailers(Vec<u8>),
}

/// Why a message is not whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) who: Who,
    pub(crate) stage: Stage,
    pub(crate) cause: Cause,
    /// For the client, if nothing was sent to it yet; 0: it is not there to be told.
    pub(crate) status: u16,
}

impl Fault {
    pub(crate) const fn new(who: Who, cause: Cause, status: u16) -> Self {
        Self { who, stage: Stage::Transfer, cause, status }
    }

    /// A request's body that did not arrive.
    pub(crate) fn of_request(e: &Error) -> Self {
        let (cause, status) = match e.kind {
            ErrorKind::Invalid => (Cause::Malformed, 400),
            ErrorKind::Limit => (Cause::Limit, 413),
            ErrorKind::Reset | ErrorKind::BrokenPipe => (Cause::Reset, 0),
            ErrorKind::TimedOut => (Cause::Timeout, 408),
            _ => (Cause::Closed, 0),
        };
        Self::new(Who::Client, cause, status)
    }
}
