//! A byte stream as it crosses: bound to a task once, then plain non-blocking calls.
//! Knows nothing of what carries the bytes: a socket of the host, or a module's encryption over another stream.

mod own;

pub use own::StreamImpl;

use super::{
    bytes::{Buf, IoVec, Str},
    error::{Error, ErrorKind},
    fd::{self, BorrowedFile, OwnedSocket},
    net::Addr,
    task::{FfiContext, with_ffi},
};
use std::{
    fmt,
    mem::MaybeUninit,
    task::{Context, Poll},
};

/// `read`, `write` and their kin: would block; the context's task is woken.
pub const PENDING: isize = -1;
/// `read`, `write` and their kin: failed; `error` tells once.
pub const FAILED: isize = -2;

/// Readiness bits of `state` and `poll_ready`.
pub mod ready {
    /// Bytes or the end of the stream may be read.
    pub const READ: u8 = 1;
    /// A write may be accepted.
    pub const WRITE: u8 = 2;
    /// The peer closed its side, or the connection failed. That is waited for also where there is something to be read; the
    /// task is woken by other things too, and `state` tells.
    pub const HUP: u8 = 4;
    /// Every byte of the peer's was read, and its end is here: a read would give 0. Told only by those who know without
    /// asking.
    pub const END: u8 = 8;
}

/// What a stream can tell besides bytes. Texts live as long as the stream.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamInfo<'a> {
    /// The other end.
    pub peer: Addr,
    /// This end.
    pub local: Addr,
    /// `tcp`, `unix`, or what a module calls its own.
    pub protocol: Str<'a>,
    /// Server name that the client asked for; empty: none.
    pub server_name: Str<'a>,
    /// Application protocol agreed on; empty: none.
    pub alpn: Str<'a>,
}

impl StreamInfo<'_> {
    /// It is a socket's, with nothing in between.
    pub fn is_plain(&self) -> bool {
        matches!(self.protocol.as_str(), "tcp" | "unix")
    }
}

/// A raw socket given up by a stream, with what was read from it and not consumed, and what was accepted and not sent.
#[repr(C)]
#[derive(Debug)]
pub struct RawSocket {
    /// The descriptor, non-blocking, owned; below 0: given on.
    pub(super) fd: i64,
    /// Bytes already received.
    pub read_ahead: Buf,
    /// Bytes accepted by `write` and not yet sent.
    pub write_behind: Buf,
    /// Whether `fd` may be received from (kernel TLS may not).
    pub can_recv: bool,
    /// Whether `fd` may be sent to.
    pub can_send: bool,
}

impl RawSocket {
    /// None yet: to be written over.
    const NONE: Self =
        Self { fd: -1, read_ahead: Buf::new(), write_behind: Buf::new(), can_recv: false, can_send: false };

    /// A socket that may be received from and sent to, with nothing read ahead or left to be sent.
    pub fn new(socket: impl Into<OwnedSocket>) -> Self {
        let fd = fd::given(socket.into());
        Self { fd, read_ahead: Buf::new(), write_behind: Buf::new(), can_recv: true, can_send: true }
    }

    /// The socket, non-blocking. Once; else it is closed with this.
    pub fn take_socket(&mut self) -> Option<OwnedSocket> {
        // SAFETY: owned, and given on once.
        unsafe { fd::taken(std::mem::replace(&mut self.fd, -1)) }
    }
}

impl Drop for RawSocket {
    fn drop(&mut self) {
        drop(self.take_socket());
    }
}

