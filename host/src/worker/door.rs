//! The listening socket of an accept loop, until it is shut.

use crate::services::{net, stream::ListenSocket};
use anyproxy_module_api::abi::{bytes::Str, net::Addr};
use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    rc::Rc,
    task::{Context, Poll, ready},
};

/// More than a listen queue holds: the system cuts it to 65,535 at most.
const MOST_QUEUED: u32 = 1 << 16;

/// A connection that was accepted: not yet a stream of any thread's loop; its client, its own address.
pub(super) type Accepted = (socket2::Socket, Addr, Addr);

/// The socket of an accept loop, shared with whoever ends the loop: it is closed then and there, not when the loop's task
/// is dropped, because what the system accepted in between would be reset.
#[derive(Debug)]
pub(super) struct Door(RefCell<Option<Socket>>);

impl Door {
    pub(super) fn new(socket: socket2::Socket) -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self(RefCell::new(Some(Socket::new(socket)?)))))
    }

    /// Whether connections are handed out with their first bytes only.
    pub(super) fn defer(&self, on: bool) {
        if let Some(socket) = &*self.0.borrow() {
            socket.listening.defer(on);
        }
    }

    /// The next connection; never, once it is shut.
    pub(super) async fn accept(&self) -> io::Result<Accepted> {
        poll_fn(|cx| self.0.borrow().as_ref().map_or(Poll::Pending, |s| s.poll_accept(cx))).await
    }

    /// Hands out what waits in the queue, and closes the socket.
    pub(super) fn drain(&self, mut each: impl FnMut(Accepted)) {
        if let Some(socket) = self.0.take() {
            drain(&socket, &mut each);
        }
    }
}

#[derive(Debug)]
struct Socket {
    listening: ListenSocket,
    /// Its address or path, unless that is a wildcard: then each connection's own is asked for.
    at: Option<Addr>,
}

impl Socket {
    fn new(socket: socket2::Socket) -> io::Result<Self> {
        let at = socket.local_addr()?;
        let path = || path_of(&at).map(|p| Addr::unix(net::interned(Str::new(p))));
        let ip = at.as_socket().filter(|a| !a.ip().is_unspecified()).map(Addr::from);
        let at = ip.or_else(path);
        Ok(Self { listening: ListenSocket::new(socket)?, at })
    }

    fn local_of(&self, socket: &socket2::Socket) -> Addr {
        let ask = || socket.local_addr().ok().and_then(|a| a.as_socket()).map_or(Addr::NONE, Addr::from);
        self.at.unwrap_or_else(ask)
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        let accepted = ready!(self.listening.poll_accept(cx));
        Poll::Ready(accepted.map(|(socket, peer)| {
            let local = self.local_of(&socket);
            (socket, peer, local)
        }))
    }

    /// What waits in the queue now, without waiting for more.
    fn accept_now(&self) -> io::Result<Accepted> {
        let (socket, peer) = self.listening.accept_now()?;
        let local = self.local_of(&socket);
        Ok((socket, peer, local))
    }
}

/// The path of a Unix socket.
#[cfg(unix)]
fn path_of(at: &socket2::SockAddr) -> Option<&str> {
    at.as_pathname()?.to_str()
}

/// Elsewhere the system does not say it.
#[cfg(not(unix))]
fn path_of(_: &socket2::SockAddr) -> Option<&str> {
    None
}

/// Takes the queue's connections until there is none, a failure, or more than any queue holds.
fn drain(socket: &Socket, each: &mut dyn FnMut(Accepted)) {
    for _ in 0..MOST_QUEUED {
        match socket.accept_now() {
            Ok(accepted) => each(accepted),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
            Err(e) if is_clients_fault(&e) => {}
            Err(e) => {
                tracing::error!("accept: {e}; connections that waited at an address that is given up are lost");
                return;
            }
        }
    }
}

/// A client that gave up while it waited in the queue is no failure of ours.
pub(super) fn is_clients_fault(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted)
}
