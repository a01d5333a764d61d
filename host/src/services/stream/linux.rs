//! Streams on Linux, over this thread's reactor.

use super::super::{
    platform,
    reactor::{HUP, READ, Registration, WRITE},
};
use anyproxy_module_api::abi::{
    bytes::{Buf, IoVec, Str},
    error::{Error, ErrorKind},
    net::{Addr, SocketOptions},
    stream::{RawSocket, Stream, StreamImpl, StreamInfo},
};
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketFlags};
use socket2::Socket;
use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    task::{Context, Poll, ready},
    time::Duration,
};

struct SocketStream {
    /// `None` once the raw socket was given up.
    inner: Option<(Socket, Registration)>,
    /// Bytes that are read before the socket's.
    ahead: Option<(Buf, usize)>,
    peer: Addr,
    local: Addr,
    unix: bool,
}

/// A stream over a connected, non-blocking socket.
pub(super) fn from_socket(socket: Socket, peer: Addr, local: Addr) -> io::Result<Stream> {
    let unix = socket.domain()? == socket2::Domain::UNIX;
    Ok(stream(socket, Registration::new()?, peer, local, unix))
}

fn stream(socket: Socket, registration: Registration, peer: Addr, local: Addr, unix: bool) -> Stream {
    Stream::new(SocketStream { inner: Some((socket, registration)), ahead: None, peer, local, unix })
}

/// A listening socket on this thread.
#[derive(Debug)]
pub struct ListenSocket {
    socket: Socket,
    registration: RefCell<Registration>,
}

impl ListenSocket {
    /// Takes a bound, listening socket.
    ///
    /// # Errors
    /// When it cannot be registered.
    pub fn new(socket: Socket) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self { socket, registration: RefCell::new(Registration::new()?) })
    }

    /// The socket.
    pub fn socket(&self) -> socket2::SockRef<'_> {
        socket2::SockRef::from(&self.socket)
    }

    /// The next connection with its address (none of a Unix client). For one task.
    ///
    /// # Errors
    /// What the system says.
    pub async fn accept(&self) -> io::Result<(Socket, Addr)> {
        poll_fn(|cx| {
            let mut registration = self.registration.borrow_mut();
            loop {
                ready!(registration.poll(self.socket.as_fd(), cx, READ))?;
                match accept(self.socket.as_fd()) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => registration.clear_all(READ),
                    other => return Poll::Ready(other),
                }
            }
        })
        .await
    }

    /// What waits in the queue now, without waiting for more.
    ///
    /// # Errors
    /// `WouldBlock`: nothing does.
    pub fn accept_now(&self) -> io::Result<(Socket, Addr)> {
        accept(self.socket.as_fd())
    }
}

fn accept(fd: BorrowedFd<'_>) -> io::Result<(Socket, Addr)> {
    let (fd, peer) = rustix::net::acceptfrom_with(fd, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let peer = peer.and_then(|a| std::net::SocketAddr::try_from(a).ok()).map_or(Addr::NONE, Addr::from);
    Ok((Socket::from(fd), peer))
}

/// Connects.
pub(super) async fn connect(to: Addr, options: &SocketOptions) -> Result<Stream, Error> {
    let mut made = Box::pin(async {
        let (socket, address) = match (to.socket(), to.path()) {
            (Some(addr), _) => (platform::stream_socket(&addr, options)?, addr.into()),
            (None, Some(path)) => {
                let socket = Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM.nonblocking(), None)?;
                (socket, socket2::SockAddr::unix(path)?)
            }
            (None, None) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address to connect to")),
        };
        if let Some(source) = options.source.socket() {
            socket.bind(&source.into())?;
        }
        let mut registration = Registration::new()?;
        match socket.connect(&address) {
            Ok(()) => {}
            Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => {
                registration.clear_all(READ | WRITE);
                let bits = poll_fn(|cx| registration.poll(socket.as_fd(), cx, WRITE)).await?;
                debug_assert!(bits & WRITE != 0);
                // Only a connection that failed hangs up here: the error is asked for only then.
                if registration.ready() & HUP != 0
                    && let Some(e) = socket.take_error()?
                {
                    return Err(e);
                }
            }
            Err(e) => return Err(e),
        }
        Ok((socket, registration))
    });
    let (socket, registration) = made.as_mut().await.map_err(Error::from)?;
    Ok(stream(socket, registration, to, Addr::NONE, to.path().is_some()))
}

impl SocketStream {
    fn parts(&mut self) -> Result<(&Socket, &mut Registration), Error> {
        self.inner.as_mut().map(|(s, r)| (&*s, r)).ok_or(Error::bare(ErrorKind::Unsupported))
    }

    /// Tries `call` as long as the socket seems ready for `bit`. `all`: whether so many bytes are all that it could do.
    fn attempt(
        &mut self,
        cx: &Context<'_>,
        bit: u8,
        all: usize,
        mut call: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<usize>,
    ) -> Poll<Result<usize, Error>> {
        let (socket, registration) = self.parts()?;
        let fd = socket.as_fd();
        loop {
            match registration.poll(fd, cx, bit) {
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e.into())),
                Poll::Pending => return Poll::Pending,
            }
            match call(fd) {
                Ok(n) => {
                    // The queue was emptied or filled; what comes next is a new edge.
                    if n > 0 && n < all {
                        registration.clear(bit);
                    }
                    return Poll::Ready(Ok(n));
                }
                Err(rustix::io::Errno::AGAIN) => registration.clear_all(bit),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Poll::Ready(Err(io::Error::from(e).into())),
            }
        }
    }
}

