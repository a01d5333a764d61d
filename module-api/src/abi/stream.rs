//! A byte stream as it crosses: bound to a task once, then plain non-blocking calls.
//! Knows nothing of what carries the bytes: a socket of the host, or a module's encryption over another stream.

use super::{
    bytes::{Buf, IoVec, Str},
    error::{Error, ErrorKind},
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
    /// The peer closed its side, or the connection failed.
    pub const HUP: u8 = 4;
    /// Every byte of the peer's was read, and its end is here: a read would give 0. Told only by those who know without
    /// asking.
    pub const END: u8 = 8;
}

/// What a stream can tell besides bytes. Texts live as long as the stream.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct StreamInfo {
    /// The other end.
    pub peer: Addr,
    /// This end.
    pub local: Addr,
    /// `tcp`, `unix`, or what a module calls its own.
    pub protocol: Str,
    /// Server name that the client asked for; empty: none.
    pub server_name: Str,
    /// Application protocol agreed on; empty: none.
    pub alpn: Str,
}

/// A raw socket given up by a stream, with what was read from it and not consumed, and what was accepted and not sent.
#[repr(C)]
#[derive(Debug)]
pub struct RawSocket {
    /// The descriptor, non-blocking, owned by the receiver.
    pub fd: i64,
    /// Bytes already received.
    pub read_ahead: Buf,
    /// Bytes accepted by `write` and not yet sent.
    pub write_behind: Buf,
    /// Whether `fd` may be received from (kernel TLS may not).
    pub can_recv: bool,
    /// Whether `fd` may be sent to.
    pub can_send: bool,
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
    pub writev: unsafe extern "C" fn(*mut (), &FfiContext<'_>, *const IoVec, usize) -> isize,
    /// 0 when everything accepted was handed to the system.
    pub flush: unsafe extern "C" fn(*mut (), &FfiContext<'_>) -> isize,
    /// Ends the write side behind what was accepted. 0 when done.
    pub shutdown: unsafe extern "C" fn(*mut (), &FfiContext<'_>) -> isize,
    /// The error behind the last `FAILED`.
    pub error: unsafe extern "C" fn(*mut ()) -> Error,
    /// What else it knows.
    pub info: unsafe extern "C" fn(*mut ()) -> StreamInfo,
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
    pub set_option: unsafe extern "C" fn(*mut (), Str, i64) -> bool,
    /// Ends it.
    pub drop: unsafe extern "C" fn(*mut ()),
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
    pub fn poll_writev(&mut self, cx: &mut Context<'_>, from: &[IoVec]) -> Poll<Result<usize, Error>> {
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
    pub fn info(&self) -> StreamInfo {
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
        file: i64,
        offset: u64,
        len: usize,
    ) -> Poll<Result<usize, Error>> {
        // SAFETY: data belongs to the table.
        let n = with_ffi(cx, |f| unsafe { (self.vt().sendfile)(self.data, f, file, offset, len) });
        self.result(n)
    }

    /// Gives the raw socket up.
    ///
    /// # Errors
    /// The stream itself, when it has no socket to give.
    pub fn take_raw(self) -> Result<RawSocket, Self> {
        let mut out =
            RawSocket { fd: -1, read_ahead: Buf::new(), write_behind: Buf::new(), can_recv: false, can_send: false };
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

/// What a module (or the host) writes to make a stream of its own. Every call is made on the stream's thread.
pub trait StreamImpl: 'static {
    /// Readiness as far as known.
    fn state(&self) -> u8 {
        ready::READ | ready::WRITE
    }
    /// Reads; 0: end.
    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<Result<usize, Error>>;
    /// Writes.
    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>>;
    /// Writes, and more or the end follows at once.
    fn poll_write_more(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
        self.poll_write(cx, from)
    }
    /// Writes gathered pieces; by default the first that is not empty.
    fn poll_writev(&mut self, cx: &mut Context<'_>, from: &[IoVec]) -> Poll<Result<usize, Error>> {
        let first = from.iter().find(|v| v.len > 0).copied().unwrap_or(IoVec::new(&[]));
        // SAFETY: the caller's pieces are valid for the call.
        self.poll_write(cx, unsafe { std::slice::from_raw_parts(first.ptr, first.len) })
    }
    /// Hands accepted bytes on.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;
    /// Ends the write side.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;
    /// What it knows.
    fn info(&self) -> StreamInfo;
    /// Waits for readiness; by default everything is always worth a try.
    fn poll_ready(&mut self, _cx: &mut Context<'_>, bits: u8) -> Poll<u8> {
        Poll::Ready(bits)
    }
    /// A direct call saw EAGAIN.
    fn clear_ready(&mut self, _bits: u8) {}
    /// Binds to a task.
    fn bind(&mut self, _cx: &mut Context<'_>) {}
    /// Unbinds.
    fn unbind(&mut self) {}
    /// The descriptor, or -1.
    fn raw_fd(&self) -> i64 {
        -1
    }
    /// Sends from a file.
    fn poll_sendfile(
        &mut self,
        _cx: &mut Context<'_>,
        _file: i64,
        _offset: u64,
        _len: usize,
    ) -> Poll<Result<usize, Error>> {
        Poll::Ready(Err(Error::bare(ErrorKind::Unsupported)))
    }
    /// Gives the socket up, if it can.
    fn take_raw(&mut self) -> Option<RawSocket> {
        None
    }
    /// Closing resets.
    fn set_reset(&mut self) {}
    /// Bytes to be read first.
    fn unread(&mut self, bytes: Buf);
    /// Sets an option.
    fn set_option(&mut self, _name: &str, _value: i64) -> bool {
        false
    }
}

struct Holder<S> {
    stream: S,
    /// Boxed: rare, and it must not weigh on every stream.
    error: Option<Box<Error>>,
}

impl<S: StreamImpl> Holder<S> {
    fn keep(&mut self, r: Poll<Result<usize, Error>>) -> isize {
        match r {
            Poll::Pending => PENDING,
            Poll::Ready(Ok(n)) => n.cast_signed(),
            Poll::Ready(Err(e)) => {
                self.error = Some(Box::new(e));
                FAILED
            }
        }
    }
}

impl Stream {
    /// A stream over an implementation of this image.
    pub fn new<S: StreamImpl>(stream: S) -> Self {
        let data = Box::into_raw(Box::new(Holder { stream, error: None })).cast();
        Self { data, vtable: &raw const *Table::<S>::VTABLE }
    }
}

struct Table<S>(S);

/// Runs `f` over the holder behind `data`; a panic is a failure of the stream.
///
/// # Safety
/// `data` is the box of `Stream::new::<S>`, and the call is exclusive.
unsafe fn call<S: StreamImpl>(data: *mut (), f: impl FnOnce(&mut Holder<S>) -> isize) -> isize {
    // SAFETY: by contract.
    let h = unsafe { &mut *data.cast::<Holder<S>>() };
    match super::task::guard(|| f(h)) {
        Some(n) => n,
        None => {
            h.error = Some(Box::new(Error::bare(ErrorKind::Panicked)));
            FAILED
        }
    }
}

impl<S: StreamImpl> Table<S> {
    const VTABLE: &'static StreamVtable = &StreamVtable {
        size: size_of::<StreamVtable>(),
        bind: Self::bind,
        unbind: Self::unbind,
        state: Self::state,
        read: Self::read,
        write: Self::write,
        write_more: Self::write_more,
        writev: Self::writev,
        flush: Self::flush,
        shutdown: Self::shutdown,
        error: Self::error,
        info: Self::info,
        poll_ready: Self::poll_ready,
        clear_ready: Self::clear_ready,
        raw_fd: Self::raw_fd,
        sendfile: Self::sendfile,
        take_raw: Self::take_raw,
        set_reset: Self::set_reset,
        unread: Self::unread,
        set_option: Self::set_option,
        drop: Self::drop,
    };

    unsafe extern "C" fn bind(d: *mut (), cx: &FfiContext<'_>) {
        // SAFETY: here and below `d` is the box of `Stream::new`, used exclusively, by the table's contract.
        unsafe {
            call::<S>(d, |h| {
                cx.with_context(|cx| h.stream.bind(cx));
                0
            });
        }
    }
    unsafe extern "C" fn unbind(d: *mut ()) {
        // SAFETY: see `bind`.
        unsafe {
            call::<S>(d, |h| {
                h.stream.unbind();
                0
            });
        }
    }
    unsafe extern "C" fn state(d: *mut ()) -> u8 {
        // SAFETY: see `bind`.
        unsafe { call::<S>(d, |h| isize::from(h.stream.state())) }.max(0) as u8
    }
    unsafe extern "C" fn read(d: *mut (), cx: &FfiContext<'_>, to: *mut u8, len: usize) -> isize {
        // SAFETY: see `bind`; the caller lends `len` bytes, which a reader only writes to.
        unsafe {
            call::<S>(d, |h| {
                let to = std::slice::from_raw_parts_mut(to, len);
                let r = cx.with_context(|cx| h.stream.poll_read(cx, to));
                // Whoever called counts on as many bytes as there is room for, whatever the stream says.
                h.keep(r.map_ok(|n| n.min(len)))
            })
        }
    }
    unsafe extern "C" fn write(d: *mut (), cx: &FfiContext<'_>, from: *const u8, len: usize) -> isize {
        // SAFETY: see `bind`; the caller lends `len` bytes.
        unsafe {
            call::<S>(d, |h| {
                let from = std::slice::from_raw_parts(from, len);
                let r = cx.with_context(|cx| h.stream.poll_write(cx, from));
                h.keep(r)
            })
        }
    }
    unsafe extern "C" fn write_more(d: *mut (), cx: &FfiContext<'_>, from: *const u8, len: usize) -> isize {
        // SAFETY: see `bind`; the caller lends `len` bytes.
        unsafe {
            call::<S>(d, |h| {
                let from = std::slice::from_raw_parts(from, len);
                let r = cx.with_context(|cx| h.stream.poll_write_more(cx, from));
                h.keep(r)
            })
        }
    }
    unsafe extern "C" fn writev(d: *mut (), cx: &FfiContext<'_>, from: *const IoVec, len: usize) -> isize {
        // SAFETY: see `bind`; the caller lends `len` pieces.
        unsafe {
            call::<S>(d, |h| {
                let from = std::slice::from_raw_parts(from, len);
                let r = cx.with_context(|cx| h.stream.poll_writev(cx, from));
                h.keep(r)
            })
        }
    }
    unsafe extern "C" fn flush(d: *mut (), cx: &FfiContext<'_>) -> isize {
        // SAFETY: see `bind`.
        unsafe {
            call::<S>(d, |h| {
                let r = cx.with_context(|cx| h.stream.poll_flush(cx));
                h.keep(r.map_ok(|()| 0))
            })
        }
    }
    unsafe extern "C" fn shutdown(d: *mut (), cx: &FfiContext<'_>) -> isize {
        // SAFETY: see `bind`.
        unsafe {
            call::<S>(d, |h| {
                let r = cx.with_context(|cx| h.stream.poll_shutdown(cx));
                h.keep(r.map_ok(|()| 0))
            })
        }
    }
    unsafe extern "C" fn error(d: *mut ()) -> Error {
        // SAFETY: see `bind`.
        unsafe { &mut *d.cast::<Holder<S>>() }.error.take().map_or(Error::bare(ErrorKind::Other), |e| *e)
    }
    unsafe extern "C" fn info(d: *mut ()) -> StreamInfo {
        // SAFETY: see `bind`.
        let h = unsafe { &*d.cast::<Holder<S>>() };
        super::task::guard(|| h.stream.info()).unwrap_or_default()
    }
    unsafe extern "C" fn poll_ready(d: *mut (), cx: &FfiContext<'_>, bits: u8) -> u8 {
        // SAFETY: see `bind`.
        let n = unsafe {
            call::<S>(d, |h| match cx.with_context(|cx| h.stream.poll_ready(cx, bits)) {
                Poll::Ready(b) => isize::from(b),
                Poll::Pending => 0,
            })
        };
        // A panic makes it ready: the next read or write reports it.
        if n < 0 { bits } else { n as u8 }
    }
    unsafe extern "C" fn clear_ready(d: *mut (), bits: u8) {
        // SAFETY: see `bind`.
        unsafe {
            call::<S>(d, |h| {
                h.stream.clear_ready(bits);
                0
            });
        }
    }
    unsafe extern "C" fn raw_fd(d: *mut ()) -> i64 {
        // SAFETY: see `bind`.
        let h = unsafe { &*d.cast::<Holder<S>>() };
        super::task::guard(|| h.stream.raw_fd()).unwrap_or(-1)
    }
    unsafe extern "C" fn sendfile(d: *mut (), cx: &FfiContext<'_>, file: i64, offset: u64, len: usize) -> isize {
        // SAFETY: see `bind`.
        unsafe {
            call::<S>(d, |h| {
                let r = cx.with_context(|cx| h.stream.poll_sendfile(cx, file, offset, len));
                h.keep(r)
            })
        }
    }
    unsafe extern "C" fn take_raw(d: *mut (), out: *mut RawSocket) -> bool {
        // SAFETY: see `bind`; `out` is the caller's.
        unsafe {
            call::<S>(d, |h| match h.stream.take_raw() {
                Some(raw) => {
                    *out = raw;
                    1
                }
                None => 0,
            }) == 1
        }
    }
    unsafe extern "C" fn set_reset(d: *mut ()) {
        // SAFETY: see `bind`.
        unsafe {
            call::<S>(d, |h| {
                h.stream.set_reset();
                0
            });
        }
    }
    unsafe extern "C" fn unread(d: *mut (), bytes: Buf) {
        // SAFETY: see `bind`.
        unsafe {
            call::<S>(d, |h| {
                h.stream.unread(bytes);
                0
            });
        }
    }
    unsafe extern "C" fn set_option(d: *mut (), name: Str, value: i64) -> bool {
        // SAFETY: see `bind`.
        unsafe { call::<S>(d, |h| isize::from(h.stream.set_option(name.as_str(), value))) == 1 }
    }
    unsafe extern "C" fn drop(d: *mut ()) {
        // SAFETY: given up once.
        super::task::guard(|| drop(unsafe { Box::from_raw(d.cast::<Holder<S>>()) }));
    }
}
