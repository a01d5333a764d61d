//! The parts of request and status lines (RFC 9112 sections 2.3, 3 and 4).

use super::fields::Span;
use super::{Bad, authority};

/// The version of a message. Others are refused: [`Bad::Version`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
}

/// The methods of RFC 9110 section 9 and `PATCH`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs)]
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    /// Any other token.
    Other,
}

impl Method {
    /// The method of that name. Names of methods are case-sensitive (RFC 9110 section 9.1).
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }
}

/// The forms of a request target (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://authority/path?query`, or `https`; no other scheme is accepted. The authority counts, not `Host`.
    Absolute {
        /// Whether the scheme is `https`.
        https: bool,
        /// Host and port: see [`authority`].
        authority: Span,
        /// What follows the authority. May be empty, or begin with `?`: then `/` belongs in front (or, for `OPTIONS`
        /// and empty, `*` in its place, RFC 9112 section 3.2.4).
        path: Span,
    },
    /// `host:port`, of `CONNECT`.
    Authority,
    /// `*`, of `OPTIONS`.
    Asterisk,
}

/// Where the line after the CRLF at `at` begins; `None` where the bytes end first.
#[inline]
pub(super) fn line_end(bytes: &[u8], at: usize) -> Result<Option<usize>, Bad> {
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some(at + 2)),
        (None, _) | (Some(b'\r'), None) => Ok(None),
        _ => Err(Bad::LineEnd),
    }
}

/// The version at `at`, and where it ends.
#[inline]
pub(super) fn version(bytes: &[u8], at: usize) -> Result<Option<(Version, usize)>, Bad> {
    let rest = bytes.get(at..).unwrap_or_default();
    if let Some(text) = rest.first_chunk::<8>() {
        // As one number. Patterns would be compared byte by byte.
        if text == b"HTTP/1.1" {
            return Ok(Some((Version::Http11, at + 8)));
        }
        if text == b"HTTP/1.0" {
            return Ok(Some((Version::Http10, at + 8)));
        }
    }
    for (place, byte) in rest.iter().take(8).enumerate() {
        let fits = if place == 5 || place == 7 { byte.is_ascii_digit() } else { *byte == b"HTTP/1.1"[place] };
        if !fits {
            return Err(Bad::Protocol);
        }
    }
    if rest.len() < 8 { Ok(None) } else { Err(Bad::Version) }
}

/// The form of the target `bytes`, which lies at `at` in the buffer.
pub(super) fn target(method: Method, bytes: &[u8], at: usize) -> Option<Target> {
    // Most servers take bytes above 0x7f only as UTF-8, which browsers would have percent-encoded.
    if !bytes.is_ascii() && std::str::from_utf8(bytes).is_err() {
        return None;
    }
    if method == Method::Connect {
        return authority(bytes)?.port.map(|_| Target::Authority);
    }
    match bytes {
        [b'/', ..] => Some(Target::Origin),
        b"*" if method == Method::Options => Some(Target::Asterisk),
        _ => {
            let (https, skip) = match memchr::memchr(b'/', bytes)? {
                5 if bytes[..5].eq_ignore_ascii_case(b"http:") => (false, 7),
                6 if bytes[..6].eq_ignore_ascii_case(b"https:") => (true, 8),
                _ => return None,
            };
            let rest = bytes.get(skip..)?;
            if bytes[skip - 1] != b'/' {
                return None;
            }
            let length = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
            authority(&rest[..length])?;
            let path_at = at + skip + length;
            Some(Target::Absolute {
                https,
                authority: Span::between(at + skip, path_at),
                path: Span::between(path_at, at + bytes.len()),
            })
        }
    }
}
