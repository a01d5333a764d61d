//! Byte ranges (RFC 9110 14): which bytes a request asks for, and the framing of the answer.

use super::{is_token_byte, trim};

/// What a `Range` header comes to for a representation of known length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// Malformed, of another unit, or more ranges than allowed: answer as if the header were not there.
    Ignore,
    /// Well-formed, but no range has a byte of the representation: answer 416 (RFC 9110 15.5.17).
    Unsatisfiable,
    /// At least one range, as (first byte, byte after the last). Each has at least one byte and ends within the
    /// representation; no two overlap or touch.
    Some(Vec<(u64, u64)>),
}

/// One member of the header.
enum Spec {
    /// First byte and, if given, last byte.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Suffix(u64),
}

/// Reads the value of `Range` (RFC 9110 14.2) for a representation of `len` bytes.
///
/// More than `max_ranges` members make it [`Ranges::Ignore`], counted before any are dropped or merged, so that the
/// work stays bounded. Ranges keep the order of the request (RFC 9110 15.3.7.2), unless some overlap or touch: then
/// all are sorted and those are merged, which takes the profit out of asking for the same bytes many times. Numbers too
/// large for 64 bits count as the largest. A suffix of an empty representation is the whole of it and cannot be written
/// as a range: [`Ranges::Ignore`].
#[must_use]
pub fn parse(value: &[u8], len: u64, max_ranges: usize) -> Ranges {
    let value = trim(value);
    let Some((unit, set)) = value.split_at_checked(5) else { return Ranges::Ignore };
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return Ranges::Ignore;
    }
    let Some(set) = set.strip_prefix(b"=") else { return Ranges::Ignore };
    let mut count = 0_usize;
    let mut whole = false;
    let mut ranges = Vec::new();
    for member in set.split(|&byte| byte == b',') {
        let member = trim(member);
        if member.is_empty() {
            continue;
        }
        count += 1;
        let spec = if count > max_ranges { None } else { parse_spec(member) };
        match spec {
            None => return Ranges::Ignore,
            Some(Spec::From(first, last)) if first < len => {
                ranges.push((first, last.map_or(len, |last| last.saturating_add(1).min(len))));
            }
            Some(Spec::Suffix(1..)) if len == 0 => whole = true,
            Some(Spec::Suffix(size @ 1..)) => ranges.push((len.saturating_sub(size), len)),
            Some(_) => {}
        }
    }
    if count == 0 || whole {
        Ranges::Ignore
    } else if ranges.is_empty() {
        Ranges::Unsatisfiable
    } else {
        Ranges::Some(merge(ranges))
    }
}

fn parse_spec(member: &[u8]) -> Option<Spec> {
    let dash = member.iter().position(|&byte| byte == b'-')?;
    let (first, last) = (member.get(..dash)?, member.get(dash + 1..)?);
    if first.is_empty() {
        return Some(Spec::Suffix(number(last)?));
    }
    let first = number(first)?;
    if last.is_empty() {
        return Some(Spec::From(first, None));
    }
    let last = number(last)?;
    (first <= last).then_some(Spec::From(first, Some(last)))
}

fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0_u64, |sum, &digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))))
}

fn merge(ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    let mut sorted = ranges.clone();
    sorted.sort_unstable();
    if sorted.windows(2).all(|pair| pair[0].1 < pair[1].0) {
        return ranges;
    }
    let mut merged: Vec<(u64, u64)> = Vec::with_capacity(sorted.len());
    for (start, end) in sorted {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// The value of `Content-Range` (RFC 9110 14.4) for the bytes from `start` to before `end` of `len`: `bytes 0-9/100`.
#[must_use]
pub fn content_range(start: u64, end: u64, len: u64) -> String {
    format!("bytes {start}-{}/{len}", end.saturating_sub(1))
}

/// The value of `Content-Range` (RFC 9110 14.4) of a 416 answer: `bytes */100`.
#[must_use]
pub fn content_range_unsatisfied(len: u64) -> String {
    format!("bytes */{len}")
}

/// The framing of a `multipart/byteranges` body (RFC 9110 14.6): for each range its head and then its bytes, and the
/// closing delimiter at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Multipart<'a> {
    boundary: &'a str,
    content_type: Option<&'a str>,
    len: u64,
}

impl<'a> Multipart<'a> {
    /// Frames parts of a representation of `len` bytes and type `content_type` (`None`: parts without a type).
    ///
    /// `None` if `boundary` is not 1 to 70 bytes (RFC 2046 5.1.1) that need no quotes, or if the type has a control
    /// byte, which could end the head early.
    #[must_use]
    pub fn new(boundary: &'a str, content_type: Option<&'a str>, len: u64) -> Option<Self> {
        let token = |byte| is_token_byte(byte) && (byte.is_ascii_alphanumeric() || b"'+_-.".contains(&byte));
        let sound = (1..=70).contains(&boundary.len()) && boundary.bytes().all(token);
        let clean = content_type.is_none_or(|value| !value.bytes().any(|byte| byte.is_ascii_control()));
        (sound && clean).then_some(Self { boundary, content_type, len })
    }

    /// The value of the answer's own `Content-Type`.
    #[must_use]
    pub fn content_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// The bytes before those of the range from `start` to before `end`: delimiter, header lines and the empty line.
    /// `first` says that it is the first part, whose delimiter needs no line break before it.
    #[must_use]
    pub fn part_head(&self, first: bool, (start, end): (u64, u64)) -> Vec<u8> {
        let mut head = String::with_capacity(self.boundary.len() + self.content_type.map_or(0, str::len) + 128);
        if !first {
            head.push_str("\r\n");
        }
        head.push_str("--");
        head.push_str(self.boundary);
        head.push_str("\r\n");
        if let Some(value) = self.content_type {
            head.push_str("Content-Type: ");
            head.push_str(value);
            head.push_str("\r\n");
        }
        head.push_str("Content-Range: ");
        head.push_str(&content_range(start, end, self.len));
        head.push_str("\r\n\r\n");
        head.into_bytes()
    }

    /// The bytes after those of the last range.
    #[must_use]
    pub fn closing(&self) -> Vec<u8> {
        format!("\r\n--{}--\r\n", self.boundary).into_bytes()
    }

    /// The length in bytes of the whole body: the heads, the bytes of `ranges` and the closing delimiter. `None` if it
    /// does not fit in 64 bits or a range ends before it starts.
    #[must_use]
    pub fn content_length(&self, ranges: &[(u64, u64)]) -> Option<u64> {
        let mut total = self.closing().len() as u64;
        for (index, &(start, end)) in ranges.iter().enumerate() {
            total = total.checked_add(self.part_head(index == 0, (start, end)).len() as u64)?;
            total = total.checked_add(end.checked_sub(start)?)?;
        }
        Some(total)
    }
}
