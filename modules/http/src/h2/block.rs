//! A decoded field section (RFC 9113 section 8): the fields of a head or of trailers, and what is wrong with each. Knows
//! nothing of what a message must have.

use super::hpack::{Kind, Name, OVERHEAD};

/// A field: where its name and its value lie in the bytes of its block, one behind the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Field {
    at: u32,
    name_len: u32,
    value_len: u32,
    /// The index of the first entry in the static table of HPACK that has the name (RFC 7541 Appendix A); 0 where none
    /// has. Tells a usual name without a look at it.
    pub index: u8,
    /// It must not get into the table of any hop (RFC 7541 section 6.2.3): pass it on as sensitive.
    pub sensitive: bool,
}

/// A part of the bytes of a block.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    at: u32,
    len: u32,
}

/// The field section that was received last. Reused from one to the next, so that none allocates once it is warm.
#[derive(Clone, Debug, Default)]
pub struct Block {
    /// What it was decoded from, where that left the table as it was: the same bytes mean the same again. Calls of one
    /// API, or of one page again and again, send nothing else.
    source: Vec<u8>,
    bytes: Vec<u8>,
    fields: Vec<Field>,
    pseudo: [Span; Kind::PSEUDO],
    /// A bit for each kind of pseudo header that is there.
    seen: u8,
    malformed: bool,
    /// It has more, or larger, fields than allowed. Those are not there.
    too_large: bool,
    /// Size of the list so far (RFC 9113 section 6.5.2), and what it may be.
    size: u32,
    limit: u32,
    most: u16,
    content_length: Option<u64>,
    /// The place of `host` in `fields`.
    host: Option<u16>,
}

/// A source that is longer is not remembered.
const REMEMBERED: usize = 256;

/// What stays allocated between sections at most.
const KEPT: usize = 16 << 10;

impl Block {
    pub(super) fn new(limit: u32, most: u16) -> Self {
        Self { limit, most, ..Self::default() }
    }

    /// Forgets the section before.
    #[inline]
    pub(super) fn clear(&mut self) {
        if self.bytes.capacity() > KEPT {
            self.bytes = Vec::new();
        }
        self.source.clear();
        self.bytes.clear();
        self.fields.clear();
        self.seen = 0;
        (self.malformed, self.too_large) = (false, false);
        self.size = 0;
        (self.content_length, self.host) = (None, None);
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.source.capacity() + self.bytes.capacity() + self.fields.capacity() * size_of::<Field>()
    }

    /// The fields but for the pseudo headers, in the order they were sent. `cookie` may come in several crumbs (RFC 9113
    /// section 8.2.3).
    #[must_use]
    #[inline]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The bytes that the fields lie in. Those of pseudo headers are there too.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The name of one of the [`Block::fields`], a token in lower case.
    #[must_use]
    #[inline]
    pub fn name(&self, field: &Field) -> &[u8] {
        self.part(field.at, field.name_len)
    }

