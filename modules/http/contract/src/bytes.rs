//! Bytes that are handed on with their memory.

use anyproxy_module_api::Buf;
use std::{fmt, ops::Deref};

/// Bytes with their memory: handed on between images without a copy, cut from either end.
#[repr(C)]
#[derive(Default)]
pub struct Bytes {
    buf: Buf,
    at: usize,
}

impl Bytes {
    /// The bytes of `buf` from `at` to before `end`.
    pub fn of(mut buf: Buf, at: usize, end: usize) -> Self {
        buf.truncate(end);
        Self { at: at.min(buf.len()), buf }
    }

    /// The memory, with what is in it.
    pub fn into_buf(self) -> Buf {
        self.buf
    }

    /// The first `n` bytes are done with.
    pub fn advance(&mut self, n: usize) {
        self.at = (self.at + n).min(self.buf.len());
    }

    /// Only the first `n` bytes count.
    pub fn truncate(&mut self, n: usize) {
        self.buf.truncate(self.at + n);
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.buf[self.at.min(self.buf.len())..]
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self { buf: bytes.into(), at: 0 }
    }
}

impl From<Buf> for Bytes {
    fn from(buf: Buf) -> Self {
        Self { buf, at: 0 }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.len())
    }
}
