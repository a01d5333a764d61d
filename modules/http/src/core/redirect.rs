//! What an upstream's answer says of its own place, rewritten to the place that clients know: `Location` (RFC 9110
//! 10.2.2), `Content-Location`, `Refresh`, and the domain and path of a cookie (RFC 6265 4.1.2).
//!
//! What is made has no control byte; a value that has one is left alone, for the caller to refuse.

use super::trim;

/// Longest value that is looked at, in bytes; longer ones are left alone.
pub const MAX_VALUE: usize = 16 << 10;

/// A rule for URLs: what begins with one thing begins with another. It ends where a name in a path or a host does:
/// `/one` is not the beginning of `/ones`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    origin: Option<Origin>,
    path: String,
    /// Whether a path without a host is meant too.
    pathlike: bool,
    to: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    /// `None`: any, as in `//host`.
    scheme: Option<String>,
    /// In lower case and without the scheme's own port.
    authority: String,
}

impl Rule {
    /// A rule from a beginning, `http://backend:8080/app/` or `/app/`, to another, such as `https://example.com/` or
    /// `/`. With a host it is for URLs with that host alone, and without for paths alone.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn new(from: &str, to: &str) -> Result<Self, String> {
        for text in [from, to] {
            if text.len() > MAX_VALUE || !text.bytes().all(|byte| byte.is_ascii_graphic()) || text.contains('\\') {
                return Err(format!("{text:?}: not a URL or a path"));
            }
            if !text.starts_with('/') && split(text.as_bytes()).is_none_or(|(origin, _)| origin.is_none()) {
                return Err(format!("{text:?}: must begin with / or http://host"));
            }
        }
        if to.starts_with("//") {
            return Err(format!("{to:?}: write the scheme"));
        }
        let (origin, path) = split(from.as_bytes()).ok_or_else(|| format!("{from:?}: not a URL or a path"))?;
        let path = std::str::from_utf8(path).unwrap_or_default().to_owned();
        Ok(Self { pathlike: origin.is_none(), origin, path, to: to.to_owned() })
    }

    /// The rule that a proxied place has by default: what is below `upstream`, the URL that requests are passed to, is
    /// below `public`, the place they came to. A path without a host is taken for the upstream's too; an upstream that
    /// writes paths as clients know them needs no rule.
    ///
    /// # Errors
    ///
    /// What is wrong.
    pub fn default_of(upstream: &str, public: &str) -> Result<Self, String> {
        let mut rule = Self::new(upstream, public)?;
        if rule.origin.is_none() {
            return Err(format!("{upstream:?}: not a URL"));
        }
        if rule.path.is_empty() {
            rule.path.push('/');
        }
        rule.pathlike = true;
        Ok(rule)
    }

    fn apply(&self, origin: Option<&Origin>, path: &[u8]) -> Option<Vec<u8>> {
        let fits = match (&self.origin, origin) {
            (Some(own), Some(other)) => own.is(other),
            (_, None) => self.pathlike,
            (None, Some(_)) => false,
        };
        // A URL may end with its host.
        let path = if path.is_empty() && !self.path.is_empty() { b"/" } else { path };
        let rest = strip_place(path, self.path.as_bytes()).filter(|_| fits)?;
        let mut out = self.to.clone().into_bytes();
        join(rest, &mut out);
        if out.starts_with(b"/") {
            // Two slashes, or a backslash for one, would be another host to a browser.
            let slashes = out.iter().take_while(|&&byte| matches!(byte, b'/' | b'\\')).count();
            out.drain(1..slashes);
        }
        Some(out)
    }
}

impl Origin {
    fn is(&self, other: &Self) -> bool {
        let either = self.scheme.as_ref().zip(other.scheme.as_ref());
        self.authority == other.authority && either.is_none_or(|(own, other)| own == other)
    }
}

/// The origin of a URL, if it has one, and what is after it. `None` for a URL of another kind: relative to a directory,
/// without a host, or with a user.
fn split(url: &[u8]) -> Option<(Option<Origin>, &[u8])> {
    let (scheme, rest) = match url {
        [b'/', b'/', rest @ ..] => (None, rest),
        [b'/', ..] => return Some((None, url)),
        _ => {
            let colon = url.iter().position(|&byte| byte == b':')?;
            let scheme = std::str::from_utf8(url.get(..colon)?).ok()?.to_ascii_lowercase();
            let named = scheme == "http" || scheme == "https";
            (Some(scheme).filter(|_| named), url.get(colon..)?.strip_prefix(b"://").filter(|_| named)?)
        }
    };
    let end = rest.iter().position(|byte| b"/?#\\".contains(byte)).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let mut authority = std::str::from_utf8(authority).ok()?.to_ascii_lowercase();
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    let default = match scheme.as_deref() {
        Some("http") => ":80",
        Some("https") => ":443",
        _ => ":",
    };
    if let Some(host) = authority.strip_suffix(default) {
        authority.truncate(host.len());
    }
    Some((Some(Origin { scheme, authority }), path))
}

/// What is left of `path` below `place`, if it is there.
fn strip_place<'a>(path: &'a [u8], place: &[u8]) -> Option<&'a [u8]> {
    let rest = path.strip_prefix(place)?;
    (place.ends_with(b"/") || matches!(rest, [] | [b'/' | b'?' | b'#', ..])).then_some(rest)
}

