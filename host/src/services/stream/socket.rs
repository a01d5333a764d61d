//! Streams over the system's sockets. Reads never issue a second call to see EAGAIN: tokio's `poll_read` clears
//! readiness on a short read, and so does this.

use anyproxy_module_api::abi::{
    bytes::{Buf, IoVec},
    error::{Error, ErrorKind},
    net::{Addr, SocketOptions},
    stream::{RawSocket, Stream, StreamImpl, StreamInfo, ready},
};
use std::{
    io::{self, ErrorKind as Io},
    pin::Pin,
    task::{Context, Poll},
};
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

use super::super::platform;

/// What a socket of either family can do.
trait Socket: AsyncRead + AsyncWrite + Unpin + 'static {
    const PROTOCOL: &'static str;
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn try_io<R>(&self, interest: Interest, f: impl FnOnce() -> io::Result<R>) -> io::Result<R>;
    fn fd(&self) -> i64;
    fn into_fd(self) -> io::Result<i64>;
    fn as_ref(&self) -> socket2::SockRef<'_>;
}

macro_rules! socket {
    ($type:ty, $protocol:literal) => {
        impl Socket for $type {
            const PROTOCOL: &'static str = $protocol;
            fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_read_ready(cx)
            }
            fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.poll_write_ready(cx)
            }
            fn try_io<R>(&self, interest: Interest, f: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
                self.try_io(interest, f)
            }
            fn fd(&self) -> i64 {
                platform::raw_fd(self)
            }
            fn into_fd(self) -> io::Result<i64> {
                self.into_std().map(platform::into_raw_fd)
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

struct HostStream<S> {
    /// `None` once the raw socket was given up.
    socket: Option<S>,
    /// Bytes that are read before the socket's.
    ahead: Option<Box<(Buf, usize)>>,
    peer: Addr,
    local: Addr,
}

/// A stream over a connected, non-blocking socket.
pub(super) fn from_socket(socket: socket2::Socket, peer: Addr, local: Addr) -> io::Result<Stream> {
    // An internet peer says what it is; only otherwise the system is asked.
    #[cfg(unix)]
    if peer.socket().is_none() && socket.local_addr()?.is_unix() {
        let socket = UnixStream::from_std(socket.into())?;
        return Ok(Stream::new(HostStream { socket: Some(socket), ahead: None, peer, local }));
    }
    let socket = TcpStream::from_std(socket.into())?;
    Ok(Stream::new(HostStream { socket: Some(socket), ahead: None, peer, local }))
}

impl<S: Socket> HostStream<S> {
    fn socket(&mut self) -> Result<&mut S, Error> {
        self.socket.as_mut().ok_or(Error::bare(ErrorKind::Unsupported))
    }

    fn read_ahead(&mut self, to: &mut [u8]) -> Option<usize> {
        let (buf, at) = &mut **self.ahead.as_mut()?;
        let rest = &buf[*at..];
        let n = rest.len().min(to.len());
        to[..n].copy_from_slice(&rest[..n]);
        *at += n;
        if *at == buf.len() {
            self.ahead = None;
        }
        Some(n)
    }
}

fn err<T>(e: io::Error) -> Poll<Result<T, Error>> {
    Poll::Ready(Err(e.into()))
}

impl<S: Socket> StreamImpl for HostStream<S> {
    fn state(&self) -> u8 {
        let Some(s) = &self.socket else { return ready::HUP };
        // No system call: the closure does nothing, so only the cached readiness speaks.
        let mut bits = 0;
        if self.ahead.is_some() || s.try_io(Interest::READABLE, || Ok(())).is_ok() {
            bits |= ready::READ;
        }
        if s.try_io(Interest::WRITABLE, || Ok(())).is_ok() {
            bits |= ready::WRITE;
        }
        bits
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<Result<usize, Error>> {
        if self.ahead.is_some() {
            return Poll::Ready(Ok(self.read_ahead(to).unwrap_or(0)));
        }
        let mut to = ReadBuf::new(to);
        match Pin::new(self.socket()?).poll_read(cx, &mut to) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(to.filled().len())),
            Poll::Ready(Err(e)) => err(e),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
        Pin::new(self.socket()?).poll_write(cx, from).map_err(Into::into)
    }

    fn poll_writev(&mut self, cx: &mut Context<'_>, from: &[IoVec]) -> Poll<Result<usize, Error>> {
        let slices = platform::io_slices(from);
        Pin::new(self.socket()?).poll_write_vectored(cx, &slices[..from.len().min(slices.len())]).map_err(Into::into)
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // Every accepted write is with the system already.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match Pin::new(self.socket()?).poll_shutdown(cx) {
            // The peer is gone already: there is nobody to tell.
            Poll::Ready(Err(e)) if e.kind() == Io::NotConnected => Poll::Ready(Ok(())),
            other => other.map_err(Into::into),
        }
    }

    fn info(&self) -> StreamInfo {
        StreamInfo {
            peer: self.peer,
            local: self.local,
            protocol: anyproxy_module_api::Str::new(S::PROTOCOL),
            ..StreamInfo::default()
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, bits: u8) -> Poll<u8> {
        let Some(s) = &self.socket else { return Poll::Ready(ready::HUP) };
        let mut found = 0;
        if bits & ready::READ != 0 && (self.ahead.is_some() || s.poll_read_ready(cx).is_ready()) {
            found |= ready::READ;
        }
        if bits & ready::WRITE != 0 && s.poll_write_ready(cx).is_ready() {
            found |= ready::WRITE;
        }
        if found == 0 { Poll::Pending } else { Poll::Ready(found) }
    }

    fn clear_ready(&mut self, bits: u8) {
        let Some(s) = &self.socket else { return };
        let would_block = || Err::<(), _>(io::Error::from(Io::WouldBlock));
        // A closure that says EAGAIN is how readiness is cleared; its result says nothing.
        if bits & ready::READ != 0 {
            let _ = s.try_io(Interest::READABLE, would_block);
        }
        if bits & ready::WRITE != 0 {
            let _ = s.try_io(Interest::WRITABLE, would_block);
        }
    }

    fn raw_fd(&self) -> i64 {
        match (&self.socket, &self.ahead) {
            (Some(s), None) => s.fd(),
            _ => -1,
        }
    }

    fn poll_sendfile(
        &mut self,
        cx: &mut Context<'_>,
        file: i64,
        offset: u64,
        len: usize,
    ) -> Poll<Result<usize, Error>> {
        let s = self.socket()?;
        loop {
            match s.poll_write_ready(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(e)) => return err(e),
                Poll::Ready(Ok(())) => {}
            }
            match s.try_io(Interest::WRITABLE, || platform::sendfile(s.fd(), file, offset, len)) {
                Err(e) if e.kind() == Io::WouldBlock => {}
                other => return Poll::Ready(other.map_err(Into::into)),
            }
        }
    }

    fn take_raw(&mut self) -> Option<RawSocket> {
        let fd = self.socket.take()?.into_fd().ok()?;
        let mut read_ahead = Buf::new();
        if let Some((buf, at)) = self.ahead.take().map(|a| *a) {
            read_ahead = buf[at..].to_vec().into();
        }
        Some(RawSocket { fd, read_ahead, write_behind: Buf::new(), can_recv: true, can_send: true })
    }

    fn set_reset(&mut self) {
        if let Some(s) = &self.socket {
            // Closing must not wait and must not be polite: the other side learns of an abort.
            let _ = s.as_ref().set_linger(Some(std::time::Duration::ZERO));
        }
    }

    fn unread(&mut self, bytes: Buf) {
        if bytes.is_empty() {
            return;
        }
        self.ahead = Some(Box::new(match self.ahead.take().map(|a| *a) {
            None => (bytes, 0),
            Some((old, at)) => ([&bytes[..], &old[at..]].concat().into(), 0),
        }));
    }

    fn set_option(&mut self, name: &str, value: i64) -> bool {
        let Some(s) = &self.socket else { return false };
        let s = s.as_ref();
        let set = match name {
            "linger" => s.set_linger((value >= 0).then(|| std::time::Duration::from_secs(value.unsigned_abs()))),
            "nodelay" => s.set_tcp_nodelay(value != 0),
            "cork" => platform::set_cork(&s, value != 0),
            _ => return false,
        };
        set.is_ok()
    }
}

/// Connects.
pub(super) async fn connect(to: Addr, options: &SocketOptions) -> Result<Stream, Error> {
    let Some(addr) = to.socket() else { return connect_path(to).await };
    let socket = platform::stream_socket(&addr, options).map_err(Error::from)?;
    if let Some(source) = options.source.socket() {
        socket.bind(&source.into()).map_err(Error::from)?;
    }
    let socket = tokio::net::TcpSocket::from_std_stream(socket.into());
    let socket = socket.connect(addr).await.map_err(Error::from)?;
    // Asked for only when something wants it: one system call less a connection.
    Ok(Stream::new(HostStream { socket: Some(socket), ahead: None, peer: to, local: Addr::NONE }))
}

#[cfg(unix)]
async fn connect_path(to: Addr) -> Result<Stream, Error> {
    let Some(path) = to.path() else { return Err(Error::new(ErrorKind::Invalid, "no address to connect to")) };
    let socket = UnixStream::connect(path).await.map_err(Error::from)?;
    Ok(Stream::new(HostStream { socket: Some(socket), ahead: None, peer: to, local: Addr::NONE }))
}

#[cfg(not(unix))]
async fn connect_path(_: Addr) -> Result<Stream, Error> {
    Err(Error::new(ErrorKind::Unsupported, "Unix sockets are not there on this platform"))
}
