//! The field lines of a head or a trailer section (RFC 9112 section 5): where names and values lie in the caller's bytes.
//! Knows nothing of start lines or of what a field means.

mod usual;

use super::before::Before;
use super::block::SIZE;
use super::line::{NoField, any, no_field};
use super::name::{Id, Ids};
use super::wide::best;
use super::{Bad, Line, scan};
use usual::Usual;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderAt {
    pub(super) name_at: u32,
    pub(super) value_at: u32,
    pub(super) value_len: u16,
    pub(super) name_len: u8,
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
        self.value_span().of(buf)
    }

    #[inline]
    pub(super) fn value_span(&self) -> Span {
        Span { at: self.value_at, len: u32::from(self.value_len) }
    }

    /// The value and what follows it, where that makes a block.
    #[inline]
    pub(super) fn block<'b>(&self, buf: &'b [u8]) -> Option<&'b [u8; SIZE]> {
        buf.get(self.value_at as usize..)?.first_chunk()
    }

    /// Bytes of the line, if nothing is between value and line end.
    #[inline(always)]
    fn usual_len(&self) -> usize {
        (self.value_at.wrapping_sub(self.name_at)) as usize + usize::from(self.value_len) + 2
    }

    /// Offset of the line in the buffer.
    #[must_use]
    pub fn line(&self) -> usize {
        self.name_at as usize
    }
}

/// Lines and bytes up to which others can be appended to a head.
const MOST_LINES: u16 = 4096;
const MOST_BYTES: usize = 16 << 20;

