//! The PROXY protocol, versions 1 and 2, in both directions.
//! Decides nothing about trust: whether a peer may send a header is asked before this is called.
//!
//! The grammar of addresses and fields is the `ppp` crate's. What that crate leaves open is settled here: nothing is
//! buffered past the bounds, a decision falls as soon as the bytes allow it, LOCAL and UNKNOWN are taken whatever
//! follows, fields are read for the unspecified family too, and CRC32c is checked.
//! Source: "The PROXY protocol, versions 1 & 2" by W. Tarreau, 2020-03-05, sections 2.1 and 2.2.

use std::net::{IpAddr, SocketAddr};

use ppp::{v1, v2};

use super::address::{Address, UNIX_PATH_MAX};
use super::bytes::Bytes;
use super::host_name;

/// Longest header of version 1, in bytes, with its CRLF.
pub const V1_MAX: usize = 107;
/// Longest header of version 2 that is read, in bytes. The format allows 64 KiB.
pub const V2_MAX: usize = 4096;

const V1_PREFIX: &[u8] = b"PROXY ";
const V2_FIXED: usize = 16;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;

/// The two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// For whom the connection was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoints {
    /// By the proxy for itself, a health check say; the connection's own addresses hold.
    Local,
    /// For a client whose address the proxy does not tell; the connection's own addresses hold.
    Unknown,
    /// For a client.
    Proxied {
        /// The client.
        source: Address,
        /// What the client connected to.
        destination: Address,
    },
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The format it came in.
    pub version: Version,
    /// For whom.
    pub endpoints: Endpoints,
    /// The host the client asked for (SNI), lower-cased. Version 2 only.
    pub authority: Option<String>,
}

/// Verdict over the bytes received so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole header was there; the connection's own bytes start after `consumed`.
    Parsed {
        /// What it says.
        header: Header,
        /// Its length in bytes.
        consumed: usize,
    },
    /// So far it is a header; at most [`V2_MAX`] bytes are ever needed.
    NeedMore,
    /// The first bytes are of neither version.
    NotProxy,
    /// A PROXY header, but not to be believed: why.
    Malformed(&'static str),
}

/// Reads a header of either version from everything received since the connection began.
pub fn decode(received: &[u8]) -> Outcome {
    let verdict = if received.starts_with(V1_PREFIX) {
        decode_v1(received)
    } else if received.starts_with(v2::PROTOCOL_PREFIX) {
        decode_v2(received)
    } else if V1_PREFIX.starts_with(received) || v2::PROTOCOL_PREFIX.starts_with(received) {
        Ok(None)
    } else {
        return Outcome::NotProxy;
    };
    match verdict {
        Ok(Some((header, consumed))) => Outcome::Parsed { header, consumed },
        Ok(None) => Outcome::NeedMore,
        Err(reason) => Outcome::Malformed(reason),
    }
}

/// Whether these bytes begin a header of either version for certain: nothing shorter tells it from another protocol's.
pub fn is_begun(received: &[u8]) -> bool {
    received.starts_with(V1_PREFIX) || received.starts_with(v2::PROTOCOL_PREFIX)
}

/// A header of version 1. Anything but two IP addresses becomes `UNKNOWN`; an IPv4 address beside an IPv6 one is mapped.
pub fn encode_v1(endpoints: &Endpoints) -> Vec<u8> {
    let addresses = match ip_pair(endpoints) {
        Some((source, destination)) => v1::Addresses::from((source, destination)),
        None => v1::Addresses::Unknown,
    };
    addresses.to_string().into_bytes()
}

