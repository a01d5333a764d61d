//! Credentials of the `Basic` scheme (RFC 7617) and the lines of a password file. No hashing is done here.

/// Most bytes of `Authorization` after the scheme that are decoded; longer ones are refused.
pub const MAX_BASIC: usize = 4096;

/// A user and a password from `Authorization: Basic`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user, without a colon; may be empty.
    pub user: Vec<u8>,
    /// The password; may be empty and may have colons.
    pub password: Vec<u8>,
}

/// Shows the user alone, so that no password gets into a log.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &String::from_utf8_lossy(&self.user)).finish_non_exhaustive()
    }
}

/// Reads the value of `Authorization` for the `Basic` scheme (RFC 7617 2).
///
/// `None` if the scheme is another, the rest is not base64 or longer than [`MAX_BASIC`], there is no colon, or the user
/// or the password has a control byte, which the RFC forbids.
#[must_use]
pub fn basic(value: &[u8]) -> Option<Credentials> {
    let value = super::trim(value);
    let (scheme, rest) = value.split_at_checked(5)?;
    if !scheme.eq_ignore_ascii_case(b"basic") || rest.first() != Some(&b' ') {
        return None;
    }
    let mut plain = base64(super::trim(rest), MAX_BASIC)?;
    if plain.iter().any(u8::is_ascii_control) {
        return None;
    }
    let colon = plain.iter().position(|&byte| byte == b':')?;
    let password = plain.get(colon + 1..)?.to_vec();
    plain.truncate(colon);
    Some(Credentials { user: plain, password })
}

/// Decodes base64 (RFC 4648 4) with its padding. `None` if it is longer than `limit` bytes, has a byte of another
/// alphabet or whitespace, lacks padding, or has bits set that stand for nothing: one text, one spelling.
#[must_use]
pub fn base64(text: &[u8], limit: usize) -> Option<Vec<u8>> {
    if text.len() > limit || !text.len().is_multiple_of(4) {
        return None;
    }
    let body = match text {
        [body @ .., b'=', b'='] | [body @ .., b'='] => body,
        body => body,
    };
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    for group in body.chunks(4) {
        let mut bits = 0_u32;
        for &digit in group {
            bits = bits << 6 | u32::from(sextet(digit)?);
        }
        // The bits of a group that is short by padding are moved to where they are in a full one.
        bits <<= 6 * (4 - group.len());
        let [_, bytes @ ..] = bits.to_be_bytes();
        let (used, unused) = bytes.split_at_checked(group.len().checked_sub(1)?)?;
        if unused.iter().any(|&byte| byte != 0) {
            return None;
        }
        out.extend_from_slice(used);
    }
    Some(out)
}

pub(super) fn sextet(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// A line of a password file that is not `user:rest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub line: usize,
}

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: expected user:password", self.line)
    }
}

impl std::error::Error for BadLine {}

/// The lines of a password file in the manner of `htpasswd`: the number from 1, the user, and what stands after the first
/// colon, both as they are. Empty lines and those that begin with `#` are passed over; a carriage return at the end of a line
/// is not part of it. A line without a colon or with nothing before or after it gives a [`BadLine`], and reading goes on.
/// A user who is there twice is given twice.
pub fn password_lines(text: &[u8]) -> impl Iterator<Item = Result<(usize, &[u8], &[u8]), BadLine>> + '_ {
    text.split(|&byte| byte == b'\n').enumerate().filter_map(|(index, line)| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if super::trim(line).is_empty() || line.first() == Some(&b'#') {
            return None;
        }
        let mut parts = line.splitn(2, |&byte| byte == b':');
        Some(match (parts.next(), parts.next()) {
            (Some(user @ [_, ..]), Some(rest @ [_, ..])) => Ok((index + 1, user, rest)),
            _ => Err(BadLine { line: index + 1 }),
        })
    })
}

/// Whether `presented` is `expected`, without stopping at the first difference: the time depends on the lengths, not on
/// the bytes. Where the length of what is expected is a secret too, compare digests.
#[must_use]
pub fn constant_time_eq(presented: &[u8], expected: &[u8]) -> bool {
    let mut difference = presented.len() ^ expected.len();
    for (index, byte) in presented.iter().enumerate() {
        let other = expected.get(index).copied().unwrap_or_default();
        // The barrier keeps the compiler from leaving the loop once the outcome is certain.
        difference = std::hint::black_box(difference | usize::from(byte ^ other));
    }
    difference == 0
}
