//! A peer to which no connection comes about, and which says nothing of it.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

/// A listener whose queue is full: the kernel drops what else wants to connect.
#[derive(Debug)]
pub struct Deaf {
    _listener: OwnedFd,
    _waiting: Vec<TcpStream>,
    addr: SocketAddr,
}

impl Deaf {
    /// Fills the queue.
    pub fn start() -> Self {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("socket");
        bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("bind");
        listen(&listener, 0).expect("listen");
        let addr = SocketAddr::try_from(getsockname(&listener).expect("name")).expect("an IP address");
        let mut waiting = Vec::new();
        let brief = Duration::from_millis(300);
        while let Ok(stream) = TcpStream::connect_timeout(&addr, brief) {
            waiting.push(stream);
        }
        Self { _listener: listener, _waiting: waiting, addr }
    }

    /// Its address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}
