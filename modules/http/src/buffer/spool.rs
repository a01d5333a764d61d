//! Bytes that come faster than they are taken, in order: first those in memory, then those in the file, then those on their
//! way into it.

use super::{
    BATCH, Buffering, Held, Kept, Memory, PIECE,
    file::{Chunks, TempFile},
};
use crate::{fault::Fault, reply::GONE};
use anyproxy_module_api::{Error, tracing};
use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    io,
    path::Path,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// Memory of a chunk, bytes: at least, and at most.
const CHUNK: (usize, usize) = (4 << 10, 64 << 10);

type Job<T> = Pin<Box<dyn Future<Output = T>>>;

/// Bytes in memory.
#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Vec<u8>>,
    len: usize,
    /// Memory of the chunks.
    room: usize,
}

impl Queue {
    /// Appends a copy: what comes lies in buffers that are larger, and that others wait for.
    fn push(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        while !bytes.is_empty() {
            match self.chunks.back_mut().filter(|c| c.len() < c.capacity()) {
                Some(last) => {
                    let n = bytes.len().min(last.capacity() - last.len());
                    last.extend_from_slice(&bytes[..n]);
                    bytes = &bytes[n..];
                }
                None => {
                    let chunk = Vec::with_capacity(bytes.len().clamp(CHUNK.0, CHUNK.1));
                    self.room += chunk.capacity();
                    self.chunks.push_back(chunk);
                }
            }
        }
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let chunk = self.chunks.pop_front()?;
        self.len -= chunk.len();
        self.room -= chunk.capacity();
        Some(chunk)
    }

    fn unpop(&mut self, chunk: Vec<u8>) {
        self.len += chunk.len();
        self.room += chunk.capacity();
        self.chunks.push_front(chunk);
    }
}

/// What is kept of one body.
pub(super) struct Spool {
    memory: usize,
    ring: u64,
    dir: &'static Path,
    session: u64,
    front: Queue,
    file: Option<TempFile>,
    /// Bytes that were read from the file, and that are in it or were.
    read: u64,
    written: u64,
    reading: Option<Job<Result<Vec<u8>, Error>>>,
    writing: Option<Job<(Chunks, io::Result<TempFile>)>>,
    /// Bytes that are being written, and their memory.
    in_write: (usize, usize),
    back: Queue,
    /// There is no file, or it takes no more.
    broken: bool,
    /// Bytes are gone: what follows them is not to be had.
    lost: bool,
    held: Held,
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.written - self.read;
        f.debug_struct("Spool").field("front", &self.front.len).field("file", &file).finish_non_exhaustive()
    }
}

impl Spool {
    pub(super) fn new(how: &Buffering, of: Rc<Memory>, session: u64) -> Self {
        Self {
            memory: how.memory,
            ring: how.file,
            dir: how.path,
            session,
            front: Queue::default(),
            file: None,
            read: 0,
            written: 0,
            reading: None,
            writing: None,
            in_write: (0, 0),
            back: Queue::default(),
            broken: how.file == 0,
            lost: false,
            held: Held::new(of),
        }
    }

    /// Something is behind the memory in front.
    fn is_behind(&self) -> bool {
        self.read < self.written || self.writing.is_some() || self.back.len > 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.front.len == 0 && !self.is_behind()
    }

    /// Whether more is taken now.
    pub(super) fn has_room(&self) -> bool {
        if self.is_empty() {
            return true;
        }
        if self.held.of.is_full() {
            return false;
        }
        if self.broken {
            return self.front.len + self.back.len < self.memory;
        }
        if !self.is_behind() && self.front.len < self.memory {
            return true;
        }
        let in_file = self.written - self.read + (self.in_write.0 + self.back.len) as u64;
        self.back.len < BATCH && in_file < self.ring
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.is_behind() || (!self.broken && self.front.len >= self.memory) {
            self.back.push(bytes);
        } else {
            self.front.push(bytes);
        }
        self.account();
    }

    /// Goes on with what is written.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        loop {
            if let Some(writing) = &mut self.writing {
                let Poll::Ready((chunks, written)) = writing.as_mut().poll(cx) else { return };
                self.writing = None;
                match written {
                    Ok(file) => {
                        self.file = Some(file);
                        self.written += self.in_write.0 as u64;
                    }
                    Err(e) => {
                        self.broken = true;
                        self.lost = chunks.iter().map(Vec::len).sum::<usize>() != self.in_write.0;
                        if self.held.of.tells(Kept::Answer) {
                            tracing::warn!(session = self.session, "no file for an answer, its peer waits: {e}");
                        }
                        chunks.into_iter().rev().for_each(|c| self.back.unpop(c));
                    }
                }
                self.in_write = (0, 0);
                self.account();
            }
            // A little of it stays in memory: the client may come for it.
            if self.broken || self.back.len == 0 || (self.back.len < BATCH && self.has_room()) {
                return;
            }
            let room = self.ring - (self.written - self.read);
            let mut chunks = Chunks::new();
            while let Some(chunk) = self.back.pop() {
                if (self.in_write.0 + chunk.len()) as u64 > room {
                    self.back.unpop(chunk);
                    break;
                }
                self.in_write.0 += chunk.len();
                self.in_write.1 += chunk.capacity();
                chunks.push(chunk);
            }
            if chunks.is_empty() {
                return;
            }
            if self.read == self.written && self.reading.is_none() {
                (self.read, self.written) = (0, 0);
            }
            let file = self.file.clone();
            self.writing = Some(Box::pin(TempFile::write(file, self.dir, chunks, self.written, self.ring)));
        }
    }

    /// The next bytes. `None`: there are none.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn poll_pop(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Vec<u8>>, Fault>> {
        self.poll(cx);
        if self.lost {
            return Poll::Ready(Err(GONE));
        }
        let popped = match self.front.pop() {
            Some(chunk) => Some(chunk),
            None if self.read < self.written => Some(ready!(self.poll_read(cx))?),
            // It is to be read when it is there.
            None if self.writing.is_some() => return Poll::Pending,
            None => self.back.pop(),
        };
        self.account();
        Poll::Ready(Ok(popped))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Vec<u8>, Fault>> {
        let Some(file) = &self.file else { return Poll::Ready(Err(GONE)) };
        let at = self.read % self.ring;
        let reading = if let Some(reading) = &mut self.reading {
            reading
        } else {
            let len = (self.written - self.read).min(self.ring - at).min(PIECE as u64) as usize;
            if let Some(bytes) = file.read_now(at, len) {
                self.read += len as u64;
                return Poll::Ready(Ok(bytes));
            }
            self.reading.insert(Box::pin(file.clone().read(at, len)))
        };
        let read = ready!(reading.as_mut().poll(cx));
        self.reading = None;
        match read {
            Ok(bytes) if !bytes.is_empty() => {
                self.read += bytes.len() as u64;
                Poll::Ready(Ok(bytes))
            }
            _ => {
                tracing::error!(session = self.session, "a file that was written cannot be read");
                Poll::Ready(Err(GONE))
            }
        }
    }

    fn account(&mut self) {
        self.held.set(self.front.room + self.back.room + self.in_write.1);
    }
}
