//! Streams over the system's sockets. Reads never issue a second call to see EAGAIN: a short read says as much.

use anyproxy_module_api::abi::{
    bytes::{Buf, IoVec},
    error::{Error, ErrorKind},
    fd::{BorrowedFile, BorrowedSocket, OwnedSocket},
    net::{Addr, SocketOptions},
    stream::{RawSocket, Stream, StreamImpl, StreamInfo, ready},
};
use std::{
    future::poll_fn,
    io::{self, ErrorKind as Kind},
    task::{Context, Poll},
};

use super::{family::Socket, platform};
use crate::services::rt::{Io, READ, Ringed, Seen, WRITE};
use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;

/// What tells of a socket when a call is worth it, and makes some.
enum Carrier<S: Socket> {
    Readiness(Io<S>),
    Ring(Ringed),
    /// The raw socket was given up.
    None,
}

struct HostStream<S: Socket> {
    carrier: Carrier<S>,
    /// Bytes that are read before the socket's.
    ahead: Option<Box<(Buf, usize)>>,
    peer: Addr,
    local: Addr,
}

/// How a stream begins.
#[derive(Clone, Copy, PartialEq)]
enum Begins {
    /// Its peer has spoken already.
    WithBytes,
    Connected,
    Connecting,
}

/// A stream over a connected, non-blocking socket. `has_bytes`: its peer has spoken already.
pub(super) fn from_socket(socket: socket2::Socket, peer: Addr, local: Addr, has_bytes: bool) -> io::Result<Stream> {
    let begins = if has_bytes { Begins::WithBytes } else { Begins::Connected };
    // An internet peer says what it is; only otherwise the system is asked.
    #[cfg(unix)]
    if peer.socket().is_none() && socket.local_addr()?.is_unix() {
        return Ok(Stream::new(HostStream::<UnixStream>::new(socket.into(), begins, peer, local)?));
    }
    Ok(Stream::new(HostStream::<TcpStream>::new(socket.into(), begins, peer, local)?))
}

impl<S: Socket> HostStream<S> {
    fn new(socket: OwnedSocket, begins: Begins, peer: Addr, local: Addr) -> io::Result<Self> {
        let fresh = begins == Begins::WithBytes;
        let carrier = match Ringed::new(socket, fresh, begins == Begins::Connecting) {
            Ok(ring) => Carrier::Ring(ring),
            Err(socket) if fresh => Carrier::Readiness(Io::with_bytes(S::of(socket))?),
            Err(socket) => Carrier::Readiness(Io::new(S::of(socket))?),
        };
        Ok(Self { carrier, ahead: None, peer, local })
    }

    /// What is known now; `None` once the raw socket was given up.
    fn seen(&self) -> Option<Seen> {
        match &self.carrier {
            Carrier::Readiness(s) => Some(s.seen()),
            Carrier::Ring(r) => Some(r.seen()),
            Carrier::None => None,
        }
    }

