//! Entity tags (RFC 9110 8.8.3): reading, comparing, and making them from what a file system knows of a file.

use super::trim;

/// Most tags that one list may have; a longer list counts as malformed.
pub const MAX_TAGS: usize = 128;

/// Most bytes that a tag made by [`FileTag`] has, with `W/` and both quotes.
pub const FILE_TAG_LEN: usize = 37;

/// One entity tag, borrowed from the header that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag<'a> {
    /// Whether it began with `W/`.
    pub weak: bool,
    /// What stands between the quotes.
    pub opaque: &'a [u8],
}

impl<'a> Tag<'a> {
    /// Reads exactly one tag, with spaces around it allowed. `None` if it is not one.
    #[must_use]
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        match take(trim(value))? {
            (tag, []) => Some(tag),
            _ => None,
        }
    }

    /// Strong comparison (RFC 9110 8.8.3.2): equal, and neither is weak.
    #[must_use]
    pub fn strong_eq(&self, other: &Tag<'_>) -> bool {
        !self.weak && !other.weak && self.opaque == other.opaque
    }

    /// Weak comparison (RFC 9110 8.8.3.2): equal, whether or not either is weak.
    #[must_use]
    pub fn weak_eq(&self, other: &Tag<'_>) -> bool {
        self.opaque == other.opaque
    }
}

/// The value of `If-Match` or `If-None-Match`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tags<'a> {
    /// `*`
    Any,
    /// The tags in their order: at least one, at most [`MAX_TAGS`].
    List(Vec<Tag<'a>>),
}

/// Reads the value of `If-Match` or `If-None-Match` (RFC 9110 13.1.1, 13.1.2). Empty members of the list are passed
/// over (RFC 9110 5.6.1.2). `None` if it is malformed, has no tag, or has more than [`MAX_TAGS`].
#[must_use]
pub fn parse_list(value: &[u8]) -> Option<Tags<'_>> {
    let mut rest = trim(value);
    if rest == b"*" {
        return Some(Tags::Any);
    }
    let mut tags = Vec::new();
    loop {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            break;
        }
        let (tag, after) = take(rest)?;
        if tags.len() == MAX_TAGS {
            return None;
        }
        tags.push(tag);
        rest = trim(after);
        if !matches!(rest, [] | [b',', ..]) {
            return None;
        }
    }
    if tags.is_empty() { None } else { Some(Tags::List(tags)) }
}

/// The tag at the start of `value` and what follows it. A comma may stand inside of the quotes, so that a list cannot
/// be cut at its commas first.
fn take(value: &[u8]) -> Option<(Tag<'_>, &[u8])> {
    let (weak, rest) = match value.strip_prefix(b"W/") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let rest = rest.strip_prefix(b"\"")?;
    let end = rest.iter().position(|&byte| byte == b'"')?;
    let (opaque, after) = rest.split_at_checked(end)?;
    if opaque.iter().any(|&byte| byte <= b' ' || byte == 0x7f) {
        return None;
    }
    Some((Tag { weak, opaque }, after.get(1..)?))
}

/// The entity tag of a file, from the time of its last change and its size, held without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileTag {
    bytes: [u8; FILE_TAG_LEN],
    len: usize,
}

impl FileTag {
    /// The tag of a file last changed `modified_ns` nanoseconds after the Unix epoch, of `size` bytes: both in
    /// hexadecimal, as in `"65a1b2c3d4e5f6-1a2b"`.
    #[must_use]
    pub fn new(modified_ns: u64, size: u64) -> Self {
        let mut tag = Self { bytes: [0; FILE_TAG_LEN], len: 0 };
        tag.push(b'W');
        tag.push(b'/');
        tag.push(b'"');
        tag.push_hex(modified_ns);
        tag.push(b'-');
        tag.push_hex(size);
        tag.push(b'"');
        tag
    }

    /// The tag as a strong one, for the bytes of the file as they are.
    #[must_use]
    pub fn strong(&self) -> &[u8] {
        self.bytes.get(2..self.len).unwrap_or_default()
    }

    /// The tag as a weak one, for a body that was compressed or otherwise changed on its way.
    #[must_use]
    pub fn weak(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.bytes.get_mut(self.len) {
            *slot = byte;
            self.len += 1;
        }
    }

    fn push_hex(&mut self, value: u64) {
        let digits = (64 - value.leading_zeros()).div_ceil(4).max(1);
        for place in (0..digits).rev() {
            self.push(b"0123456789abcdef"[(value >> (place * 4) & 0xf) as usize]);
        }
    }
}
