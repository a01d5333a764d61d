//! Finds the host in the head of an HTTP/1 request, to choose a server before any byte is passed on.
//! No HTTP parser: it knows the request line, where a field ends and the one field it wants. What it lets through goes
//! upstream unchanged, so it refuses every head that two readers could understand differently.
//!
//! Sources: RFC 9112 §2.2, §3.2, §5; RFC 9110 §7.2; RFC 9113 §3.4 (the preface of HTTP/2).

use super::host_name;

/// What the reader accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Methods that mark a connection as HTTP; case counts.
    pub methods: Vec<String>,
    /// Longest head, in bytes, up to and with its empty line.
    pub limit: usize,
}

/// The methods of RFC 9110 §9 and PATCH (RFC 5789), and 16 KiB.
impl Default for Rules {
    fn default() -> Self {
        let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
        Self { methods: methods.map(String::from).into(), limit: 16 * 1024 }
    }
}

/// Where a request goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Lower-cased, without a trailing dot; IPv6 in brackets. None for HTTP/1.0 without Host, or an empty Host.
    pub host: Option<String>,
    /// The port beside it, if there was one.
    pub port: Option<u16>,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1 and later ones.
    pub minor_version: u8,
}

/// Verdict over the bytes received so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The whole head was there.
    Parsed(Head),
    /// HTTP/2 with prior knowledge; its host is inside compressed frames.
    Http2Preface,
    /// So far it is a head; at most the limit's bytes are ever needed. See [`Reader::host`].
    NeedMore,
    /// It is as long as the limit, and has not come to its end.
    TooLong,
    /// The first bytes are no allowed method.
    NotHttp,
    /// HTTP, but not to be passed on: why.
    Malformed(&'static str),
}

/// Empty lines that may come first.
const EMPTY_LINES: usize = 2;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Reads the first request's head of one connection.
#[derive(Debug, Default)]
pub struct Reader {
    /// Where the line starts that is being received.
    line: usize,
    /// Bytes looked at.
    scanned: usize,
    request: Option<Request>,
    field: Option<Target>,
}

/// Host and port, where there is a host.
type Target = Option<(String, Option<u16>)>;

#[derive(Debug)]
struct Request {
    minor_version: u8,
    /// The authority in the request line wins over Host (RFC 9112 §3.2.2).
    target: Target,
}

impl Reader {
    /// A reader that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// `received` is everything since the connection began, and grows from call to call.
    pub fn advance(&mut self, rules: &Rules, received: &[u8]) -> Outcome {
        if self.request.is_none() {
            // Empty lines before the request are tolerated (RFC 9112 §2.2), as many as module http does.
            let mut start = received;
            for _ in 0..EMPTY_LINES {
                start = match start {
                    [b'\r'] => return Outcome::NeedMore,
                    [b'\r', b'\n', rest @ ..] => rest,
                    all => all,
                };
            }
            if let Some(verdict) = first_bytes(rules, start) {
                return verdict;
            }
            // After the empty lines both stand behind them for good.
            self.line = received.len() - start.len();
            self.scanned = self.scanned.max(self.line);
        }
        while let Some(&byte) = received.get(self.scanned) {
            if self.scanned >= rules.limit {
                return Outcome::TooLong;
            }
            let after_cr = self.scanned > self.line && received[self.scanned - 1] == b'\r';
            match byte {
                b'\n' if !after_cr => return Outcome::Malformed("bare LF in the request head"),
                b'\n' => {
                    let line = &received[self.line..self.scanned - 1];
                    self.scanned += 1;
                    self.line = self.scanned;
                    match self.end_line(line) {
                        Ok(None) => continue,
                        Ok(Some(head)) => return Outcome::Parsed(head),
                        Err(reason) => return Outcome::Malformed(reason),
                    }
                }
                _ if after_cr => return Outcome::Malformed("bare CR in the request head"),
                0 => return Outcome::Malformed("NUL in the request head"),
                b'\r' | b'\t' | b' '.. if byte != 0x7f => {}
                _ => return Outcome::Malformed("control character in the request head"),
            }
            self.scanned += 1;
        }
        if self.scanned >= rules.limit {
            return Outcome::TooLong;
        }
        Outcome::NeedMore
    }

