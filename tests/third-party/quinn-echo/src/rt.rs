//! quinn's runtime traits over the services of the host: a datagram socket with GSO and GRO, timers, tasks. Nothing of QUIC.

use anyproxy_module_api as host;
use quinn::{
    AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller,
    udp::{EcnCodepoint, RecvMeta, Transmit},
};
use std::{
    future::Future,
    io::{self, IoSliceMut},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// Most buffers of one receive.
const BATCH: usize = 32;

/// The worker that the endpoint was started on.
#[derive(Debug)]
pub(crate) struct Host;

impl Runtime for Host {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(Timer(host::sleep(until(at))))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        drop(host::spawn(future));
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        // The endpoint's socket is made by the host. quinn asks here only to rebind a client.
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn until(at: Instant) -> Duration {
    at.saturating_duration_since(Instant::now())
}

#[derive(Debug)]
struct Timer(host::Sleep);

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, at: Instant) {
        self.0.reset(until(at));
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(cx)
    }
}

/// A datagram socket of the host as quinn uses it.
#[derive(Debug)]
pub(crate) struct Socket {
    inner: host::UdpSocket,
    sent_runs: AtomicU64,
    received_runs: AtomicU64,
}

impl Socket {
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            inner: host::UdpSocket::bind(address.into(), &host::SocketOptions::default())?,
            sent_runs: AtomicU64::new(0),
            received_runs: AtomicU64::new(0),
        })
    }

    pub(crate) fn addr(&self) -> host::Addr {
        self.inner.addr()
    }

    /// Members of a JSON object: what GSO and GRO may carry, and how often they carried more than one datagram.
    pub(crate) fn counts(&self) -> String {
        format!(
            "\"gso\":{},\"gro\":{},\"sent_runs\":{},\"received_runs\":{}",
            self.inner.max_transmit_segments(),
            self.inner.max_receive_segments(),
            self.sent_runs.load(Relaxed),
            self.received_runs.load(Relaxed),
        )
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller(self))
    }

    fn try_send(&self, from: &Transmit<'_>) -> io::Result<()> {
        let mut to =
            host::Transmit::new(from.destination.into(), from.contents).ecn(from.ecn.map_or(0, |ecn| ecn as u8));
        if let Some(size) = from.segment_size {
            to = to.segment(size);
            self.sent_runs.fetch_add(u64::from(size < from.contents.len()), Relaxed);
        }
        if let Some(ip) = from.src_ip {
            to = to.from(SocketAddr::new(ip, self.inner.addr().port()).into());
        }
        Ok(self.inner.try_send(&to)?)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let most = bufs.len().min(meta.len()).min(BATCH);
        let mut room: [&mut [u8]; BATCH] = std::array::from_fn(|_| Default::default());
        for (to, from) in room.iter_mut().zip(bufs.iter_mut()) {
            *to = from;
        }
        let mut received = [host::Received::default(); BATCH];
        let n = ready!(self.inner.poll_recv(cx, &mut room[..most], &mut received[..most]))?;
        for (to, from) in meta.iter_mut().zip(&received[..n]) {
            // A datagram socket bound to an IP address receives from such addresses only.
            let addr = from.from.socket().ok_or(io::ErrorKind::InvalidData)?;
            *to = RecvMeta {
                addr,
                len: from.len,
                stride: if from.segment == 0 { from.len } else { from.segment },
                ecn: EcnCodepoint::from_bits(from.ecn),
                dst_ip: from.to.ip(),
            };
            self.received_runs.fetch_add(u64::from(to.stride < to.len), Relaxed);
        }
        Poll::Ready(Ok(n))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.addr().socket().ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }
}

/// One waiter for room to send; the host wakes them all.
#[derive(Debug)]
struct Poller(Arc<Socket>);

impl UdpPoller for Poller {
    fn poll_writable(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.inner.poll_writable(cx).map(Ok)
    }
}
