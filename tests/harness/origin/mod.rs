//! Servers behind the proxy. This file owns what they share: accepting, counting and going away; what one says is in the
//! files beside it.
//!
//! [`Origin`] is a TCP server with a thread a connection; [`Origin::start`] takes any function of a stream.

mod deaf;
mod dns;
mod http;
mod nginx;
mod sni;
pub mod tcp;
mod udp;
mod unix;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub use deaf::Deaf;
pub use dns::Dns;
pub use nginx::Nginx;
pub use sni::SniRecorder;
pub use tcp::Gate;
pub use udp::UdpEcho;
pub use unix::UnixEcho;

use crate::eventually;

/// A TCP server on loopback. Dropping it closes the listener and every connection.
#[derive(Debug)]
pub struct Origin {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// One accepted connection, counted as it is read and written.
#[derive(Debug)]
pub struct Conn {
    /// The plain socket, for options and for shutdown.
    pub stream: TcpStream,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    addr: SocketAddr,
    stopping: AtomicBool,
    accepted: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    open: Mutex<HashMap<u64, TcpStream>>,
}

impl Origin {
    /// Serves each connection by `handler`, in a thread of its own, on a port of the system's choice of 127.0.0.1.
    /// The connection is closed when the handler returns; its error ends the connection and nothing else.
    pub fn start(handler: impl Fn(Conn) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), handler)
    }

    /// The same on a given address: an IPv6 one, or that of an origin that was stopped.
    #[track_caller]
    pub fn start_on(addr: SocketAddr, handler: impl Fn(Conn) -> io::Result<()> + Send + Sync + 'static) -> Self {
        assert!(addr.ip().is_loopback(), "origins listen on loopback only, not on {addr}");
        let listener = TcpListener::bind(addr).unwrap_or_else(|error| panic!("{addr}: {error}"));
        let addr = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            addr,
            stopping: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            open: Mutex::new(HashMap::new()),
        });
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || accept_all(&listener, &serving, &Arc::new(handler)));
        Self { shared, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.shared.addr
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.shared.open().len()
    }

    /// Bytes read from all connections.
    pub fn received(&self) -> u64 {
        self.shared.received.load(Ordering::Relaxed)
    }

    /// Bytes written to all connections.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Waits until `n` connections were accepted.
    #[track_caller]
    pub fn await_accepted(&self, n: u64) {
        eventually(&format!("{n} connections at the origin"), || (self.accepted() >= n).then_some(()));
    }

    /// Waits until no connection is open.
    #[track_caller]
    pub fn await_idle(&self) {
        eventually("no open connection at the origin", || (self.open() == 0).then_some(()));
    }

    /// Closes the listener and the connections, and gives the address back for [`Origin::start_on`].
    pub fn stop(mut self) -> SocketAddr {
        self.shut();
        self.addr()
    }

    fn shut(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Accepting is blocking: a connection wakes it.
        let _ = TcpStream::connect(self.shared.addr);
        for stream in self.shared.open().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.shut();
        }
    }
}

impl Read for Conn {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(buf)?;
        self.shared.received.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Write for Conn {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.stream.write(buf)?;
        self.shared.sent.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept_all<H>(listener: &TcpListener, shared: &Arc<Shared>, handler: &Arc<H>)
where
    H: Fn(Conn) -> io::Result<()> + Send + Sync + 'static,
{
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        if shared.stopping.load(Ordering::SeqCst) {
            break;
        }
        threads.retain(|thread| !thread.is_finished());
        let id = shared.accepted.fetch_add(1, Ordering::Relaxed);
        let Ok(second) = stream.try_clone() else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        shared.open().insert(id, second);
        let (shared, handler) = (Arc::clone(shared), Arc::clone(handler));
        threads.push(std::thread::spawn(move || {
            let _ = handler(Conn { stream, shared: Arc::clone(&shared) });
            // Closes: the handler's half of the socket went with it.
            shared.open().remove(&id);
        }));
    }
    // Some were accepted after the sockets had been shut by whoever stops this.
    for stream in shared.open().values() {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for thread in threads {
        let _ = thread.join();
    }
}
