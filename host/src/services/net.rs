//! Sockets that modules make for themselves, texts that live as long as the process, and the sockets of listeners.

use super::stream::ListenSocket;
pub use super::stream::connect;

use super::{
    platform,
    socket_file::{self, SocketFile},
    stream,
    waiters::Waiters,
};
use crate::config::address::Address;
use anyproxy_module_api::abi::{
    bytes::Str,
    error::{Error, ErrorKind, Outcome},
    host::Object,
    net::{Addr, SocketOptions},
    stream::Stream,
    task::{LocalFuture, guard},
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    cell::RefCell,
    collections::HashSet,
    future::poll_fn,
    io,
    net::SocketAddr,
    path::Path,
    rc::Rc,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

/// Listen queue where nothing else is said. The system cuts it to its own limit.
const BACKLOG: i32 = 4096;
/// Most texts that are kept for ever.
const MOST_TEXTS: usize = 1_000_000;

// ---- errors of calls that return numbers

thread_local! {
    static LAST: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// Notes the error behind the -2 that a function of the table returns.
pub(super) fn failed(e: Error) -> isize {
    LAST.set(Some(e));
    anyproxy_module_api::abi::stream::FAILED
}

pub(super) unsafe extern "C" fn last_error() -> Error {
    LAST.take().unwrap_or(Error::bare(ErrorKind::Other))
}

/// `f`'s result, or an error if it panics.
pub(super) fn stopped<T>(f: impl FnOnce() -> Result<T, Error>) -> Outcome<T> {
    guard(f).unwrap_or(Err(Error::bare(ErrorKind::Panicked))).into()
}

/// A future that is over already.
pub(super) fn at_once<T: 'static>(r: Result<T, Error>) -> LocalFuture<Outcome<T>> {
    LocalFuture::new(std::future::ready(r.into()))
}

// ---- texts

/// A copy of `text` that lives as long as the process; equal texts share one. Empty once a million are kept: only what
/// the configuration bounds may come here.
pub fn interned(text: Str<'_>) -> Str<'static> {
    static TEXTS: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(have) = texts.get(text.as_str()) {
        return Str::new(have);
    }
    if texts.len() >= MOST_TEXTS {
        return Str::EMPTY;
    }
    let kept: &'static str = Box::leak(text.as_str().into());
    texts.insert(kept);
    Str::new(kept)
}

pub(super) unsafe extern "C" fn intern(text: Str<'_>) -> Str<'static> {
    guard(|| interned(text)).unwrap_or_default()
}

// ---- connecting

/// The options that a module lends, or the defaults.
///
/// # Safety
/// Null, or valid for the call.
pub(super) unsafe fn options(o: *const SocketOptions) -> SocketOptions {
    // SAFETY: by contract.
    unsafe { o.as_ref() }.copied().unwrap_or_default()
}

pub(super) unsafe extern "C" fn connect_thunk(to: Addr, o: *const SocketOptions) -> LocalFuture<Outcome<Stream>> {
    // SAFETY: lent for the call, copied here.
    let o = unsafe { options(o) };
    LocalFuture::new(async move { connect(to, &o).await.into() })
}

pub(super) unsafe extern "C" fn adopt(fd: i64) -> Outcome<Stream> {
    stopped(|| stream::adopt(fd))
}

// ---- listeners of modules

/// A listening socket of a module. Waiting accepts hold it.
struct Listener {
    accept: ListenSocket,
    /// Any number of tasks may wait for a connection.
    waiting: Arc<Waiters>,
    addr: Addr,
    /// The file of a Unix socket, gone with it.
    file: Option<SocketFile>,
}

impl Listener {
    fn bind(addr: Addr, options: &SocketOptions) -> Result<Self, Error> {
        let at = match (addr.socket(), addr.path()) {
            (Some(a), _) => Address::Ip(a),
            (None, Some(path)) => Address::Unix(Path::new(path).into()),
            (None, None) => return Err(Error::new(ErrorKind::Invalid, "no address to listen on")),
        };
        let socket = bind_listener(&at, options)?;
        let local = socket.local_addr()?.as_socket().map_or(addr, Addr::from);
        let file = match &at {
            Address::Ip(_) => None,
            Address::Unix(path) => Some(SocketFile::of(path)),
        };
        Ok(Self { accept: ListenSocket::new(socket)?, waiting: Arc::default(), addr: local, file })
    }

    async fn accept(&self) -> Result<Stream, Error> {
        loop {
            // A Unix client has no address of its own, and the listener's path is the stream's.
            let local = if self.file.is_some() { self.addr } else { Addr::NONE };
            let accepted = poll_fn(|cx| self.waiting.poll(cx, |cx| self.accept.poll_accept(cx))).await;
            let accepted = accepted.and_then(|(s, peer)| stream::from_socket(s, peer, local));
            match accepted {
                // A client that gave up while it waited in the queue is no failure of the listener.
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => {}
                other => return other.map_err(Into::into),
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // Left behind it is only stale.
            let _ = file.remove();
        }
    }
}

pub(super) unsafe extern "C" fn listen(addr: Addr, o: *const SocketOptions) -> Outcome<Object> {
    // SAFETY: lent for the call.
    let o = unsafe { options(o) };
    stopped(|| Listener::bind(addr, &o).map(|l| Rc::into_raw(Rc::new(l)).cast_mut().cast()))
}

/// Another hold on a listener.
///
/// # Safety
/// An object of `listen` that is not yet given up.
unsafe fn listener(l: Object) -> Rc<Listener> {
    let l = l.cast_const().cast::<Listener>();
    // SAFETY: by contract the count is at least one.
    unsafe {
        Rc::increment_strong_count(l);
        Rc::from_raw(l)
    }
}

pub(super) unsafe extern "C" fn listener_accept(l: Object) -> LocalFuture<Outcome<Stream>> {
    // SAFETY: the caller holds it for the call.
    let l = unsafe { listener(l) };
    LocalFuture::new(async move { l.accept().await.into() })
}

pub(super) unsafe extern "C" fn listener_addr(l: Object) -> Addr {
    // SAFETY: as above.
    unsafe { listener(l) }.addr
}

pub(super) unsafe extern "C" fn listener_drop(l: Object) {
    // SAFETY: given up once; accepts that wait keep their own hold.
    guard(|| drop(unsafe { Rc::from_raw(l.cast_const().cast::<Listener>()) }));
}

// ---- binding

/// A bound and listening socket, non-blocking. The file of a Unix socket that nobody listens on any more is replaced.
///
/// # Errors
/// What the system says; `AddrInUse` when somebody listens there.
pub fn bind_listener(addr: &Address, options: &SocketOptions) -> io::Result<Socket> {
    let socket = match addr {
        Address::Ip(at) => {
            let socket = platform::stream_socket(at, options)?;
            share(&socket, at, options)?;
            before_listen(&socket, options)?;
            socket.bind(&(*at).into())?;
            socket
        }
        Address::Unix(path) => bind_unix(path, options)?,
    };
    socket.listen(backlog(options))?;
    Ok(socket)
}

/// Length of the listen queue.
pub fn backlog(options: &SocketOptions) -> i32 {
    i32::try_from(options.backlog).ok().filter(|b| *b > 0).unwrap_or(BACKLOG)
}

/// What lets several sockets have one address.
pub(super) fn share(socket: &Socket, at: &SocketAddr, options: &SocketOptions) -> io::Result<()> {
    // Elsewhere it means that anybody may take the address away.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    if options.reuseport {
        socket.set_reuse_port(true)?;
    }
    if at.is_ipv6() {
        socket.set_only_v6(options.v6_only)?;
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn before_listen(socket: &Socket, options: &SocketOptions) -> io::Result<()> {
    if options.defer_accept {
        // Seconds until a client that never speaks is accepted after all.
        set_tcp(socket, libc::TCP_DEFER_ACCEPT, 30)?;
    }
    if options.fastopen {
        set_fastopen(socket, true)?;
    }
    Ok(())
}

/// Whether requests may come with the first packet.
///
/// # Errors
/// What the system says.
#[cfg(target_os = "linux")]
pub fn set_fastopen(socket: &Socket, on: bool) -> io::Result<()> {
    // Requests that may wait with data before their handshake ends.
    set_tcp(socket, libc::TCP_FASTOPEN, if on { 256 } else { 0 })
}

#[cfg(target_os = "linux")]
fn set_tcp(socket: &Socket, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let (fd, len) = (platform::raw_fd(socket) as libc::c_int, size_of::<libc::c_int>() as libc::socklen_t);
    // SAFETY: the value is ours for the call, its size is stated.
    let r = unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, name, (&raw const value).cast(), len) };
    if r == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(not(target_os = "linux"))]
fn before_listen(_: &Socket, _: &SocketOptions) -> io::Result<()> {
    Ok(())
}

fn bind_unix(path: &Path, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Options of TCP mean nothing here.
    platform::apply(
        &socket,
        &SocketOptions {
            nodelay: false,
            send_buffer: options.send_buffer,
            recv_buffer: options.recv_buffer,
            ..SocketOptions::default()
        },
    )?;
    let at = SockAddr::unix(path)?;
    match socket.bind(&at) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse && socket_file::is_stale(path, &at) => {
            std::fs::remove_file(path)?;
            socket.bind(&at)?;
        }
        other => other?,
    }
    socket_file::set_mode(path, options.unix_mode)?;
    Ok(socket)
}

/// A bound datagram socket, non-blocking.
///
/// # Errors
/// What the system says.
pub fn bind_datagram(at: &SocketAddr, options: &SocketOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(*at), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // What only streams have would be refused.
    let o = SocketOptions { nodelay: false, keepalive_s: 0, user_timeout_ms: 0, ..*options };
    platform::apply(&socket, &o)?;
    if o.reuseport {
        share(&socket, at, &o)?;
    } else if at.is_ipv6() {
        socket.set_only_v6(o.v6_only)?;
    }
    socket.bind(&(*at).into())?;
    Ok(socket)
}

#[cfg(test)]
#[path = "net_tests.rs"]
mod tests;
