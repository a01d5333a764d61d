//! The address of a peer as headers carry it: an IP address with a port, or the path of a Unix socket.
//! Knows nothing of sockets: it is compared, logged and encoded, never connected to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Longest path of a Unix socket on any platform that is supported (`sun_path` of Linux).
pub const UNIX_PATH_MAX: usize = 108;

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// Over IPv4 or IPv6.
    Ip(SocketAddr),
    /// Over a Unix socket; the bytes of its path, empty for an unnamed one. A first byte of 0 is Linux's abstract space.
    Unix(Box<[u8]>),
}

impl Address {
    /// The IP address, with an IPv4 address that came mapped into IPv6 unmapped. None for a Unix socket.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Ip(address) => Some(address.ip().to_canonical()),
            Self::Unix(_) => None,
        }
    }

    /// The port. None for a Unix socket.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Ip(address) => Some(address.port()),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

/// `192.0.2.1:80`, `[2001:db8::1]:80` or `unix:/run/a.sock`; bytes of a path that are not printable ASCII are escaped,
/// so a log line stays one line.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.escape_ascii()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_break_a_log_line() {
        let address = Address::Unix(b"/run/a\nb".as_slice().into());
        assert_eq!(address.to_string(), "unix:/run/a\\nb");
        assert_eq!(address.ip(), None);
    }

    #[test]
    fn a_mapped_address_answers_as_ipv4() {
        let address = Address::Ip("[::ffff:192.0.2.1]:80".parse().unwrap());
        assert_eq!(address.ip(), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(address.port(), Some(80));
    }
}
