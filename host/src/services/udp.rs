//! Datagram sockets in batches: GSO and GRO where the system has them. Knows nothing of what the datagrams carry.

use super::{
    net::{bind_datagram, failed, options, stopped},
    waiters::Waiters,
};
use crate::services::rt::{Io, READ, WRITE};
use anyproxy_module_api::abi::{
    error::{Error, ErrorKind, Outcome},
    host::{Object, Received, RecvBuf, Transmit},
    net::{Addr, SocketOptions},
    stream::PENDING,
    task::{FfiContext, guard},
};
use mio::net::UdpSocket;
use quinn_udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, UdpSockRef, UdpSocketState};
use std::{
    io::{self, IoSliceMut},
    sync::Arc,
    task::{Context, Poll},
};

/// A datagram socket of this thread. Any number of tasks may wait for it.
#[derive(Debug)]
pub struct Udp {
    socket: Io<UdpSocket>,
    state: UdpSocketState,
    local: Addr,
    readers: Arc<Waiters>,
    writers: Arc<Waiters>,
}

impl Udp {
    /// Over a bound, non-blocking socket.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(socket: socket2::Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let socket = Io::new(UdpSocket::from_std(socket.into()))?;
        let local = socket.local_addr()?.into();
        Ok(Self { socket, state, local, readers: Arc::default(), writers: Arc::default() })
    }

    /// Where it is bound.
    pub fn local(&self) -> Addr {
        self.local
    }

    /// Receives into several buffers; how many were filled. One call to the system for all.
    pub fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        out: &mut [Received],
    ) -> Poll<io::Result<usize>> {
        loop {
            // Noted only where there is nothing: to wait costs a lock.
            if !self.socket.is_ready(READ) && self.readers.poll(cx, |cx| self.socket.poll_ready(cx, READ)).is_pending()
            {
                return Poll::Pending;
            }
            match self.try_recv(bufs, out) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                other => return Poll::Ready(other),
            }
        }
    }

    /// The same for what waits in the queue now, whether or not the loop has heard of it.
    ///
    /// # Errors
    /// `WouldBlock`: nothing does. What the system says.
    pub fn try_recv(&self, bufs: &mut [IoSliceMut<'_>], out: &mut [Received]) -> io::Result<usize> {
        let most = bufs.len().min(out.len()).min(BATCH_SIZE);
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        let recv =
            |s: &UdpSocket| s.try_io(|| self.state.recv(UdpSockRef::from(s), &mut bufs[..most], &mut meta[..most]));
        let n = self.socket.try_io(READ, recv)?;
        for (to, m) in out.iter_mut().zip(&meta[..n]) {
            *to = self.received(m);
        }
        Ok(n)
    }

    fn received(&self, m: &RecvMeta) -> Received {
        let port = self.local.port();
        Received {
            from: m.addr.into(),
            to: m.dst_ip.map_or(Addr::NONE, |ip| std::net::SocketAddr::new(ip, port).into()),
            len: m.len,
            segment: m.stride,
            ecn: m.ecn.map_or(0, |e| e as u8),
        }
    }

    /// Sends one transmit, whole or not at all.
    pub fn poll_send(&self, cx: &mut Context<'_>, transmit: &quinn_udp::Transmit<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.socket.is_ready(WRITE) && self.poll_writable(cx).is_pending() {
                return Poll::Pending;
            }
            let send = |s: &UdpSocket| s.try_io(|| self.state.try_send(UdpSockRef::from(s), transmit));
            match self.socket.try_io(WRITE, send) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                // Larger than the path takes: lost, as it would be on the way. Probes for the path's size rely on it.
                Err(e) if is_too_large(&e) => return Poll::Ready(Ok(())),
                other => return Poll::Ready(other),
            }
        }
    }

    /// Waits until a send is worth a try.
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.writers.poll(cx, |cx| self.socket.poll_ready(cx, WRITE))
    }

    /// See `udp_send`: what a function of the table returns.
    pub(super) fn send(&self, cx: &FfiContext<'_>, transmit: &Transmit<'_>) -> isize {
        let Some(destination) = transmit.to.socket() else {
            return failed(Error::new(ErrorKind::Invalid, "no address to send to"));
        };
        let contents = transmit.bytes.as_slice();
        let transmit = quinn_udp::Transmit {
            destination,
            ecn: EcnCodepoint::from_bits(transmit.ecn),
            contents,
            segment_size: Some(transmit.segment).filter(|s| *s > 0 && *s < contents.len()),
            src_ip: transmit.from.ip(),
        };
        match cx.with_context(|cx| self.poll_send(cx, &transmit)) {
            Poll::Ready(Ok(())) => contents.len().cast_signed(),
            Poll::Ready(Err(e)) => failed(e.into()),
            Poll::Pending => PENDING,
        }
    }
}

