//! The section of field lines that was read before the one at hand, for that to be compared with: what two messages have in
//! common need not be read twice, and they mostly have much (RFC 7541 lives on that in HTTP/2). Knows nothing of what a line is.

use super::name::Ids;
use super::wide::{Look, WIDE};

/// Longer sections are not kept: their memory would be most of what an exchange has.
const MOST: usize = 4 << 10;

/// A section as it was, and where it lay. Its lines are in the list that the next section's lines are written into: see
/// [`Fields`](super::Fields).
#[derive(Clone, Debug, Default)]
pub(super) struct Before {
    /// Without the empty line.
    bytes: Vec<u8>,
    /// Where the section began in its buffer.
    base: u32,
    /// How many lines it has; 0: nothing is known.
    pub(super) lines: usize,
    /// Which ids they have, and which of these more than once.
    pub(super) seen: Ids,
    pub(super) repeated: Ids,
}

impl Before {
    /// Keeps `section`, which began at `base` and has so many lines.
    #[inline(never)]
    pub(super) fn keep(&mut self, section: &[u8], base: u32, lines: usize) {
        self.bytes.clear();
        self.lines = 0;
        if section.len() <= MOST {
            self.bytes.extend_from_slice(section);
            (self.base, self.lines) = (base, lines);
        }
    }

    /// What follows the same section again, where that is in front of `bytes`.
    #[inline]
    pub(super) fn strip<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        if self.lines == 0 { None } else { bytes.strip_prefix(&self.bytes[..]) }
    }

    /// It begins at `base` now. By how much what is in it is to be moved for that; it wraps.
    pub(super) fn moved(&mut self, base: u32) -> u32 {
        base.wrapping_sub(std::mem::replace(&mut self.base, base))
    }

    /// How many bytes in front of `bytes` are what was at the offset `at` of the buffer.
    #[inline(always)]
    pub(super) fn common(&self, look: impl Look, at: u32, bytes: &[u8]) -> usize {
        let old = self.bytes.get(at.wrapping_sub(self.base) as usize..).unwrap_or_default();
        let len = old.len().min(bytes.len());
        let (Some(mut old), Some(mut new)) = (old.get(..len), bytes.get(..len)) else { return 0 };
        while let (Some((a, old_behind)), Some((b, new_behind))) = (old.split_first_chunk(), new.split_first_chunk()) {
            let same = look.same(a, b);
            if same < WIDE {
                return len - new.len() + same;
            }
            (old, new) = (old_behind, new_behind);
        }
        len - new.len() + rest(old, new)
    }
}

/// The same of less than [`WIDE`] bytes.
#[inline(never)]
fn rest(a: &[u8], b: &[u8]) -> usize {
    if a == b { a.len() } else { a.iter().zip(b).take_while(|(a, b)| a == b).count() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::wide::{Looking, Plain, best};

    struct Common<'b>(&'b Before, u32, &'b [u8]);

    impl Looking for Common<'_> {
        type Found = usize;
        fn look(self, look: impl Look) -> usize {
            self.0.common(look, self.1, self.2)
        }
    }

    #[test]
    fn what_is_common_ends_at_the_first_byte_that_differs() {
        let mut before = Before::default();
        for len in 0..100 {
            let section: Vec<_> = (0..len as u8).collect();
            before.keep(&section, 7, 1);
            for from in 0..=len {
                for to in 0..=len {
                    let mut other = section[from..].to_vec();
                    if let Some(byte) = to.checked_sub(from).and_then(|at| other.get_mut(at)) {
                        *byte = 0xff;
                    }
                    for more in [&b""[..], b"more that follows"] {
                        let other = [&other[..], more].concat();
                        let expected = section[from..].iter().zip(&other).take_while(|(a, b)| a == b).count();
                        let at = 7 + from as u32;
                        assert_eq!(Common(&before, at, &other).look(Plain), expected, "{from}, {to} of {len}");
                        assert_eq!(best(Common(&before, at, &other)), expected, "{from}, {to} of {len}");
                    }
                }
            }
            assert_eq!(best(Common(&before, 7 + len as u32 + 1, &section)), 0, "beyond it");
            assert_eq!(best(Common(&before, 6, &section)), 0, "in front of it");
        }
    }

    #[test]
    fn what_is_long_is_not_kept() {
        let mut before = Before::default();
        before.keep(&[b'a'; MOST], 0, 1);
        assert_eq!((before.bytes.len(), before.lines), (MOST, 1));
        before.keep(&[b'a'; MOST + 1], 0, 1);
        assert_eq!((before.bytes.len(), before.lines), (0, 0));
    }
}
