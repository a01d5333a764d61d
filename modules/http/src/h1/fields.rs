//! The field lines of a head or a trailer section (RFC 9112 section 5): where names and values lie in the caller's bytes.
//! Knows nothing of start lines or of what a field means.

use super::name::{Id, Ids};
use super::{Bad, scan};

/// A part of the caller's buffer: offset and length in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub at: u32,
    /// Length.
    pub len: u32,
}

impl Span {
    pub(super) fn between(start: usize, end: usize) -> Self {
        Self { at: start as u32, len: (end - start) as u32 }
    }

    /// The bytes, out of the buffer that was parsed; empty where they are not in `buf`.
    #[must_use]
    #[inline]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        buf.get(self.at as usize..).and_then(|rest| rest.get(..self.len as usize)).unwrap_or_default()
    }
}

/// One field line: 12 bytes that say where its name and value lie. The line begins with its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderAt {
    name_at: u32,
    value_at: u32,
    value_len: u16,
    name_len: u8,
    /// Which field it is.
    pub id: Id,
}

impl HeaderAt {
    /// The name, out of the buffer that was parsed, as it was sent.
    #[must_use]
    #[inline]
    pub fn name<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        Span { at: self.name_at, len: u32::from(self.name_len) }.of(buf)
    }

    /// The value, out of the buffer that was parsed, without the white space around it. May be empty.
    #[must_use]
    #[inline]
    pub fn value<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        Span { at: self.value_at, len: u32::from(self.value_len) }.of(buf)
    }

    /// Offset of the line in the buffer.
    #[must_use]
    pub fn line(&self) -> usize {
        self.name_at as usize
    }
}

/// Lines and bytes up to which others can be appended to a head.
const MOST_LINES: usize = 4096;
const MOST_BYTES: usize = 16 << 20;

/// What comes in a section where no whole field line does.
pub(super) enum NoField {
    /// The empty line; what follows the section begins there.
    End(usize),
    /// The bytes end inside a line.
    More,
}

/// The field lines of one section, in the order they were sent. Reused from message to message.
#[derive(Clone, Debug)]
pub struct Fields {
    list: Vec<HeaderAt>,
    /// Offset of the empty line.
    end: u32,
    seen: Ids,
    repeated: Ids,
    /// Where each id is first in `list`; meant only where `seen` has it.
    first: [u16; Id::COUNT],
}

impl Default for Fields {
    fn default() -> Self {
        Self { list: Vec::new(), end: 0, seen: Ids::NONE, repeated: Ids::NONE, first: [0; Id::COUNT] }
    }
}

impl Fields {
    /// Parses a whole section: field lines, then the empty line. Returns its length.
    ///
    /// # Errors
    /// What is wrong with the first bad line; [`Bad::TrailersTooLarge`] for more than `most` lines or 4 GiB;
    /// [`Bad::Truncated`] where the empty line is missing.
    pub fn parse(&mut self, bytes: &[u8], most: u16) -> Result<usize, Bad> {
        self.clear();
        if u32::try_from(bytes.len()).is_err() {
            return Err(Bad::TrailersTooLarge);
        }
        let at = self.read(bytes, 0, most).ok_or(Bad::TrailersTooLarge)?;
        match no_field(bytes, at)? {
            NoField::End(next) => {
                self.finish(at);
                Ok(next)
            }
            NoField::More => Err(Bad::Truncated),
        }
    }

    pub(super) fn clear(&mut self) {
        self.list.clear();
        self.end = 0;
        self.seen = Ids::NONE;
        self.repeated = Ids::NONE;
    }

    /// Reads field lines from `at` on, and returns where something else comes: see [`no_field`]. `None` for more than
    /// `most` lines. Offsets fit `u32` because the caller bounds `bytes`.
    #[inline(always)]
    pub(super) fn read(&mut self, bytes: &[u8], at: usize, most: u16) -> Option<usize> {
        let Some(mut left) = bytes.get(at..) else { return Some(at) };
        while let Some((header, next)) = field(left, bytes.len()) {
            if self.list.len() >= usize::from(most) {
                return None;
            }
            self.push(header);
            left = next;
        }
        Some(bytes.len() - left.len())
    }

    #[inline]
    fn push(&mut self, header: HeaderAt) {
        if self.seen.has(header.id) {
            self.repeated = self.repeated.with(header.id);
        } else {
            self.seen = self.seen.with(header.id);
            self.first[header.id as usize] = self.list.len() as u16;
        }
        self.list.push(header);
    }

    /// Appends a line to `bytes`, which end with the line before, and notes it.
    pub(super) fn append(&mut self, name: &[u8], value: &[u8], bytes: &mut Vec<u8>) -> Result<(), Bad> {
        let value = scan::trim(value);
        let (Ok(name_len), Ok(value_len)) = (u8::try_from(name.len()), u16::try_from(value.len())) else {
            return Err(Bad::HeadTooLarge);
        };
        let at = bytes.len();
        if self.list.len() >= MOST_LINES || at > MOST_BYTES {
            return Err(Bad::TooManyHeaders);
        }
        super::write::field(name, value, bytes)?;
        let value_at = (at + name.len() + 2) as u32;
        self.push(HeaderAt { name_at: at as u32, value_at, value_len, name_len, id: Id::of(name) });
        self.finish(bytes.len());
        Ok(())
    }

