//! Listening sockets: one system call a connection, whose socket is registered only once it is a stream somewhere.

use anyproxy_module_api::abi::net::Addr;
use socket2::Socket;
use std::{
    future::poll_fn,
    io,
    task::{Context, Poll},
};

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

    /// Whether connections are handed out with their first bytes only.
    pub fn defer(&self, on: bool) {
        #[cfg(unix)]
        super::platform::set_defer_accept(&socket2::SockRef::from(system::socket(&self.0)), on);
        #[cfg(not(unix))]
        let _ = on;
    }

    /// The next connection with its address (none of a Unix client). One task may wait for it.
    ///
    /// # Errors
    /// What the system says.
    pub async fn accept(&self) -> io::Result<(Socket, Addr)> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }

    /// The same as a step.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Addr)>> {
        system::poll_accept(&self.0, cx)
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
    use super::{Addr, Context, Poll, Socket, io};
    use crate::services::rt::{Borrowed, Interest, Io, READ, Ringed};
    use std::{io::ErrorKind, os::fd::AsRawFd};

    #[derive(Debug)]
    pub(super) struct Listening {
        // Before the socket, whose descriptor it is: others may hold the socket too, so closing does not deregister.
        told: Told,
        socket: Socket,
    }

    /// What tells that somebody waits in the queue.
    #[derive(Debug)]
    enum Told {
        Readiness(Io<Borrowed>),
        Ring(Ringed),
    }

    pub(super) fn socket(l: &Listening) -> &Socket {
        &l.socket
    }

    pub(super) fn new(socket: Socket) -> io::Result<Listening> {
        let told = match Ringed::lent(&socket) {
            Some(ring) => Told::Ring(ring),
            None => Told::Readiness(Io::for_interest(Borrowed(socket.as_raw_fd()), Interest::READABLE)?),
        };
        Ok(Listening { told, socket })
    }

    pub(super) fn poll_accept(l: &Listening, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Addr)>> {
        let ring = match &l.told {
            Told::Readiness(io) => return io.poll_io(cx, READ, |_| one(&l.socket)),
            Told::Ring(ring) => ring,
        };
        loop {
            if ring.poll_ready(cx, READ).is_pending() {
                return Poll::Pending;
            }
            match one(&l.socket) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => ring.clear(READ),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                r => return Poll::Ready(r),
            }
        }
    }

    pub(super) fn accept_now(l: &Listening) -> io::Result<(Socket, Addr)> {
        one(&l.socket)
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
    use super::{Addr, Context, Poll, Socket, io};
    use crate::{
        services::platform,
        services::rt::{Interest, Io, READ},
    };
    use mio::net::TcpListener;

    pub(super) type Listening = Io<TcpListener>;

    pub(super) fn new(socket: Socket) -> io::Result<Listening> {
        Io::for_interest(TcpListener::from_std(socket.into()), Interest::READABLE)
    }

    pub(super) fn poll_accept(l: &Listening, cx: &mut Context<'_>) -> Poll<io::Result<(Socket, Addr)>> {
        l.poll_io(cx, READ, one)
    }

    pub(super) fn accept_now(l: &Listening) -> io::Result<(Socket, Addr)> {
        one(l)
    }

    fn one(l: &TcpListener) -> io::Result<(Socket, Addr)> {
        let (socket, peer) = l.accept()?;
        let socket = Socket::from(platform::owned(socket));
        socket.set_nonblocking(true)?;
        Ok((socket, peer.into()))
    }
}
