//! The descriptor of a stream as the type that safe system calls take.

use super::stream::Stream;
use std::os::fd::{BorrowedFd, RawFd};

impl Stream {
    /// The descriptor for calls that a stream does not have (splice), borrowed. `None`: it has none, or bytes are read
    /// ahead or queued that the descriptor does not know of.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        let fd = RawFd::try_from(self.raw_fd()?).ok()?;
        // SAFETY: the implementer keeps the descriptor open as long as the stream, which the result borrows.
        Some(unsafe { BorrowedFd::borrow_raw(fd) })
    }
}
