//! Listen addresses as they are written in the configuration, expanded to single ones.
//! Binds nothing and resolves nothing: a name is refused, a relative path stays relative for the caller to place.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most ports of one range.
pub const MAX_PORTS: usize = 1000;
/// Longest path of a Unix socket, in bytes: `sun_path` with its closing 0.
pub const MAX_UNIX_PATH: usize = 107;

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ListenAddress {
    /// TCP. Port 0: the system chooses one.
    Ip(SocketAddr),
    /// A Unix socket at this path.
    Unix(String),
}

/// Why a text is no listen address, and what was probably meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenError {
    /// What is wrong.
    pub reason: String,
    /// What to write instead.
    pub suggestion: Option<String>,
}

/// Reads `0.0.0.0:80`, `0.0.0.0:10001-10009`, `[::]:443`, `127.0.0.1:0` or `unix:/path`. The list is never empty, in
/// the order of the ports.
pub fn parse(text: &str) -> Result<Vec<ListenAddress>, ListenError> {
    if let Some(path) = text.strip_prefix("unix:") {
        return unix(path).map(|address| vec![address]);
    }
    let (host, ports) = split(text)?;
    let ip = ip(host, ports)?;
    let (first, last) = port_range(ports)?;
    Ok((first..=last).map(|port| ListenAddress::Ip(SocketAddr::new(ip, port))).collect())
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)?;
        match &self.suggestion {
            Some(text) => write!(f, "; did you mean {text}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ListenError {}

fn error<T>(reason: impl Into<String>, suggestion: Option<String>) -> Result<T, ListenError> {
    Err(ListenError { reason: reason.into(), suggestion })
}

/// Host and ports around the last colon outside of brackets.
fn split(text: &str) -> Result<(&str, &str), ListenError> {
    if text.is_empty() {
        return error("empty listen address", None);
    }
    if text.starts_with('[') {
        return match text.split_once("]:") {
            Some((host, ports)) => Ok((&host[1..], ports)),
            None => error("no port after the bracket", None),
        };
    }
    if let Ok(ip) = text.parse::<IpAddr>() {
        let ip = SocketAddr::new(ip, 80).to_string();
        return error("no port", Some(format!("\"{ip}\"")));
    }
    match text.rsplit_once(':') {
        None if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => {
            error("no address before the port", every_address(text))
        }
        None => error("no port", None),
        Some((host, ports)) if host.contains(':') => {
            let known = host.parse::<Ipv6Addr>().is_ok();
            error("an IPv6 address stands in brackets", known.then(|| format!("\"[{host}]:{ports}\"")))
        }
        Some(parts) => Ok(parts),
    }
}

fn ip(host: &str, ports: &str) -> Result<IpAddr, ListenError> {
    match host {
        "" | "*" => error("no address before the port", every_address(ports)),
        "localhost" => error(
            "names are not accepted as listen addresses",
            Some(format!("\"127.0.0.1:{ports}\" or \"[::1]:{ports}\"")),
        ),
        _ => host.parse().or_else(|_| {
            let suggestion = host.trim().parse::<Ipv4Addr>().ok().map(|ip| format!("\"{ip}:{ports}\""));
            error("expected an IPv4 address or an IPv6 address in brackets", suggestion)
        }),
    }
}

fn every_address(ports: &str) -> Option<String> {
    port_range(ports).is_ok().then(|| format!("\"0.0.0.0:{ports}\" (IPv4) or \"[::]:{ports}\" (IPv6)"))
}

fn port_range(text: &str) -> Result<(u16, u16), ListenError> {
    let Some((first, last)) = text.split_once('-') else {
        return port(text).map(|port| (port, port));
    };
    let (first, last) = (port(first)?, port(last)?);
    if first == 0 {
        return error("port 0 cannot begin a range", None);
    }
    if first > last {
        return error("the range runs backwards", Some(format!("{last}-{first}")));
    }
    if usize::from(last - first) >= MAX_PORTS {
        return error(format!("more than {MAX_PORTS} ports in a range"), None);
    }
    Ok((first, last))
}

/// Digits only: no sign, no space.
fn port(digits: &str) -> Result<u16, ListenError> {
    if digits.is_empty() {
        return error("no port after the colon", None);
    }
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(port) if plain => Ok(port),
        _ => error("a port is a number from 0 to 65535", None),
    }
}

fn unix(path: &str) -> Result<ListenAddress, ListenError> {
    if path.is_empty() {
        return error("no path after unix:", None);
    }
    if path.contains('\0') {
        return error("0 byte in the path of a Unix socket", None);
    }
    if path.len() > MAX_UNIX_PATH {
        return error(format!("the path of a Unix socket has at most {MAX_UNIX_PATH} bytes"), None);
    }
    if let Some(path) = path.strip_prefix("//") {
        let suggestion = Some(format!("\"unix:/{}\"", path.trim_start_matches('/')));
        return error("unix: takes a path, not a URL", suggestion);
    }
    Ok(ListenAddress::Unix(path.into()))
}

#[cfg(test)]
mod tests {
    use super::super::corpus;
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let list = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn single_addresses_stay_single() {
        for text in ["0.0.0.0:80", "[::]:443", "127.0.0.1:0", "[2001:db8::1]:65535", "unix:/run/a.sock", "unix:a.sock"]
        {
            assert_eq!(shown(text), [text]);
        }
    }

    #[test]
    fn a_range_becomes_its_ports() {
        assert_eq!(shown("0.0.0.0:10001-10003"), ["0.0.0.0:10001", "0.0.0.0:10002", "0.0.0.0:10003"]);
        assert_eq!(shown("[::]:65535-65535"), ["[::]:65535"]);
        assert_eq!(shown("127.0.0.1:1-1000").len(), MAX_PORTS);
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, reason, suggestion) in [
            (":8080", "no address before the port", Some("\"0.0.0.0:8080\" (IPv4) or \"[::]:8080\" (IPv6)")),
            ("*:80", "no address before the port", Some("\"0.0.0.0:80\" (IPv4) or \"[::]:80\" (IPv6)")),
            ("8080", "no address before the port", Some("\"0.0.0.0:8080\" (IPv4) or \"[::]:8080\" (IPv6)")),
            ("::1:80", "no port", Some("\"[::1:80]:80\"")),
            ("fe80::1:2:3:4:5:6:80", "an IPv6 address stands in brackets", Some("\"[fe80::1:2:3:4:5:6]:80\"")),
            ("127.0.0.1", "no port", Some("\"127.0.0.1:80\"")),
            ("localhost:80", "names are not accepted as listen addresses", Some("\"127.0.0.1:80\" or \"[::1]:80\"")),
            ("example.cn:80", "expected an IPv4 address or an IPv6 address in brackets", None),
            (" 127.0.0.1:80", "expected an IPv4 address or an IPv6 address in brackets", Some("\"127.0.0.1:80\"")),
            ("[::1]", "no port after the bracket", None),
            ("[::1]80", "no port after the bracket", None),
            ("[x]:80", "expected an IPv4 address or an IPv6 address in brackets", None),
            ("127.0.0.1:", "no port after the colon", None),
            ("127.0.0.1:65536", "a port is a number from 0 to 65535", None),
            ("127.0.0.1:+80", "a port is a number from 0 to 65535", None),
            ("127.0.0.1:80 ", "a port is a number from 0 to 65535", None),
            ("127.0.0.1:9-1", "the range runs backwards", Some("1-9")),
            ("127.0.0.1:0-9", "port 0 cannot begin a range", None),
            ("127.0.0.1:1-1001", "more than 1000 ports in a range", None),
            ("127.0.0.1:1-", "no port after the colon", None),
            ("", "empty listen address", None),
            ("unix:", "no path after unix:", None),
            ("unix:///run/a", "unix: takes a path, not a URL", Some("\"unix:/run/a\"")),
            ("unix:a\0b", "0 byte in the path of a Unix socket", None),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error.reason, reason, "{text}");
            assert_eq!(error.suggestion.as_deref(), suggestion, "{text}");
        }
        let long = format!("unix:/{}", "a".repeat(107));
        assert_eq!(parse(&long).unwrap_err().reason, "the path of a Unix socket has at most 107 bytes");
    }

    #[test]
    fn no_text_panics_and_what_parses_is_written_back() {
        corpus::run("port_range", |input| {
            let text = String::from_utf8_lossy(input);
            if let Ok(list) = parse(&text) {
                assert!((1..=MAX_PORTS).contains(&list.len()));
                for address in list {
                    assert_eq!(parse(&address.to_string()), Ok(vec![address]));
                }
            }
        });
    }
}
