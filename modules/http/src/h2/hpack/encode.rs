//! From fields to a header block (RFC 7541 section 6).

use super::super::text;
use super::names::{Index, Name};
use super::replay::Replay;
use super::table::Table;
use super::{huffman, integer, stat};
use std::fmt;

/// A field that cannot be sent; nothing was written of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadField {
    /// The name is not a token (RFC 9110 section 5.1).
    Name,
    /// The value holds a control byte, or has white space around it (RFC 9113 section 8.2.1), or is none that the pseudo
    /// header may have (section 8.3).
    Value,
}

impl fmt::Display for BadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "invalid field name",
            Self::Value => "invalid field value",
        })
    }
}

impl std::error::Error for BadField {}

/// The size of the table, where the peer allows it: what HTTP/2 begins with (RFC 9113 section 6.5.2). Larger ones were
/// never worth their memory.
const CAPACITY: u32 = 4096;

/// How many fields with the same hash are found, and for how many hashes: more than the table holds of usual size.
const WAYS: usize = 4;
const SETS: usize = 32;

/// How many fields are remembered that were not in the table: those of some messages.
const RECENT: usize = 32;

/// The values of `:status` in the static table.
const STATUSES: [&[u8; 3]; 7] = [b"200", b"204", b"206", b"304", b"400", b"404", b"500"];

/// Marks for [`Replay`] what is not a field with a name: the low ten bits have the index, or the status.
const KNOWN: u16 = 1 << 10;
const PSEUDO: u16 = 1 << 11;
const STATUS: u16 = 1 << 12;
const SENSITIVE: u16 = 1 << 13;

