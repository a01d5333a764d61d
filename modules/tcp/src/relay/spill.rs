//! What waits for a slow side: blocks of 64 KiB in the order they came, the first and the last few in memory, those
//! between in a temporary file. Bounded; the file is written and read off the worker's thread.
//!
//! The order is `ready` (read back), the file from `first` on, `kept` (full, to be written), `tail` (being filled). Only
//! full blocks are written, so offsets are whole blocks and pages. The file is a ring of as many blocks as it may hold.

use super::io::{Fault, Io};
use crate::{
    Tcp, conf,
    core::rate::{Bucket, Grant, Limit},
    session::{Direction, state},
};
use anyproxy_module_api::{Buf, Error, ErrorKind, File, Open, Pool, Session, Who, now_ms, poll_buf, run, tracing};
use std::{
    collections::hash_map::RandomState,
    future::Future,
    hash::{BuildHasher, Hasher},
    mem::take,
    path::PathBuf,
    pin::Pin,
    rc::Rc,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll},
};

/// A block, bytes: whole pages of any system.
pub(super) const BLOCK: usize = 64 << 10;

type Doing<T> = Pin<Box<dyn Future<Output = Result<T, Error>>>>;

/// What is under way with the file; one thing at a time.
enum Work {
    Open(Doing<File>),
    Write(Doing<Buf>),
    Read(Doing<Buf>),
}

enum Came {
    Opened(File),
    Written,
    Read(Buf),
}

/// The bytes that wait in one direction.
pub(super) struct Queue {
    spill: conf::Spill,
    bucket: Bucket,
    ready: Option<Buf>,
    kept: Option<Buf>,
    tail: Buf,
    file: Option<Rc<File>>,
    /// Number of the oldest block in the file, and of the next.
    first: u64,
    next: u64,
    /// Most blocks that the file has held since it was opened.
    grown: u64,
    work: Option<Work>,
    /// The file failed: nothing more is written to it.
    broken: bool,
}

impl Queue {
    pub(super) fn new(spill: conf::Spill) -> Self {
        let limit = Limit { rate: spill.rate, burst: BLOCK as u64, after: 0 };
        Self {
            spill,
            bucket: Bucket::new(limit, now_ms()),
            ready: None,
            kept: None,
            tail: Buf::new(),
            file: None,
            first: 0,
            next: 0,
            grown: 0,
            work: None,
            broken: false,
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_none() && self.first == self.next && self.kept.is_none() && self.tail.is_empty()
    }

    /// Where bytes may be read to; `None`: there is no room now.
    pub(super) fn tail(&mut self) -> Option<&mut Buf> {
        if self.tail.len() >= BLOCK {
            if self.kept.is_some() {
                return None;
            }
            let mut full = take(&mut self.tail);
            if full.len() > BLOCK {
                // Pooled buffers have some bytes to spare. What is over a block begins the next.
                let mut rest = Buf::from(Vec::with_capacity(BLOCK.max(full.len() - BLOCK)));
                rest.push(&full[BLOCK..]);
                full.truncate(BLOCK);
                self.tail = rest;
            }
            self.kept = Some(full);
        }
        Some(&mut self.tail)
    }

    /// Holds no buffer without bytes.
    pub(super) fn rest(&mut self) {
        if self.tail.is_empty() {
            self.tail = Buf::new();
        }
    }

    /// The oldest bytes, if they are in memory.
    pub(super) fn pop(&mut self) -> Option<Buf> {
        if self.ready.is_some() {
            return self.ready.take();
        }
        if self.first < self.next {
            return None;
        }
        if self.kept.is_some() {
            // While it is being written it is the writer's: see `came`.
            return if matches!(self.work, Some(Work::Write(_))) { None } else { self.kept.take() };
        }
        (!self.tail.is_empty()).then(|| take(&mut self.tail))
    }

    /// Lets the file's work go on; whether anything changed.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, io: &Io<'_>, until: &mut u64) -> Result<bool, Fault> {
        let mut changed = false;
        loop {
            if self.work.is_none() && !self.start(cx, io, until) {
                return Ok(changed);
            }
            let came = match &mut self.work {
                Some(Work::Open(f)) => f.as_mut().poll(cx).map_ok(Came::Opened),
                Some(Work::Write(f)) => f.as_mut().poll(cx).map_ok(|_| Came::Written),
                Some(Work::Read(f)) => f.as_mut().poll(cx).map_ok(Came::Read),
                None => return Ok(changed),
            };
            let Poll::Ready(came) = came else { return Ok(changed) };
            let reading = matches!(self.work, Some(Work::Read(_)));
            self.work = None;
            changed = true;
            match came {
                Ok(came) => self.came(came, io)?,
                Err(e) if reading => {
                    fail(io, &e, "its bytes are lost, and so is the session");
                    return Err(Fault { who: Who::Proxy, error: e });
                }
                Err(e) => {
                    // What was to be written is still here, so nothing is lost.
                    self.broken = true;
                    fail(io, &e, "the faster side is slowed instead");
                }
            }
        }
    }