/// A header of version 2 with the authority if there is one, and with a CRC32c if that is wanted. An IPv4 address beside
/// an IPv6 one is mapped; an IP address beside a Unix socket becomes the unspecified family.
pub fn encode_v2(endpoints: &Endpoints, authority: Option<&str>, checksum: bool) -> Result<Vec<u8>, &'static str> {
    const TOO_LONG: &str = "PROXY header over 4096 bytes";
    let command = match endpoints {
        Endpoints::Local => v2::Command::Local,
        Endpoints::Unknown | Endpoints::Proxied { .. } => v2::Command::Proxy,
    };
    let addresses = match endpoints {
        Endpoints::Proxied { source: Address::Unix(source), destination: Address::Unix(destination) } => {
            v2::Addresses::Unix(v2::Unix::new(sun_path(source)?, sun_path(destination)?))
        }
        other => ip_pair(other).map_or(v2::Addresses::Unspecified, v2::Addresses::from),
    };
    let transport = match addresses {
        v2::Addresses::Unspecified => v2::Protocol::Unspecified,
        _ => v2::Protocol::Stream,
    };
    let mut builder = v2::Builder::with_addresses(v2::Version::Two | command, transport, addresses);
    if let Some(name) = authority {
        // Checked before it is written: the builder would cut the length of a longer one.
        let name = host_name::host(name.as_bytes())?;
        builder = builder.write_tlv(AUTHORITY, name.as_bytes()).map_err(|_| TOO_LONG)?;
    }
    if checksum {
        builder = builder.write_tlv(CRC32C, &[0; 4]).map_err(|_| TOO_LONG)?;
    }
    let mut header = builder.build().map_err(|_| TOO_LONG)?;
    if let (true, Some(at)) = (checksum, header.len().checked_sub(4)) {
        let sum = crc32c(header.iter().copied());
        header[at..].copy_from_slice(&sum.to_be_bytes());
    }
    Ok(header)
}

type Decoded = Result<Option<(Header, usize)>, &'static str>;

fn decode_v1(received: &[u8]) -> Decoded {
    let window = &received[..received.len().min(V1_MAX)];
    let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
        return if received.len() >= V1_MAX { Err("PROXY v1 line over 107 bytes") } else { Ok(None) };
    };
    let consumed = end + 1;
    let line = &window[..consumed];
    if !line.ends_with(b"\r\n") {
        return Err("PROXY v1 line without CR");
    }
    let text = &line[..line.len() - 2];
    let parsed = |endpoints| {
        let header = Header { version: Version::V1, endpoints, authority: None };
        Ok(Some((header, consumed)))
    };
    // Whatever follows UNKNOWN is to be ignored.
    if text == b"PROXY UNKNOWN" || text.starts_with(b"PROXY UNKNOWN ") {
        return parsed(Endpoints::Unknown);
    }
    // The parser of the standard library would take a port with a plus sign.
    if !text.is_ascii() || text.contains(&b'+') {
        return Err("invalid byte in a PROXY v1 line");
    }
    let addresses = v1::Header::try_from(line).map_err(|_| "invalid PROXY v1 line")?.addresses;
    parsed(match addresses {
        v1::Addresses::Unknown => Endpoints::Unknown,
        v1::Addresses::Tcp4(ip) => {
            proxied((ip.source_address.into(), ip.source_port), (ip.destination_address.into(), ip.destination_port))
        }
        v1::Addresses::Tcp6(ip) => {
            proxied((ip.source_address.into(), ip.source_port), (ip.destination_address.into(), ip.destination_port))
        }
    })
}

