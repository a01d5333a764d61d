//! Sockets and files as the types of the standard library that own or borrow them. In the tables they are numbers; a number in
//! safe code could be anybody's.

use super::stream::Stream;

#[cfg(unix)]
mod imp {
    pub use std::os::fd::{
        AsFd as AsSocket, BorrowedFd as BorrowedFile, BorrowedFd as BorrowedSocket, OwnedFd as OwnedSocket,
    };
    use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, RawFd};

    /// The socket of whatever has one.
    pub(crate) fn socket_of(s: &impl AsSocket) -> BorrowedSocket<'_> {
        s.as_fd()
    }

    /// A socket's number.
    pub(crate) fn number(s: BorrowedSocket<'_>) -> i64 {
        s.as_raw_fd().into()
    }

    /// A file's number.
    pub(crate) fn file_number(f: BorrowedFile<'_>) -> i64 {
        f.as_raw_fd().into()
    }

    /// The number of a socket that is given away with it.
    pub(crate) fn given(s: OwnedSocket) -> i64 {
        s.into_raw_fd().into()
    }

    /// The socket of a number; `None`: it can be none's.
    ///
    /// # Safety
    /// It is open, and the caller's.
    pub(crate) unsafe fn taken(n: i64) -> Option<OwnedSocket> {
        let n = RawFd::try_from(n).ok().filter(|n| *n >= 0)?;
        // SAFETY: by contract.
        Some(unsafe { OwnedSocket::from_raw_fd(n) })
    }

    /// The socket of a number; `None`: it can be none's.
    ///
    /// # Safety
    /// It stays open for as long as the result is used.
    pub(crate) unsafe fn lent<'a>(n: i64) -> Option<BorrowedSocket<'a>> {
        let n = RawFd::try_from(n).ok().filter(|n| *n >= 0)?;
        // SAFETY: by contract.
        Some(unsafe { BorrowedSocket::borrow_raw(n) })
    }

    pub(crate) use lent as lent_file;
}

#[cfg(windows)]
mod imp {
    use std::os::windows::io::{AsRawHandle, AsRawSocket, FromRawSocket, IntoRawSocket, RawHandle, RawSocket};
    pub use std::os::windows::io::{AsSocket, BorrowedHandle as BorrowedFile, BorrowedSocket, OwnedSocket};

    /// The socket of whatever has one.
    pub(crate) fn socket_of(s: &impl AsSocket) -> BorrowedSocket<'_> {
        s.as_socket()
    }

    /// A socket's number.
    pub(crate) fn number(s: BorrowedSocket<'_>) -> i64 {
        s.as_raw_socket() as i64
    }

    /// A file's number.
    pub(crate) fn file_number(f: BorrowedFile<'_>) -> i64 {
        f.as_raw_handle() as i64
    }

    /// The number of a socket that is given away with it.
    pub(crate) fn given(s: OwnedSocket) -> i64 {
        s.into_raw_socket() as i64
    }

    /// The socket of a number; `None`: it can be none's.
    ///
    /// # Safety
    /// It is open, and the caller's.
    pub(crate) unsafe fn taken(n: i64) -> Option<OwnedSocket> {
        let n = RawSocket::try_from(n).ok()?;
        // SAFETY: by contract.
        Some(unsafe { OwnedSocket::from_raw_socket(n) })
    }

    /// The socket of a number; `None`: it can be none's.
    ///
    /// # Safety
    /// It stays open for as long as the result is used.
    pub(crate) unsafe fn lent<'a>(n: i64) -> Option<BorrowedSocket<'a>> {
        let n = RawSocket::try_from(n).ok()?;
        // SAFETY: by contract.
        Some(unsafe { BorrowedSocket::borrow_raw(n) })
    }

    /// The file of a number; `None`: it can be none's.
    ///
    /// # Safety
    /// It stays open for as long as the result is used.
    pub(crate) unsafe fn lent_file<'a>(n: i64) -> Option<BorrowedFile<'a>> {
        // SAFETY: by contract.
        (n >= 0).then(|| unsafe { BorrowedFile::borrow_raw(n as RawHandle) })
    }
}

pub use imp::*;

impl Stream {
    /// The descriptor for calls that a stream does not have (splice), borrowed. `None`: it has none, or bytes are read
    /// ahead or queued that the descriptor does not know of.
    pub fn fd(&self) -> Option<BorrowedSocket<'_>> {
        // SAFETY: the implementer lends it for as long as the stream is borrowed.
        unsafe { lent(self.raw_fd()?) }
    }
}
