//! Which pages may open a WebSocket (RFC 6455 section 10.2), by the origin that their browser tells (RFC 6454 section 6.2).

/// One entry of `websocket_origins`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// With `://`. Empty: any, with any port.
    scheme: String,
    /// Host, and the port if there is a scheme. Small letters.
    host: String,
    /// It is the end of the host.
    below: bool,
}

impl Allowed {
    /// `None`: it is neither a host nor an origin.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, host) = split(text);
        let (below, host) = match host.strip_prefix('*') {
            Some(rest) if rest.starts_with('.') && rest.len() > 1 => (true, rest),
            _ => (false, host),
        };
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        let fits = !host.is_empty() && host.bytes().all(known) && scheme != Some("");
        // Without a scheme any port is right, and one that is said would never count.
        let port = scheme.is_none() && host_of(host) != host;
        let scheme = scheme.map_or_else(String::new, |s| format!("{}://", s.to_ascii_lowercase()));
        (fits && !port).then(|| Self { scheme, host: host.to_ascii_lowercase(), below })
    }

    /// Whether a request with this Origin is let in.
    pub(crate) fn allows(&self, origin: &[u8]) -> bool {
        let Ok(origin) = std::str::from_utf8(origin) else { return false };
        let origin = origin.to_ascii_lowercase();
        let (scheme, host) = split(&origin);
        let host = if self.scheme.is_empty() {
            host_of(host)
        } else if scheme.is_some_and(|s| self.scheme.strip_suffix("://") == Some(s)) {
            host
        } else {
            return false;
        };
        if self.below { host.len() > self.host.len() && host.ends_with(&self.host) } else { host == self.host }
    }
}

fn split(origin: &str) -> (Option<&str>, &str) {
    origin.split_once("://").map_or((None, origin), |(scheme, host)| (Some(scheme), host))
}

/// Without the port. The colons of an address in brackets are its own.
fn host_of(host: &str) -> &str {
    let from = host.rfind(']').unwrap_or(0);
    host[from..].find(':').map_or(host, |at| &host[..from + at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(entry: &str, origin: &str) -> bool {
        Allowed::parse(entry).unwrap_or_else(|| panic!("{entry}")).allows(origin.as_bytes())
    }

    #[test]
    fn a_host_is_right_with_any_scheme_and_port() {
        for origin in ["https://a.example", "http://A.example:8080", "https://a.example:443"] {
            assert!(allows("a.Example", origin), "{origin}");
        }
        for origin in
            ["https://b.a.example", "https://a.example.org", "https://xa.example", "null", "", "a.example.x:1"]
        {
            assert!(!allows("a.example", origin), "{origin}");
        }
        assert!(allows("[::1]", "http://[::1]:3000"));
        assert!(allows("null", "null"));
    }

    #[test]
    fn a_scheme_binds_the_port_too() {
        assert!(allows("https://a.example", "https://a.example"));
        assert!(!allows("https://a.example", "http://a.example"));
        assert!(!allows("https://a.example", "https://a.example:8443"));
        assert!(allows("https://a.example:8443", "https://a.example:8443"));
        assert!(!allows("https://a.example", "a.example"));
    }

    #[test]
    fn a_wildcard_is_for_what_is_below() {
        assert!(allows("*.a.example", "https://x.a.example") && allows("*.a.example", "https://y.x.a.example:1"));
        assert!(!allows("*.a.example", "https://a.example") && !allows("*.a.example", "https://xa.example"));
        assert!(!allows("*.a.example", "https://x.a.example.evil.test"));
        assert!(allows("https://*.a.example", "https://x.a.example"));
        assert!(!allows("https://*.a.example", "http://x.a.example"));
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for entry in ["", "*", "*.", "a b", "://a", "https://", "a.example/x", "x*.a", "a.example:80", "https://a/"] {
            assert_eq!(Allowed::parse(entry), None, "{entry}");
        }
    }
}
