//! Readiness of descriptors that are the modules' own: an eventfd, another epoll, a ring.

use super::net::stopped;
#[cfg(unix)]
use super::waiters::Waiters;
#[cfg(unix)]
use crate::services::rt::{Borrowed, Interest, Io, READ, WRITE};
#[cfg(unix)]
use anyproxy_module_api::abi::stream::ready;
use anyproxy_module_api::abi::{
    error::{Error, ErrorKind, Outcome},
    host::Object,
    task::{FfiContext, guard},
};
use std::task::Context;
#[cfg(unix)]
use std::{os::fd::RawFd, sync::Arc};

/// A watched descriptor, which stays whose it is.
#[cfg(unix)]
#[derive(Debug)]
struct Watch {
    fd: Io<Borrowed>,
    readers: Arc<Waiters>,
    writers: Arc<Waiters>,
}

#[cfg(unix)]
impl Watch {
    fn new(fd: i64, bits: u8) -> Result<Self, Error> {
        let fd = RawFd::try_from(fd).map_err(|_| Error::new(ErrorKind::Invalid, "no descriptor"))?;
        let interest = match (bits & ready::READ != 0, bits & ready::WRITE != 0) {
            (true, false) => Interest::READABLE,
            (false, true) => Interest::WRITABLE,
            _ => Interest::READABLE | Interest::WRITABLE,
        };
        // The caller keeps the descriptor open for as long as it is watched, by contract of the table.
        let fd = Io::for_interest(Borrowed(fd), interest)?;
        Ok(Self { fd, readers: Arc::default(), writers: Arc::default() })
    }

    fn poll(&self, cx: &mut Context<'_>, bits: u8) -> u8 {
        let mut found = 0;
        if bits & ready::READ != 0 && self.readers.poll(cx, |cx| self.fd.poll_ready(cx, READ)).is_ready() {
            found |= ready::READ | if self.fd.seen().is_closed() { ready::HUP } else { 0 };
        }
        if bits & ready::WRITE != 0 && self.writers.poll(cx, |cx| self.fd.poll_ready(cx, WRITE)).is_ready() {
            found |= ready::WRITE;
        }
        found
    }

    fn clear(&self, bits: u8) {
        if bits & ready::READ != 0 {
            self.fd.clear(READ);
        }
        if bits & ready::WRITE != 0 {
            self.fd.clear(WRITE);
        }
    }
}

/// Elsewhere there are none.
#[cfg(not(unix))]
#[derive(Debug)]
struct Watch;

#[cfg(not(unix))]
impl Watch {
    fn new(_: i64, _: u8) -> Result<Self, Error> {
        Err(Error::new(ErrorKind::Unsupported, "descriptors cannot be watched on this system"))
    }

    fn poll(&self, _: &mut Context<'_>, bits: u8) -> u8 {
        bits
    }

    fn clear(&self, _: u8) {}
}

/// The watch behind an object.
///
/// # Safety
/// An object of `watch` that is not yet given up.
unsafe fn of<'a>(w: Object) -> &'a Watch {
    // SAFETY: by contract.
    unsafe { &*w.cast::<Watch>() }
}

pub(super) unsafe extern "C" fn watch(fd: i64, bits: u8) -> Outcome<Object> {
    stopped(|| Ok(Box::into_raw(Box::new(Watch::new(fd, bits)?)).cast()))
}

pub(super) unsafe extern "C" fn watch_poll(w: Object, cx: &FfiContext<'_>, bits: u8) -> u8 {
    // SAFETY: see `of`.
    let w = unsafe { of(w) };
    guard(|| cx.with_context(|cx| w.poll(cx, bits))).unwrap_or(bits)
}

pub(super) unsafe extern "C" fn watch_clear(w: Object, bits: u8) {
    // SAFETY: see `of`.
    let w = unsafe { of(w) };
    guard(|| w.clear(bits));
}

pub(super) unsafe extern "C" fn watch_drop(w: Object) {
    // SAFETY: given up once.
    guard(|| drop(unsafe { Box::from_raw(w.cast::<Watch>()) }));
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::{
        future::poll_fn,
        io::{Read, Write},
        os::{fd::AsRawFd, unix::net::UnixStream},
        task::Poll,
    };

    #[tokio::test]
    async fn a_descriptor_is_ready_when_it_can_be_read_and_not_after_that() {
        crate::services::rt::for_test();
        let (mut a, mut b) = UnixStream::pair().unwrap();
        b.set_nonblocking(true).unwrap();
        let w = Watch::new(b.as_raw_fd().into(), ready::READ).unwrap();
        assert_eq!(poll_fn(|cx| Poll::Ready(w.poll(cx, ready::READ))).await, 0);
        a.write_all(b"x").unwrap();
        let wait = || {
            poll_fn(|cx| match w.poll(cx, ready::READ) {
                0 => Poll::Pending,
                n => Poll::Ready(n),
            })
        };
        assert_eq!(wait().await, ready::READ);
        assert_eq!(b.read(&mut [0; 8]).unwrap(), 1);
        w.clear(ready::READ);
        assert_eq!(poll_fn(|cx| Poll::Ready(w.poll(cx, ready::READ))).await, 0);
        drop(a);
        assert_eq!(wait().await, ready::READ | ready::HUP);
    }

    #[tokio::test]
    async fn a_number_that_is_no_descriptor_is_an_error() {
        crate::services::rt::for_test();
        assert!(Watch::new(-1, ready::READ).is_err());
        assert!(Watch::new(i64::MAX, ready::READ).is_err());
    }
}
