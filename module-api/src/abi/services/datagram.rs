//! The sending side of a datagram listener, and what its connection ids carry.

use super::{counted, host};
use crate::abi::{
    error::{Error, ErrorKind},
    host::Transmit,
    net::Addr,
    stream::Stream,
    task::with_ffi,
};
use std::{
    ptr,
    sync::atomic::Ordering::Relaxed,
    task::{Context, Poll, Waker},
};

/// A datagram listener as its endpoint on this worker knows it: made of the number that `start` was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramSocket(pub u32);

impl DatagramSocket {
    /// Sends one transmit from the listener's address; it goes whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn poll_send(self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<Result<(), Error>> {
        // SAFETY: the bytes are borrowed for the call.
        counted(with_ffi(cx, |f| unsafe { (host().datagram_send)(self.0, f, ptr::from_ref(transmit)) })).map_ok(|_| ())
    }

    /// Sends one transmit if that is possible now.
    ///
    /// # Errors
    /// What the system says; `WouldBlock`.
    pub fn try_send(self, transmit: &Transmit<'_>) -> Result<(), Error> {
        match self.poll_send(&mut Context::from_waker(Waker::noop()), transmit) {
            Poll::Ready(r) => r,
            Poll::Pending => Err(Error::bare(ErrorKind::WouldBlock)),
        }
    }

    /// A connection that the endpoint accepted enters the listener as a session of `client`. False: no room, or the
    /// listener is going; the stream is closed.
    pub fn accept(self, stream: Stream, client: Addr) -> bool {
        // SAFETY: the stream is given away; the address is read during the call.
        unsafe { (host().session_accept)(self.0, stream, ptr::from_ref(&client)) }
    }
}

/// The epoch that connection ids of the present generation carry (see `Route`). Never 0.
pub fn epoch() -> u32 {
    // SAFETY: no arguments.
    unsafe { (host().epoch)() }
}

/// Sessions of all generations in this process.
pub fn sessions() -> u32 {
    // SAFETY: a page that lives as long as the process.
    unsafe { &*host().sessions }.load(Relaxed)
}
