//! Which content coding to answer with (RFC 9110 12.5.3), and which content types are worth one.

use super::{is_token, trim};

/// Most members of an `Accept-Encoding` that are looked at; those after them count as absent.
pub const MAX_CODINGS: usize = 64;

/// A content coding (RFC 9110 8.4.1, RFC 7932, RFC 8878).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// `gzip`, also known as `x-gzip`
    Gzip,
    /// `br`
    Brotli,
    /// `zstd`
    Zstd,
    /// `identity`: no coding at all
    Identity,
}

impl Coding {
    /// The name as it stands in `Content-Encoding`; `identity` does not belong there.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Identity => "identity",
        }
    }

    /// The coding of this name in any case, or `None` if it is another.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let known: [(&[u8], Self); 5] = [
            (b"gzip", Self::Gzip),
            (b"x-gzip", Self::Gzip),
            (b"br", Self::Brotli),
            (b"zstd", Self::Zstd),
            (b"identity", Self::Identity),
        ];
        known.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|&(_, coding)| coding)
    }
}

/// Chooses one of `available`, which is in the server's order of preference, for the value of `Accept-Encoding`.
///
/// The highest weight wins, and the server's order settles a draw. An unnamed `identity` is acceptable, after everything
/// that is named, unless `*;q=0` rules it out. Without the header (`None`) the choice is `identity`, if that is
/// available: anything would do, but who does not ask often cannot decode. An empty header accepts `identity` alone.
/// A member that is malformed is passed over; of two members for one coding the first counts.
///
/// `None` if nothing that is available is acceptable: send `identity` nonetheless, or answer 406.
#[must_use]
pub fn negotiate(value: Option<&[u8]>, available: &[Coding]) -> Option<Coding> {
    let Some(value) = value else {
        let plain = available.iter().find(|&&coding| coding == Coding::Identity);
        return plain.or_else(|| available.first()).copied();
    };
    let mut named: [Option<u16>; 4] = [None; 4];
    let mut star = None;
    for member in value.split(|&byte| byte == b',').filter(|member| !trim(member).is_empty()).take(MAX_CODINGS) {
        let Some((name, weight)) = parse_member(member) else { continue };
        let slot = if name == b"*" {
            &mut star
        } else if let Some(coding) = Coding::from_name(name) {
            &mut named[coding as usize]
        } else {
            continue;
        };
        slot.get_or_insert(weight);
    }
    // Ranks are doubled weights, which leaves 1 free: above "not acceptable", below the least weight of a named one.
    let rank = |coding: Coding| match (named[coding as usize].or(star), coding) {
        (Some(weight), _) => u32::from(weight) * 2,
        (None, Coding::Identity) => 1,
        (None, _) => 0,
    };
    let mut best = None;
    let mut highest = 0;
    for &coding in available {
        if rank(coding) > highest {
            highest = rank(coding);
            best = Some(coding);
        }
    }
    best
}

/// The name and the weight of one member of the list.
fn parse_member(member: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = member.splitn(2, |&byte| byte == b';');
    let name = trim(parts.next()?);
    if !is_token(name) {
        return None;
    }
    match parts.next() {
        None => Some((name, 1000)),
        Some(weight) => match trim(weight) {
            [b'q' | b'Q', b'=', value @ ..] => Some((name, parse_weight(value)?)),
            _ => None,
        },
    }
}

/// Reads a weight (RFC 9110 12.4.2) in thousandths, 0 to 1000. `None` if it is malformed.
#[must_use]
pub fn parse_weight(value: &[u8]) -> Option<u16> {
    let (whole, rest) = value.split_first()?;
    let digits = match rest {
        [] => rest,
        [b'.', digits @ ..] if digits.len() <= 3 => digits,
        _ => return None,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let part = (0..3).fold(0, |sum, at| sum * 10 + digits.get(at).map_or(0, |&digit| u16::from(digit - b'0')));
    match (whole, part) {
        (b'0', part) => Some(part),
        (b'1', 0) => Some(1000),
        _ => None,
    }
}

/// Whether a `Content-Type` (RFC 9110 8.3.1) is one of `patterns`. Its parameters and the case of letters do not count.
///
/// A pattern is a type like `application/json`, all subtypes of one like `text/*`, all subtypes with a suffix like
/// `application/*+json`, or everything as `*/*` or `*`.
#[must_use]
pub fn type_matches<P: AsRef<str>>(content_type: &[u8], patterns: &[P]) -> bool {
    let essence = trim(content_type.split(|&byte| byte == b';').next().unwrap_or_default());
    let Some((major, minor)) = split_type(essence) else { return false };
    patterns.iter().any(|pattern| {
        let pattern = pattern.as_ref().trim();
        if pattern == "*" || pattern == "*/*" {
            return true;
        }
        let Some((want_major, want_minor)) = split_type(pattern.as_bytes()) else { return false };
        want_major.eq_ignore_ascii_case(major)
            && match want_minor.strip_prefix(b"*") {
                Some(suffix) => minor
                    .len()
                    .checked_sub(suffix.len())
                    .and_then(|at| minor.get(at..))
                    .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
                None => want_minor.eq_ignore_ascii_case(minor),
            }
    })
}

fn split_type(essence: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = essence.iter().position(|&byte| byte == b'/')?;
    let (major, minor) = (essence.get(..slash)?, essence.get(slash + 1..)?);
    (is_token(major) && is_token(minor)).then_some((major, minor))
}