/// Appends what is left to where it goes now, with one slash between them.
fn join(rest: &[u8], out: &mut Vec<u8>) {
    match (out.last() == Some(&b'/'), rest) {
        (true, [b'/', rest @ ..]) => out.extend_from_slice(rest),
        (false, [first, ..]) if !b"/?#".contains(first) => {
            out.push(b'/');
            out.extend_from_slice(rest);
        }
        _ => out.extend_from_slice(rest),
    }
}

fn is_sound(value: &[u8]) -> bool {
    value.len() <= MAX_VALUE && !value.iter().any(u8::is_ascii_control)
}

/// The value of `Location` or `Content-Location` to send, by the first rule that fits. `None`: as it is.
#[must_use]
pub fn rewrite_location(value: &[u8], rules: &[Rule]) -> Option<Vec<u8>> {
    let value = trim(value);
    let (origin, path) = split(value).filter(|_| is_sound(value))?;
    rules.iter().find_map(|rule| rule.apply(origin.as_ref(), path)).filter(|out| out != value)
}

/// The value of `Refresh`, `5; url=/there`, with its URL rewritten as [`rewrite_location`] does. `None`: as it is.
#[must_use]
pub fn rewrite_refresh(value: &[u8], rules: &[Rule]) -> Option<Vec<u8>> {
    let start = value.windows(4).position(|part| part.eq_ignore_ascii_case(b"url="))? + 4;
    let (head, url) = value.split_at_checked(start).filter(|_| is_sound(value))?;
    let url = trim(url);
    let (quote, inner) = match url {
        [quote @ (b'"' | b'\''), inner @ .., last] if quote == last => (Some(*quote), inner),
        _ => (None, url),
    };
    let mut out = head.to_vec();
    out.extend(quote);
    out.extend(rewrite_location(inner, rules)?);
    out.extend(quote);
    Some(out)
}

/// A rule for the `Domain` of cookies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRule {
    /// The domain, in any case and with or without a dot before it. `None`: any.
    pub from: Option<String>,
    /// What it becomes. `None`: the attribute is left out, and the cookie is the proxy's host's alone.
    pub to: Option<String>,
}

/// A rule for the `Path` of cookies: what is below one path is below another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRule {
    /// The path, `/` or `/app/`.
    pub from: String,
    /// What it becomes.
    pub to: String,
}

/// The value of `Set-Cookie` to send, with its `Domain` and its `Path` by the first rule that fits each. `None`: as it
/// is. A cookie whose name begins with `__Host-` is left alone: it has no domain, and its path is `/`.
#[must_use]
pub fn rewrite_cookie(value: &[u8], domain_rules: &[DomainRule], path_rules: &[PathRule]) -> Option<Vec<u8>> {
    if !is_sound(value) || trim(value).get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"__host-")) {
        return None;
    }
    let mut out = Vec::with_capacity(value.len());
    let mut changed = false;
    for (index, attribute) in value.split(|&byte| byte == b';').enumerate() {
        let new = if index == 0 { None } else { new_attribute(attribute, domain_rules, path_rules) };
        changed |= new.is_some();
        match new {
            Some(None) => continue,
            Some(Some((name, value))) => {
                out.extend_from_slice(b"; ");
                out.extend_from_slice(name);
                out.push(b'=');
                out.extend_from_slice(&value);
            }
            None => {
                if index > 0 {
                    out.push(b';');
                }
                out.extend_from_slice(attribute);
            }
        }
    }
    changed.then_some(out)
}

/// `None`: as it is. `Some(None)`: left out.
type New = Option<Option<(&'static [u8], Vec<u8>)>>;

fn new_attribute(attribute: &[u8], domain_rules: &[DomainRule], path_rules: &[PathRule]) -> New {
    let equals = attribute.iter().position(|&byte| byte == b'=')?;
    let (name, value) = (trim(attribute.get(..equals)?), trim(attribute.get(equals + 1..)?));
    // A rule that would end the attribute or the line does not count.
    let sound = |text: &[u8]| !text.contains(&b';') && is_sound(text);
    if name.eq_ignore_ascii_case(b"domain") {
        let value = value.strip_prefix(b".").unwrap_or(value);
        let rule = domain_rules.iter().find(|rule| {
            let own = rule.from.as_ref().map(|own| own.strip_prefix('.').unwrap_or(own));
            own.is_none_or(|own| own.as_bytes().eq_ignore_ascii_case(value))
        })?;
        return match &rule.to {
            Some(to) => sound(to.as_bytes()).then(|| Some((&b"Domain"[..], to.clone().into_bytes()))),
            None => Some(None),
        };
    }
    if name.eq_ignore_ascii_case(b"path") {
        return path_rules.iter().find_map(|rule| {
            // The path of a cookie has no slash at its end, often enough.
            let place = rule.from.as_bytes();
            let bare = place.strip_suffix(b"/").filter(|bare| !bare.is_empty() && *bare == value);
            let rest = if bare.is_some() { Some(&b""[..]) } else { strip_place(value, place) };
            let mut out = rule.to.clone().into_bytes();
            join(rest?, &mut out);
            sound(&out).then_some(Some((&b"Path"[..], out)))
        });
    }
    None
}
