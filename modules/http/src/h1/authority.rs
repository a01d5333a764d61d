//! The host and port of a request (RFC 3986 section 3.2, RFC 9110 section 4.2). Knows nothing of names that resolve.

use super::scan;
use std::net::Ipv6Addr;

/// The two parts of `uri-host [":" port]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The host as it was sent, an IPv6 address in its brackets. Not empty.
    pub host: &'a [u8],
    /// The port, where one was sent. An empty one is none (RFC 3986 section 3.2.3).
    pub port: Option<u16>,
}

/// Splits `uri-host [":" port]`, the value of `Host` and the target of `CONNECT`. `None` where `bytes` is anything
/// else: an empty host, user information, a list, an IPv6 address that is none, or a port above 65535.
///
/// Of RFC 3986's registered names, those with a comma are refused, because a list of hosts would look like one.
#[must_use]
pub fn authority(bytes: &[u8]) -> Option<Authority<'_>> {
    let length = match bytes.first()? {
        b'[' => address_length(bytes)?,
        _ => name_length(bytes)?,
    };
    let (host, rest) = bytes.split_at_checked(length)?;
    let port = match rest {
        [] | [b':'] => None,
        [b':', digits @ ..] => Some(port(digits)?),
        _ => return None,
    };
    Some(Authority { host, port })
}

/// The bytes of a registered name that stand for themselves: `unreserved` and `sub-delims` of RFC 3986 but the comma.
static HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~')
            || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=');
        byte += 1;
    }
    table
};

/// The length of `"[" IPv6address "]"` in front of `bytes`.
fn address_length(bytes: &[u8]) -> Option<usize> {
    let close = bytes.iter().take(48).position(|&byte| byte == b']')?;
    std::str::from_utf8(&bytes[1..close]).ok()?.parse::<Ipv6Addr>().ok()?;
    Some(close + 1)
}

/// The length of the registered name or IPv4 address in front of `bytes`.
fn name_length(bytes: &[u8]) -> Option<usize> {
    // Nearly all consist of these. A port has at most five digits.
    if scan::is_words(bytes) {
        return Some(bytes.len());
    }
    let mut length = bytes.len().saturating_sub(6);
    while bytes.get(length).is_some_and(|&byte| byte != b':') {
        length += 1;
    }
    if !scan::is_words(&bytes[..length]) {
        length = 0;
    }
    while let Some(&byte) = bytes.get(length) {
        if HOST[usize::from(byte)] {
            length += 1;
        } else if byte == b'%' {
            let [high, low] = bytes.get(length + 1..)?.first_chunk::<2>()?;
            if !high.is_ascii_hexdigit() || !low.is_ascii_hexdigit() {
                return None;
            }
            length += 3;
        } else {
            break;
        }
    }
    if length == 0 { None } else { Some(length) }
}

/// A port of at most five digits, at most 65535.
fn port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 {
        return None;
    }
    let mut port = 0u32;
    for byte in digits {
        port = port * 10 + u32::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?);
    }
    u16::try_from(port).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_and_without_port() {
        for (text, host, port) in [
            ("example.com", "example.com", None),
            ("example.com:8080", "example.com", Some(8080)),
            ("a_b.example.", "a_b.example.", None),
            ("127.0.0.1:1", "127.0.0.1", Some(1)),
            ("a:", "a", None),
            ("a.long-name.example:", "a.long-name.example", None),
            ("[::1]:", "[::1]", None),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1.2.3.4]:443", "[2001:db8::1.2.3.4]", Some(443)),
            ("a%41b", "a%41b", None),
            ("x!$&'()*+;=~y:65535", "x!$&'()*+;=~y", Some(65535)),
        ] {
            let expected = Authority { host: host.as_bytes(), port };
            assert_eq!(authority(text.as_bytes()), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            ":",
            ":80",
            "a:b",
            "a:65536",
            "a:000080",
            "a:+1",
            "a:1:2",
            "u@a",
            "u:p@a",
            "a,b",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a%",
            "a%4",
            "a%4g",
            "::1",
            "[::1",
            "[]",
            "[:::1]",
            "[::1]a",
            "[::1%25eth0]",
            "[v1.a]",
            "[1.2.3.4]",
            "a[",
            "a\"",
            "a<b",
            "a^b",
            "a|b",
            "\u{e9}",
            "a\0",
        ] {
            assert_eq!(authority(text.as_bytes()), None, "{text}");
        }
    }
}
