//! Files, read and written on the host's blocking pool, and watched for changes.

use super::{host, result};
use crate::abi::{
    bytes::{Buf, Str},
    error::Error,
    fd::{BorrowedFile, lent_file},
    host::Object,
    task::with_ffi,
};
use std::task::{Context, Poll};

/// How a file is opened. A set of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open(pub u32);

impl Open {
    /// For reading.
    pub const READ: Self = Self(1);
    /// For writing; made when missing.
    pub const WRITE: Self = Self(2 | 4);
    /// For writing from nothing.
    pub const TRUNCATE: Self = Self(2 | 4 | 8);
    /// For writing at the end.
    pub const APPEND: Self = Self(2 | 4 | 16);
    /// Past the page cache, where the file system can: offsets, lengths and memory in whole pages.
    pub const DIRECT: Self = Self(32);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// An open file.
#[derive(Debug)]
pub struct File(Object);

impl File {
    /// Opens.
    ///
    /// # Errors
    /// What the system says.
    pub async fn open(path: &str, how: Open) -> Result<Self, Error> {
        // SAFETY: the path is copied during the call.
        result(unsafe { (host().file_open)(Str::new(path), how.0) }.await).map(Self)
    }

    /// Fills the spare room of `to` from `offset`, as far as there are bytes.
    ///
    /// # Errors
    /// What the system says; the buffer is lost.
    pub async fn read_at(&self, offset: u64, to: Buf) -> Result<Buf, Error> {
        // SAFETY: the host's object; the buffer is given away and comes back.
        result(unsafe { (host().file_read)(self.0, offset, to) }.await)
    }

    /// Writes all of `from` at `offset`; the buffer comes back.
    ///
    /// # Errors
    /// What the system says (`StorageFull`), the buffer is lost.
    pub async fn write_at(&self, offset: u64, from: Buf) -> Result<Buf, Error> {
        // SAFETY: as above.
        result(unsafe { (host().file_write)(self.0, offset, from) }.await)
    }

    /// Waits until it is on the disk.
    ///
    /// # Errors
    /// What the system says.
    pub async fn sync(&self) -> Result<(), Error> {
        // SAFETY: the host's object.
        result(unsafe { (host().file_sync)(self.0) }.await)
    }

    /// Length in bytes.
    ///
    /// # Errors
    /// What the system says.
    pub fn len(&self) -> Result<u64, Error> {
        // SAFETY: the host's object.
        result(unsafe { (host().file_len)(self.0) })
    }

    /// Whether there is nothing in it.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// The descriptor, for `Stream::poll_sendfile`; stays the file's. `None`: the platform's files have none.
    pub fn fd(&self) -> Option<BorrowedFile<'_>> {
        // SAFETY: the host's object, whose descriptor is open for as long.
        unsafe { lent_file((host().file_fd)(self.0)) }
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // SAFETY: given up once; work under way keeps its own hold.
        unsafe { (host().file_drop)(self.0) }
    }
}

// SAFETY: the host's file object may be used from any of its threads.
unsafe impl Send for File {}
// SAFETY: as above.
unsafe impl Sync for File {}

/// Changes of a file or directory.
#[derive(Debug)]
pub struct FileWatch(Object);

// SAFETY: see `File`.
unsafe impl Send for FileWatch {}
// SAFETY: as above.
unsafe impl Sync for FileWatch {}

impl FileWatch {
    /// Watches `path`.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(path: &str) -> Result<Self, Error> {
        // SAFETY: the path is copied during the call.
        result(unsafe { (host().file_watch)(Str::new(path)) }).map(Self)
    }

    /// Ready once for any number of changes since the last time.
    pub fn poll_change(&self, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the host's object.
        match with_ffi(cx, |f| unsafe { (host().file_watch_poll)(self.0, f) }) {
            0 => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { (host().file_watch_drop)(self.0) }
    }
}