    /// The value of one of the [`Block::fields`], without white space around it and without control bytes.
    #[must_use]
    #[inline]
    pub fn value(&self, field: &Field) -> &[u8] {
        self.part(field.at + field.name_len, field.value_len)
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.name(field), self.value(field)))
    }

    /// `:method`: in every request. A token.
    #[must_use]
    pub fn method(&self) -> Option<&[u8]> {
        self.pseudo(Kind::Method)
    }

    /// `:scheme`: in every request but `CONNECT` without [`Block::protocol`]. As it was sent, in any case.
    #[must_use]
    pub fn scheme(&self) -> Option<&[u8]> {
        self.pseudo(Kind::Scheme)
    }

    /// `:authority`: in every `CONNECT`; in another request `host` may stand for it, or both may be missing. Has no user
    /// information and is not empty; is not checked for more.
    #[must_use]
    pub fn authority(&self) -> Option<&[u8]> {
        self.pseudo(Kind::Authority)
    }

    /// `:path`, query included: in every request but `CONNECT` without [`Block::protocol`]. Begins with `/`, but for the
    /// `*` of `OPTIONS`.
    #[must_use]
    pub fn path(&self) -> Option<&[u8]> {
        self.pseudo(Kind::Path)
    }

    /// `:protocol` of an extended `CONNECT` (RFC 8441 section 4).
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        self.pseudo(Kind::Protocol)
    }

    /// `:status`: in every response. From 100 to 999, not 101.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        let [a, b, c] = *self.pseudo(Kind::Status)? else { return None };
        let digit = |byte: u8| u16::from(byte.wrapping_sub(b'0'));
        Some(digit(a) * 100 + digit(b) * 10 + digit(c))
    }

    /// The value of `content-length`, where there is one. The data of the stream are held to it.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    #[inline]
    fn part(&self, at: u32, len: u32) -> &[u8] {
        self.bytes.get(at as usize..).and_then(|rest| rest.get(..len as usize)).unwrap_or_default()
    }

    #[inline]
    fn pseudo(&self, kind: Kind) -> Option<&[u8]> {
        let Span { at, len } = self.pseudo[kind as usize];
        self.has(kind).then(|| self.part(at, len))
    }

    #[inline]
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.seen & 1 << kind as u8 != 0
    }

    /// Whether the pseudo headers are these.
    #[inline]
    pub(super) fn has_only(&self, kinds: &[Kind]) -> bool {
        self.seen == kinds.iter().fold(0, |seen, kind| seen | 1 << *kind as u8)
    }

    /// Whether it is what `source` says, which was decoded last.
    #[inline]
    pub(super) fn is_of(&self, source: &[u8]) -> bool {
        self.source == source && !source.is_empty()
    }

    #[inline]
    pub(super) fn set_source(&mut self, source: &[u8]) {
        if source.len() <= REMEMBERED {
            self.source.extend_from_slice(source);
        }
    }

    #[inline]
    pub(super) fn is_malformed(&self) -> bool {
        self.malformed
    }

    #[inline]
    pub(super) fn is_too_large(&self) -> bool {
        self.too_large
    }

    /// The value of `host`, of which there is one line at most. Is not checked.
    #[must_use]
    #[inline]
    pub fn host(&self) -> Option<&[u8]> {
        let field = self.fields.get(usize::from(self.host?))?;
        Some(self.value(field))
    }

    /// Adds a field that lies elsewhere.
    #[inline]
    pub(super) fn add(&mut self, kind: Kind, name: Name, valid: bool, pair: &[u8], name_len: u32) {
        // Before it is copied: one byte may stand for a large entry, again and again.
        if self.is_above(pair.len()) {
            return;
        }
        let at = self.bytes.len();
        self.bytes.extend_from_slice(pair);
        self.put(kind, name, valid, at, name_len, false);
    }

    /// Where the name and the value of a field go; then comes [`Block::commit`].
    #[inline]
    pub(super) fn begin(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Adds the field that was appended to the bytes from `at` on.
    #[inline]
    pub(super) fn commit(&mut self, kind: Kind, name: Name, valid: bool, at: usize, name_len: u32, sensitive: bool) {
        if self.is_above(self.bytes.len() - at) {
            self.bytes.truncate(at);
        } else {
            self.put(kind, name, valid, at, name_len, sensitive);
        }
    }

    /// Counts a field, and tells whether it is one too many.
    #[inline]
    fn is_above(&mut self, length: usize) -> bool {
        self.size = self.size.saturating_add(length as u32).saturating_add(OVERHEAD);
        self.too_large |= self.size > self.limit;
        self.too_large
    }

    #[inline]
    fn put(&mut self, kind: Kind, name: Name, valid: bool, at: usize, name_len: u32, sensitive: bool) {
        let (at, value_len) = (at as u32, (self.bytes.len() - at) as u32 - name_len);
        if kind.is_pseudo() {
            // Once, and before all others (RFC 9113 section 8.3).
            self.malformed |= !valid | self.has(kind) | !self.fields.is_empty();
            self.seen |= 1 << kind as u8;
            self.pseudo[kind as usize] = Span { at: at + name_len, len: value_len };
            return;
        }
        if !valid || kind != Kind::Field {
            self.unusual(kind, valid, (at + name_len) as usize);
        }
        if self.fields.len() == usize::from(self.most) {
            self.too_large = true;
            return;
        }
        self.fields.push(Field { at, name_len, value_len, index: name.static_index(), sensitive });
    }

    /// A field that means something here. Its value begins at `value` and is the last in the bytes.
    #[inline(never)]
    fn unusual(&mut self, kind: Kind, valid: bool, value: usize) {
        self.malformed |= !valid;
        match kind {
            // Of several, even the same, none is believed.
            Kind::ContentLength if self.content_length.is_some() => self.malformed = true,
            Kind::ContentLength if valid => {
                let digits = std::str::from_utf8(&self.bytes[value..]).ok();
                self.content_length = digits.and_then(|digits| digits.parse().ok());
                self.malformed |= self.content_length.is_none();
            }
            Kind::Host if self.host.is_some() => self.malformed = true,
            Kind::Host => self.host = u16::try_from(self.fields.len()).ok(),
            _ => {}
        }
    }
}
