//! Sockets, datagrams, readiness and names.

use super::{counted, host, result};
use crate::abi::{
    bytes::Str,
    error::{Error, ErrorKind},
    fd::{self, AsSocket, OwnedSocket},
    host::{Object, Received, RecvBuf, Resolved, Transmit},
    net::{Addr, SocketOptions},
    stream::Stream,
    task::with_ffi,
};
use std::{
    ptr,
    task::{Context, Poll, Waker},
};

/// Connects a stream socket.
///
/// # Errors
/// What the system says, or `TimedOut`.
pub async fn connect(to: Addr, options: &SocketOptions) -> Result<Stream, Error> {
    // SAFETY: the options are read during the call.
    result(unsafe { (host().connect)(to, ptr::from_ref(options)) }.await)
}

/// A stream over a connected socket, which is given away.
///
/// ```compile_fail
/// // A number may be the descriptor of anybody.
/// let stream = anyproxy_module_api::adopt(3_i64);
/// ```
///
/// # Errors
/// When it is no socket.
pub fn adopt(socket: impl Into<OwnedSocket>) -> Result<Stream, Error> {
    // SAFETY: the socket goes to the host, which closes it also where it cannot use it.
    result(unsafe { (host().adopt)(fd::given(socket.into())) })
}

/// A listening socket of the module's own, beside those of the configuration.
#[derive(Debug)]
pub struct Listener(Object);

impl Listener {
    /// Binds and listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(addr: Addr, options: &SocketOptions) -> Result<Self, Error> {
        // SAFETY: the options are read during the call.
        result(unsafe { (host().listen)(addr, ptr::from_ref(options)) }).map(Self)
    }

    /// Where it listens.
    pub fn addr(&self) -> Addr {
        // SAFETY: the host's object.
        unsafe { (host().listener_addr)(self.0) }
    }

    /// The next connection.
    ///
    /// # Errors
    /// What the system says.
    pub async fn accept(&self) -> Result<Stream, Error> {
        // SAFETY: the host's object.
        result(unsafe { (host().listener_accept)(self.0) }.await)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { (host().listener_drop)(self.0) }
    }
}

/// A datagram socket.
#[derive(Debug)]
pub struct UdpSocket(Object);

// SAFETY: objects of the host that are not streams may be used on any thread (see `HostVtable`). quinn's
// `AsyncUdpSocket` needs it.
unsafe impl Send for UdpSocket {}
// SAFETY: as above.
unsafe impl Sync for UdpSocket {}

impl UdpSocket {
    /// Binds.
    ///
    /// # Errors
    /// What the system says.
    pub fn bind(addr: Addr, options: &SocketOptions) -> Result<Self, Error> {
        // SAFETY: the options are read during the call.
        result(unsafe { (host().udp)(addr, ptr::from_ref(options)) }).map(Self)
    }

    /// Where it is bound.
    pub fn addr(&self) -> Addr {
        // SAFETY: the host's object.
        unsafe { (host().udp_addr)(self.0) }
    }

    /// Most datagrams that one `Transmit` may hold (GSO); 1 without it.
    pub fn max_transmit_segments(&self) -> usize {
        // SAFETY: the host's object.
        unsafe { (host().udp_segments)(self.0, false) as usize }
    }

    /// Most datagrams that one `Received` may hold (GRO); 1 without it.
    pub fn max_receive_segments(&self) -> usize {
        // SAFETY: the host's object.
        unsafe { (host().udp_segments)(self.0, true) as usize }
    }