    /// The socket, for options.
    fn with_socket<R>(&self, f: impl FnOnce(&socket2::SockRef<'_>) -> io::Result<R>) -> io::Result<R> {
        match &self.carrier {
            Carrier::Readiness(s) => f(&s.as_ref()),
            Carrier::Ring(r) => r.with_socket(f),
            Carrier::None => Err(Kind::Unsupported.into()),
        }
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

/// The raw socket was given up.
const GIVEN_UP: Error = Error::bare(ErrorKind::Unsupported);

impl<S: Socket> StreamImpl for HostStream<S> {
    fn state(&self) -> u8 {
        let Some(seen) = self.seen() else { return ready::HUP };
        let ahead = self.ahead.is_some();
        let mut bits = 0;
        if ahead || seen.is_ready(READ) {
            bits |= ready::READ;
        }
        if seen.is_ready(WRITE) {
            bits |= ready::WRITE;
        }
        if seen.has_failed() {
            bits |= ready::HUP;
        }
        if !ahead && seen.has_ended() {
            bits |= ready::END;
        }
        bits
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<Result<usize, Error>> {
        if self.ahead.is_some() {
            return Poll::Ready(Ok(self.read_ahead(to).unwrap_or(0)));
        }
        match &self.carrier {
            Carrier::Readiness(s) => s.poll_read(cx, to.len(), |s| s.recv(to)),
            Carrier::Ring(r) => r.poll_read(cx, to),
            Carrier::None => return Poll::Ready(Err(GIVEN_UP)),
        }
        .map_err(Into::into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
        match &self.carrier {
            Carrier::Readiness(s) => s.poll_write(cx, from.len(), |s| s.send(from)),
            Carrier::Ring(r) => r.poll_write(cx, from, false),
            Carrier::None => return Poll::Ready(Err(GIVEN_UP)),
        }
        .map_err(Into::into)
    }

    fn poll_write_more(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<Result<usize, Error>> {
        match &self.carrier {
            Carrier::Readiness(s) => s.poll_write(cx, from.len(), |s| s.send_more(from)),
            Carrier::Ring(r) => r.poll_write(cx, from, true),
            Carrier::None => return Poll::Ready(Err(GIVEN_UP)),
        }
        .map_err(Into::into)
    }

    fn poll_writev(&mut self, cx: &mut Context<'_>, from: &[IoVec<'_>]) -> Poll<Result<usize, Error>> {
        let slices = platform::io_slices(from);
        let slices = &slices[..from.len().min(slices.len())];
        let len = slices.iter().map(|s| s.len()).sum();
        match &self.carrier {
            Carrier::Readiness(s) => s.poll_write(cx, len, |s| s.send_all(slices)),
            Carrier::Ring(r) => r.poll_writev(cx, slices, len),
            Carrier::None => return Poll::Ready(Err(GIVEN_UP)),
        }
        .map_err(Into::into)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        match &self.carrier {
            Carrier::Ring(r) => r.poll_flush(cx).map_err(Into::into),
            // Every accepted write is with the system already.
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let shut = match &self.carrier {
            Carrier::Readiness(s) => s.as_ref().shutdown(std::net::Shutdown::Write),
            Carrier::Ring(r) => r.shutdown(),
            Carrier::None => return Poll::Ready(Err(GIVEN_UP)),
        };
        match shut {
            // The peer is gone already: there is nobody to tell.
            Err(e) if e.kind() != Kind::NotConnected => Poll::Ready(Err(e.into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn unbind(&mut self) {
        match &self.carrier {
            Carrier::Readiness(s) => s.forget_waiters(),
            // Readiness is told to whoever is registered; a ring is asked.
            Carrier::Ring(r) => r.rest(),
            Carrier::None => {}
        }
    }

    fn info(&self) -> StreamInfo<'_> {
        StreamInfo {
            peer: self.peer,
            local: self.local,
            protocol: anyproxy_module_api::Str::new(S::PROTOCOL),
            ..StreamInfo::default()
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>, bits: u8) -> Poll<u8> {
        let Some(seen) = self.seen() else { return Poll::Ready(ready::HUP) };
        let ready = |cx: &mut Context<'_>, bit| match &self.carrier {
            Carrier::Readiness(s) => s.poll_ready(cx, bit).is_ready(),
            Carrier::Ring(r) => r.poll_ready(cx, bit).is_ready(),
            Carrier::None => true,
        };
        let mut found = 0;
        if bits & ready::READ != 0 && (self.ahead.is_some() || ready(cx, READ)) {
            found |= ready::READ;
        }
        if bits & ready::WRITE != 0 && ready(cx, WRITE) {
            found |= ready::WRITE;
        }
        if bits & ready::HUP != 0 {
            if seen.has_failed() {
                found |= ready::HUP;
            } else {
                match &self.carrier {
                    Carrier::Readiness(s) => s.watch(cx),
                    Carrier::Ring(r) => r.watch(cx),
                    Carrier::None => {}
                }
            }
        }
        if found == 0 { Poll::Pending } else { Poll::Ready(found) }
    }

    fn clear_ready(&mut self, bits: u8) {
        for (bit, of) in [(ready::READ, READ), (ready::WRITE, WRITE)] {
            if bits & bit != 0 {
                match &self.carrier {
                    Carrier::Readiness(s) => s.clear(of),
                    Carrier::Ring(r) => r.clear(of),
                    Carrier::None => {}
                }
            }
        }
    }

    fn raw_fd(&self) -> Option<BorrowedSocket<'_>> {
        match &self.carrier {
            _ if self.ahead.is_some() => None,
            Carrier::Readiness(s) => Some(s.socket()),
            Carrier::Ring(r) => r.direct(),
            Carrier::None => None,
        }
    }

    fn poll_sendfile(
        &mut self,
        cx: &mut Context<'_>,
        file: BorrowedFile<'_>,
        offset: u64,
        len: usize,
    ) -> Poll<Result<usize, Error>> {
        match &self.carrier {
            Carrier::Readiness(s) => s.poll_io(cx, WRITE, |s| platform::sendfile(s.fd(), file, offset, len)),
            Carrier::Ring(r) => {
                r.poll_direct(cx, None, |s| platform::sendfile(platform::raw_fd(&**s), file, offset, len))
            }
            Carrier::None => return Poll::Ready(Err(GIVEN_UP)),
        }
        .map_err(Into::into)
    }

    fn poll_splice(&mut self, cx: &mut Context<'_>, pipe: BorrowedFile<'_>, len: usize) -> Poll<Result<usize, Error>> {
        match &self.carrier {
            Carrier::Readiness(s) => s.poll_io(cx, WRITE, |s| platform::splice(s.fd(), pipe, len)),
            Carrier::Ring(r) => r.poll_direct(cx, None, |s| platform::splice(platform::raw_fd(&**s), pipe, len)),
            Carrier::None => return Poll::Ready(Err(GIVEN_UP)),
        }
        .map_err(Into::into)
    }

    fn take_raw(&mut self) -> Option<RawSocket> {
        let mut raw = match std::mem::replace(&mut self.carrier, Carrier::None) {
            Carrier::Readiness(s) => RawSocket::new(s.into_inner().ok()?.into_socket()),
            Carrier::Ring(r) => match r.take_now() {
                Ok((socket, ahead, behind)) => {
                    let mut raw = RawSocket::new(socket);
                    (raw.read_ahead, raw.write_behind) = (ahead.into(), behind.into());
                    raw
                }
                Err(r) => {
                    self.carrier = Carrier::Ring(r);
                    return None;
                }
            },
            Carrier::None => return None,
        };
        if let Some((buf, at)) = self.ahead.take().map(|a| *a) {
            raw.read_ahead = [&buf[at..], &raw.read_ahead].concat().into();
        }
        Some(raw)
    }

    fn set_reset(&mut self) {
        if let Carrier::Ring(ring) = &self.carrier {
            ring.set_reset();
        }
        // Closing must not wait and must not be polite: the other side learns of an abort.
        let _ = self.with_socket(|s| s.set_linger(Some(std::time::Duration::ZERO)));
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
        let set = match name {
            "linger" => {
                let time = (value >= 0).then(|| std::time::Duration::from_secs(value.unsigned_abs()));
                self.with_socket(|s| s.set_linger(time))
            }
            "nodelay" => self.with_socket(|s| s.set_tcp_nodelay(value != 0)),
            "cork" => self.with_socket(|s| platform::set_cork(s, value != 0)),
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
    match socket.connect(&addr.into()) {
        Err(e) if !is_under_way(&e) => return Err(e.into()),
        _ => {}
    }
    // This end's address is asked for only when something wants it: one system call less a connection.
    established(HostStream::<TcpStream>::new(socket.into(), Begins::Connecting, to, Addr::NONE)).await
}

/// Waits for the end of a connect.
async fn established<S: Socket>(stream: io::Result<HostStream<S>>) -> Result<Stream, Error> {
    let mut stream = stream.map_err(Error::from)?;
    poll_fn(|cx| stream.poll_ready(cx, ready::WRITE)).await;
    // Where readiness tells errors apart, one that it did not tell is not there: a system call less a connection.
    if !cfg!(target_os = "linux") || stream.seen().is_none_or(Seen::is_closed) {
        stream.with_socket(|s| s.take_error()?.map_or(Ok(()), Err)).map_err(Error::from)?;
    }
    Ok(Stream::new(stream))
}

#[cfg(unix)]
fn is_under_way(e: &io::Error) -> bool {
    e.raw_os_error() == Some(libc::EINPROGRESS) || e.kind() == Kind::Interrupted
}

#[cfg(not(unix))]
fn is_under_way(e: &io::Error) -> bool {
    e.kind() == Kind::WouldBlock
}

#[cfg(unix)]
async fn connect_path(to: Addr) -> Result<Stream, Error> {
    let Some(path) = to.path() else { return Err(Error::new(ErrorKind::Invalid, "no address to connect to")) };
    let socket = UnixStream::connect(path).map_err(Error::from)?;
    established(HostStream::<UnixStream>::new(socket.into_socket(), Begins::Connecting, to, Addr::NONE)).await
}

#[cfg(not(unix))]
async fn connect_path(_: Addr) -> Result<Stream, Error> {
    Err(Error::new(ErrorKind::Unsupported, "Unix sockets are not there on this platform"))
}