    /// The host, as far as a head that has not come to its end says it: a later line may make it malformed, and not another.
    pub fn host(&self) -> Option<&str> {
        let request = self.request.as_ref()?;
        let (host, _) = request.target.as_ref().or_else(|| self.field.as_ref()?.as_ref())?;
        Some(host)
    }

    /// Takes a line without its CRLF; answers at the empty one.
    fn end_line(&mut self, line: &[u8]) -> Result<Option<Head>, &'static str> {
        let Some(request) = &mut self.request else {
            self.request = Some(request_line(line)?);
            return Ok(None);
        };
        if !line.is_empty() {
            if let Some(host) = host_field(line)? {
                if self.field.is_some() {
                    return Err("several Host fields");
                }
                self.field = Some(host);
            }
            return Ok(None);
        }
        if self.field.is_none() && request.minor_version > 0 {
            return Err("no Host in an HTTP/1.1 request");
        }
        let target = request.target.take().or_else(|| self.field.take().flatten());
        let (host, port) = target.map_or((None, None), |(host, port)| (Some(host), port));
        Ok(Some(Head { host, port, minor_version: request.minor_version }))
    }
}

/// A verdict if the first bytes already say that it is no HTTP/1, or too few to say.
fn first_bytes(rules: &Rules, start: &[u8]) -> Option<Outcome> {
    if start.starts_with(PREFACE) {
        return Some(Outcome::Http2Preface);
    }
    if PREFACE.starts_with(start) {
        return Some(Outcome::NeedMore);
    }
    let mut may_become = false;
    for method in rules.methods.iter().map(|method| method.as_bytes()) {
        if let Some(rest) = start.strip_prefix(method) {
            match rest.first() {
                Some(b' ') => return None,
                None => may_become = true,
                Some(_) => {}
            }
        } else {
            may_become |= method.starts_with(start);
        }
    }
    Some(if may_become { Outcome::NeedMore } else { Outcome::NotHttp })
}

/// `method SP request-target SP HTTP-version` (RFC 9112 §3).
fn request_line(line: &[u8]) -> Result<Request, &'static str> {
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err("request line without three parts");
    };
    let minor_version = match version {
        b"HTTP/1.0" => 0,
        // A later one is understood as this one (RFC 9110 §2.5).
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => 1,
        _ => return Err("unknown HTTP version"),
    };
    if target.contains(&b'\t') {
        return Err("tab in the request target");
    }
    let target = match (method, target) {
        (b"CONNECT", authority) => match host_name::authority(authority)? {
            (_, None) => return Err("CONNECT without a port"),
            target => Some(target),
        },
        (b"OPTIONS", b"*") | (_, [b'/', ..]) => None,
        (_, absolute) => Some(absolute_form(absolute)?),
    };
    Ok(Request { minor_version, target })
}

/// `scheme "://" authority path-abempty [ "?" query ]` (RFC 9112 §3.2.2).
fn absolute_form(target: &[u8]) -> Result<(String, Option<u16>), &'static str> {
    let colon = target.iter().position(|&byte| byte == b':').ok_or("invalid request target")?;
    let (scheme, rest) = target.split_at(colon);
    let scheme_is_valid = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let (true, Some(rest)) = (scheme_is_valid, rest.strip_prefix(b"://")) else {
        return Err("invalid request target");
    };
    let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
    host_name::authority(&rest[..end])
}

/// The target if this line is the Host field; an error if it is no field line that every reader understands alike
/// (RFC 9112 §5.1, §5.2).
fn host_field(line: &[u8]) -> Result<Option<Target>, &'static str> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err("folded line in the request head");
    }
    let colon = line.iter().position(|&byte| byte == b':').ok_or("field line without a colon")?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.ends_with(b" ") || name.ends_with(b"\t") {
        return Err("space before the colon of a field");
    }
    if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
        return Err("invalid field name");
    }
    if !name.eq_ignore_ascii_case(b"host") {
        return Ok(None);
    }
    let value = value.trim_ascii();
    if value.is_empty() {
        return Ok(Some(None)); // the form for a target without an authority (RFC 9112 §3.2)
    }
    host_name::authority(value).map(|target| Some(Some(target)))
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
#[path = "http_host_tests.rs"]
mod tests;
