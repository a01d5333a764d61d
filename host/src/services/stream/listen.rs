//! Listening sockets: one system call a connection, whose socket is registered only once it is a stream somewhere.

use anyproxy_module_api::abi::net::Addr;
use socket2::Socket;
use std::io;

/// A listening socket on this thread.
#[derive(Debug)]
pub struct ListenSocket(system::Listening);

impl ListenSocket {
    /// Takes a bound, listening socket.
    ///
    /// # Errors
    /// When it cannot be registered.
    pub fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        system::new(socket).map(Self)
    }

    /// The next connection with its address (none of a Unix client).
    ///
    /// # Errors
    /// What the system says.
    pub async fn accept(&self) -> io::Result<(Socket, Addr)> {
        system::accept(&self.0).await
    }

    /// What waits in the queue now, without waiting for more.
    ///
    /// # Errors
    /// `WouldBlock`: nothing does.
    pub fn accept_now(&self) -> io::Result<(Socket, Addr)> {
        system::accept_now(&self.0)
    }
}

#[cfg(unix)]
mod system {
    use super::{Addr, Socket, io};
    use tokio::io::{Interest, unix::AsyncFd};

    pub(super) type Listening = AsyncFd<Socket>;

    pub(super) fn new(socket: Socket) -> io::Result<Listening> {
        // SAFETY: the descriptor is owned by what is registered, and stays open as long.
        Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
    }

    pub(super) async fn accept(l: &Listening) -> io::Result<(Socket, Addr)> {
        l.async_io(Interest::READABLE, one).await
    }

    pub(super) fn accept_now(l: &Listening) -> io::Result<(Socket, Addr)> {
        one(l.get_ref())
    }

    #[cfg(target_os = "linux")]
    fn one(l: &Socket) -> io::Result<(Socket, Addr)> {
        use rustix::net::SocketFlags;
        let (fd, peer) = rustix::net::acceptfrom_with(l, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
        let peer = peer.and_then(|a| std::net::SocketAddr::try_from(a).ok()).map_or(Addr::NONE, Addr::from);
        Ok((Socket::from(fd), peer))
    }

    #[cfg(not(target_os = "linux"))]
    fn one(l: &Socket) -> io::Result<(Socket, Addr)> {
        let (socket, peer) = l.accept()?;
        socket.set_nonblocking(true)?;
        Ok((socket, peer.as_socket().map_or(Addr::NONE, Addr::from)))
    }
}

#[cfg(not(unix))]
mod system {
    use super::{Addr, Socket, io};

    pub(super) type Listening = tokio::net::TcpListener;

    pub(super) fn new(socket: Socket) -> io::Result<Listening> {
        tokio::net::TcpListener::from_std(socket.into())
    }

    pub(super) async fn accept(l: &Listening) -> io::Result<(Socket, Addr)> {
        let (socket, peer) = l.accept().await?;
        Ok((socket.into_std()?.into(), peer.into()))
    }

    pub(super) fn accept_now(l: &Listening) -> io::Result<(Socket, Addr)> {
        let (socket, peer) = socket2::SockRef::from(l).accept()?;
        socket.set_nonblocking(true)?;
        Ok((socket, peer.as_socket().map_or(Addr::NONE, Addr::from)))
    }
}