/// The encoder of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    table: Table,
    /// By hash, which entries may be the field: their number of insertion and one, 0 for none.
    places: [[u32; WAYS]; SETS],
    /// Hashes of the fields that were last sent without being in the table. One is inserted when it comes again, so that
    /// values that are never the same do not push out those that are.
    recent: [u32; RECENT],
    next: usize,
    /// The table's size is to be announced: the smallest that it had since the last block, and the one that it has.
    resized: Option<u32>,
    replay: Replay,
    /// A name or an entry in the making.
    scratch: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self {
            table: Table::new(CAPACITY, CAPACITY),
            places: [[0; WAYS]; SETS],
            recent: [0; RECENT],
            next: 0,
            resized: None,
            replay: Replay::default(),
            scratch: Vec::new(),
        }
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.table.held() + self.scratch.capacity() + self.replay.held()
    }

    /// The peer allows a table of `size` bytes (RFC 7541 section 4.2).
    pub(crate) fn allowed(&mut self, size: u32) {
        let size = size.min(CAPACITY);
        if size != self.table.max() {
            self.resized = Some(self.resized.map_or(size, |least| least.min(size)));
            self.table.resize(size);
            self.replay.invalidate();
        }
    }

    /// What was encoded last does not get to the peer: empties the table on both sides.
    pub(crate) fn forget(&mut self) {
        let size = self.table.max();
        self.table.resize(0);
        self.table.resize(size);
        self.resized = Some(0);
        self.replay.invalidate();
    }

    /// Begins a block. What is appended may be written only by [`Encoder::end`].
    #[inline]
    pub(crate) fn begin(&mut self, out: &mut Vec<u8>) {
        self.replay.begin();
        if let Some(least) = self.resized.take() {
            if least < self.table.max() {
                integer::encode(least as usize, 0x1f, 0x20, out);
            }
            integer::encode(self.table.max() as usize, 0x1f, 0x20, out);
        }
    }

    /// Ends a block.
    #[inline]
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        self.replay.end(out);
    }

    /// Appends `:status`.
    #[inline]
    pub(crate) fn status(&mut self, status: u16, out: &mut Vec<u8>) -> Result<(), BadField> {
        if !(100..=999).contains(&status) {
            return Err(BadField::Value);
        }
        let kind = STATUS | status;
        if self.replay.follow(kind, b"", b"") {
            return Ok(());
        }
        self.replay.leave(out);
        let digit = |number: u16| b'0' + (number % 10) as u8;
        let digits = [digit(status / 100), digit(status / 10), digit(status)];
        let start = out.len();
        if let Some(place) = STATUSES.iter().position(|known| **known == digits) {
            out.push(0x80 | (Name::STATUS.static_index() + place as u8));
        } else {
            self.put(Name::STATUS, b"", &digits, Index::Repeated, out);
        }
        self.replay.record(kind, b"", b"", &out[start..]);
        Ok(())
    }

    /// Appends `:method`.
    pub(crate) fn method(&mut self, method: &[u8], out: &mut Vec<u8>) -> Result<(), BadField> {
        self.pseudo(Name::METHOD, method, Index::Repeated, &[b"GET", b"POST"], out)
    }

    /// Appends `:scheme`.
    pub(crate) fn scheme(&mut self, scheme: &[u8], out: &mut Vec<u8>) -> Result<(), BadField> {
        self.pseudo(Name::SCHEME, scheme, Index::Repeated, &[b"http", b"https"], out)
    }

    /// Appends `:authority`.
    pub(crate) fn authority(&mut self, authority: &[u8], out: &mut Vec<u8>) -> Result<(), BadField> {
        self.pseudo(Name::AUTHORITY, authority, Index::Repeated, &[], out)
    }

    /// Appends `:path`.
    pub(crate) fn path(&mut self, path: &[u8], out: &mut Vec<u8>) -> Result<(), BadField> {
        self.pseudo(Name::PATH, path, Index::No, &[b"/", b"/index.html"], out)
    }

    /// Appends `:protocol` (RFC 8441).
    pub(crate) fn protocol(&mut self, protocol: &[u8], out: &mut Vec<u8>) -> Result<(), BadField> {
        self.pseudo(Name::PROTOCOL, protocol, Index::Repeated, &[], out)
    }

    /// Appends a pseudo header. `values` are those that the static table has, in its order.
    fn pseudo(
        &mut self,
        name: Name,
        value: &[u8],
        index: Index,
        values: &[&[u8]],
        out: &mut Vec<u8>,
    ) -> Result<(), BadField> {
        let kind = PSEUDO | u16::from(name.number());
        if self.replay.follow(kind, b"", value) {
            return Ok(());
        }
        self.replay.leave(out);
        let start = out.len();
        if let Some(place) = values.iter().position(|known| *known == value) {
            out.push(0x80 | (name.static_index() + place as u8));
        } else if name.kind().allows(value) {
            self.put(name, b"", value, index, out);
        } else {
            return Err(BadField::Value);
        }
        self.replay.record(kind, b"", value, &out[start..]);
        Ok(())
    }

    /// Appends a field. The name may be in any case.
    #[inline(always)]
    pub(crate) fn field(
        &mut self,
        name: &[u8],
        value: &[u8],
        sensitive: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), BadField> {
        let kind = if sensitive { SENSITIVE } else { 0 };
        if self.replay.follow(kind, name, value) {
            return Ok(());
        }
        self.named(kind, Name::of(name), name, value, out)
    }

    /// Appends a field whose name has that index in the static table.
    #[inline]
    pub(crate) fn known(
        &mut self,
        index: u8,
        value: &[u8],
        sensitive: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), BadField> {
        let kind = KNOWN | u16::from(index) | if sensitive { SENSITIVE } else { 0 };
        if self.replay.follow(kind, b"", value) {
            return Ok(());
        }
        match Name::of_index(index) {
            Name::OTHER => Err(BadField::Name),
            known => self.named(kind, known, b"", value, out),
        }
    }

    /// Appends a field that is not the same as in the block before.
    #[inline(never)]
    fn named(&mut self, kind: u16, known: Name, name: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<(), BadField> {
        self.replay.leave(out);
        let start = out.len();
        let index = if kind & SENSITIVE != 0 { Index::Never } else { known.index() };
        let hash = hash(known, name, value);
        if index == Index::Repeated
            && let Some(index) = self.find(hash, known, name, value)
        {
            integer::encode(index, 0x7f, 0x80, out);
        } else {
            self.checked(known, name, value, index, out)?;
        }
        self.replay.record(kind, name, value, &out[start..]);
        Ok(())
    }

    /// Appends a field that is not in the table.
    #[inline(never)]
    fn checked(
        &mut self,
        known: Name,
        name: &[u8],
        value: &[u8],
        index: Index,
        out: &mut Vec<u8>,
    ) -> Result<(), BadField> {
        if known == Name::OTHER && !text::is_token(name) || known.kind().is_pseudo() {
            return Err(BadField::Name);
        }
        if !text::is_value(value) {
            return Err(BadField::Value);
        }
        self.put(known, name, value, index, out);
        Ok(())
    }

    /// Appends a field that may be sent; `name` only counts where it is not known.
    fn put(&mut self, known: Name, name: &[u8], value: &[u8], index: Index, out: &mut Vec<u8>) {
        let (mask, pattern) = match index {
            Index::Repeated => {
                let hash = hash(known, name, value);
                if let Some(index) = self.find(hash, known, name, value) {
                    integer::encode(index, 0x7f, 0x80, out);
                    return;
                }
                if self.repeats(hash) && self.insert(hash, known, name, value) { (0x3f, 0x40) } else { (0x0f, 0) }
            }
            Index::No => (0x0f, 0),
            Index::Never => (0x0f, 0x10),
        };
        integer::encode(usize::from(known.static_index()), mask, pattern, out);
        if known.static_index() == 0 {
            self.scratch.clear();
            self.scratch.extend_from_slice(if known == Name::OTHER { name } else { known.bytes() });
            self.scratch.make_ascii_lowercase();
            string(&self.scratch, out);
        }
        string(value, out);
    }

    /// The index of a field that the table has.
    #[inline]
    fn find(&self, hash: u32, known: Name, name: &[u8], value: &[u8]) -> Option<usize> {
        for &place in &self.places[hash as usize % SETS] {
            // 0 and what was evicted are behind the table.
            let index = self.table.inserted().wrapping_sub(place);
            if let Some((entry, pair)) = self.table.entry(index)
                && entry.name == known
                && entry.value_len as usize == value.len()
                && let Some((its_name, its_value)) = pair.split_at_checked(entry.name_len as usize)
                && text::is_same(its_value, value)
                && (known != Name::OTHER || text::is_lower(name, its_name))
            {
                return Some(index as usize + stat::COUNT + 1);
            }
        }
        None
    }

    /// Whether the field was among the last that were not in the table. Now it is.
    fn repeats(&mut self, hash: u32) -> bool {
        // 0 stands for none.
        let hash = hash | 1 << 31;
        if self.recent.contains(&hash) {
            return true;
        }
        self.replay.stop();
        self.recent[self.next % RECENT] = hash;
        self.next = self.next.wrapping_add(1);
        false
    }

    /// Inserts a field; `false` where it is larger than the table, which is then left alone.
    fn insert(&mut self, hash: u32, known: Name, name: &[u8], value: &[u8]) -> bool {
        self.scratch.clear();
        self.scratch.extend_from_slice(if known == Name::OTHER { name } else { known.bytes() });
        self.scratch.make_ascii_lowercase();
        let name_len = self.scratch.len();
        self.scratch.extend_from_slice(value);
        // One that takes a quarter of the table would push out too many others.
        if self.scratch.len() as u32 + super::OVERHEAD > self.table.max() / 4 {
            return false;
        }
        if !self.table.insert(&self.scratch, name_len, known, true) {
            return false;
        }
        let places = &mut self.places[hash as usize % SETS];
        places.rotate_right(1);
        places[0] = self.table.inserted();
        self.replay.invalidate();
        true
    }
}

