//! Large files past the system's page cache: read in aligned pieces on threads that may wait, so that what is sent once does
//! not push out what is sent often. Where the file system cannot, as other files are read.

use crate::{
    fault::Fault,
    reply::{Body, GONE, Reply},
};
use anyproxy_http_contract::{Bytes, FileHandle, FilePart, Segment};
use anyproxy_module_api::{JobHandle, Pool, run};
use std::{
    collections::VecDeque,
    fmt,
    fs::File,
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Bytes that are read at once, a multiple of [`BLOCK`]. Nobody reads ahead but we.
const PIECE: u64 = 512 << 10;
/// What offsets, lengths and memory are multiples of: no disk has larger sectors.
const BLOCK: u64 = 4096;

/// Has the answer's files read past the cache, if they are `least` bytes or longer.
pub(crate) fn apply(least: u64, mut reply: Reply) -> Reply {
    let Body::Segments(list) = &mut reply.body else { return reply };
    let is_large =
        |s: &Segment| matches!(s, Segment::File(part) if part.len >= BLOCK && system::len(&part.file) >= least);
    if list.iter().any(is_large) {
        let list = std::mem::take(list);
        reply.body = Body::Direct(Box::new(Direct { list, part: None, file: None, reading: None, plain: false }));
    }
    reply
}

/// One piece, as it was read.
#[derive(Debug)]
struct Read {
    memory: Vec<u8>,
    /// Where in `memory` it is.
    at: usize,
    len: usize,
    /// The file by which it was read, past the cache; `None`: that is not possible.
    file: Option<Arc<File>>,
}

/// Parts of files, read past the cache.
pub(crate) struct Direct {
    list: VecDeque<Segment>,
    /// What of a part is not being read yet.
    part: Option<FilePart>,
    /// The file of `part`, opened for that.
    file: Option<Arc<File>>,
    reading: Option<(JobHandle<io::Result<Read>>, u64)>,
    /// The file system cannot.
    plain: bool,
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").field("part", &self.part).field("plain", &self.plain).finish_non_exhaustive()
    }
}

impl Direct {
    /// The next piece, while the one after it is being read.
    ///
    /// # Errors
    /// When the file cannot be read or is not as long any more.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Segment>, Fault>> {
        while self.reading.is_none() && !self.begin() {
            match self.list.pop_front() {
                Some(Segment::File(part)) => {
                    self.part = (part.len > 0).then_some(part);
                    self.file = None;
                }
                other => return Poll::Ready(Ok(other)),
            }
        }
        let Some((reading, wanted)) = &mut self.reading else { return Poll::Ready(Ok(None)) };
        let read = ready!(Pin::new(reading).poll(cx));
        let wanted = *wanted;
        self.reading = None;
        let Some(read) = read.ok().and_then(Result::ok).filter(|r| r.len as u64 == wanted) else {
            return Poll::Ready(Err(GONE));
        };
        self.plain |= read.file.is_none();
        self.file = read.file;
        // The next one comes while this one is sent.
        self.begin();
        Poll::Ready(Ok(Some(Segment::Bytes(Bytes::of(read.memory.into(), read.at, read.at + read.len)))))
    }

    /// Begins to read the next piece of the part; false: nothing of it is left.
    fn begin(&mut self) -> bool {
        let Some(part) = &mut self.part else { return false };
        // Up to a multiple of the piece's length: the first one may be shorter.
        let len = part.len.min(PIECE - part.at % PIECE);
        let (handle, at) = (part.file.clone(), part.at);
        part.at += len;
        part.len -= len;
        if part.len == 0 {
            self.part = None;
        }
        let (file, plain) = (self.file.clone(), self.plain);
        let reading = run(Pool::Blocking, move |_| {
            let past = if plain { None } else { system::read(&handle, file, at, len as usize) };
            past.map_or_else(|| through_cache(&handle, at, len as usize), Ok)
        });
        self.reading = Some((reading, len));
        true
    }
}

fn through_cache(handle: &FileHandle, at: u64, len: usize) -> io::Result<Read> {
    let mut memory = vec![0; len];
    let len = handle.read_at(at, &mut memory)?;
    Ok(Read { memory, at: 0, len, file: None })
}

#[cfg(target_os = "linux")]
mod system {
    use super::{Arc, BLOCK, File, FileHandle, Read};
    use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
    use std::os::unix::fs::FileExt;

    pub(super) fn len(file: &FileHandle) -> u64 {
        fstat(file).map_or(0, |s| s.st_size.unsigned_abs())
    }

    /// The same file, opened anew: whether the cache is passed is a matter of the opening.
    fn open(handle: &FileHandle) -> Option<Arc<File>> {
        let name = format!("/proc/self/fd/{}", handle.fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECT;
        // Follows the link of `/proc` and no name: it is that file, whatever its name is by now.
        Some(Arc::new(openat(CWD, name, flags, Mode::empty()).ok()?.into()))
    }

    /// Reads past the cache; `None`: that is not possible.
    pub(super) fn read(handle: &FileHandle, file: Option<Arc<File>>, at: u64, len: usize) -> Option<Read> {
        let file = match file {
            Some(file) => file,
            None => open(handle)?,
        };
        let begin = at - at % BLOCK;
        let before = (at - begin) as usize;
        let block = BLOCK as usize;
        let room = (before + len).next_multiple_of(block);
        let mut memory = vec![0; room + block];
        let start = memory.as_ptr().align_offset(block);
        let to = memory.get_mut(start..start + room)?;
        let mut n = 0;
        // One that ends within a block is at the file's end.
        while n < before + len {
            match file.read_at(&mut to[n..], begin + n as u64) {
                Ok(0) => break,
                Ok(more) => n += more,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
            if n % block != 0 {
                break;
            }
        }
        let len = n.saturating_sub(before).min(len);
        Some(Read { memory, at: start + before, len, file: Some(file) })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use super::{Arc, File, FileHandle, Read};

    /// None is large here.
    pub(super) fn len(_: &FileHandle) -> u64 {
        0
    }

    pub(super) fn read(_: &FileHandle, _: Option<Arc<File>>, _: u64, _: usize) -> Option<Read> {
        None
    }
}
