//! Host names as they arrive from peers: checked, lower-cased, in the one form that routing compares.
//! Resolves nothing and decodes no Unicode: names are ASCII, internationalised ones are A-labels (RFC 5890).

use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest host name in presentation form without the root's dot (RFC 1035 §2.3.4).
pub const MAX_LENGTH: usize = 253;

const MAX_LABEL: usize = 63;

/// A DNS name: labels of letters, digits, hyphens and underscores. Lower-cased; one trailing dot is dropped.
///
/// Underscores are no LDH, but names with them are in daily use, resolve, and every browser sends them. An address
/// literal is refused (RFC 6066 §3).
pub fn dns_name(name: &[u8]) -> Result<String, &'static str> {
    let name = labels(name)?;
    if name.rsplit('.').next().is_some_and(is_number) {
        return Err("address literal in place of a host name");
    }
    Ok(name)
}

/// A DNS name or an address literal: `a.example`, `192.0.2.1`, `[2001:db8::1]`. IPv6 keeps its brackets and is put
/// into the form of RFC 5952.
pub fn host(text: &[u8]) -> Result<String, &'static str> {
    if let Some(inner) = text.strip_prefix(b"[") {
        let inner = inner.strip_suffix(b"]").ok_or("unclosed bracket in a host")?;
        let address: Ipv6Addr =
            std::str::from_utf8(inner).ok().and_then(|text| text.parse().ok()).ok_or("invalid IPv6 literal")?;
        return Ok(format!("[{address}]"));
    }
    let name = labels(text)?;
    // A last label of digits is an address or nothing: no top-level domain is numeric, and readers
    // disagree on what `127.1` means.
    if name.rsplit('.').next().is_some_and(is_number) && name.parse::<Ipv4Addr>().is_err() {
        return Err("invalid IPv4 literal");
    }
    Ok(name)
}

/// `host [":" port]` of RFC 3986 §3.2 without userinfo, which HTTP forbids (RFC 9110 §4.2.4).
pub fn authority(text: &[u8]) -> Result<(String, Option<u16>), &'static str> {
    let host_end = match text.first() {
        Some(b'[') => {
            text.iter().position(|&byte| byte == b']').map(|at| at + 1).ok_or("unclosed bracket in a host")?
        }
        _ => text.iter().position(|&byte| byte == b':').unwrap_or(text.len()),
    };
    let (name, rest) = text.split_at(host_end);
    let port = match rest {
        [] | [b':'] => None,
        [b':', digits @ ..] => Some(port(digits)?),
        _ => return Err("bytes after the bracket of a host"),
    };
    Ok((host(name)?, port))
}

fn port(digits: &[u8]) -> Result<u16, &'static str> {
    if digits.len() > 5 {
        return Err("invalid port");
    }
    let value =
        digits.iter().try_fold(0u32, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')));
    value.and_then(|value| u16::try_from(value).ok()).ok_or("invalid port")
}

fn labels(name: &[u8]) -> Result<String, &'static str> {
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.is_empty() {
        return Err("empty host name");
    }
    if name.len() > MAX_LENGTH {
        return Err("host name over 253 bytes");
    }
    for label in name.split(|&byte| byte == b'.') {
        if label.is_empty() {
            return Err("empty label in a host name");
        }
        if label.len() > MAX_LABEL {
            return Err("label over 63 bytes in a host name");
        }
        if !label.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return Err("invalid character in a host name");
        }
        if label.starts_with(b"-") || label.ends_with(b"-") {
            return Err("label of a host name starts or ends with a hyphen");
        }
    }
    Ok(name.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect())
}

fn is_number(label: &str) -> bool {
    label.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_cased_and_lose_the_roots_dot() {
        assert_eq!(dns_name(b"WWW.Example.CN."), Ok("www.example.cn".into()));
        assert_eq!(dns_name(b"xn--Bcher-kva.example"), Ok("xn--bcher-kva.example".into()));
        assert_eq!(dns_name(b"r3---sn-4g5e.example"), Ok("r3---sn-4g5e.example".into()));
        assert_eq!(dns_name(b"a_b.example"), Ok("a_b.example".into()));
        assert_eq!(dns_name(b"localhost"), Ok("localhost".into()));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        let long_label = [b'a'; 64];
        let long_name = b"ab.".repeat(85);
        for name in [
            b"".as_slice(),
            b".",
            b"a..b",
            b"a.b..",
            b".a",
            b"-a.b",
            b"a-.b",
            b"xn--.b",
            b"a b",
            b"a\0b",
            b"*.example",
            b"b\xc3\xbccher.example",
            b"a/b",
            b"a%41",
            b"192.0.2.1",
            b"::1",
            &long_label,
            &long_name,
        ] {
            assert!(dns_name(name).is_err(), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn a_host_may_be_an_address() {
        assert_eq!(host(b"192.0.2.1"), Ok("192.0.2.1".into()));
        assert_eq!(host(b"[2001:DB8:0:0::1]"), Ok("[2001:db8::1]".into()));
        for text in [b"127.1".as_slice(), b"192.0.2.256", b"[::1", b"[]", b"[fe80::1%25eth0]", b"[v1.a]", b"::1"] {
            assert!(host(text).is_err(), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn an_authority_gives_host_and_port() {
        assert_eq!(authority(b"A.example:8080"), Ok(("a.example".into(), Some(8080))));
        assert_eq!(authority(b"a.example:"), Ok(("a.example".into(), None)));
        assert_eq!(authority(b"[::1]:443"), Ok(("[::1]".into(), Some(443))));
        assert_eq!(authority(b"[::1]"), Ok(("[::1]".into(), None)));
        for text in [
            b"".as_slice(),
            b":80",
            b"a:65536",
            b"a:+1",
            b"a:000080",
            b"a:8a",
            b"::1",
            b"a:1:2",
            b"u@a",
            b"u:p@a",
            b"[::1]80",
            b"a, b",
        ] {
            assert!(authority(text).is_err(), "{}", text.escape_ascii());
        }
    }
}
