//! A rule that turns the path of a request into another target, within the server or by a redirect (RFC 9110 15.4).
//! Owns the pattern, the template and the escaping; what happens with the target is for the caller.
//!
//! A client chooses the text that is captured. It is escaped, so that it ends no path and no header line; it never gets
//! into the scheme or the host of a redirect; and it never makes a path begin with two slashes, which a browser would
//! take for another host, or lead up by `..`.

use super::path;
use regex::bytes::{Captures, Regex, RegexBuilder};

/// Longest pattern or template, in bytes.
pub const MAX_TEXT: usize = 2048;
/// Most captures in a template.
pub const MAX_CAPTURES: usize = 16;
/// Longest target that is made, in bytes.
pub const MAX_TARGET: usize = 64 << 10;

/// What to do with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Go on with it in this server. It is to be normalised and matched anew, as if a client had sent it.
    Internal,
    /// Go on with it where the rule stands: no other rule and no other place is looked for.
    Break,
    /// Send the client there with this status: 301, 302, 303, 307 or 308.
    Redirect(u16),
}

/// What to do with the query of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Args {
    /// It is appended to the target, after its own query if it has one.
    Keep,
    /// It is dropped: the template ends with `?`.
    Drop,
}

/// A rule.
#[derive(Debug, Clone)]
pub struct Rewrite {
    pattern: Regex,
    to: Template,
    /// What to do with the target.
    pub kind: Kind,
    /// What to do with the query of the request.
    pub args: Args,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What to do with it.
    pub kind: Kind,
    /// The path and query, escaped, or an absolute URL for a redirect: printable ASCII.
    pub location: String,
}

#[derive(Debug, Clone)]
struct Template {
    /// `https://example.com`, or empty. Captures have no place here.
    origin: String,
    path: Vec<Part>,
    query: Option<Vec<Part>>,
    /// `#part`, or empty.
    fragment: String,
}

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Capture(usize),
}

impl Rewrite {
    /// Reads a rule. `pattern` is a regular expression (the syntax of the crate `regex`) over the bytes of the decoded
    /// path, anchored only where it says so; `.` and classes are of bytes, so that a path need not be UTF-8, and `.` is any
    /// of them, a line end too.
    ///
    /// `to` begins with `/`, with a capture, or with `scheme://host` for a redirect, and is escaped as a URL is. It may
    /// have captures, `$1` to `$9` or `${name}`, in the path and the query; `$$` is a dollar sign. With a `?` at its
    /// end the query of the request is dropped. `flag` is `internal`, `redirect` (302), `permanent` (301), or one of
    /// the statuses.
    ///
    /// # Errors
    ///
    /// What is wrong with which of the three.
    pub fn parse(pattern: &str, to: &str, flag: &str) -> Result<Self, String> {
        let kind = match flag {
            "internal" => Kind::Internal,
            "break" => Kind::Break,
            "redirect" => Kind::Redirect(302),
            "permanent" => Kind::Redirect(301),
            _ => match flag.parse() {
                Ok(status @ (301 | 302 | 303 | 307 | 308)) if flag.len() == 3 => Kind::Redirect(status),
                _ => {
                    return Err(format!(
                        "flag {flag:?}: expected internal, break, redirect, permanent, 301, 302, 303, 307 or 308"
                    ));
                }
            },
        };
        if pattern.len() > MAX_TEXT || to.len() > MAX_TEXT {
            return Err(format!("a pattern or target of more than {MAX_TEXT} bytes"));
        }
        let compiled = RegexBuilder::new(pattern).unicode(false).dot_matches_new_line(true).size_limit(1 << 20).build();
        let compiled = compiled.map_err(|error| format!("pattern {pattern:?}: {}", reason(&error)))?;
        let (to, args) = Template::parse(to, &compiled, kind).map_err(|error| format!("target {to:?}: {error}"))?;
        Ok(Self { pattern: compiled, to, kind, args })
    }

