//! A UDP server that sends each datagram back to where it came from.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// One socket, one thread. Ends when dropped.
#[derive(Debug)]
pub struct UdpEcho {
    server: UdpServer,
    datagrams: Arc<AtomicU64>,
}

impl UdpEcho {
    /// On a port of the system's choice of 127.0.0.1.
    #[allow(clippy::new_without_default, reason = "it opens a socket")]
    pub fn start() -> Self {
        let datagrams = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&datagrams);
        let server = UdpServer::start(move |data| {
            counted.fetch_add(1, Ordering::Relaxed);
            Some(data.to_vec())
        });
        Self { server, datagrams }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr
    }

    /// Datagrams received so far.
    pub fn datagrams(&self) -> u64 {
        self.datagrams.load(Ordering::Relaxed)
    }
}

/// A thread that answers datagrams by a function; `None` is no answer.
#[derive(Debug)]
pub(super) struct UdpServer {
    pub(super) addr: SocketAddr,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UdpServer {
    pub(super) fn start(answer: impl Fn(&[u8]) -> Option<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap_or_else(|error| panic!("UDP socket: {error}"));
        let addr = socket.local_addr().expect("a bound socket has an address");
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = std::thread::spawn(move || {
            let mut buf = vec![0; 65536];
            loop {
                let received = socket.recv_from(&mut buf);
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                // An error here is an ICMP answer to an earlier send: the next datagram may be fine.
                let Ok((n, from)) = received else { continue };
                if let Some(data) = answer(&buf[..n]) {
                    let _ = socket.send_to(&data, from);
                }
            }
        });
        Self { addr, stopping, thread: Some(thread) }
    }
}

impl Drop for UdpServer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Receiving is blocking: a datagram wakes it.
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            let _ = socket.send_to(&[], self.addr);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_back_what_came() {
        let echo = UdpEcho::start();
        let socket = crate::client::udp(echo.addr());
        socket.send(b"ping").expect("send");
        let mut buf = [0; 16];
        assert_eq!(socket.recv(&mut buf).expect("answer"), 4);
        assert_eq!((&buf[..4], echo.datagrams()), (&b"ping"[..], 1));
    }
}
