//! The shapes of addresses: where to listen, where to connect, which networks.
//! Checks text alone: resolves nothing, binds nothing. For the host and the fake one.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and port; port 0: the system chooses, and each occurrence is a listener of its own.
    Ip(SocketAddr),
    /// A Unix socket.
    Unix(Arc<Path>),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(at) => at.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text has not the shape, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Why.
    pub message: String,
    /// What to write.
    pub help: Option<String>,
}

impl Wrong {
    /// Without help.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }
    /// With what to write.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Ports in one range at most: each is a socket a worker.
const RANGE: u16 = 1000;
/// `sockaddr_un` holds 108 bytes with the closing zero (Linux), 104 elsewhere.
const UNIX_PATH: usize = 103;

/// Reads a listening address, `0.0.0.0:10001-10009`, `[::]:443`, `127.0.0.1:0`, `unix:/path`: one item a port.
///
/// # Errors
/// It is none.
pub fn listen(text: &str) -> Result<Vec<Address>, Wrong> {
    if let Some(path) = text.strip_prefix("unix:") {
        return Ok(vec![Address::Unix(unix_path(path)?.into())]);
    }
    let shape = || {
        Wrong::new(format!("\"{text}\" is not a listening address"))
            .help("write ip:port, ip:first-last, [ipv6]:port or unix:/path")
    };
    let (ip, ports) = text.rsplit_once(':').ok_or_else(|| {
        if text.parse::<u16>().is_ok() {
            shape().help(format!("write \"0.0.0.0:{text}\" or \"[::]:{text}\""))
        } else {
            shape()
        }
    })?;
    if ip.is_empty() || ip == "*" {
        return Err(Wrong::new(format!("\"{text}\" does not say on which address to listen"))
            .help(format!("write \"0.0.0.0:{ports}\" for IPv4, \"[::]:{ports}\" for IPv6, or both")));
    }
    no_zone(text)?;
    let ip = ip_of(ip).map_err(|e| match e {
        Some(help) => shape().help(help.replace("PORT", ports)),
        None => shape().help("a host name cannot be listened on: write an IP address"),
    })?;
    let (first, last) = match ports.split_once('-') {
        None => (port(ports, 0)?, None),
        Some((a, b)) => (port(a, 1)?, Some(port(b, 1)?)),
    };
    let last = last.unwrap_or(first);
    if last < first {
        return Err(Wrong::new(format!("the port range {ports} runs backwards")).help(format!("write {last}-{first}")));
    }
    if last - first >= RANGE {
        return Err(Wrong::new(format!(
            "the port range {ports} has {} ports; at most {RANGE} are allowed",
            u32::from(last - first) + 1
        )));
    }
    Ok((first..=last).map(|p| Address::Ip(SocketAddr::new(ip, p))).collect())
}

/// Checks an address to connect to: `host:port`, `ip:port`, `[v6]:port`, `unix:/path`.
pub fn connect(text: &str) -> Result<(), Wrong> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix_path(path).map(drop);
    }
    let shape = |why: &str| {
        Wrong::new(format!("\"{text}\" is not an address: {why}"))
            .help("write host:port, ip:port, [ipv6]:port or unix:/path")
    };
    if let Some((scheme, rest)) = text.split_once("://") {
        return Err(shape(&format!("{scheme}:// does not belong here"))
            .help(format!("write \"{}\"", rest.trim_end_matches('/'))));
    }
    no_zone(text)?;
    let (host, port_text) = text.rsplit_once(':').ok_or_else(|| shape("the port is missing"))?;
    match ip_of(host) {
        Ok(_) => {}
        Err(Some(help)) => {
            return Err(shape("an IPv6 address stands in brackets").help(help.replace("PORT", port_text)));
        }
        Err(None) if host.is_empty() => return Err(shape("the host is missing")),
        Err(None) => host_name(host).map_err(|why| shape(&why))?,
    }
    port(port_text, 1).map(drop)
}

/// Checks an address, a CIDR or `all`.
pub fn cidr(text: &str) -> Result<(), Wrong> {
    if text == "all" {
        return Ok(());
    }
    let (ip, bits) = match text.split_once('/') {
        Some((ip, bits)) => (ip, Some(bits)),
        None => (text, None),
    };
    let shape = || Wrong::new(format!("\"{text}\" is not a network")).help("write an IP address, ip/bits or all");
    let ip: IpAddr = ip.parse().map_err(|_| shape())?;
    let Some(bits) = bits else { return Ok(()) };
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let len: u32 = decimal(bits).filter(|b| *b <= most).ok_or_else(|| shape().help(format!("bits are 0 to {most}")))?;
    let network = match ip {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & u32::MAX.checked_shl(32 - len).unwrap_or(0))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & u128::MAX.checked_shl(128 - len).unwrap_or(0))),
    };
    if network != ip {
        return Err(Wrong::new(format!("\"{text}\" has bits set behind the first {len}"))
            .help(format!("write \"{network}/{len}\" for the network, \"{ip}\" for the one address")));
    }
    Ok(())
}

/// Checks a host name (RFC 1123 section 2.1, `_` allowed): letters, digits, `-`, labels of at most 63, 253 in all.
pub fn host_name(text: &str) -> Result<(), String> {
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() || name.len() > 253 {
        return Err("a host name has 1 to 253 characters".to_owned());
    }
    if !name.is_ascii() {
        return Err("a host name with other letters is written in its ASCII form, xn--…".to_owned());
    }
    for label in name.split('.') {
        let chars = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if label.is_empty() || label.len() > 63 || !chars || label.starts_with('-') || label.ends_with('-') {
            return Err(format!("\"{label}\" is not a label of a host name"));
        }
    }
    // Digits and dots alone were meant as an IP address.
    if name.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err("neither an IP address nor a host name".to_owned());
    }
    Ok(())
}

