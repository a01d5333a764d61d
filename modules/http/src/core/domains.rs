//! The request header `anyproxy_domains`: a list of the next hops of a request, of which each proxy takes the first and
//! passes the rest on. Owns the list and who may be named in it; to connect there is for the caller.
//!
//! A hop is written `host:port`, and between two stands a comma; or, as in earlier versions of this proxy, it is
//! `//tcp//host:port//random`, and between two stands `|||`. The balancer in that means nothing: a hop is one peer.
//!
//! Nobody may be by default, or this were an open proxy. A pattern for a network is for addresses that stand in the
//! list: what a name resolves to is not seen here, so a pattern for names trusts whoever runs their zone.

use super::trim;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most hops of a list.
pub const MAX_HOPS: usize = 16;
/// Longest list, in bytes.
pub const MAX_LIST: usize = 1024;

/// Why a list was refused; the answer is 400 (RFC 9110 15.5.1) for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The list has no hop, or an empty one.
    Empty,
    /// More than [`MAX_HOPS`] hops or [`MAX_LIST`] bytes.
    TooLong,
    /// A byte that belongs in no list.
    BadByte,
    /// The first hop is neither a host name nor an address.
    BadHost,
    /// The first hop is an address in other than its plain form, such as `127.1`, `0x7f.1` or `2130706433`.
    OddAddress,
    /// The port is no number from 1 to 65535.
    BadPort,
    /// The first hop is to be reached by something else than TCP.
    BadProtocol,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "an empty hop",
            Self::TooLong => "too many hops",
            Self::BadByte => "a byte that belongs to no list of hops",
            Self::BadHost => "a hop that is no host",
            Self::OddAddress => "an address that is not in its plain form",
            Self::BadPort => "a hop with a bad port",
            Self::BadProtocol => "a hop that is not to be reached by TCP",
        })
    }
}

impl std::error::Error for Error {}

/// The host of a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host<'a> {
    /// A name, without a dot at its end. Its case is as it came, and does not count.
    Name(&'a str),
    /// An address; one of IPv4 in the guise of IPv6 is one of IPv4.
    Ip(IpAddr),
}

/// One hop of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop<'a> {
    /// Its host.
    pub host: Host<'a>,
    /// Its port, if it names one.
    pub port: Option<u16>,
}

/// As in a URL: `host`, `192.0.2.1:80`, `[2001:db8::1]:80`.
impl std::fmt::Display for Hop<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host {
            Host::Name(name) => write!(f, "{name}")?,
            Host::Ip(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Ip(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The first hop of a list, and the rest of it to pass on, which is empty after the last.
///
/// # Errors
///
/// See [`Error`]. Of the rest only its length and its bytes are checked: its hops are for those who take them.
pub fn split(value: &[u8]) -> Result<(Hop<'_>, &[u8]), Error> {
    let value = trim(value);
    if value.len() > MAX_LIST {
        return Err(Error::TooLong);
    }
    let text = std::str::from_utf8(value).map_err(|_| Error::BadByte)?;
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:[], \t/|".contains(&byte)) {
        return Err(Error::BadByte);
    }
    let hops = || text.split(',').flat_map(|hops| hops.split(BETWEEN));
    if hops().count() > MAX_HOPS {
        return Err(Error::TooLong);
    }
    if hops().any(|hop| hop.trim().is_empty()) {
        return Err(Error::Empty);
    }
    let (first, rest) = text.split_at(hops().next().map_or(0, str::len));
    let rest = rest.strip_prefix(BETWEEN).or_else(|| rest.strip_prefix(',')).unwrap_or_default();
    Ok((parse_hop(short(first.trim())?)?, trim(rest.as_bytes())))
}

/// Between two hops in their long form.
const BETWEEN: &str = "|||";

/// The host and port of a hop in either form.
fn short(text: &str) -> Result<&str, Error> {
    let Some(long) = text.strip_prefix("//") else { return Ok(text) };
    let mut parts = long.split("//");
    let (Some(protocol), Some(hop), Some(balancer), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Error::BadHost);
    };
    let is_word = !balancer.is_empty() && balancer.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match protocol {
        "tcp" if is_word => Ok(hop),
        "tcp" => Err(Error::BadHost),
        _ => Err(Error::BadProtocol),
    }
}

fn parse_hop(text: &str) -> Result<Hop<'_>, Error> {
    let (host, port) = split_port(text).ok_or(Error::BadHost)?;
    let port = match port {
        Some(port) => Some(parse_port(port).ok_or(Error::BadPort)?),
        None => None,
    };
    let host = if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| Error::BadHost)?;
        Host::Ip(IpAddr::V6(address).to_canonical())
    } else if let Ok(address) = host.parse::<Ipv4Addr>() {
        // The library takes four decimal numbers without leading zeros, and nothing else.
        Host::Ip(address.into())
    } else {
        let name = host.strip_suffix('.').unwrap_or(host);
        if ends_in_number(name) {
            return Err(Error::OddAddress);
        }
        if !is_name(name) {
            return Err(Error::BadHost);
        }
        Host::Name(name)
    };
    Ok(Hop { host, port })
}