    /// Notes where the empty line is.
    pub(super) fn finish(&mut self, end: usize) {
        self.end = end as u32;
    }

    /// The lines in order.
    #[must_use]
    pub fn list(&self) -> &[HeaderAt] {
        &self.list
    }

    /// Offset of the first line: that of the empty line where there are no others.
    #[must_use]
    pub fn start(&self) -> usize {
        self.list.first().map_or(self.end as usize, HeaderAt::line)
    }

    /// Offset of the empty line after the last.
    #[must_use]
    pub fn end(&self) -> usize {
        self.end as usize
    }

    /// Offset of the line after line `index`, which is the empty line for the last.
    #[must_use]
    pub fn next_line(&self, index: usize) -> usize {
        self.list.get(index + 1).map_or(self.end as usize, HeaderAt::line)
    }

    /// Which ids there are.
    #[must_use]
    pub fn seen(&self) -> Ids {
        self.seen
    }

    /// Whether there is more than one line with `id`.
    #[must_use]
    pub fn repeats(&self, id: Id) -> bool {
        self.repeated.has(id)
    }

    /// The first line with `id`, found in constant time.
    #[must_use]
    #[inline]
    pub fn first(&self, id: Id) -> Option<&HeaderAt> {
        if self.seen.has(id) { self.list.get(usize::from(self.first[id as usize])) } else { None }
    }

    /// Where in the list the first line of each of `ids` is.
    pub(super) fn firsts(&self, ids: Ids) -> impl Iterator<Item = usize> + use<'_> {
        self.seen.shared(ids).filter_map(|id| self.first.get(id)).map(|&index| usize::from(index))
    }

    /// Whether there is more than one line with one of `ids`.
    pub(super) fn repeats_any(&self, ids: Ids) -> bool {
        self.repeated.meets(ids)
    }

    /// All lines with `id`, in order.
    pub fn all(&self, id: Id) -> impl Iterator<Item = &HeaderAt> + use<'_> {
        let from = if self.seen.has(id) { usize::from(self.first[id as usize]) } else { self.list.len() };
        let to = if self.repeats(id) { self.list.len() } else { (from + 1).min(self.list.len()) };
        self.list.get(from..to).unwrap_or_default().iter().filter(move |header| header.id == id)
    }

    /// The value of the first line with `id`.
    #[must_use]
    #[inline]
    pub fn value<'b>(&self, buf: &'b [u8], id: Id) -> Option<&'b [u8]> {
        self.first(id).map(|header| header.value(buf))
    }

    /// The members of the lists in all lines with `id` (RFC 9110 section 5.6.1): see [`tokens`].
    pub fn tokens<'b>(&self, buf: &'b [u8], id: Id) -> impl Iterator<Item = &'b [u8]> + use<'_, 'b> {
        self.all(id).flat_map(|header| tokens(header.value(buf)))
    }
}

/// Reads the field line in front of `line`, which lies in a buffer up to the offset `end`. Returns it and what follows.
/// `None` for whatever is not a whole, right field line: then [`no_field`] tells what it is.
///
/// Goes by what is left of the buffer and not by offsets, so that each bound is checked once. Always inlined, with the
/// searches: as a call, its result would go through memory for each line.
#[inline(always)]
fn field(line: &[u8], end: usize) -> Option<(HeaderAt, &[u8])> {
    let (name, left) = line.split_at_checked(scan::name_end(line)?)?;
    let id = match Id::known(name) {
        // Known names are tokens, so that only others are looked at byte by byte.
        Some(id) => id,
        None if scan::is_token(name) => Id::Other,
        None => return None,
    };
    let value_on = scan::trim_start(left.get(1..)?);
    let (value, left) = value_on.split_at_checked(scan::value_end(value_on, 0))?;
    let (line_end, left) = left.split_first_chunk::<2>()?;
    // As one number. A pattern would be compared byte by byte.
    if line_end != b"\r\n" {
        return None;
    }
    let header = HeaderAt {
        name_at: (end - line.len()) as u32,
        value_at: (end - value_on.len()) as u32,
        value_len: u16::try_from(scan::trim_end(value).len()).ok()?,
        // `name_end` found at most 255 bytes.
        name_len: name.len() as u8,
        id,
    };
    Some((header, left))
}

/// What lies at `at`, where [`Fields::read`] found no field line.
///
/// # Errors
/// What is wrong with the line.
#[cold]
pub(super) fn no_field(bytes: &[u8], at: usize) -> Result<NoField, Bad> {
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => return Ok(NoField::End(at + 2)),
        (None, _) | (Some(b'\r'), None) => return Ok(NoField::More),
        (Some(b'\r' | b'\n'), _) => return Err(Bad::LineEnd),
        (Some(b' ' | b'\t'), _) => return Err(Bad::Fold),
        _ => {}
    }
    let colon = scan::token_end(bytes, at);
    match bytes.get(colon) {
        Some(b':') if colon > at && u8::try_from(colon - at).is_ok() => {}
        Some(_) => return Err(Bad::Name),
        None => return Ok(NoField::More),
    }
    let stop = scan::value_end(bytes, colon + 1);
    match (bytes.get(stop), bytes.get(stop + 1)) {
        (None, _) | (Some(b'\r'), None) => Ok(NoField::More),
        // Only the length of the value is left to be wrong.
        (Some(b'\r'), Some(b'\n')) => Err(Bad::HeadTooLarge),
        (Some(b'\r' | b'\n'), _) => Err(Bad::LineEnd),
        _ => Err(Bad::Value),
    }
}

