//! Bodies that are kept on their way: a request's until it is whole, an answer's until a slow client takes it. In memory up
//! to a bound, then in a file without a name.

mod answer;
mod file;
mod request;
mod spool;
#[cfg(test)]
mod spool_tests;

pub(crate) use answer::Buffered;
pub(crate) use request::{Stored, failed, receive};

use anyproxy_module_api::*;
use std::{cell::Cell, path::Path, rc::Rc};

directive! {
    /// A request's body is received in full before a peer is chosen: a slow client does not hold a peer, peers get a length
    /// in place of chunks, and a request that may be repeated is, also with a body. A body beyond `file` is answered with
    /// 413, one for which the disk has no room with 507. Unset: bodies pass as they come.
    "http_request_buffering", Contexts::MSL,
    .args(&[ArgDesc::new("on", Kind::Bool, "Whether bodies are kept.").required()])
    .props(&[
        ArgDesc::new("memory", Kind::Size, "So much of a body is kept in memory, the rest in a file.").default("1MiB").bounds(0, 1 << 30),
        ArgDesc::new("file", Kind::Size, "Longest body.").default("1GiB").bounds(0, 1 << 50),
        ArgDesc::new("path", Kind::Path, "Directory of the files, which have no names. Without: the system's temporary one."),
    ])
    .example("http_request_buffering #true memory=\"256KiB\"")
}

directive! {
    /// A peer's answer is read as fast as it comes, so that a slow client does not hold the peer; the client gets it while
    /// it arrives. Where both bounds are reached, or the disk is full, the peer waits. Not of `text/event-stream`, nor where
    /// the peer says `X-Accel-Buffering: no`. Unset: a slow client slows its peer.
    "http_response_buffering", Contexts::MSL,
    .args(&[ArgDesc::new("on", Kind::Bool, "Whether answers are kept.").required()])
    .props(&[
        ArgDesc::new("memory", Kind::Size, "Of an answer in memory, before a file is begun.").default("64KiB").bounds(0, 1 << 30),
        ArgDesc::new("file", Kind::Size, "Of an answer in a file; 0: no file.").default("1GiB").bounds(0, 1 << 50),
        ArgDesc::new("path", Kind::Path, "Directory of the files, which have no names. Without: the system's temporary one."),
    ])
    .example("http_response_buffering #true file=\"256MiB\"")
}

/// Memory of all bodies that one worker keeps, bytes. Beyond it they pass as if nothing were kept.
const MEMORY: usize = 128 << 20;
/// Bytes that are written to a file at once, and that may gather while others are written.
const BATCH: usize = 128 << 10;
/// Bytes that are read from a file at once.
const PIECE: usize = 128 << 10;

/// What one of the directives says.
#[derive(Debug)]
pub(crate) struct Buffering {
    memory: usize,
    file: u64,
    path: &'static Path,
}

impl Buffering {
    pub(crate) fn new<C>(
        scope: &Scope<'_, C>,
        directive: &str,
        memory: usize,
        problems: &mut Problems<'_>,
    ) -> Option<Box<Self>> {
        let node = scope.node(directive)?;
        if node.arg(0).is_none_or(|v| v.num == 0) {
            return None;
        }
        let path = match node.prop("path") {
            Some(path) => intern(path.text.as_str()),
            None => intern(&std::env::temp_dir().to_string_lossy()),
        };
        let path = Path::new(path);
        if node.prop("path").is_some() && !path.is_dir() {
            let span = node.prop("path").map_or(node.span, |v| v.span);
            problems.error(&span, &format!("{} is no directory", path.display()), "");
        }
        let size = |name: &str| node.prop(name).map(Value::size);
        let memory = size("memory").map_or(memory, |n| n as usize);
        Some(Box::new(Self { memory, file: size("file").unwrap_or(1 << 30), path }))
    }
}

/// What a body is of.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Request,
    Answer,
}

/// What one worker keeps of bodies.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    bytes: Cell<usize>,
    /// When it was last said that a disk takes no more: of requests, of answers.
    told_ms: [Cell<u64>; 2],
}

impl Memory {
    fn is_full(&self) -> bool {
        self.bytes.get() >= MEMORY
    }

    /// Whether it is to be said, which is once a second.
    fn tells(&self, of: Kept) -> bool {
        let (now, told) = (now_ms(), &self.told_ms[of as usize]);
        let due = told.get() == 0 || now >= told.get() + 1000;
        if due {
            told.set(now);
        }
        due
    }
}

/// One body's share of that.
#[derive(Debug)]
struct Held {
    of: Rc<Memory>,
    bytes: usize,
}

impl Held {
    const fn new(of: Rc<Memory>) -> Self {
        Self { of, bytes: 0 }
    }

    /// It is so much now.
    fn set(&mut self, bytes: usize) {
        self.of.bytes.set(self.of.bytes.get() - self.bytes + bytes);
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}
