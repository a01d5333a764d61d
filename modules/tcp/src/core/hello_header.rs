//! The hello header: what one anyproxy tells the next about a connection before the connection's own bytes.
//! Knows its wire format only; whom to believe is decided by who asks (accept it from trusted addresses alone), and
//! what the domain selects is decided elsewhere.
//!
//! # Wire format, version 1
//!
//! Sent once, by the side that opens the connection, before any other byte. Numbers are in network byte order.
//!
//! | offset | bytes | meaning |
//! |---|---|---|
//! | 0 | 4 | magic `F5 61 70 78` (`\xf5apx`) |
//! | 4 | 1 | format version, 1 |
//! | 5 | 1 | hop count, 1 to 16: how many proxies have sent this header, this one included |
//! | 6 | 2 | total length with these 8 bytes, 8 to 4096 |
//! | 8 | … | fields, one behind the other up to the total length |
//!
//! A field is a type (1 byte), the length of its value (2 bytes) and the value. Each known type comes at most once, in
//! any order; unknown types are skipped, so a later minor can add fields without a new format version.
//!
//! | type | value |
//! |---|---|
//! | 1 | sender: name and version of the software, 1 to 32 bytes of printable ASCII |
//! | 2 | request id: 1 to 64 bytes of printable ASCII without space |
//! | 3 | client address as the first hop saw it: family (1 byte), then for family 4 the address (4) and port (2), for 6 the address (16) and port (2), for 1 the path of a Unix socket (0 to 108) |
//! | 4 | domain the client asked for, 1 to 255 bytes: a DNS name, an IPv4 address, or an IPv6 address in brackets |
//!
//! The first byte is neither that of a TLS record (`16`), an SSLv2 hello (its third byte would be `01`), an HTTP method,
//! nor of the PROXY protocol (`P` or CR), and no UTF-8 text starts with it. A receiver that knows only version 1
//! refuses others. A header whose hop count would pass 16 is refused: it goes in a circle.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::address::{Address, UNIX_PATH_MAX};
use super::bytes::Bytes;
use super::host_name;

/// First bytes of every version.
pub const MAGIC: [u8; 4] = *b"\xf5apx";
/// The format version written here.
pub const FORMAT: u8 = 1;
/// Longest header, in bytes.
pub const MAX_LENGTH: usize = 4096;
/// Most proxies in a chain.
pub const MAX_HOPS: u8 = 16;
/// Longest request id, in bytes.
pub const MAX_REQUEST_ID: usize = 64;
/// Longest name of a sender, in bytes.
pub const MAX_SENDER: usize = 32;
/// Longest domain, in bytes.
pub const MAX_DOMAIN: usize = 255;

const FIXED: usize = 8;
const SENDER: u8 = 1;
const REQUEST_ID: u8 = 2;
const CLIENT: u8 = 3;
const DOMAIN: u8 = 4;

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Proxies that have sent it, 1 to [`MAX_HOPS`].
    pub hops: u8,
    /// Software of the last sender.
    pub sender: Option<String>,
    /// The same on every hop, for joining their logs.
    pub request_id: Option<String>,
    /// The client as the first hop saw it.
    pub client: Option<Address>,
    /// The domain the client asked for, lower-cased.
    pub domain: Option<String>,
}

/// Verdict over the bytes received so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole header was there; the connection's own bytes start after `consumed`.
    Parsed {
        /// What it says.
        hello: Hello,
        /// Its length in bytes.
        consumed: usize,
    },
    /// So far it is a header; at most [`MAX_LENGTH`] bytes are ever needed.
    NeedMore,
    /// The first bytes are not the magic.
    NotHello,
    /// A hello header, but not to be believed: why.
    Malformed(&'static str),
}

/// Whether these bytes begin a header for certain.
pub fn is_begun(received: &[u8]) -> bool {
    received.starts_with(&MAGIC)
}

/// Reads a header from everything received since the connection began. Costs nothing until all of it is there.
pub fn decode(received: &[u8]) -> Outcome {
    if !received.starts_with(&MAGIC) {
        return if MAGIC.starts_with(received) { Outcome::NeedMore } else { Outcome::NotHello };
    }
    match received.get(4) {
        None => return Outcome::NeedMore,
        Some(&FORMAT) => {}
        Some(_) => return Outcome::Malformed("unknown version of the hello header"),
    }
    let hops = match received.get(5) {
        None => return Outcome::NeedMore,
        Some(&hops @ 1..=MAX_HOPS) => hops,
        Some(_) => return Outcome::Malformed("hop count of the hello header out of range"),
    };
    let (Some(&high), Some(&low)) = (received.get(6), received.get(7)) else {
        return Outcome::NeedMore;
    };
    let consumed = usize::from(u16::from_be_bytes([high, low]));
    if !(FIXED..=MAX_LENGTH).contains(&consumed) {
        return Outcome::Malformed("length of the hello header out of range");
    }
    let Some(header) = received.get(FIXED..consumed) else {
        return Outcome::NeedMore;
    };
    match fields(hops, Bytes(header)) {
        Ok(hello) => Outcome::Parsed { hello, consumed },
        Err(reason) => Outcome::Malformed(reason),
    }
}

impl Hello {
    /// The header of the first hop, without fields.
    pub fn first() -> Self {
        Self { hops: 1, sender: None, request_id: None, client: None, domain: None }
    }