/// The functions of a stream. None of them unwinds; all are called on the stream's own thread.
///
/// A write that is accepted is not yet sent: the host may queue and join writes; an error may come late. Slices are not
/// referenced after the call. `shutdown` is ordered behind what was accepted. After `drop` the host sends what it
/// accepted.
#[repr(C)]
#[derive(Debug)]
pub struct StreamVtable {
    /// Size of the table as the implementer knows it.
    pub size: usize,
    /// From now on readiness wakes this context's task.
    pub bind: unsafe extern "C" fn(*mut (), &FfiContext<'_>),
    /// Forgets the task: before a pool, or another task.
    pub unbind: unsafe extern "C" fn(*mut ()),
    /// Readiness as far as known, without a system call.
    pub state: unsafe extern "C" fn(*mut ()) -> u8,
    /// Reads into the caller's memory. 0: end of stream.
    pub read: unsafe extern "C" fn(*mut (), &FfiContext<'_>, *mut u8, usize) -> isize,
    /// Writes.
    pub write: unsafe extern "C" fn(*mut (), &FfiContext<'_>, *const u8, usize) -> isize,
    /// Writes, and the caller at once writes more, shuts down or drops: a packet or record that is not full may wait for that.
    pub write_more: unsafe extern "C" fn(*mut (), &FfiContext<'_>, *const u8, usize) -> isize,
    /// Writes gathered pieces.
    pub writev: unsafe extern "C" fn(*mut (), &FfiContext<'_>, *const IoVec<'_>, usize) -> isize,
    /// 0 when everything accepted was handed to the system.
    pub flush: unsafe extern "C" fn(*mut (), &FfiContext<'_>) -> isize,
    /// Ends the write side behind what was accepted. 0 when done.
    pub shutdown: unsafe extern "C" fn(*mut (), &FfiContext<'_>) -> isize,
    /// The error behind the last `FAILED`.
    pub error: unsafe extern "C" fn(*mut ()) -> Error,
    /// What else it knows.
    pub info: unsafe extern "C" fn(*mut ()) -> StreamInfo<'static>,
    /// Waits for any of the given bits; returns those that hold, 0: none yet, the task is woken.
    pub poll_ready: unsafe extern "C" fn(*mut (), &FfiContext<'_>, u8) -> u8,
    /// The caller saw EAGAIN on the descriptor: these bits do not hold any more.
    pub clear_ready: unsafe extern "C" fn(*mut (), u8),
    /// The descriptor for calls that the table does not have (splice); stays the stream's. -1: there is none, or bytes
    /// are read ahead or queued that the descriptor does not know of.
    pub raw_fd: unsafe extern "C" fn(*mut ()) -> i64,
    /// Sends from a file at an offset, like `write`. `FAILED` with `Unsupported` where it cannot.
    pub sendfile: unsafe extern "C" fn(*mut (), &FfiContext<'_>, file: i64, offset: u64, len: usize) -> isize,
    /// Gives the socket up; true and `out` filled, or false: it cannot, and stays as it was.
    pub take_raw: unsafe extern "C" fn(*mut (), out: *mut RawSocket) -> bool,
    /// Closing resets the connection (SO_LINGER 0) instead of ending it.
    pub set_reset: unsafe extern "C" fn(*mut ()),
    /// Puts bytes in front of what `read` returns next.
    pub unread: unsafe extern "C" fn(*mut (), Buf),
    /// An option by name (`linger`, `nodelay`, `cork`), value as a number. False: unknown here.
    pub set_option: unsafe extern "C" fn(*mut (), Str<'_>, i64) -> bool,
    /// Ends it.
    pub drop: unsafe extern "C" fn(*mut ()),
    /// Sends out of a pipe, like `write`, without a copy. `FAILED` with `Unsupported` where it cannot. Not in older tables.
    pub splice: unsafe extern "C" fn(*mut (), &FfiContext<'_>, pipe: i64, len: usize) -> isize,
}

/// An owned stream. The face for module authors with `AsyncRead`-like futures is `crate::io`.
#[repr(C)]
pub struct Stream {
    pub(super) data: *mut (),
    pub(super) vtable: *const StreamVtable,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let i = self.info();
        write!(f, "Stream({} {} -> {})", i.protocol, i.peer, i.local)
    }
}

impl Stream {
    /// Makes a stream of its parts.
    ///
    /// # Safety
    /// `data` belongs to `vtable`, is owned by the result, and the table lives as long as the process.
    pub const unsafe fn from_raw(data: *mut (), vtable: *const StreamVtable) -> Self {
        Self { data, vtable }
    }

    /// Its parts; `from_raw` takes them back.
    pub fn into_raw(self) -> (*mut (), *const StreamVtable) {
        let s = std::mem::ManuallyDrop::new(self);
        (s.data, s.vtable)
    }

    const fn vt(&self) -> &StreamVtable {
        // SAFETY: by contract of `from_raw`.
        unsafe { &*self.vtable }
    }

    fn result(&mut self, n: isize) -> Poll<Result<usize, Error>> {
        match n {
            PENDING => Poll::Pending,
            // SAFETY: data belongs to the table.
            n if n < 0 => Poll::Ready(Err(unsafe { (self.vt().error)(self.data) })),
            n => Poll::Ready(Ok(n.unsigned_abs())),
        }
    }

    /// Reads into `to`; 0: end of stream.
    #[inline]
    pub fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<Result<usize, Error>> {
        // SAFETY: data belongs to the table; the slice is exclusively borrowed for the call.
        let n = with_ffi(cx, |f| unsafe { (self.vt().read)(self.data, f, to.as_mut_ptr(), to.len()) });
        self.result(n)
    }

    /// Reads into memory that need not be initialised: as many bytes at its start as were read are, then. 0: end of
    /// stream. For traits whose buffers are such (`hyper::rt::Read`).
    #[inline]
    pub fn poll_read_uninit(&mut self, cx: &mut Context<'_>, to: &mut [MaybeUninit<u8>]) -> Poll<Result<usize, Error>> {
        // SAFETY: as above; the implementer writes only.
        let n = with_ffi(cx, |f| unsafe { (self.vt().read)(self.data, f, to.as_mut_ptr().cast(), to.len()) });
        self.result(n)
    }

    /// Reads into the spare room of `to`; 0: end of stream (or no room).
    #[inline]
    pub fn poll_read_buf(&mut self, cx: &mut Context<'_>, to: &mut Buf) -> Poll<Result<usize, Error>> {
        let (p, room) = to.spare();
        // SAFETY: as above; the implementer fills what it counts.
        let n = with_ffi(cx, |f| unsafe { (self.vt().read)(self.data, f, p, room) });
        if n > 0 {
            // SAFETY: n bytes were filled.
            unsafe { to.advance(n.unsigned_abs().min(room)) }
        }
        self.result(n)
    }

    /// Writes; the count accepted.
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
        // SAFETY: data belongs to the table; the slice is borrowed for the call.
        let n = with_ffi(cx, |f| unsafe { (self.vt().write)(self.data, f, from.as_ptr(), from.len()) });
        self.result(n)
    }

    /// Writes; the count accepted. At once more is written, or the stream shut down or dropped: a packet or record that is
    /// not full may wait for that, so that the end travels with the last bytes.
    #[inline]
    pub fn poll_write_more(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
        // SAFETY: as above.
        let n = with_ffi(cx, |f| unsafe { (self.vt().write_more)(self.data, f, from.as_ptr(), from.len()) });
        self.result(n)
    }

    /// Writes gathered pieces; the count accepted.
    #[inline]
    pub fn poll_writev(&mut self, cx: &mut Context<'_>, from: &[IoVec<'_>]) -> Poll<Result<usize, Error>> {
        // SAFETY: as above.
        let n = with_ffi(cx, |f| unsafe { (self.vt().writev)(self.data, f, from.as_ptr(), from.len()) });
        self.result(n)
    }

    /// Done when all that was accepted is with the system.
    #[inline]
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // SAFETY: data belongs to the table.
        let n = with_ffi(cx, |f| unsafe { (self.vt().flush)(self.data, f) });
        self.result(n).map_ok(|_| ())
    }

    /// Ends the write side behind what was accepted.
    #[inline]
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // SAFETY: data belongs to the table.
        let n = with_ffi(cx, |f| unsafe { (self.vt().shutdown)(self.data, f) });
        self.result(n).map_ok(|_| ())
    }

    /// Waits for any of `bits` (see `ready`); those that hold.
    #[inline]
    pub fn poll_ready(&mut self, cx: &mut Context<'_>, bits: u8) -> Poll<u8> {
        // SAFETY: data belongs to the table.
        match with_ffi(cx, |f| unsafe { (self.vt().poll_ready)(self.data, f, bits) }) {
            0 => Poll::Pending,
            n => Poll::Ready(n),
        }
    }

    /// States that a call on `raw_fd` said EAGAIN.
    #[inline]
    pub fn clear_ready(&mut self, bits: u8) {
        // SAFETY: data belongs to the table.
        unsafe { (self.vt().clear_ready)(self.data, bits) }
    }

    /// Readiness as far as known, without a system call (see `ready`).
    #[inline]
    pub fn state(&self) -> u8 {
        // SAFETY: data belongs to the table.
        unsafe { (self.vt().state)(self.data) }
    }

    /// The descriptor for direct calls, when nothing is buffered in between.
    #[inline]
    pub fn raw_fd(&self) -> Option<i64> {
        // SAFETY: data belongs to the table.
        let fd = unsafe { (self.vt().raw_fd)(self.data) };
        (fd >= 0).then_some(fd)
    }

    /// Addresses, protocol, server name, ALPN.
    pub fn info(&self) -> StreamInfo<'_> {
        // SAFETY: data belongs to the table.
        unsafe { (self.vt().info)(self.data) }
    }

    /// From now on readiness wakes this task.
    pub fn bind(&mut self, cx: &mut Context<'_>) {
        // SAFETY: data belongs to the table.
        with_ffi(cx, |f| unsafe { (self.vt().bind)(self.data, f) });
    }

    /// Forgets the task.
    pub fn unbind(&mut self) {
        // SAFETY: data belongs to the table.
        unsafe { (self.vt().unbind)(self.data) }
    }

    /// Sends `len` bytes of an open file from `offset`.
    ///
    /// # Errors
    /// `Unsupported` where the stream cannot: read and write instead.
    pub fn poll_sendfile(
        &mut self,
        cx: &mut Context<'_>,
        file: BorrowedFile<'_>,
        offset: u64,
        len: usize,
    ) -> Poll<Result<usize, Error>> {
        let file = fd::file_number(file);
        // SAFETY: data belongs to the table; the file is open for the call.
        let n = with_ffi(cx, |f| unsafe { (self.vt().sendfile)(self.data, f, file, offset, len) });
        self.result(n)
    }

    /// Sends up to `len` bytes out of the reading end of a pipe, in which there are some.
    ///
    /// # Errors
    /// `Unsupported` where the stream cannot: read and write instead.
    pub fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        pipe: BorrowedFile<'_>,
        len: usize,
    ) -> Poll<Result<usize, Error>> {
        if self.vt().size < std::mem::offset_of!(StreamVtable, splice) + size_of::<usize>() {
            return Poll::Ready(Err(Error::bare(ErrorKind::Unsupported)));
        }
        let pipe = fd::file_number(pipe);
        // SAFETY: the table has the function, data belongs to it; the pipe is open for the call.
        let n = with_ffi(cx, |f| unsafe { (self.vt().splice)(self.data, f, pipe, len) });
        self.result(n)
    }

    /// Gives the raw socket up.
    ///
    /// # Errors
    /// The stream itself, when it has no socket to give.
    pub fn take_raw(self) -> Result<RawSocket, Self> {
        let mut out = RawSocket::NONE;
        // SAFETY: data belongs to the table.
        if unsafe { (self.vt().take_raw)(self.data, &raw mut out) } { Ok(out) } else { Err(self) }
    }

    /// Closing will reset the connection.
    pub fn set_reset(&mut self) {
        // SAFETY: data belongs to the table.
        unsafe { (self.vt().set_reset)(self.data) }
    }

    /// Puts bytes in front of what is read next.
    pub fn unread(&mut self, bytes: Buf) {
        // SAFETY: data belongs to the table.
        unsafe { (self.vt().unread)(self.data, bytes) }
    }

    /// Sets an option by name; false: unknown to this stream.
    pub fn set_option(&mut self, name: &str, value: i64) -> bool {
        // SAFETY: data belongs to the table.
        unsafe { (self.vt().set_option)(self.data, Str::new(name), value) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { (self.vt().drop)(self.data) }
    }
}
