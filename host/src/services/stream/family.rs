//! What sockets of both families, TCP and Unix, can do.

use super::platform;
use crate::services::rt::Registered;
use anyproxy_module_api::abi::fd::{BorrowedSocket, OwnedSocket};
use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use std::io::{self, Write};

/// What a socket of either family can do.
pub(super) trait Socket: Registered + Sized + 'static {
    const PROTOCOL: &'static str;
    fn recv(&self, to: &mut [u8]) -> io::Result<usize>;
    fn send(&self, from: &[u8]) -> io::Result<usize>;
    fn send_more(&self, from: &[u8]) -> io::Result<usize> {
        platform::send_more(&self.as_ref(), from)
    }
    fn send_all(&self, from: &[io::IoSlice<'_>]) -> io::Result<usize>;
    fn fd(&self) -> i64;
    fn socket(&self) -> BorrowedSocket<'_>;
    fn into_socket(self) -> OwnedSocket;
    fn of(socket: OwnedSocket) -> Self;
    fn as_ref(&self) -> socket2::SockRef<'_>;
}

macro_rules! socket {
    ($type:ty, $protocol:literal) => {
        impl Socket for $type {
            const PROTOCOL: &'static str = $protocol;
            #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
            fn recv(&self, to: &mut [u8]) -> io::Result<usize> {
                platform::recv(self.fd(), to)
            }
            #[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
            fn recv(&self, to: &mut [u8]) -> io::Result<usize> {
                io::Read::read(&mut &*self, to)
            }
            #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
            fn send(&self, from: &[u8]) -> io::Result<usize> {
                platform::send(self.fd(), from)
            }
            #[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
            fn send(&self, from: &[u8]) -> io::Result<usize> {
                (&mut &*self).write(from)
            }
            fn send_all(&self, from: &[io::IoSlice<'_>]) -> io::Result<usize> {
                (&mut &*self).write_vectored(from)
            }
            fn fd(&self) -> i64 {
                platform::raw_fd(self)
            }
            fn socket(&self) -> BorrowedSocket<'_> {
                platform::borrowed(self)
            }
            fn into_socket(self) -> OwnedSocket {
                platform::owned(self)
            }
            fn of(socket: OwnedSocket) -> Self {
                <$type>::from_std(socket.into())
            }
            fn as_ref(&self) -> socket2::SockRef<'_> {
                socket2::SockRef::from(self)
            }
        }
    };
}

socket!(TcpStream, "tcp");
#[cfg(unix)]
socket!(UnixStream, "unix");