#[cfg(unix)]
fn is_too_large(e: &io::Error) -> bool {
    e.raw_os_error() == Some(libc::EMSGSIZE)
}

#[cfg(windows)]
fn is_too_large(e: &io::Error) -> bool {
    // WSAEMSGSIZE.
    e.raw_os_error() == Some(10040)
}

/// The socket behind an object.
///
/// # Safety
/// An object of `udp` that is not yet given up.
unsafe fn of<'a>(u: Object) -> &'a Udp {
    // SAFETY: by contract.
    unsafe { &*u.cast::<Udp>() }
}

pub(super) unsafe extern "C" fn udp(addr: Addr, o: *const SocketOptions) -> Outcome<Object> {
    // SAFETY: lent for the call.
    let o = unsafe { options(o) };
    stopped(|| {
        let Some(at) = addr.socket() else {
            return Err(Error::new(ErrorKind::Invalid, "a datagram socket needs an internet address"));
        };
        let socket = bind_datagram(&at, &o).and_then(Udp::new)?;
        Ok(Box::into_raw(Box::new(socket)).cast())
    })
}

pub(super) unsafe extern "C" fn udp_addr(u: Object) -> Addr {
    // SAFETY: see `of`.
    unsafe { of(u) }.local
}

pub(super) unsafe extern "C" fn udp_segments(u: Object, receive: bool) -> u32 {
    // SAFETY: see `of`.
    let state = &unsafe { of(u) }.state;
    let n = if receive { state.gro_segments() } else { state.max_gso_segments() };
    u32::try_from(n).unwrap_or(1)
}

pub(super) unsafe extern "C" fn udp_recv(
    u: Object,
    cx: &FfiContext<'_>,
    bufs: *mut RecvBuf,
    meta: *mut Received,
    len: usize,
) -> isize {
    let recv = || {
        let n = len.min(BATCH_SIZE);
        // SAFETY: see `of`; the caller lends `len` buffers and as many places for what is known of them.
        let (u, bufs, meta) =
            unsafe { (of(u), std::slice::from_raw_parts(bufs, n), std::slice::from_raw_parts_mut(meta, n)) };
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|i| match bufs.get(i) {
            // SAFETY: exclusive memory of the caller for the call.
            Some(b) => IoSliceMut::new(unsafe { std::slice::from_raw_parts_mut(b.ptr, b.len) }),
            None => IoSliceMut::new(&mut []),
        });
        match cx.with_context(|cx| u.poll_recv(cx, &mut slices[..n], meta)) {
            Poll::Ready(Ok(n)) => n.cast_signed(),
            Poll::Ready(Err(e)) => failed(e.into()),
            Poll::Pending => PENDING,
        }
    };
    guard(recv).unwrap_or_else(|| failed(Error::bare(ErrorKind::Panicked)))
}

pub(super) unsafe extern "C" fn udp_send(u: Object, cx: &FfiContext<'_>, transmit: *const Transmit<'_>) -> isize {
    // SAFETY: see `of`; the transmit is lent for the call.
    let send = || unsafe { of(u).send(cx, &*transmit) };
    guard(send).unwrap_or_else(|| failed(Error::bare(ErrorKind::Panicked)))
}

pub(super) unsafe extern "C" fn udp_writable(u: Object, cx: &FfiContext<'_>) -> u8 {
    // SAFETY: see `of`.
    let u = unsafe { of(u) };
    // After a panic a send is worth a try: it reports what is wrong.
    guard(|| u8::from(cx.with_context(|cx| u.poll_writable(cx)).is_ready())).unwrap_or(1)
}

pub(super) unsafe extern "C" fn udp_drop(u: Object) {
    // SAFETY: given up once.
    guard(|| drop(unsafe { Box::from_raw(u.cast::<Udp>()) }));
}

#[cfg(test)]
#[path = "udp_tests.rs"]
mod tests;