/// An IPv6 address with a zone (RFC 4007 section 11) is refused by name: which link it means may change while we run.
fn no_zone(text: &str) -> Result<(), Wrong> {
    let zone = text.strip_prefix('[').and_then(|t| t.split_once(']')).and_then(|(ip, _)| ip.split_once('%'));
    match zone {
        Some((ip, zone)) if ip.parse::<Ipv6Addr>().is_ok() => Err(Wrong::new(format!(
            "\"{text}\" has a zone, \"%{zone}\": such addresses are not supported"
        ))
        .help("listen on [::]:port, which takes clients of every link; reach peers by an address that needs no zone")),
        _ => Ok(()),
    }
}

/// `Err(Some(help))`: an IPv6 address without brackets. `Err(None)`: no IP address.
fn ip_of(text: &str) -> Result<IpAddr, Option<String>> {
    if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| None);
    }
    match text.parse() {
        Ok(IpAddr::V6(v6)) => Err(Some(format!("write \"[{v6}]:PORT\""))),
        Ok(ip) => Ok(ip),
        Err(_) => Err(None),
    }
}

fn port(text: &str, least: u16) -> Result<u16, Wrong> {
    decimal(text)
        .and_then(|p| u16::try_from(p).ok())
        .filter(|p| *p >= least)
        .ok_or_else(|| Wrong::new(format!("\"{text}\" is not a port")).help(format!("a port is {least} to 65535")))
}

/// Digits only: `parse` alone would take `+80`.
fn decimal(text: &str) -> Option<u32> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

fn unix_path(path: &str) -> Result<PathBuf, Wrong> {
    if !path.starts_with('/') {
        return Err(Wrong::new(format!("\"unix:{path}\" does not name an absolute path"))
            .help(format!("write \"unix:/{}\"", path.trim_start_matches("./"))));
    }
    if path.len() > UNIX_PATH || path.contains('\0') {
        return Err(Wrong::new(format!("a Unix socket's path has at most {UNIX_PATH} bytes and no zero")));
    }
    Ok(PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(r: Result<impl std::fmt::Debug, Wrong>) -> String {
        let e = r.expect_err("is refused");
        e.help.unwrap_or(e.message)
    }

    #[test]
    fn a_range_is_one_address_a_port() {
        let all = listen("0.0.0.0:10001-10009").expect("valid");
        assert_eq!(all.len(), 9);
        assert_eq!(all[8].to_string(), "0.0.0.0:10009");
        assert_eq!(listen("[::]:443").expect("valid")[0].to_string(), "[::]:443");
        assert_eq!(listen("127.0.0.1:0").expect("valid").len(), 1);
        assert_eq!(listen("unix:/run/x.sock").expect("valid")[0].to_string(), "unix:/run/x.sock");
        assert_eq!(listen("0.0.0.0:1-1000").expect("valid").len(), 1000);
    }

    #[test]
    fn a_listening_address_without_an_ip_is_refused_with_what_to_write() {
        assert!(help(listen(":8080")).contains("\"0.0.0.0:8080\""));
        assert!(help(listen("*:8080")).contains("\"[::]:8080\""));
        assert!(help(listen("8080")).contains("\"0.0.0.0:8080\""));
        assert!(help(listen("::1:80")).contains("[::1]:80"));
        assert!(help(listen("localhost:80")).contains("IP address"));
    }

    #[test]
    fn bad_ports_and_ranges_are_refused() {
        for bad in [
            "1.2.3.4:65536",
            "1.2.3.4:+80",
            "1.2.3.4:",
            "1.2.3.4:0-5",
            "1.2.3.4:9-1",
            "1.2.3.4:1-1001",
            "1.2.3.4:1-65535",
        ] {
            assert!(listen(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn connect_addresses_take_names_and_refuse_urls() {
        for good in ["a.example:80", "10.0.0.1:1", "[2001:db8::1]:65535", "unix:/x", "under_score:80"] {
            assert_eq!(connect(good), Ok(()), "{good}");
        }
        for bad in
            ["a.example", "a.example:0", ":80", "a b:80", "10.0.0:80", "2001:db8::1:80", "-a:80", "unix:x", "é:80"]
        {
            assert!(connect(bad).is_err(), "{bad}");
        }
        assert!(connect("[fe80::1%eth0]:80").expect_err("a zone").message.contains("\"%eth0\""));
        assert!(listen("[fe80::1%1]:80").expect_err("a zone").message.contains("\"%1\""));
        assert!(help(connect("http://a.example:80/")).contains("\"a.example:80\""));
    }

    #[test]
    fn networks_with_host_bits_are_refused_with_the_network() {
        for good in ["all", "10.0.0.0/8", "10.0.0.1", "::/0", "0.0.0.0/0", "2001:db8::/32", "::1/128"] {
            assert_eq!(cidr(good), Ok(()), "{good}");
        }
        assert!(help(cidr("10.0.0.1/8")).contains("\"10.0.0.0/8\""));
        assert!(help(cidr("2001:db8::1/32")).contains("\"2001:db8::/32\""));
        for bad in ["10.0.0.0/33", "10.0.0.0/-1", "x", "", "10.0.0/8"] {
            assert!(cidr(bad).is_err(), "{bad}");
        }
    }
}