/// The members of a comma-separated list, without the white space around them; empty ones are left out (RFC 9110
/// section 5.6.1.2). Commas in quoted strings separate too: for lists of tokens only.
#[must_use]
pub fn tokens(value: &[u8]) -> Tokens<'_> {
    Tokens { rest: value }
}

/// See [`tokens`].
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let comma = self.rest.iter().position(|&byte| byte == b',').unwrap_or(self.rest.len());
            let token = scan::trim(&self.rest[..comma]);
            self.rest = self.rest.get(comma + 1..).unwrap_or_default();
            if !token.is_empty() {
                return Some(token);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, value and length of a line; or the empty line; or what is wrong, which is nothing where the bytes end early.
    type Found<'a> = Result<Option<(&'a [u8], &'a [u8], usize)>, Option<Bad>>;

    /// [`Fields::read`] and [`no_field`] in one and byte by byte: the first line, or what is in its place.
    fn plain(bytes: &[u8]) -> Found<'_> {
        match (bytes.first(), bytes.get(1)) {
            (Some(b'\r'), Some(b'\n')) => return Ok(None),
            (None, _) | (Some(b'\r'), None) => return Err(None),
            (Some(b'\r' | b'\n'), _) => return Err(Some(Bad::LineEnd)),
            (Some(b' ' | b'\t'), _) => return Err(Some(Bad::Fold)),
            _ => {}
        }
        let colon = bytes.iter().position(|&byte| !scan::is_token_byte(byte)).ok_or(None)?;
        if bytes[colon] != b':' || colon == 0 || colon > 255 {
            return Err(Some(Bad::Name));
        }
        let rest = &bytes[colon + 1..];
        let stop = rest.iter().position(|&byte| !scan::is_value_byte(byte)).ok_or(None)?;
        let value = rest[..stop].trim_ascii();
        match (rest[stop], rest.get(stop + 1)) {
            (b'\r', None) => Err(None),
            (b'\r', Some(b'\n')) if value.len() > 65_535 => Err(Some(Bad::HeadTooLarge)),
            (b'\r', Some(b'\n')) => Ok(Some((&bytes[..colon], value, colon + 1 + stop + 2))),
            (b'\r' | b'\n', _) => Err(Some(Bad::LineEnd)),
            _ => Err(Some(Bad::Value)),
        }
    }

    /// The same by what is tested.
    fn tested(bytes: &[u8]) -> Found<'_> {
        if let Some((header, left)) = field(bytes, bytes.len()) {
            assert_eq!(header.id, Id::of(header.name(bytes)));
            return Ok(Some((header.name(bytes), header.value(bytes), bytes.len() - left.len())));
        }
        match no_field(bytes, 0).map_err(Some)? {
            NoField::End(next) => {
                assert_eq!(next, 2);
                Ok(None)
            }
            NoField::More => Err(None),
        }
    }

    #[test]
    fn a_line_is_read_as_byte_by_byte() {
        let names = ["", "A", "TE", "Via", "Host", "Accept", "anyproxy_domains", "Sec-WebSocket-Extensions"];
        let names: Vec<_> =
            names.iter().map(|name| (*name).to_owned()).chain([30, 31, 32, 33].map(|n| "x".repeat(n))).collect();
        let values = ["", " ", " a", "a", "\t a\t ", " a b\tc", " \u{e9}~ \u{ff}"].map(str::to_owned);
        let long = [7, 8, 15, 30, 31, 32, 33, 70].map(|length| format!(" {}", "v~".repeat(length)));
        for name in &names {
            for value in values.iter().chain(&long) {
                let line = format!("{name}:{value}\r\nB: c\r\n\r\n").into_bytes();
                for length in 0..=line.len() {
                    assert_eq!(tested(&line[..length]), plain(&line[..length]), "{}", line[..length].escape_ascii());
                }
                for at in 0..name.len() + value.len() + 3 {
                    for byte in (0..0x30).chain([b':', b'[', b'{', 0x7e, 0x7f, 0x80, 0xff]) {
                        let mut other = line.clone();
                        other[at] = byte;
                        assert_eq!(tested(&other), plain(&other), "{}", other.escape_ascii());
                    }
                }
            }
        }
    }

    #[test]
    fn the_longest_names_and_values() {
        for name in [254, 255, 256, 300] {
            for value in [65_534, 65_535, 65_536] {
                let line = format!("{}: {} \r\n", "n".repeat(name), "v".repeat(value)).into_bytes();
                assert_eq!(tested(&line), plain(&line), "{name} {value}");
            }
        }
    }
}
