//! A stream of one's own: the trait that its author writes, and the table of functions over it.

use super::{FAILED, PENDING, RawSocket, Stream, StreamInfo, StreamVtable, ready};
use crate::abi::{
    bytes::{Buf, IoVec, Str},
    error::{Error, ErrorKind},
    fd::{self, BorrowedFile, BorrowedSocket},
    task::{FfiContext, guard},
};
use std::task::{Context, Poll};

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
    fn poll_writev(&mut self, cx: &mut Context<'_>, from: &[IoVec<'_>]) -> Poll<Result<usize, Error>> {
        self.poll_write(cx, from.iter().find(|v| !v.is_empty()).map_or(&[], |v| v))
    }
    /// Hands accepted bytes on.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;
    /// Ends the write side.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>>;
    /// What it knows.
    fn info(&self) -> StreamInfo<'_>;
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
    /// The descriptor, where bytes of its own go straight through it.
    fn raw_fd(&self) -> Option<BorrowedSocket<'_>> {
        None
    }
    /// Sends from a file.
    fn poll_sendfile(
        &mut self,
        _cx: &mut Context<'_>,
        _file: BorrowedFile<'_>,
        _offset: u64,
        _len: usize,
    ) -> Poll<Result<usize, Error>> {
        Poll::Ready(Err(Error::bare(ErrorKind::Unsupported)))
    }
    /// Sends out of a pipe.
    fn poll_splice(
        &mut self,
        _cx: &mut Context<'_>,
        _pipe: BorrowedFile<'_>,
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

impl Stream {
    /// A stream over an implementation of this image.
    pub fn new<S: StreamImpl>(stream: S) -> Self {
        let data = Box::into_raw(Box::new(Holder { stream, error: None })).cast();
        Self { data, vtable: &raw const *Table::<S>::VTABLE }
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

struct Table<S>(S);

/// Runs `f` over the holder behind `data`; a panic is a failure of the stream.
///
/// # Safety
/// `data` is the box of `Stream::new::<S>`, and the call is exclusive.
unsafe fn call<S: StreamImpl>(data: *mut (), f: impl FnOnce(&mut Holder<S>) -> isize) -> isize {
    // SAFETY: by contract.
    let h = unsafe { &mut *data.cast::<Holder<S>>() };
    match guard(|| f(h)) {
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
        splice: Self::splice,
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
    unsafe extern "C" fn writev(d: *mut (), cx: &FfiContext<'_>, from: *const IoVec<'_>, len: usize) -> isize {
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
    unsafe extern "C" fn info(d: *mut ()) -> StreamInfo<'static> {
        // SAFETY: see `bind`. The texts are the stream's, and `Stream::info` lends them for no longer than that.
        let h = unsafe { &*d.cast::<Holder<S>>() };
        guard(|| h.stream.info()).unwrap_or_default()
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
        guard(|| h.stream.raw_fd().map(fd::number)).flatten().unwrap_or(-1)
    }
    unsafe extern "C" fn sendfile(d: *mut (), cx: &FfiContext<'_>, file: i64, offset: u64, len: usize) -> isize {
        // SAFETY: see `bind`; the caller lends the file.
        unsafe {
            call::<S>(d, |h| {
                let r = match fd::lent_file(file) {
                    Some(file) => cx.with_context(|cx| h.stream.poll_sendfile(cx, file, offset, len)),
                    None => Poll::Ready(Err(Error::bare(ErrorKind::Unsupported))),
                };
                h.keep(r)
            })
        }
    }
    unsafe extern "C" fn splice(d: *mut (), cx: &FfiContext<'_>, pipe: i64, len: usize) -> isize {
        // SAFETY: see `bind`; the caller lends the pipe.
        unsafe {
            call::<S>(d, |h| {
                let r = match fd::lent_file(pipe) {
                    Some(pipe) => cx.with_context(|cx| h.stream.poll_splice(cx, pipe, len)),
                    None => Poll::Ready(Err(Error::bare(ErrorKind::Unsupported))),
                };
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
    unsafe extern "C" fn set_option(d: *mut (), name: Str<'_>, value: i64) -> bool {
        // SAFETY: see `bind`.
        unsafe { call::<S>(d, |h| isize::from(h.stream.set_option(name.as_str(), value))) == 1 }
    }
    unsafe extern "C" fn drop(d: *mut ()) {
        // SAFETY: given up once.
        guard(|| drop(unsafe { Box::from_raw(d.cast::<Holder<S>>()) }));
    }
}
