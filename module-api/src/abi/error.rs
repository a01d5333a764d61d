//! Failure as it crosses the ABI: a kind that code can act on, the system's number if there is one, and a text.

use super::bytes::Buf;
use std::{error, fmt, io};

/// What went wrong, for decisions. The text says the rest.
#[repr(u16)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorKind {
    /// Anything else.
    Other = 0,
    /// Connection refused.
    Refused = 1,
    /// Connection reset by the peer.
    Reset = 2,
    /// A time limit passed.
    TimedOut = 3,
    /// Closed where more was expected.
    UnexpectedEof = 4,
    /// A configured bound was reached.
    Limit = 5,
    /// No such file, name, module or peer.
    NotFound = 6,
    /// Not allowed.
    Permission = 7,
    /// The address is taken.
    AddrInUse = 8,
    /// This object, host or platform cannot do that.
    Unsupported = 9,
    /// Given up because its owner ended.
    Cancelled = 10,
    /// The other side panicked.
    Panicked = 11,
    /// Malformed input.
    Invalid = 12,
    /// No peer of the upstream is usable.
    NoPeer = 13,
    /// Written to a side that was closed.
    BrokenPipe = 14,
    /// No route, network down, no address.
    Unreachable = 15,
    /// Already there.
    Exists = 16,
    /// No space on the device.
    StorageFull = 17,
    /// Try again later.
    WouldBlock = 18,
}

/// An error that crosses the ABI.
#[repr(C)]
#[derive(Debug)]
pub struct Error {
    /// For decisions.
    pub kind: ErrorKind,
    /// Zero.
    pub reserved: u16,
    /// The system's error number, 0: none.
    pub os: i32,
    pub(super) text: Buf,
}

impl Error {
    /// An error of `kind` explained by `text`.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, reserved: 0, os: 0, text: text.into().into() }
    }

    /// An error that needs no text; nothing is allocated.
    pub const fn bare(kind: ErrorKind) -> Self {
        Self { kind, reserved: 0, os: 0, text: Buf::new() }
    }

    /// The explanation; empty when the kind or number says it all.
    pub fn text(&self) -> &str {
        // A foreign image could hand over anything.
        std::str::from_utf8(&self.text).unwrap_or("(text is not UTF-8)")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.text(), self.os) {
            ("", 0) => write!(f, "{:?}", self.kind),
            ("", os) => io::Error::from_raw_os_error(os).fmt(f),
            (text, _) => f.write_str(text),
        }
    }
}

impl error::Error for Error {}

impl From<io::ErrorKind> for ErrorKind {
    fn from(kind: io::ErrorKind) -> Self {
        match kind {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Self::Reset,
            io::ErrorKind::TimedOut => Self::TimedOut,
            io::ErrorKind::UnexpectedEof => Self::UnexpectedEof,
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied => Self::Permission,
            io::ErrorKind::AddrInUse => Self::AddrInUse,
            io::ErrorKind::Unsupported => Self::Unsupported,
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Self::Invalid,
            io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected => Self::BrokenPipe,
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::AddrNotAvailable => Self::Unreachable,
            io::ErrorKind::AlreadyExists => Self::Exists,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::StorageFull,
            io::ErrorKind::WouldBlock => Self::WouldBlock,
            _ => Self::Other,
        }
    }
}

impl From<ErrorKind> for io::ErrorKind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Refused => Self::ConnectionRefused,
            ErrorKind::Reset => Self::ConnectionReset,
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::UnexpectedEof => Self::UnexpectedEof,
            ErrorKind::NotFound | ErrorKind::NoPeer => Self::NotFound,
            ErrorKind::Permission => Self::PermissionDenied,
            ErrorKind::AddrInUse => Self::AddrInUse,
            ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::Invalid => Self::InvalidData,
            ErrorKind::BrokenPipe => Self::BrokenPipe,
            ErrorKind::Unreachable => Self::HostUnreachable,
            ErrorKind::Exists => Self::AlreadyExists,
            ErrorKind::StorageFull => Self::StorageFull,
            ErrorKind::WouldBlock => Self::WouldBlock,
            ErrorKind::Other | ErrorKind::Limit | ErrorKind::Cancelled | ErrorKind::Panicked => Self::Other,
        }
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        match e.raw_os_error() {
            Some(os) => Self { kind: e.kind().into(), reserved: 0, os, text: Buf::new() },
            None => Self::new(e.kind().into(), e.to_string()),
        }
    }
}

impl From<Error> for io::Error {
    fn from(e: Error) -> Self {
        match (e.text(), e.os) {
            ("", 0) => Self::from(io::ErrorKind::from(e.kind)),
            ("", os) => Self::from_raw_os_error(os),
            _ => Self::new(e.kind.into(), e),
        }
    }
}

/// `Result` in a form that crosses.
#[repr(C)]
#[derive(Debug)]
pub enum Outcome<T> {
    /// It went well.
    Ok(T),
    /// It did not.
    Err(Error),
}

impl<T> From<Result<T, Error>> for Outcome<T> {
    fn from(r: Result<T, Error>) -> Self {
        match r {
            Ok(v) => Self::Ok(v),
            Err(e) => Self::Err(e),
        }
    }
}

impl<T> From<Outcome<T>> for Result<T, Error> {
    fn from(r: Outcome<T>) -> Self {
        match r {
            Outcome::Ok(v) => Ok(v),
            Outcome::Err(e) => Err(e),
        }
    }
}