fn decode_v2(received: &[u8]) -> Decoded {
    let version = received.get(12);
    if version.is_some_and(|byte| byte >> 4 != 2) {
        return Err("unknown version in a PROXY v2 header");
    }
    let Some(fixed) = received.first_chunk::<V2_FIXED>() else {
        return Ok(None);
    };
    let consumed = V2_FIXED + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if consumed > V2_MAX {
        return Err("PROXY v2 header over 4096 bytes");
    }
    let Some(bytes) = received.get(..consumed) else {
        return Ok(None);
    };
    let mut header = Header { version: Version::V2, endpoints: Endpoints::Local, authority: None };
    if fixed[12] & 0x0f == 0 {
        return Ok(Some((header, consumed))); // LOCAL: the receiver must take it whatever the family and the block are
    }
    let parsed = v2::Header::try_from(bytes).map_err(|_| "invalid PROXY v2 header")?;
    header.endpoints = match parsed.addresses {
        _ if parsed.protocol == v2::Protocol::Unspecified => Endpoints::Unknown,
        v2::Addresses::Unspecified => Endpoints::Unknown,
        v2::Addresses::IPv4(ip) => {
            proxied((ip.source_address.into(), ip.source_port), (ip.destination_address.into(), ip.destination_port))
        }
        v2::Addresses::IPv6(ip) => {
            proxied((ip.source_address.into(), ip.source_port), (ip.destination_address.into(), ip.destination_port))
        }
        v2::Addresses::Unix(unix) => {
            Endpoints::Proxied { source: unix_address(&unix.source), destination: unix_address(&unix.destination) }
        }
    };
    header.authority = fields(bytes, V2_FIXED + parsed.addresses.len())?;
    Ok(Some((header, consumed)))
}

/// Walks the fields that start at `at`, checks the checksum, and answers the authority.
fn fields(header: &[u8], at: usize) -> Result<Option<String>, &'static str> {
    const CUT: &str = "field of a PROXY v2 header longer than the header";
    let mut rest = Bytes(header.get(at..).unwrap_or_default());
    let (mut authority, mut checked) = (None, false);
    while !rest.is_empty() {
        let kind = rest.u8().ok_or(CUT)?;
        let value = rest.block16().ok_or(CUT)?;
        match kind {
            AUTHORITY if authority.is_some() => return Err("two authorities in a PROXY v2 header"),
            AUTHORITY => authority = Some(host_name::host(value)?),
            CRC32C if checked => return Err("two checksums in a PROXY v2 header"),
            CRC32C => {
                checked = true;
                let end = header.len() - rest.0.len();
                let sum = crc32c(header.iter().enumerate().map(|(index, &byte)| {
                    let inside = (end - value.len()..end).contains(&index);
                    if inside { 0 } else { byte }
                }));
                if value != sum.to_be_bytes() {
                    return Err("wrong checksum of a PROXY v2 header");
                }
            }
            _ => {}
        }
    }
    Ok(authority)
}

fn proxied(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Endpoints {
    Endpoints::Proxied { source: SocketAddr::from(source).into(), destination: SocketAddr::from(destination).into() }
}

/// Both addresses in one family, if both are IP.
fn ip_pair(endpoints: &Endpoints) -> Option<(SocketAddr, SocketAddr)> {
    let Endpoints::Proxied { source: Address::Ip(source), destination: Address::Ip(destination) } = *endpoints else {
        return None;
    };
    if source.is_ipv4() == destination.is_ipv4() {
        return Some((source, destination));
    }
    let mapped = |address: SocketAddr| match address {
        SocketAddr::V4(v4) => SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port())),
        v6 => v6,
    };
    Some((mapped(source), mapped(destination)))
}

fn sun_path(path: &[u8]) -> Result<[u8; UNIX_PATH_MAX], &'static str> {
    let mut padded = [0; UNIX_PATH_MAX];
    padded.get_mut(..path.len()).ok_or("path of a Unix socket over 108 bytes")?.copy_from_slice(path);
    Ok(padded)
}

/// A path ends at its first 0; one of the abstract space starts with it and loses its padding.
fn unix_address(padded: &[u8; UNIX_PATH_MAX]) -> Address {
    let end = if padded[0] == 0 {
        padded.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1)
    } else {
        padded.iter().position(|&byte| byte == 0).unwrap_or(UNIX_PATH_MAX)
    };
    Address::Unix(padded[..end].into())
}

/// The checksum of RFC 9260 appendix A (Castagnoli, reflected). Bit by bit: a header is small and the field rare.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    !bytes.fold(!0u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg()))
    })
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
