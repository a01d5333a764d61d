//! From a header block to fields (RFC 7541 section 6).

use super::super::block::Block;
use super::names::{Kind, Name};
use super::table::Table;
use super::{Corrupt, huffman, integer, stat};

/// The decoder of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    table: Table,
    /// What the peer may set the size of its table to.
    limit: u32,
    /// The peer has accepted a smaller limit than its table is large, and must say so first.
    must_shrink: bool,
}

/// What a size is before any SETTINGS (RFC 9113 section 6.5.2).
const INITIAL: u32 = 4096;

impl Decoder {
    /// A decoder that will announce `limit`, until whose acknowledgement the initial size counts too.
    pub(crate) fn new(limit: u32) -> Self {
        let most = limit.max(INITIAL);
        Self { table: Table::new(INITIAL, most), limit: most, must_shrink: false }
    }

    /// The peer has acknowledged `limit` (RFC 7541 section 4.2).
    pub(crate) fn acknowledged(&mut self, limit: u32) {
        self.limit = limit;
        self.must_shrink = self.table.max() > limit;
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.table.held()
    }

    #[cfg(test)]
    pub(super) fn table_size(&self) -> u32 {
        self.table.size()
    }

    /// Decodes a whole block into `block`, which counts and judges the fields; it is to be the same one each time. The
    /// table is in step with the peer's also where the fields are too many.
    ///
    /// # Errors
    /// [`Corrupt`]: the connection cannot go on (RFC 9113 section 4.3).
    #[inline]
    pub(crate) fn decode(&mut self, input: &[u8], block: &mut Block) -> Result<(), Corrupt> {
        if block.is_of(input) && !self.must_shrink {
            return Ok(());
        }
        block.clear();
        if !self.decode_new(input, block)? {
            block.set_source(input);
        }
        Ok(())
    }

    /// Decodes a block; whether it has changed the table.
    fn decode_new(&mut self, input: &[u8], block: &mut Block) -> Result<bool, Corrupt> {
        let mut changes = false;
        let mut rest = input;
        while let Some((&first, behind)) = rest.split_first()
            && first & 0xe0 == 0x20
        {
            rest = behind;
            let size = integer::decode(first, 0x1f, &mut rest)?;
            if size > self.limit {
                return Err(Corrupt("the table is set to more than was allowed"));
            }
            self.table.resize(size);
            (self.must_shrink, changes) = (false, true);
        }
        if self.must_shrink {
            return Err(Corrupt("the table was not set to the size allowed"));
        }
        while let Some((&first, behind)) = rest.split_first() {
            rest = behind;
            match first {
                0x80.. => {
                    let index = integer::decode(first, 0x7f, &mut rest)?;
                    self.indexed(index, block)?;
                }
                0x40.. => {
                    let index = integer::decode(first, 0x3f, &mut rest)?;
                    self.literal(index, &mut rest, block, Literal::Inserted)?;
                    changes = true;
                }
                0x20.. => return Err(Corrupt("a table size behind a field")),
                _ => {
                    let index = integer::decode(first, 0x0f, &mut rest)?;
                    let literal = if first & 0x10 == 0 { Literal::Plain } else { Literal::Sensitive };
                    self.literal(index, &mut rest, block, literal)?;
                }
            }
        }
        Ok(changes)
    }

    /// A field that a table has (section 6.1).
    #[inline]
    fn indexed(&self, index: u32, block: &mut Block) -> Result<(), Corrupt> {
        let index = index as usize;
        if let Some(row) = STATIC.get(index) {
            block.add(row.kind, row.name, row.valid, row.pair, row.name_len as u32);
            return if index == 0 { Err(Corrupt("index 0")) } else { Ok(()) };
        }
        let Some((entry, pair)) = self.table.entry((index - stat::COUNT - 1) as u32) else {
            return Err(Corrupt("an index behind the table"));
        };
        block.add(entry.name.kind(), entry.name, entry.valid, pair, entry.name_len);
        Ok(())
    }

    /// A field whose value, and where `index` is 0 whose name, follows (section 6.2).
    fn literal(&mut self, index: u32, rest: &mut &[u8], block: &mut Block, literal: Literal) -> Result<(), Corrupt> {
        let bytes = block.begin();
        let at = bytes.len();
        let (name, kind) = if index == 0 {
            string(rest, bytes)?;
            Name::received(&bytes[at..])
        } else if let Some(row) = STATIC.get(index as usize) {
            bytes.extend_from_slice(&row.pair[..row.name_len]);
            (row.name, row.kind)
        } else {
            let entry = self.table.entry(index - stat::COUNT as u32 - 1);
            let Some((entry, pair)) = entry else { return Err(Corrupt("an index behind the table")) };
            let name = &pair[..entry.name_len as usize];
            bytes.extend_from_slice(name);
            // A name that is none may be in the table all the same.
            let known = entry.name != Name::OTHER && entry.name.bytes() == name;
            if known { (entry.name, entry.name.kind()) } else { Name::received(name) }
        };
        let name_len = bytes.len() - at;
        string(rest, bytes)?;
        let valid = kind.allows(&bytes[at + name_len..]);
        if literal == Literal::Inserted {
            self.table.insert(&bytes[at..], name_len, name, valid);
        }
        block.commit(kind, name, valid, at, name_len as u32, literal == Literal::Sensitive);
        Ok(())
    }
}

/// What becomes of a literal field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Literal {
    Inserted,
    Plain,
    Sensitive,
}

/// An entry of the static table, and what is to be known about it.
struct Row {
    pair: &'static [u8],
    name_len: usize,
    name: Name,
    kind: Kind,
    valid: bool,
}

/// The static table by index. The first row stands for none.
static STATIC: [Row; stat::COUNT + 1] = {
    let none = Row { pair: b"", name_len: 0, name: Name::OTHER, kind: Kind::Forbidden, valid: false };
    let mut rows = [const { Row { pair: b"", name_len: 0, name: Name::OTHER, kind: Kind::Forbidden, valid: false } };
        stat::COUNT + 1];
    rows[0] = none;
    let mut index = 1;
    while index <= stat::COUNT {
        let row = &stat::ROWS[index - 1];
        let name = Name::of_static(index);
        let kind = super::names::kind(row.name());
        // An empty value is only good for an ordinary field.
        let valid = row.pair.len() > row.name_len || matches!(kind, Kind::Field | Kind::Host);
        rows[index] = Row { pair: row.pair, name_len: row.name_len, name, kind, valid };
        index += 1;
    }
    rows
};

/// Reads a string literal (section 5.2) and appends it.
#[inline]
fn string(rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Corrupt> {
    let Some((&first, behind)) = rest.split_first() else { return Err(Corrupt("a string is cut off")) };
    *rest = behind;
    let length = integer::decode(first, 0x7f, rest)?;
    let Some((text, behind)) = rest.split_at_checked(length as usize) else {
        return Err(Corrupt("a string is cut off"));
    };
    *rest = behind;
    if first & 0x80 == 0 {
        out.extend_from_slice(text);
        return Ok(());
    }
    huffman::decode(text, out)
}