    /// Receives into several buffers; how many were filled.
    ///
    /// # Errors
    /// What the system says.
    pub fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [&mut [u8]],
        meta: &mut [Received],
    ) -> Poll<Result<usize, Error>> {
        const BATCH: usize = 32;
        let n = bufs.len().min(meta.len()).min(BATCH);
        let mut raw = [RecvBuf { ptr: ptr::null_mut(), len: 0 }; BATCH];
        for (to, from) in raw.iter_mut().zip(bufs.iter_mut()) {
            *to = RecvBuf { ptr: from.as_mut_ptr(), len: from.len() };
        }
        // SAFETY: the host's object; `n` buffers and metas, exclusively borrowed for the call.
        counted(with_ffi(cx, |f| unsafe { (host().udp_recv)(self.0, f, raw.as_mut_ptr(), meta.as_mut_ptr(), n) }))
    }

    /// Sends one transmit; it goes whole or not at all.
    ///
    /// # Errors
    /// What the system says.
    pub fn poll_send(&self, cx: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<Result<(), Error>> {
        // SAFETY: the host's object; the bytes are borrowed for the call.
        counted(with_ffi(cx, |f| unsafe { (host().udp_send)(self.0, f, ptr::from_ref(transmit)) })).map_ok(|_| ())
    }

    /// Sends one transmit if that is possible now: it goes whole or not at all.
    ///
    /// # Errors
    /// What the system says; `WouldBlock` (then see `poll_writable`).
    pub fn try_send(&self, transmit: &Transmit<'_>) -> Result<(), Error> {
        match self.poll_send(&mut Context::from_waker(Waker::noop()), transmit) {
            Poll::Ready(r) => r,
            Poll::Pending => Err(Error::bare(ErrorKind::WouldBlock)),
        }
    }

    /// Waits until a send is worth a try. Any number of tasks may wait: each is woken.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the host's object.
        match with_ffi(cx, |f| unsafe { (host().udp_writable)(self.0, f) }) {
            0 => Poll::Pending,
            _ => Poll::Ready(()),
        }
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { (host().udp_drop)(self.0) }
    }
}

/// Readiness of a descriptor of the module's own (an eventfd, another epoll, a ring), which it keeps: owned, borrowed or
/// behind a reference, it stays open for as long as it is watched.
///
/// ```compile_fail
/// # use std::os::fd::AsFd;
/// fn outlived(fd: std::os::fd::OwnedFd) -> anyproxy_module_api::SocketWatch<std::os::fd::BorrowedFd<'static>> {
///     anyproxy_module_api::SocketWatch::new(fd.as_fd(), 1).unwrap()
/// }
/// ```
#[derive(Debug)]
pub struct SocketWatch<S> {
    watch: Watch,
    // Closed after its watch has ended.
    socket: S,
}

#[derive(Debug)]
struct Watch(Object);

// SAFETY: see `UdpSocket`.
unsafe impl Send for Watch {}
// SAFETY: as above.
unsafe impl Sync for Watch {}

impl<S: AsSocket> SocketWatch<S> {
    /// Watches it for some of `bits` (see `stream::ready`).
    ///
    /// # Errors
    /// What the system says.
    pub fn new(socket: S, bits: u8) -> Result<Self, Error> {
        // SAFETY: open until the watch has ended.
        let watch = result(unsafe { (host().watch)(fd::number(fd::socket_of(&socket)), bits) }).map(Watch)?;
        Ok(Self { watch, socket })
    }

    /// The descriptor.
    pub const fn socket(&self) -> &S {
        &self.socket
    }

    /// Ends the watch and gives the descriptor back.
    pub fn into_socket(self) -> S {
        self.socket
    }

    /// Waits for any of `bits` (see `stream::ready`).
    pub fn poll_ready(&self, cx: &mut Context<'_>, bits: u8) -> Poll<u8> {
        // SAFETY: the host's object.
        match with_ffi(cx, |f| unsafe { (host().watch_poll)(self.watch.0, f, bits) }) {
            0 => Poll::Pending,
            n => Poll::Ready(n),
        }
    }

    /// A call on the descriptor said EAGAIN.
    pub fn clear_ready(&self, bits: u8) {
        // SAFETY: the host's object.
        unsafe { (host().watch_clear)(self.watch.0, bits) }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: given up once.
        unsafe { (host().watch_drop)(self.0) }
    }
}

/// The addresses of a name.
///
/// # Errors
/// `NotFound`, `TimedOut`.
pub async fn resolve(name: &str, port: u16) -> Result<Vec<Resolved>, Error> {
    // SAFETY: the name is copied during the call.
    let list = result(unsafe { (host().resolve)(Str::new(name), port) }.await)?;
    // SAFETY: the host's object, given up after its content was copied.
    unsafe {
        let v = (host().resolved)(list).to_vec();
        (host().resolved_drop)(list);
        Ok(v)
    }
}
