//! What a proxy adds of itself to a message it passes on: an element of `Forwarded` (RFC 7239) and a member of `Via`
//! (RFC 9110 7.6.3); and how often it finds itself in a `Via`.
//!
//! The text of an element is made by [`Element`]. Here it is put after what others wrote, which must not swallow it.

use super::forwarded::{self, Element};
use super::{is_token, trim};

/// Longest value of others that is passed on, in bytes; of a longer one nothing is.
pub const MAX_VALUE: usize = 8 << 10;
/// Longest name in a `Via`.
pub const MAX_NAME: usize = 255;
/// Longest [`host`], in bytes.
pub const MAX_HOST: usize = 255;

/// The value of `Forwarded` to send on: what came in, if anything did, and `element`.
///
/// What came in is left out if it would make the element mean something else to who reads it from the left: a quote
/// that is not closed, or a control byte. The `Host` of a request is taken for a host only if it looks like one; see
/// [`host`].
#[must_use]
pub fn append_forwarded(existing: Option<&[u8]>, element: &Element<'_>) -> Vec<u8> {
    let element = Element { host: element.host.and_then(host), ..*element };
    forwarded::append_forwarded(existing.filter(|value| is_sound(value, b'"')), &element.text())
}

/// The value of `Host` if it has no bytes but those of a host and a port (RFC 9110 7.2), and is of [`MAX_HOST`] bytes at most.
#[must_use]
pub fn host(value: &[u8]) -> Option<&[u8]> {
    let value = trim(value);
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]!$&'()*+=%".contains(byte);
    ((1..=MAX_HOST).contains(&value.len()) && value.iter().all(known)).then_some(value)
}

/// This hop's member of `Via`, `1.1 name`. `None` where it would be none.
///
/// `version` is the one by which the message came: `1.0`, `1.1`, `2`, `3`. `name` is a pseudonym or a host with its port.
#[must_use]
pub fn via_member(version: &str, name: &str) -> Option<Box<str>> {
    let named = name.len() <= MAX_NAME && (is_token(name.as_bytes()) || host(name.as_bytes()).is_some());
    (named && is_token(version.as_bytes())).then(|| format!("{version} {name}").into())
}

/// Appends to `out` the value of `Via` to send on: what came in, if anything did, and this hop's `member`, which
/// [`via_member`] made.
///
/// What came in is left out if it has a comment that is not closed, a control byte, or is longer than [`MAX_VALUE`].
pub fn append_via(existing: Option<&[u8]>, member: &[u8], out: &mut Vec<u8>) {
    if let Some(existing) = existing.filter(|value| is_sound(value, b'(')).map(trim)
        && !existing.is_empty()
    {
        out.extend_from_slice(existing);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(member);
}

/// Whether the values of `Via`, one a line, name this proxy more than `most` times: the request goes in circles, and
/// the answer is 508 (RFC 5842 7.2). Names are compared without regard to case.
#[must_use]
pub fn loops<'a>(values: impl IntoIterator<Item = &'a [u8]>, name: &str, most: usize) -> bool {
    let own = |member: &&[u8]| {
        // protocol, name, comment
        let mut words = member.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
        let by = words.nth(1).unwrap_or_default();
        by.split(|&byte| byte == b'(').next().is_some_and(|by| by.eq_ignore_ascii_case(name.as_bytes()))
    };
    // A comma within a comment splits it, which can but make one member more: nobody gets out of a loop by it.
    let members = values.into_iter().flat_map(|value| value.split(|&byte| byte == b','));
    members.filter(own).nth(most).is_some()
}

/// Whether what is appended is read as it is meant: no control byte, and every quote or comment is closed.
fn is_sound(value: &[u8], open: u8) -> bool {
    let mut depth = 0_usize;
    let mut bytes = value.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\t' => {}
            _ if byte.is_ascii_control() => return false,
            // A backslash speaks for the next byte within a quote or a comment only (RFC 9110 5.6.4, 5.6.5).
            b'\\' if depth > 0 && bytes.next().is_none_or(u8::is_ascii_control) => return false,
            b'"' if open == b'"' => depth = 1 - depth,
            b'(' if open == b'(' => depth += 1,
            b')' if open == b'(' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    depth == 0 && value.len() <= MAX_VALUE
}
