//! Streams over the system's sockets, registered with the thread's loop.
//!
//! A short read says that there is no more: no second call is issued to see EAGAIN (doc/decisions/0014).

mod family;
mod listen;
mod socket;

use super::platform;
use crate::services::rt;
use anyproxy_module_api::abi::{
    error::{Error, ErrorKind},
    net::{Addr, SocketOptions},
    stream::Stream,
};
use std::{io::IoSlice, time::Duration};

pub use listen::ListenSocket;

/// As many pieces as one gathered write takes.
pub type Slices<'a> = [IoSlice<'a>; 64];

/// A stream over a connected, non-blocking socket, on this thread.
///
/// # Errors
/// When it cannot be registered.
pub fn from_socket(socket: socket2::Socket, peer: Addr, local: Addr) -> std::io::Result<Stream> {
    socket::from_socket(socket, peer, local, false)
}

/// The same of a listener that hands out connections with their first bytes (`SocketOptions::defer_accept`).
///
/// # Errors
/// When it cannot be registered.
pub fn from_socket_with_bytes(socket: socket2::Socket, peer: Addr, local: Addr) -> std::io::Result<Stream> {
    socket::from_socket(socket, peer, local, true)
}

/// A stream over a connected, non-blocking descriptor.
///
/// # Errors
/// When the descriptor is not one.
pub fn adopt(fd: i64) -> Result<Stream, Error> {
    adopt_with(fd, Addr::NONE, Addr::NONE)
}

/// The same with addresses that are known; those that are not are asked for.
///
/// # Errors
/// When the descriptor is not one.
pub fn adopt_with(fd: i64, peer: Addr, local: Addr) -> Result<Stream, Error> {
    let socket = platform::socket_from_raw_fd(fd).map_err(Error::from)?;
    let addr = socket.local_addr().map_err(Error::from)?;
    let ask = |known: Addr, a: Option<std::net::SocketAddr>| {
        if known == Addr::NONE { a.map_or(known, Addr::from) } else { known }
    };
    let peer = ask(peer, socket.peer_addr().ok().and_then(|a| a.as_socket()));
    let local = ask(local, addr.as_socket());
    socket.set_nonblocking(true).map_err(Error::from)?;
    from_socket(socket, peer, local).map_err(Error::from)
}

/// Connects a socket of this thread.
///
/// # Errors
/// What the system says; `TimedOut`.
pub async fn connect(to: Addr, options: &SocketOptions) -> Result<Stream, Error> {
    if options.connect_timeout_ms == 0 {
        return socket::connect(to, options).await;
    }
    let limit = Duration::from_millis(options.connect_timeout_ms.into());
    rt::within(limit, socket::connect(to, options)).await.unwrap_or(Err(Error::bare(ErrorKind::TimedOut)))
}