    fn came(&mut self, came: Came, io: &Io<'_>) -> Result<(), Fault> {
        match came {
            Came::Opened(file) => {
                io.session.module().stats.files.fetch_add(1, Relaxed);
                self.file = Some(Rc::new(file));
            }
            Came::Written => {
                io.session.worker().spilled.add(BLOCK as u64);
                let spilled = &state(io.session).spilled[io.direction as usize];
                spilled.set(spilled.get() + BLOCK as u64);
                if self.first == self.next && self.ready.is_none() {
                    // It is the oldest and still in memory: no need to read it back.
                    self.ready = self.kept.take();
                } else {
                    self.kept = None;
                    self.next += 1;
                    self.grown = self.grown.max(self.next - self.first);
                }
            }
            Came::Read(mut block) => {
                if block.len() < BLOCK {
                    let error =
                        Error::new(ErrorKind::UnexpectedEof, "the temporary file is shorter than what was written");
                    fail(io, &error, "its bytes are lost, and so is the session");
                    return Err(Fault { who: Who::Proxy, error });
                }
                block.truncate(BLOCK);
                self.ready = Some(block);
                self.first += 1;
                if self.first == self.next {
                    (self.first, self.next) = (0, 0);
                    self.reopen(io);
                }
            }
        }
        Ok(())
    }

    /// Gives the space of an emptied file back, once it has grown.
    fn reopen(&mut self, io: &Io<'_>) {
        let grown = self.grown.saturating_mul(BLOCK as u64);
        if self.spill.reopen_size > 0 && grown >= self.spill.reopen_size {
            self.grown = 0;
            self.end(io.session);
            self.file = None;
        }
    }

    /// Begins what is to be done next; false: nothing is, or not now.
    fn start(&mut self, cx: &mut Context<'_>, io: &Io<'_>, until: &mut u64) -> bool {
        if let Some(file) = &self.file
            && self.ready.is_none()
            && self.first < self.next
        {
            let Poll::Ready(to) = poll_buf(cx, BLOCK) else { return false };
            let (file, at) = (Rc::clone(file), self.offset(self.first));
            self.work = Some(Work::Read(Box::pin(async move { file.read_at(at, to).await })));
            return true;
        }
        let Some(kept) = &self.kept else { return false };
        // A block that is the oldest goes to the target from memory.
        let waits = self.tail.len() >= BLOCK || self.first < self.next;
        if self.broken || !waits || self.next - self.first >= self.blocks() {
            return false;
        }
        let Some(file) = &self.file else {
            let dir = io.conf.tmp_path.clone();
            self.work = Some(Work::Open(Box::pin(create(dir))));
            return true;
        };
        match self.bucket.allow(io.now, BLOCK as u64) {
            Grant::Now(n) if n >= BLOCK as u64 => {}
            Grant::Now(_) => {
                // Part of a block would be granted: a block needs a little longer.
                *until = (*until).min(io.now + 10);
                return false;
            }
            Grant::WaitUntil(at) => {
                *until = (*until).min(at);
                return false;
            }
        }
        let Poll::Ready(mut copy) = poll_buf(cx, BLOCK) else { return false };
        // The block stays here until it is on its way: a write that fails gives nothing back.
        copy.push(kept);
        self.bucket.spend(BLOCK as u64);
        let (file, at) = (Rc::clone(file), self.offset(self.next));
        self.work = Some(Work::Write(Box::pin(async move { file.write_at(at, copy).await })));
        true
    }

    /// Blocks that the file may hold.
    const fn blocks(&self) -> u64 {
        let n = self.spill.size / BLOCK as u64;
        if n == 0 { 1 } else { n }
    }

    const fn offset(&self, block: u64) -> u64 {
        block % self.blocks() * BLOCK as u64
    }

    /// The file is given up.
    pub(super) fn end(&self, session: &Session<Tcp>) {
        if self.file.is_some() {
            session.module().stats.files.fetch_sub(1, Relaxed);
        }
    }
}

/// Counts and logs, once a direction: after it nothing more is written.
fn fail(io: &Io<'_>, e: &Error, then: &str) {
    io.session.worker().spill_errors.add(1);
    io.session.module().stats.file_errors.fetch_add(1, Relaxed);
    let direction = match io.direction {
        Direction::Upload => "upload",
        Direction::Download => "download",
    };
    tracing::warn!(session = io.session.id, direction, "temporary file: {e}; {then}");
}

/// A file that only this process can open, and that has no name any more.
async fn create(dir: Option<Box<str>>) -> Result<File, Error> {
    let dir = dir.map_or_else(std::env::temp_dir, |d| d.into_string().into());
    let random = || RandomState::new().build_hasher().finish();
    let name = format!("anyproxy-{}-{:016x}{:016x}.tmp", std::process::id(), random(), random());
    let named = Named(dir.join(name));
    let text = named.0.to_str().ok_or_else(|| Error::new(ErrorKind::Invalid, "its directory's name is not UTF-8"))?;
    let path = named.0.clone();
    run(Pool::Blocking, move |cancel| {
        let mut how = std::fs::OpenOptions::new();
        // Never one that is there: somebody may have put a link in its place.
        how.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut how, 0o600);
        how.open(&path)?;
        if cancel.is_cancelled() {
            // The session is gone, and with it who would remove the name.
            std::fs::remove_file(&path)?;
        }
        Ok(())
    })
    .await?
    .map_err(|e: std::io::Error| Error::from(e))?;
    let file = File::open(text, Open::READ.and(Open::WRITE)).await?;
    let removed = run(Pool::Blocking, move |_| drop(named));
    removed.await.map(|()| file)
}

/// The name of a file, which goes when this does.
struct Named(PathBuf);

impl Drop for Named {
    fn drop(&mut self) {
        // One that was not made, or that somebody removed, is as good as removed.
        let _ = std::fs::remove_file(&self.0);
    }
}
