//! Clients before the proxy. This file: plain connections, one exchange, one HTTP request. Every stream has timeouts of
//! [`LIMIT`], so that no test hangs.

pub mod load;
pub mod tls;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

pub use load::{Load, Report};

use crate::LIMIT;
use crate::pattern;

/// Connects. Panics when that fails.
#[track_caller]
pub fn connect(addr: SocketAddr) -> TcpStream {
    try_connect(addr).unwrap_or_else(|error| panic!("connect to {addr}: {error}"))
}

/// Connects, where being refused is one of the outcomes.
pub fn try_connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A UDP socket that talks to `addr` only.
#[track_caller]
pub fn udp(addr: SocketAddr) -> UdpSocket {
    let local = if addr.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { std::net::IpAddr::from(Ipv6Addr::LOCALHOST) };
    let socket = UdpSocket::bind((local, 0)).unwrap_or_else(|error| panic!("UDP socket: {error}"));
    socket.connect(addr).unwrap_or_else(|error| panic!("{addr}: {error}"));
    socket.set_read_timeout(Some(LIMIT)).expect("a limit above zero");
    socket
}

/// Connects, sends `data`, ends its side and returns all that comes back. Panics on an error.
#[track_caller]
pub fn exchange(addr: SocketAddr, data: &[u8]) -> Vec<u8> {
    try_exchange(addr, data).unwrap_or_else(|error| panic!("exchange with {addr}: {error}"))
}

/// The same where an error is one of the outcomes. Sends from a thread of its own: neither side waits for the other.
pub fn try_exchange(addr: SocketAddr, data: &[u8]) -> io::Result<Vec<u8>> {
    let stream = try_connect(addr)?;
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| {
            (&stream).write_all(data)?;
            stream.shutdown(Shutdown::Write)
        });
        let mut all = Vec::new();
        let read = (&stream).read_to_end(&mut all);
        let sent = sent.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        read.and(sent).map(|()| all)
    })
}

/// Reads until the other side ends. Panics on an error.
#[track_caller]
pub fn read_to_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap_or_else(|error| panic!("after {} bytes: {error}", all.len()));
    all
}

/// Reads exactly `len` bytes. Panics on an error and on an early end.
#[track_caller]
pub fn read_exact(mut stream: &TcpStream, len: usize) -> Vec<u8> {
    let mut all = vec![0; len];
    stream.read_exact(&mut all).unwrap_or_else(|error| panic!("reading {len} bytes: {error}"));
    all
}

/// Reads to the end, compares with [`pattern`] on the way and returns the number of bytes. Panics at the first wrong one.
#[track_caller]
pub fn receive_pattern(mut stream: TcpStream) -> u64 {
    let mut buf = vec![0; 256 * 1024];
    let mut at = 0;
    loop {
        let n = stream.read(&mut buf).unwrap_or_else(|error| panic!("after {at} bytes: {error}"));
        if n == 0 {
            return at;
        }
        if let Err(wrong) = pattern::verify(at, &buf[..n]) {
            panic!("byte {wrong} is wrong");
        }
        at += n as u64;
    }
}

/// How a connection is seen to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// FIN.
    Closed,
    /// RST.
    Reset,
}

/// Reads on until the connection ends, and says how. Panics at [`LIMIT`].
#[track_caller]
pub fn end(mut stream: &TcpStream) -> End {
    let mut buf = [0; 4096];
    loop {
        match stream.read(&mut buf) {
            Ok(0) => return End::Closed,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return End::Reset,
            Err(error) => panic!("neither closed nor reset: {error}"),
        }
    }
}

/// Makes the kernel answer with RST when the stream is dropped.
pub fn reset(stream: TcpStream) {
    // Time 0: what is unsent is dropped, and no FIN is sent.
    let _ = rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO));
}

/// A port of 127.0.0.1 that nobody had a moment ago, for the rare test that has to name one (a range, a restart).
/// Elsewhere port 0 is configured and [`crate::Proxy::addr`] asked.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap_or_else(|error| panic!("no free port: {error}"));
    listener.local_addr().map(|addr| addr.port()).expect("a bound socket has an address")
}

/// An answer to [`http_get`].
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Status line and headers as received.
    pub head: String,
    /// Body.
    pub body: Vec<u8>,
}

/// One `GET` for host `localhost` on a connection that stays usable. Understands `Content-Length` only.
#[track_caller]
pub fn http_get(stream: &mut TcpStream, path: &str) -> Response {
    http_get_from(stream, "localhost", path)
}

/// The same for another host.
#[track_caller]
pub fn http_get_from(stream: &mut TcpStream, host: &str, path: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap_or_else(|error| panic!("GET {path}: {error}"));
    let mut head = Vec::new();
    let mut byte = [0];
    // Byte by byte: nothing of the body, or of the next answer, may be taken.
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("GET {path}: {error} after {} bytes", head.len()));
        head.push(byte[0]);
        assert!(head.len() < 65536, "GET {path}: endless head");
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let len = content_length(head.as_bytes()).unwrap_or_else(|| panic!("no Content-Length in {head:?}"));
    let body = read_exact(stream, len);
    Response { status: status.unwrap_or_else(|| panic!("no status in {head:?}")), head, body }
}

pub(crate) fn content_length(head: &[u8]) -> Option<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;

    #[test]
    fn an_exchange_larger_than_all_buffers_does_not_lock_up() {
        let origin = Origin::echo();
        let data = pattern::bytes(8 << 20);
        assert!(exchange(origin.addr(), &data) == data);
    }

    #[test]
    fn the_two_ends_differ() {
        let closed = Origin::named("x");
        assert_eq!(end(&connect(closed.addr())), End::Closed);
        // After a byte: a reset any earlier may already end the connecting.
        let reset = Origin::resetting(1);
        let mut stream = connect(reset.addr());
        stream.write_all(b"x").expect("write");
        assert_eq!(end(&stream), End::Reset);
    }

    #[test]
    fn a_refused_connection_is_an_error() {
        let addr = Origin::echo().stop();
        assert_eq!(try_exchange(addr, b"x").expect_err("nobody listens").kind(), io::ErrorKind::ConnectionRefused);
    }
}