/// The field lines of one section, in the order they were sent. Reused from message to message.
#[derive(Clone, Debug)]
pub struct Fields {
    /// The lines, and room for more, which is written into without a question whether there is any. What is there from `count`
    /// on, up to what `before` has, are the lines of the section before.
    room: Vec<HeaderAt>,
    /// How many lines there are.
    count: usize,
    /// Offset of the empty line.
    end: u32,
    seen: Ids,
    repeated: Ids,
    /// Where each id is first in the list; meant only where `seen` has it.
    first: [u16; Id::COUNT],
    /// Offset of the section.
    base: u32,
    before: Before,
    /// It begins with all that is in `before`.
    as_before: bool,
    /// A section is being read: the lines in `room` are of that, and of the one before.
    reading: bool,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            room: Vec::new(),
            count: 0,
            end: 0,
            seen: Ids::NONE,
            repeated: Ids::NONE,
            first: [0; Id::COUNT],
            base: 0,
            before: Before::default(),
            as_before: false,
            reading: false,
        }
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
        self.count = 0;
        self.end = 0;
        self.seen = Ids::NONE;
        self.repeated = Ids::NONE;
        self.as_before = false;
        if std::mem::take(&mut self.reading) {
            // It did not come to its end.
            self.before.lines = 0;
        }
    }

    /// Reads field lines from `at` on, and returns where something else comes: see [`no_field`]. `None` for more than
    /// `most` lines. Offsets fit `u32` because the caller bounds `bytes`.
    #[inline(always)]
    pub(super) fn read(&mut self, bytes: &[u8], at: usize, most: u16) -> Option<usize> {
        let Some(mut left) = bytes.get(at..) else { return Some(at) };
        if self.count == 0 {
            self.base = at as u32;
            if let Some(behind) = self.before.strip(left).filter(|_| self.before.lines <= usize::from(most)) {
                self.take_before();
                left = behind;
            }
        }
        self.reading = true;
        // The empty line is told without a search for what it does not have.
        let is_over = |left: &[u8]| matches!(left, [] | [b'\r', ..]);
        while !is_over(left) {
            left = best(Usual { fields: self, left, end: bytes.len(), most });
            if is_over(left) {
                break;
            }
            if self.count == self.room.len() && self.count < usize::from(most) {
                self.grow();
                continue;
            }
            let Some((header, next)) = any(left, bytes.len()) else { break };
            self.push(header, most)?;
            left = next;
        }
        Some(bytes.len() - left.len())
    }

    /// The lines are those that were there before, at another place.
    #[inline]
    fn take_before(&mut self) {
        let before = &mut self.before;
        let shift = before.moved(self.base);
        if shift != 0 {
            for line in self.room.get_mut(..before.lines).unwrap_or_default() {
                line.name_at = line.name_at.wrapping_add(shift);
                line.value_at = line.value_at.wrapping_add(shift);
            }
        }
        // Where each id is first, too, is as it was.
        (self.count, self.seen, self.repeated) = (before.lines, before.seen, before.repeated);
        self.as_before = true;
    }

    /// All lines of the section are read, which ends at `end`: the next one is compared with it.
    #[inline]
    pub(super) fn keep(&mut self, bytes: &[u8], end: usize) {
        self.reading = false;
        if !self.is_as_before() {
            let section = bytes.get(self.base as usize..end).unwrap_or_default();
            self.before.keep(section, self.base, self.count);
            (self.before.seen, self.before.repeated) = (self.seen, self.repeated);
        }
    }

    /// Whether what is read so far is the section before, all of it and nothing else. To be asked before it is kept: then what
    /// only begins with the section before looks the same.
    pub(super) fn is_as_before(&self) -> bool {
        self.as_before && self.count == self.before.lines
    }

    /// `None` where there are `most` already.
    fn push(&mut self, header: HeaderAt, most: u16) -> Option<()> {
        if self.count >= usize::from(most) {
            return None;
        }
        if self.count == self.room.len() {
            self.grow();
        }
        if self.seen.has(header.id) {
            self.repeated = self.repeated.with(header.id);
        } else {
            self.seen = self.seen.with(header.id);
            self.first[header.id as usize] = self.count as u16;
        }
        *self.room.get_mut(self.count)? = header;
        self.count += 1;
        Some(())
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        self.room.resize((2 * self.room.len()).max(32), HeaderAt::default());
    }

    /// Appends a line to `bytes`, which end with the line before, and notes it. `name` is a token with that `id`.
    pub(super) fn append(&mut self, id: Id, name: &[u8], value: &[u8], bytes: &mut Vec<u8>) -> Result<(), Bad> {
        let value = scan::trim(value);
        let (Ok(name_len), Ok(value_len)) = (u8::try_from(name.len()), u16::try_from(value.len())) else {
            return Err(Bad::HeadTooLarge);
        };
        let at = self.room(bytes)?;
        super::write::line(name, value, bytes)?;
        let value_at = (at + name.len() + 2) as u32;
        self.push(HeaderAt { name_at: at as u32, value_at, value_len, name_len, id }, MOST_LINES);
        self.finish(bytes.len());
        Ok(())
    }

    /// The same of a line that is known to be one.
    pub(super) fn append_line(&mut self, line: &Line, bytes: &mut Vec<u8>) -> Result<(), Bad> {
        let at = self.room(bytes)?;
        bytes.extend_from_slice(line.as_bytes());
        let (name_len, value_at) = (line.id.name().len() as u8, (at + line.value_at()) as u32);
        let header = HeaderAt { name_at: at as u32, value_at, value_len: line.value_len, name_len, id: line.id };
        self.push(header, MOST_LINES);
        self.finish(bytes.len());
        Ok(())
    }

    /// Where another line would be.
    fn room(&mut self, bytes: &[u8]) -> Result<usize, Bad> {
        let full = self.count >= usize::from(MOST_LINES) || bytes.len() > MOST_BYTES;
        if self.count < self.before.lines {
            // It takes the place of one of those.
            self.before.lines = 0;
        }
        if full { Err(Bad::TooManyHeaders) } else { Ok(bytes.len()) }
    }

    /// Notes where the empty line is.
    pub(super) fn finish(&mut self, end: usize) {
        self.end = end as u32;
    }

    /// The lines in order.
    #[must_use]
    pub fn list(&self) -> &[HeaderAt] {
        self.room.get(..self.count).unwrap_or_default()
    }

    /// Offset of the first line: that of the empty line where there are no others.
    #[must_use]
    pub fn start(&self) -> usize {
        self.list().first().map_or(self.end as usize, HeaderAt::line)
    }

    /// Offset of the empty line after the last.
    #[must_use]
    pub fn end(&self) -> usize {
        self.end as usize
    }

    /// Offset of the line after line `index`, which is the empty line for the last.
    #[must_use]
    pub fn next_line(&self, index: usize) -> usize {
        self.list().get(index + 1).map_or(self.end as usize, HeaderAt::line)
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
        self.list().get(self.first_at(id)?)
    }

    /// Where in the list that line is.
    #[must_use]
    #[inline]
    pub fn first_at(&self, id: Id) -> Option<usize> {
        self.seen.has(id).then(|| usize::from(self.first[id as usize]))
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
        let from = if self.seen.has(id) { usize::from(self.first[id as usize]) } else { self.count };
        let to = if self.repeats(id) { self.count } else { (from + 1).min(self.count) };
        self.list().get(from..to).unwrap_or_default().iter().filter(move |header| header.id == id)
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
