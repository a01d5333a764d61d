//! Headers that tell of the hops a request has made: `X-Forwarded-For`, `Forwarded` (RFC 7239), `traceparent` (W3C Trace
//! Context) and a request's identifier.
//!
//! Values are read from the right. What stands there was written by the nearest proxy, and what a client wrote at the
//! left, however broken, cannot change how it is read.

use super::{is_token, trim};
use std::net::{IpAddr, SocketAddr};

/// The value of `X-Forwarded-For` to send on: what came in, if anything did, and the address of the peer it came from.
/// An IPv4 address in the guise of IPv6 is written as IPv4.
#[must_use]
pub fn append_x_forwarded_for(existing: Option<&[u8]>, peer: IpAddr) -> Vec<u8> {
    append(existing, peer.to_canonical().to_string().as_bytes())
}

/// The value of `Forwarded` to send on: what came in, if anything did, and `element` (see [`Element`]).
#[must_use]
pub fn append_forwarded(existing: Option<&[u8]>, element: &str) -> Vec<u8> {
    append(existing, element.as_bytes())
}

fn append(existing: Option<&[u8]>, last: &[u8]) -> Vec<u8> {
    let existing = trim(existing.unwrap_or_default());
    let mut out = Vec::with_capacity(existing.len() + last.len() + 2);
    out.extend_from_slice(existing);
    if !existing.is_empty() && !last.is_empty() {
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(last);
    out
}

/// A node of `Forwarded` (RFC 7239 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Node<'a> {
    /// An address without its port.
    Address(IpAddr),
    /// An address with its port.
    Socket(SocketAddr),
    /// A name that says nothing to others: `_` and then letters, digits, `.`, `_`, `-`; another is written `unknown`.
    Hidden(&'a str),
    /// `unknown`
    Unknown,
}

impl Node<'_> {
    fn text(&self) -> String {
        let address = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        };
        match *self {
            Self::Address(ip) => address(ip),
            Self::Socket(socket) => format!("{}:{}", address(socket.ip()), socket.port()),
            Self::Hidden(name) if is_hidden(name.as_bytes()) => name.to_owned(),
            Self::Hidden(_) | Self::Unknown => "unknown".to_owned(),
        }
    }
}

fn is_hidden(name: &[u8]) -> bool {
    matches!(name, [b'_', rest @ ..]
        if !rest.is_empty() && rest.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)))
}

/// What one proxy says in `Forwarded` (RFC 7239 4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Element<'a> {
    /// Who made the request to the proxy.
    pub from: Option<Node<'a>>,
    /// Where the proxy received it.
    pub by: Option<Node<'a>>,
    /// The `Host` of the request as it was received.
    pub host: Option<&'a [u8]>,
    /// The scheme of the request as it was received, such as `https`.
    pub proto: Option<&'a [u8]>,
}

impl Element<'_> {
    /// The element as text, `for=192.0.2.1;host="a.example:8080";proto=https`. A value that is no token is quoted, which
    /// goes for every IPv6 address and every host or node with a port. A host or a scheme that is empty or has a
    /// control byte or one beyond ASCII is left out. Empty if there is nothing to tell.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        if let Some(node) = &self.from {
            pair("for", node.text().as_bytes(), &mut out);
        }
        if let Some(node) = &self.by {
            pair("by", node.text().as_bytes(), &mut out);
        }
        if let Some(host) = self.host {
            pair("host", host, &mut out);
        }
        if let Some(proto) = self.proto {
            pair("proto", proto, &mut out);
        }
        out
    }
}

fn pair(name: &str, value: &[u8], out: &mut String) {
    if value.is_empty() || !value.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return;
    }
    if !out.is_empty() {
        out.push(';');
    }
    out.push_str(name);
    out.push('=');
    let quoted = !is_token(value);
    if quoted {
        out.push('"');
    }
    for &byte in value {
        if byte == b'"' || byte == b'\\' {
            out.push('\\');
        }
        out.push(char::from(byte));
    }
    if quoted {
        out.push('"');
    }
}

/// The client's address by `X-Forwarded-For`, for a request that came from `peer`.
///
/// From the right, the first address that is not `trusted` is the client's; `peer` itself is the first to be asked. If
/// all are trusted it is the leftmost. A member that is no address (empty, `unknown`, a name) ends the search, and the
/// client is the last address before it: what stands further left was vouched for by nobody. A port is allowed and
/// passed over. IPv4 in the guise of IPv6 is taken as IPv4, for `trusted` and in the result.
#[must_use]
pub fn client_by_x_forwarded_for(peer: IpAddr, value: &[u8], trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    walk(peer, value.rsplit(|&byte| byte == b',').map(parse_address), trusted)
}

/// The client's address by `Forwarded` (RFC 7239), for a request that came from `peer`. Its `for` parameters are treated
/// as [`client_by_x_forwarded_for`] treats its members; an element without exactly one, or malformed, ends the search.
#[must_use]
pub fn client_by_forwarded(peer: IpAddr, value: &[u8], trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut rest = Some(value);
    let elements = std::iter::from_fn(|| {
        let (before, element) = split_last(rest?, b',');
        rest = before;
        Some(element_for(element))
    });
    walk(peer, elements, trusted)
}