/// The host with its brackets, and what stands after the colon. `None` for IPv6 without brackets.
fn split_port(text: &str) -> Option<(&str, Option<&str>)> {
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, port) = text.split_at_checked(end)?;
    match port {
        "" => Some((host, None)),
        port => port.strip_prefix(':').filter(|port| !port.contains(':')).map(|port| (host, Some(port))),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    let digits = (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|&port| digits && port > 0)
}

/// Whether resolvers may take it for an address of IPv4 (URL standard, 3.5, the ends-in-a-number checker): no name of a
/// domain at the top is a number.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let digits = |text: &str, hex| text.bytes().all(|byte| byte.is_ascii_digit() || (hex && byte.is_ascii_hexdigit()));
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    !last.is_empty() && (digits(last, false) || hex.is_some_and(|hex| digits(hex, true)))
}

/// Whether it is a host name (RFC 1123 2.1) of 253 bytes at most, with `_` allowed as it is in use.
fn is_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        })
}

/// Who may be a hop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    hosts: Hosts,
    ports: Ports,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    /// In lower case.
    Name(String),
    /// All names below one: `.example.com`, in lower case.
    Below(String),
    /// All addresses whose first bits are these.
    Network(IpAddr, u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ports {
    /// The hop names none, and the default is taken.
    Unnamed,
    One(u16),
    Any,
}

impl Pattern {
    /// Reads `host`, `*.example.com`, an address, or a network like `10.0.0.0/8` or `[2001:db8::]/32`, each with
    /// `:port`, with `:*` for any port, or with neither for hops that name no port. `*.example.com` is not for
    /// `example.com`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = |what: &str| format!("hop {text:?}: {what}");
        let (rest, ports) = match text.strip_suffix(":*") {
            Some(rest) => (rest, Ports::Any),
            None => (text, Ports::Unnamed),
        };
        // The length of a network stands between the address and the port.
        let (host, after) = rest.split_once('/').map_or((rest, None), |(host, after)| (host, Some(after)));
        let (whole, bits) = match after {
            Some(_) if split_port(host).is_none_or(|(_, port)| port.is_some()) => {
                return Err(bad("a port stands after the length of a network"));
            }
            Some(after) => {
                let (bits, port) = after.split_once(':').map_or((after, ""), |(bits, _)| (bits, &after[bits.len()..]));
                (format!("{host}{port}"), Some(bits))
            }
            None => (host.to_owned(), None),
        };
        let below = whole.strip_prefix("*.");
        let hop = parse_hop(below.unwrap_or(&whole)).map_err(|error| bad(&error.to_string()))?;
        let ports = match (hop.port, ports) {
            (None, ports) => ports,
            (Some(port), Ports::Unnamed) => Ports::One(port),
            (Some(_), _) => return Err(bad("two ports")),
        };
        let hosts = match (hop.host, below.is_some(), bits) {
            (Host::Name(name), true, None) => Hosts::Below(format!(".{}", name.to_ascii_lowercase())),
            (Host::Name(name), false, None) => Hosts::Name(name.to_ascii_lowercase()),
            (Host::Ip(address), false, bits) => {
                let most = if address.is_ipv4() { 32 } else { 128 };
                let bits = match bits {
                    Some(bits) => parse_bits(bits).filter(|&bits| bits <= most).ok_or_else(|| bad("bad length"))?,
                    None => most,
                };
                if masked(address, bits) != number(address) {
                    return Err(bad("bits beyond the length of the network are set"));
                }
                Hosts::Network(address, bits)
            }
            (Host::Name(_), ..) => return Err(bad("a network is of addresses")),
            (Host::Ip(_), true, _) => return Err(bad("an address has no subdomains")),
        };
        Ok(Self { hosts, ports })
    }

    fn matches(&self, hop: &Hop<'_>) -> bool {
        let port = match self.ports {
            Ports::Any => true,
            Ports::One(port) => hop.port == Some(port),
            Ports::Unnamed => hop.port.is_none(),
        };
        port && match (&self.hosts, hop.host) {
            (Hosts::Name(own), Host::Name(name)) => own.eq_ignore_ascii_case(name),
            (Hosts::Below(suffix), Host::Name(name)) => name
                .len()
                .checked_sub(suffix.len())
                .filter(|&below| below > 0)
                .and_then(|below| name.get(below..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
            (&Hosts::Network(network, bits), Host::Ip(address)) => {
                network.is_ipv4() == address.is_ipv4() && masked(address, bits) == number(network)
            }
            _ => false,
        }
    }
}

/// Whether one of the patterns lets the hop in; without any, none does.
#[must_use]
pub fn allowed(hop: &Hop<'_>, patterns: &[Pattern]) -> bool {
    patterns.iter().any(|pattern| pattern.matches(hop))
}

fn parse_bits(text: &str) -> Option<u8> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The address in the upper bits.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn masked(address: IpAddr, bits: u8) -> u128 {
    number(address) & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or_default()
}