/// What is shorter is not worth the Huffman code.
const SHORT: usize = 16;

/// A hash of a field, in which letters of the name count the same in both cases. Only a hint where to look.
#[inline]
fn hash(known: Name, name: &[u8], value: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let name = if known == Name::OTHER {
        text::lower(text::last_word(name)) ^ text::lower(text::first_word(name)).rotate_left(17) ^ name.len() as u64
    } else {
        u64::from(known.static_index())
    };
    let value = (text::last_word(value) ^ value.len() as u64).wrapping_mul(FACTOR) ^ text::first_word(value);
    ((name.wrapping_mul(FACTOR) ^ value.rotate_left(29)).wrapping_mul(FACTOR) >> 32) as u32
}

/// Appends a string literal (section 5.2), with the Huffman code where that is shorter.
#[inline]
fn string(text: &[u8], out: &mut Vec<u8>) {
    // It would save two or three bytes, for ten times the work.
    if text.len() < SHORT {
        out.push(text.len() as u8);
        out.extend_from_slice(text);
        return;
    }
    // The length of what is encoded is only known behind it; where it takes one byte, that is written later.
    if text.len() < 0x7f {
        let at = out.len();
        out.push(text.len() as u8);
        if huffman::encode_shorter(text, out) {
            out[at] = 0x80 | (out.len() - at - 1) as u8;
        } else {
            out.extend_from_slice(text);
        }
        return;
    }
    let length = huffman::encoded_length(text);
    if length < text.len() {
        integer::encode(length, 0x7f, 0x80, out);
        huffman::encode_shorter(text, out);
    } else {
        integer::encode(text.len(), 0x7f, 0, out);
        out.extend_from_slice(text);
    }
}