    /// The target for a path, decoded and normalised, and the query of the request. `None` if the pattern does not
    /// match or the target would be longer than [`MAX_TARGET`].
    #[must_use]
    pub fn apply(&self, path: &[u8], query: Option<&[u8]>) -> Option<Target> {
        self.apply_noting(path, query, |_, _| {})
    }

    /// [`Rewrite::apply`], which tells what the named groups matched when there is a target.
    #[must_use]
    pub fn apply_noting(&self, path: &[u8], query: Option<&[u8]>, mut note: impl FnMut(&str, &[u8])) -> Option<Target> {
        let captures = self.pattern.captures(path)?;
        let mut location = self.to.origin.clone();
        push_path(&expand(&self.to.path, &captures)?, &mut location);
        let own = self.to.query.as_ref().map(|query| expand(query, &captures));
        let theirs = query.filter(|query| self.args == Args::Keep && !query.is_empty());
        if own.is_some() || theirs.is_some() {
            location.push('?');
        }
        if let Some(own) = own {
            location.push_str(&own?);
            if theirs.is_some() && !location.ends_with(['?', '&']) {
                location.push('&');
            }
        }
        push_query(theirs.unwrap_or_default(), &mut location);
        location.push_str(&self.to.fragment);
        if location.len() > MAX_TARGET {
            return None;
        }
        for (n, name) in self.pattern.capture_names().enumerate() {
            if let (Some(name), Some(found)) = (name, captures.get(n)) {
                note(name, found.as_bytes());
            }
        }
        Some(Target { kind: self.kind, location })
    }
}

/// The last line of the error of a pattern, which has the reason; those before it are a drawing.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

impl Template {
    fn parse(to: &str, pattern: &Regex, kind: Kind) -> Result<(Self, Args), String> {
        check_bytes(to)?;
        let (origin, rest) = split_origin(to)?;
        let within = !matches!(kind, Kind::Redirect(_));
        if within && !origin.is_empty() {
            return Err("a scheme and a host: only a redirect leaves this server".to_owned());
        }
        let (rest, fragment) = match rest.find('#') {
            Some(_) if within => return Err("a # means nothing within this server".to_owned()),
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        if fragment.contains('$') {
            return Err("a capture after #".to_owned());
        }
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        if path.split('/').any(|segment| matches!(segment, "." | "..")) || path.to_ascii_lowercase().contains("%2e") {
            return Err("a . or .. in the path: write where it leads".to_owned());
        }
        // `/a?` drops the query of the request, `/a?b=c?` too.
        let (query, args) = match query {
            Some("") => (None, Args::Drop),
            Some(query) => match query.strip_suffix('?') {
                Some(query) => (Some(query), Args::Drop),
                None => (Some(query), Args::Keep),
            },
            None => (None, Args::Keep),
        };
        let path = parts(path, pattern)?;
        let query = query.map(|query| parts(query, pattern)).transpose()?;
        let captures = path.iter().chain(query.iter().flatten()).filter(|part| matches!(part, Part::Capture(_)));
        if captures.count() > MAX_CAPTURES {
            return Err(format!("more than {MAX_CAPTURES} captures"));
        }
        Ok((Self { origin: origin.to_owned(), path, query, fragment: fragment.to_owned() }, args))
    }
}

/// What has to be escaped in a URL (RFC 3986 2) has to be here.
fn check_bytes(to: &str) -> Result<(), String> {
    for (at, byte) in to.bytes().enumerate() {
        let after = to.as_bytes().get(at + 1..).unwrap_or_default();
        match byte {
            b'%' if !matches!(after, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()) => {
                return Err("a % without two hexadecimal digits after it".to_owned());
            }
            b' ' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'|' | ..0x20 | 0x7f.. => {
                return Err(format!("the byte '{}' must be percent-encoded", byte.escape_ascii()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Cuts after the host of an absolute URL; what has none begins with `/` or a capture.
fn split_origin(to: &str) -> Result<(&str, &str), String> {
    if to.starts_with("//") {
        return Err("begins with //: write the scheme of a redirect to another host, or one slash".to_owned());
    }
    if to.starts_with(['/', '$']) {
        return Ok(("", to));
    }
    let Some((scheme, rest)) = to.split_once("://") else {
        return Err("must begin with /, a capture or scheme://".to_owned());
    };
    let schemelike = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) || !scheme.bytes().all(schemelike) {
        return Err(format!("{scheme:?} is not a scheme"));
    }
    let host = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, rest) = rest.split_at(host);
    if host.is_empty() {
        return Err("no host after the scheme".to_owned());
    }
    if host.contains('$') {
        return Err("a capture in the host lets clients choose where they are sent: end the host with /".to_owned());
    }
    if host.contains(['@', '{', '}']) {
        return Err(format!("{host:?} is not a host"));
    }
    Ok(to.split_at(to.len() - rest.len()))
}

fn parts(mut text: &str, pattern: &Regex) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    while let Some((before, after)) = text.split_once('$') {
        literal.push_str(before);
        if let Some(rest) = after.strip_prefix('$') {
            literal.push('$');
            text = rest;
            continue;
        }
        let (capture, rest) = capture(after, pattern)?;
        text = rest;
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal)));
        }
        parts.push(Part::Capture(capture));
    }
    literal.push_str(text);
    if literal.contains(['{', '}']) {
        return Err("a brace that belongs to no ${name} must be percent-encoded".to_owned());
    }
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Ok(parts)
}