fn walk(peer: IpAddr, hops: impl Iterator<Item = Option<IpAddr>>, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer.to_canonical();
    let mut hops = hops;
    while trusted(client) {
        match hops.next() {
            Some(Some(hop)) => client = hop,
            Some(None) | None => break,
        }
    }
    client
}

/// `address`, `address:port`, `[address]` or `[address]:port`, with IPv6 bare only without a port.
fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(trim(text)).ok()?;
    let address = if let Some(inner) = text.strip_prefix('[') {
        let (inner, port) = inner.split_once(']')?;
        if !(port.is_empty() || port.strip_prefix(':').is_some_and(is_port)) {
            return None;
        }
        IpAddr::V6(inner.parse().ok()?)
    } else if let Ok(address) = text.parse::<IpAddr>() {
        address
    } else {
        let (address, port) = text.split_once(':')?;
        if !is_port(port) {
            return None;
        }
        IpAddr::V4(address.parse().ok()?)
    };
    Some(address.to_canonical())
}

/// A port, or an obfuscated one (RFC 7239 6.3).
fn is_port(text: &str) -> bool {
    ((1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())) || is_hidden(text.as_bytes())
}

/// Cuts at the last `separator` that is not within quotes: what is before it, if there is one, and what is after.
fn split_last(value: &[u8], separator: u8) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    let mut at = value.len();
    while let Some(before) = at.checked_sub(1) {
        let byte = value.get(before).copied().unwrap_or_default();
        if byte == b'"' {
            // Within quotes, a quote after an odd number of backslashes is one of the text.
            let head = value.get(..before).unwrap_or_default();
            let slashes = head.iter().rev().take_while(|&&byte| byte == b'\\').count();
            quoted = !quoted || slashes % 2 == 1;
        } else if byte == separator && !quoted {
            return (value.get(..before), value.get(at..).unwrap_or_default());
        }
        at = before;
    }
    (None, value)
}

/// The address of the one `for` of an element, or `None`.
fn element_for(element: &[u8]) -> Option<IpAddr> {
    let mut found = None;
    let mut rest = Some(element);
    while let Some(value) = rest {
        let (before, pair) = split_last(value, b';');
        rest = before;
        let pair = trim(pair);
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (pair.get(..equals)?, unquote(pair.get(equals + 1..)?)?);
        if !is_token(name) {
            return None;
        }
        if name.eq_ignore_ascii_case(b"for") && found.replace(parse_node(&value)?).is_some() {
            return None;
        }
    }
    found
}

/// As [`parse_address`], but IPv6 only in brackets, as RFC 7239 6 wants it.
fn parse_node(text: &[u8]) -> Option<IpAddr> {
    if text.first() != Some(&b'[') && text.iter().filter(|&&byte| byte == b':').count() > 1 {
        return None;
    }
    parse_address(text)
}

/// The text of a token or a quoted string (RFC 9110 5.6.4).
fn unquote(value: &[u8]) -> Option<Vec<u8>> {
    let Some(inner) = value.strip_prefix(b"\"") else { return is_token(value).then(|| value.to_vec()) };
    let mut out = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    loop {
        match *bytes.next()? {
            b'"' => return bytes.next().is_none().then_some(out),
            b'\\' => out.push(*bytes.next()?),
            byte => out.push(byte),
        }
    }
}

/// The parts of a `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent<'a> {
    /// The version, 0 to 254.
    pub version: u8,
    /// The trace: 32 digits of lower-case hexadecimal, not all zero.
    pub trace_id: &'a [u8],
    /// The caller's span: 16 digits of lower-case hexadecimal, not all zero.
    pub parent_id: &'a [u8],
    /// The flags; bit 0 says that the trace is recorded.
    pub flags: u8,
}

/// Reads a `traceparent` (W3C Trace Context, 3.2): `00-<32 digits>-<16 digits>-<2 digits>`. `None` if it is malformed. A
/// version above 0 may have more after another `-`, which is passed over; version `ff` is invalid.
#[must_use]
pub fn traceparent(value: &[u8]) -> Option<TraceParent<'_>> {
    let value = trim(value);
    let (fixed, rest) = value.split_at_checked(55)?;
    let mut parts = fixed.split(|&byte| byte == b'-');
    let (version, trace_id, parent_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = [version.len(), trace_id.len(), parent_id.len(), flags.len()];
    let zero = |id: &[u8]| id.iter().all(|&byte| byte == b'0');
    let digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let hex = [version, trace_id, parent_id, flags].into_iter().flatten().all(digit);
    if parts.next().is_some() || lengths != [2, 32, 16, 2] || !hex || zero(trace_id) || zero(parent_id) {
        return None;
    }
    let number = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
    let (version, flags) = (number(version)?, number(flags)?);
    let fits = match version {
        0 => rest.is_empty(),
        0xff => false,
        _ => matches!(rest, [] | [b'-', ..]),
    };
    fits.then_some(TraceParent { version, trace_id, parent_id, flags })
}

/// Whether a request's identifier from outside can be taken over: 1 to 128 letters, digits, `.`, `_` and `-`, which can
/// stand in any header and any log.
#[must_use]
pub fn is_request_id(value: &[u8]) -> bool {
    (1..=128).contains(&value.len()) && value.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}
