//! The parts of request and status lines (RFC 9112 sections 2.3, 3 and 4).

use super::fields::Span;
use super::{Bad, Head, authority, scan};

/// The version of a message. Other major versions are refused: [`Bad::Version`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1, and what a later minor version sends, which is to be understood in the same way (RFC 9110 section 2.5).
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

impl Head {
    /// A line that is like nearly all: `GET`, a path, and HTTP/1.1, right at the beginning.
    #[inline]
    fn usual_request_line(&mut self, bytes: &[u8]) -> Option<usize> {
        let rest = bytes.strip_prefix(b"GET ")?;
        let len = scan::path_end(rest);
        let end: &[u8; 11] = rest.get(len..)?.first_chunk()?;
        if self.at != 0 || end != b" HTTP/1.1\r\n" || rest.first() != Some(&b'/') {
            return None;
        }
        self.version = Version::Http11;
        self.method = Method::Get;
        self.first = Span::between(0, 3);
        self.second = Span::between(4, 4 + len);
        self.target = Target::Origin;
        Some(4 + len + end.len())
    }

    /// Reads the request line at `self.at`, where empty lines may come before it. Returns where the next line begins, or
    /// `None` where the bytes end first.
    pub(super) fn request_line(&mut self, bytes: &[u8]) -> Result<Option<usize>, Bad> {
        if let Some(next) = self.usual_request_line(bytes) {
            return Ok(Some(next));
        }
        while let Some(b'\r' | b'\n') = bytes.get(self.at as usize) {
            match line_end(bytes, self.at as usize)? {
                Some(next) if next > 4 => return Err(Bad::Method),
                Some(next) => self.at = next as u32,
                None => return Ok(None),
            }
        }
        let start = self.at as usize;
        let method_end = scan::token_end(bytes, start);
        match bytes.get(method_end) {
            Some(b' ') if method_end > start => {}
            Some(_) => return Err(Bad::Method),
            None => return Ok(None),
        }
        let target_at = method_end + 1;
        let target_end = scan::target_end(bytes, target_at);
        match bytes.get(target_end) {
            Some(b' ') => {}
            Some(_) => return Err(Bad::Target),
            None => return Ok(None),
        }
        self.first = Span::between(start, method_end);
        self.second = Span::between(target_at, target_end);
        self.method = Method::of(&bytes[start..method_end]);
        self.target = target(self.method, &bytes[target_at..target_end], target_at).ok_or(Bad::Target)?;
        let Some((version, end)) = version(bytes, target_end + 1)? else { return Ok(None) };
        self.version = version;
        match bytes.get(end) {
            None | Some(b'\r' | b'\n') => line_end(bytes, end),
            Some(_) => Err(Bad::Protocol),
        }
    }

    /// As [`Head::request_line`], for the status line. Nothing may come before it.
    pub(super) fn status_line(&mut self, bytes: &[u8]) -> Result<Option<usize>, Bad> {
        // Most responses have this one.
        if bytes.starts_with(b"HTTP/1.1 200 OK\r\n") {
            self.version = Version::Http11;
            self.status = 200;
            self.first = Span::between(9, 12);
            self.second = Span::between(13, 15);
            return Ok(Some(17));
        }
        let Some((version, end)) = version(bytes, 0)? else { return Ok(None) };
        self.version = version;
        match bytes.get(end) {
            Some(b' ') => {}
            Some(_) => return Err(Bad::Protocol),
            None => return Ok(None),
        }
        let mut status = 0;
        for at in 0..3 {
            match bytes.get(end + 1 + at) {
                Some(digit @ b'0'..=b'9') if at > 0 || *digit != b'0' => status = status * 10 + u16::from(digit - b'0'),
                Some(_) => return Err(Bad::Status),
                None => return Ok(None),
            }
        }
        self.status = status;
        self.first = Span::between(end + 1, end + 4);
        // The space after the status is required even where no reason follows, but servers leave it out.
        let reason_at = match bytes.get(end + 4) {
            Some(b' ') => end + 5,
            Some(b'\r' | b'\n') => end + 4,
            Some(_) => return Err(Bad::Status),
            None => return Ok(None),
        };
        let reason_end = scan::value_end(bytes, reason_at);
        self.second = Span::between(reason_at, reason_end);
        match bytes.get(reason_end) {
            None | Some(b'\r' | b'\n') => line_end(bytes, reason_end),
            Some(_) => Err(Bad::Status),
        }
    }
}

/// Where the line after the CRLF at `at` begins; `None` where the bytes end first.
#[inline]
fn line_end(bytes: &[u8], at: usize) -> Result<Option<usize>, Bad> {
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => Ok(Some(at + 2)),
        (None, _) | (Some(b'\r'), None) => Ok(None),
        _ => Err(Bad::LineEnd),
    }
}

/// The version at `at`, and where it ends.
#[inline]
fn version(bytes: &[u8], at: usize) -> Result<Option<(Version, usize)>, Bad> {
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
    match rest.get(5) {
        _ if rest.len() < 8 => Ok(None),
        Some(b'1') => Ok(Some((Version::Http11, at + 8))),
        _ => Err(Bad::Version),
    }
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