impl StreamImpl for SocketStream {
    fn state(&self) -> u8 {
        let Some((_, registration)) = &self.inner else { return HUP };
        registration.ready() | if self.ahead.is_some() { READ } else { 0 }
    }

    fn bind(&mut self, cx: &mut Context<'_>) {
        if let Some((socket, registration)) = &mut self.inner {
            // Registered by waiting for both; what holds already needs no waiting.
            let _ = registration.poll(socket.as_fd(), cx, READ | WRITE);
        }
    }

    fn unbind(&mut self) {
        if let Some((_, registration)) = &self.inner {
            registration.unbind();
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<Result<usize, Error>> {
        if let Some((buf, at)) = self.ahead.as_mut() {
            let rest = &buf[*at..];
            let n = rest.len().min(to.len());
            to[..n].copy_from_slice(&rest[..n]);
            *at += n;
            if *at == buf.len() {
                self.ahead = None;
            }
            return Poll::Ready(Ok(n));
        }
        let all = to.len();
        self.attempt(cx, READ, all, |fd| rustix::net::recv(fd, &mut *to, RecvFlags::empty()).map(|(n, _)| n))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
        if from.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.attempt(cx, WRITE, from.len(), |fd| rustix::net::send(fd, from, SendFlags::NOSIGNAL))
    }

    fn poll_writev(&mut self, cx: &mut Context<'_>, from: &[IoVec]) -> Poll<Result<usize, Error>> {
        let slices = platform::io_slices(from);
        let slices = &slices[..from.len().min(slices.len())];
        let all: usize = slices.iter().map(|s| s.len()).sum();
        if all == 0 {
            return Poll::Ready(Ok(0));
        }
        self.attempt(cx, WRITE, all, |fd| {
            let mut control = rustix::net::SendAncillaryBuffer::default();
            rustix::net::sendmsg(fd, slices, &mut control, SendFlags::NOSIGNAL)
        })
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // Every accepted write is with the system already.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let (socket, _) = self.parts()?;
        match rustix::net::shutdown(socket, Shutdown::Write) {
            // The peer is gone already: there is nobody to tell.
            Ok(()) | Err(rustix::io::Errno::NOTCONN) => Poll::Ready(Ok(())),
            Err(e) => Poll::Ready(Err(io::Error::from(e).into())),
        }
    }

    fn info(&self) -> StreamInfo {
        let protocol = Str::new(if self.unix { "unix" } else { "tcp" });
        StreamInfo { peer: self.peer, local: self.local, protocol, ..StreamInfo::default() }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, bits: u8) -> Poll<u8> {
        let ahead = if self.ahead.is_some() { bits & READ } else { 0 };
        let Some((socket, registration)) = &mut self.inner else { return Poll::Ready(HUP) };
        if ahead != 0 {
            return Poll::Ready(ahead | registration.ready() & bits);
        }
        match registration.poll(socket.as_fd(), cx, bits) {
            Poll::Ready(Ok(found)) => Poll::Ready(found),
            // The next read or write says what is wrong.
            Poll::Ready(Err(_)) => Poll::Ready(bits),
            Poll::Pending => Poll::Pending,
        }
    }

    fn clear_ready(&mut self, bits: u8) {
        if let Some((_, registration)) = &self.inner {
            registration.clear_all(bits & (READ | WRITE));
        }
    }

    fn raw_fd(&self) -> i64 {
        match (&self.inner, &self.ahead) {
            (Some((s, _)), None) => s.as_raw_fd().into(),
            _ => -1,
        }
    }

    fn poll_sendfile(&mut self, cx: &mut Context<'_>, file: i64, offset: u64, len: usize) -> Poll<Result<usize, Error>> {
        self.attempt(cx, WRITE, len, |fd| {
            platform::sendfile(fd.as_raw_fd().into(), file, offset, len)
                .map_err(|e| rustix::io::Errno::from_io_error(&e).unwrap_or(rustix::io::Errno::IO))
        })
    }

    fn take_raw(&mut self) -> Option<RawSocket> {
        let (socket, registration) = self.inner.take()?;
        registration.release(socket.as_fd());
        let mut read_ahead = Buf::new();
        if let Some((buf, at)) = self.ahead.take() {
            read_ahead = buf[at..].to_vec().into();
        }
        let fd = platform::into_raw_fd(socket);
        Some(RawSocket { fd, read_ahead, write_behind: Buf::new(), can_recv: true, can_send: true })
    }

    fn set_reset(&mut self) {
        if let Some((s, _)) = &self.inner {
            // Closing must not wait and must not be polite: the other side learns of an abort.
            let _ = s.set_linger(Some(Duration::ZERO));
        }
    }

    fn unread(&mut self, bytes: Buf) {
        if bytes.is_empty() {
            return;
        }
        self.ahead = Some(match self.ahead.take() {
            None => (bytes, 0),
            Some((old, at)) => ([&bytes[..], &old[at..]].concat().into(), 0),
        });
    }

    fn set_option(&mut self, name: &str, value: i64) -> bool {
        let Some((s, _)) = &self.inner else { return false };
        let set = match name {
            "linger" => s.set_linger((value >= 0).then(|| Duration::from_secs(value.unsigned_abs()))),
            "nodelay" => s.set_tcp_nodelay(value != 0),
            "cork" => platform::set_cork(&socket2::SockRef::from(s), value != 0),
            _ => return false,
        };
        set.is_ok()
    }
}
