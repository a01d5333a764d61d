//! Addresses and socket options as they cross.

use super::bytes::Str;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
};

/// A socket address: IPv4, IPv6, a Unix path, or none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Addr {
    pub(super) family: u8,
    pub(super) reserved: u8,
    pub(super) port: u16,
    pub(super) scope: u32,
    pub(super) place: Where,
}

/// Where: sessions and streams hold several addresses each, so the two share their bytes. `family` tells which it is.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) union Where {
    /// Of an internet address, or zero; the rest of an IPv4 one is zero.
    pub(super) ip: [u8; 16],
    /// Of family 1 alone.
    pub(super) path: Str<'static>,
}

impl Addr {
    /// No address (an unnamed Unix socket, say).
    pub const NONE: Self = Self { family: 0, reserved: 0, port: 0, scope: 0, place: Where { ip: [0; 16] } };

    /// A Unix path; the text must live as long as the process (`host::intern`).
    pub const fn unix(path: Str<'static>) -> Self {
        Self { family: 1, place: Where { path }, ..Self::NONE }
    }

    /// The internet address, if it is one.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self.family {
            4 => Some(SocketAddr::new(self.v4().into(), self.port)),
            6 => Some(SocketAddrV6::new(Ipv6Addr::from(*self.ip_bytes()), self.port, 0, self.scope).into()),
            _ => None,
        }
    }

    /// Whether it is no address: [`Addr::NONE`].
    pub const fn is_none(&self) -> bool {
        self.family == 0
    }

    /// The IP address, if it has one.
    pub fn ip(&self) -> Option<IpAddr> {
        self.socket().map(|s| s.ip())
    }

    /// The port; 0 when there is none.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The Unix path, if it is one.
    pub fn path(&self) -> Option<&str> {
        // SAFETY: of family 1 alone.
        (self.family == 1).then(|| unsafe { &self.place.path }.as_str())
    }

    /// The bytes of an IPv4 address, if it is one.
    #[inline]
    pub fn ipv4(&self) -> Option<[u8; 4]> {
        let [a, b, c, d, ..] = *self.ip_bytes();
        (self.family == 4).then_some([a, b, c, d])
    }

    /// The address bytes that a hash should see: without the port.
    pub fn key(&self) -> &[u8] {
        match self.family {
            4 => &self.ip_bytes()[..4],
            6 => self.ip_bytes(),
            _ => self.path().unwrap_or_default().as_bytes(),
        }
    }

    fn v4(&self) -> Ipv4Addr {
        let [a, b, c, d, ..] = *self.ip_bytes();
        Ipv4Addr::new(a, b, c, d)
    }

    /// Zero where it is no internet address.
    fn ip_bytes(&self) -> &[u8; 16] {
        if self.family == 1 {
            return &[0; 16];
        }
        // SAFETY: every family but 1 has these, all of them initialised.
        unsafe { &self.place.ip }
    }
}

impl From<SocketAddr> for Addr {
    fn from(a: SocketAddr) -> Self {
        let mut to = Self { port: a.port(), ..Self::NONE };
        match a {
            SocketAddr::V4(v) => {
                to.family = 4;
                let [a, b, c, d] = v.ip().octets();
                to.place.ip = [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            }
            SocketAddr::V6(v) => {
                to.family = 6;
                to.place.ip = v.ip().octets();
                to.scope = v.scope_id();
            }
        }
        to
    }
}

impl PartialEq for Addr {
    fn eq(&self, o: &Self) -> bool {
        self.family == o.family
            && self.port == o.port
            && self.scope == o.scope
            && self.ip_bytes() == o.ip_bytes()
            && self.path() == o.path()
    }
}
impl Eq for Addr {}

impl Default for Addr {
    fn default() -> Self {
        Self::NONE
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.socket() {
            Some(s) => s.fmt(f),
            None => write!(f, "unix:{}", self.path().unwrap_or_default()),
        }
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Options of a stream socket. A number of 0 leaves the system's value.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SocketOptions {
    /// SO_SNDBUF, bytes.
    pub send_buffer: u32,
    /// SO_RCVBUF, bytes.
    pub recv_buffer: u32,
    /// Time until a connect is given up, milliseconds.
    pub connect_timeout_ms: u32,
    /// TCP keep-alive: idle time in seconds; 0: off.
    pub keepalive_s: u32,
    /// TCP_USER_TIMEOUT, milliseconds.
    pub user_timeout_ms: u32,
    /// IP_TOS / IPV6_TCLASS.
    pub tos: u32,
    /// SO_MARK.
    pub mark: u32,
    /// TCP_NODELAY.
    pub nodelay: bool,
    /// TCP_FASTOPEN / TCP_FASTOPEN_CONNECT.
    pub fastopen: bool,
    /// TCP_DEFER_ACCEPT (listeners): a client that never speaks is not seen.
    pub defer_accept: bool,
    /// Listeners: several sockets share the address, one a worker. Set by the host.
    pub reuseport: bool,
    /// IPV6_V6ONLY.
    pub v6_only: bool,
    /// IP_TRANSPARENT.
    pub transparent: bool,
    /// Unix listeners: permissions of the socket's file, by which others may connect; 0: 0666.
    pub unix_mode: u16,
    /// Listen queue length; 0: the host's default.
    pub backlog: u32,
    /// Address to bind before connecting; `Addr::NONE`: the system's choice.
    pub source: Addr,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            send_buffer: 0,
            recv_buffer: 0,
            connect_timeout_ms: 0,
            keepalive_s: 0,
            user_timeout_ms: 0,
            tos: 0,
            mark: 0,
            nodelay: true,
            fastopen: false,
            defer_accept: false,
            reuseport: false,
            v6_only: true,
            transparent: false,
            unix_mode: 0,
            backlog: 0,
            source: Addr::NONE,
        }
    }
}