/// The capture that `text`, what stands after a `$`, begins with, and what stands after it.
fn capture<'a>(text: &'a str, pattern: &Regex) -> Result<(usize, &'a str), String> {
    let (name, rest) = match text.strip_prefix('{') {
        Some(text) => text.split_once('}').ok_or("a ${ without }")?,
        None if text.starts_with(|first: char| first.is_ascii_digit()) => text.split_at(1),
        None => return Err("a $ must be followed by a digit, {name} or another $".to_owned()),
    };
    // The first of them is the whole match.
    let count = pattern.captures_len() - 1;
    let number = match name.parse::<usize>() {
        Ok(number) if (1..=count).contains(&number) => number,
        Ok(number) if number > count => {
            return Err(format!("no capture ${number}: the pattern has {count}"));
        }
        Ok(_) => return Err("captures begin with $1".to_owned()),
        Err(_) => {
            let named = pattern.capture_names().position(|own| own == Some(name));
            named.ok_or_else(|| format!("no capture named {name:?} in the pattern"))?
        }
    };
    Ok((number, rest))
}

/// The text with its captures, escaped. A capture that took no part is empty.
fn expand(parts: &[Part], captures: &Captures<'_>) -> Option<String> {
    let mut out = String::new();
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Capture(index) => {
                path::encode(captures.get(*index).map(|found| found.as_bytes()).unwrap_or_default(), &mut out);
            }
        }
        if out.len() > MAX_TARGET {
            return None;
        }
    }
    Some(out)
}

/// Appends a path: it begins with one slash, and `.` and `..`, of which captures alone can be the cause, are left out
/// rather than followed, so that the target stays below what the template says.
fn push_path(path: &str, out: &mut String) {
    let start = out.len();
    let mut first = true;
    for segment in path.split('/') {
        if matches!(segment, "." | "..") || (segment.is_empty() && first) {
            continue;
        }
        out.push('/');
        out.push_str(segment);
        first = false;
    }
    if out.len() == start {
        out.push('/');
    }
}

/// Appends a query as it is, but for bytes that no query may have (RFC 3986 3.4).
fn push_query(query: &[u8], out: &mut String) {
    for &byte in query {
        if byte.is_ascii_graphic() && !b"#\"<>".contains(&byte) {
            out.push(char::from(byte));
        } else {
            path::encode(&[byte], out);
        }
    }
}