    /// The header to pass on for one that was received: the same but for the hop count. Its sender is to be replaced by
    /// the caller's. Fails after [`MAX_HOPS`].
    pub fn next_hop(&self) -> Result<Self, &'static str> {
        if self.hops >= MAX_HOPS {
            return Err("more than 16 hops");
        }
        Ok(Self { hops: self.hops + 1, ..self.clone() })
    }

    /// The bytes to send. Fails where a field would not be accepted by [`decode`].
    pub fn encode(&self) -> Result<Vec<u8>, &'static str> {
        if !(1..=MAX_HOPS).contains(&self.hops) {
            return Err("hop count of the hello header out of range");
        }
        let mut out = Vec::with_capacity(FIXED + 128);
        out.extend(MAGIC);
        out.extend([FORMAT, self.hops, 0, 0]);
        if let Some(name) = &self.sender {
            field(&mut out, SENDER, sender(name.as_bytes())?.as_bytes())?;
        }
        if let Some(id) = &self.request_id {
            field(&mut out, REQUEST_ID, request_id(id.as_bytes())?.as_bytes())?;
        }
        if let Some(address) = &self.client {
            field(&mut out, CLIENT, &client_bytes(address)?)?;
        }
        if let Some(name) = &self.domain {
            field(&mut out, DOMAIN, domain(name.as_bytes())?.as_bytes())?;
        }
        // The four fields are bounded to a few hundred bytes together, so the length fits.
        let length = u16::try_from(out.len()).map_err(|_| "hello header over 4096 bytes")?;
        out[6..FIXED].copy_from_slice(&length.to_be_bytes());
        Ok(out)
    }
}

fn fields(hops: u8, mut rest: Bytes<'_>) -> Result<Hello, &'static str> {
    const CUT: &str = "field of the hello header longer than the header";
    let mut hello = Hello { hops, ..Hello::first() };
    while !rest.is_empty() {
        let kind = rest.u8().ok_or(CUT)?;
        let value = rest.block16().ok_or(CUT)?;
        match kind {
            SENDER => once(&mut hello.sender, sender(value)?)?,
            REQUEST_ID => once(&mut hello.request_id, request_id(value)?)?,
            CLIENT => once(&mut hello.client, client(value)?)?,
            DOMAIN => once(&mut hello.domain, domain(value)?)?,
            _ => {}
        }
    }
    Ok(hello)
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), &'static str> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err("repeated field in the hello header"),
    }
}

fn field(out: &mut Vec<u8>, kind: u8, value: &[u8]) -> Result<(), &'static str> {
    let length = u16::try_from(value.len()).map_err(|_| "field over 65535 bytes")?;
    out.push(kind);
    out.extend(length.to_be_bytes());
    out.extend(value);
    Ok(())
}

fn sender(value: &[u8]) -> Result<String, &'static str> {
    let printable = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
    if value.is_empty() || value.len() > MAX_SENDER || !value.iter().all(printable) {
        return Err("invalid sender in the hello header");
    }
    Ok(value.iter().copied().map(char::from).collect())
}

fn request_id(value: &[u8]) -> Result<String, &'static str> {
    if value.is_empty() || value.len() > MAX_REQUEST_ID || !value.iter().all(u8::is_ascii_graphic) {
        return Err("invalid request id in the hello header");
    }
    Ok(value.iter().copied().map(char::from).collect())
}

fn domain(value: &[u8]) -> Result<String, &'static str> {
    if value.len() > MAX_DOMAIN {
        return Err("domain over 255 bytes in the hello header");
    }
    host_name::host(value)
}

fn client(value: &[u8]) -> Result<Address, &'static str> {
    const INVALID: &str = "invalid client address in the hello header";
    let mut value = Bytes(value);
    match value.u8().ok_or(INVALID)? {
        4 => {
            let &[a, b, c, d, high, low] = value.0 else {
                return Err(INVALID);
            };
            let ip = Ipv4Addr::new(a, b, c, d);
            Ok(SocketAddr::from((ip, u16::from_be_bytes([high, low]))).into())
        }
        6 => {
            let (ip, port) = value.0.split_first_chunk::<16>().ok_or(INVALID)?;
            let &[high, low] = port else {
                return Err(INVALID);
            };
            let ip = Ipv6Addr::from(*ip);
            Ok(SocketAddr::from((ip, u16::from_be_bytes([high, low]))).into())
        }
        1 if value.0.len() <= UNIX_PATH_MAX => Ok(Address::Unix(value.0.into())),
        _ => Err(INVALID),
    }
}

fn client_bytes(address: &Address) -> Result<Vec<u8>, &'static str> {
    Ok(match address {
        Address::Ip(SocketAddr::V4(address)) => {
            [&[4], &address.ip().octets()[..], &address.port().to_be_bytes()].concat()
        }
        Address::Ip(SocketAddr::V6(address)) => {
            [&[6], &address.ip().octets()[..], &address.port().to_be_bytes()].concat()
        }
        Address::Unix(path) if path.len() <= UNIX_PATH_MAX => [&[1], &path[..]].concat(),
        Address::Unix(_) => return Err("path of a Unix socket over 108 bytes"),
    })
}

#[cfg(test)]
#[path = "hello_header_tests.rs"]
mod tests;
