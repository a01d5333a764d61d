//! Sixteen bytes looked at at once. Knows nothing of what the bytes mean.
//!
//! Without unsafe code, and so without the instructions of one processor: a yes or no for each byte is plain code, which
//! the compiler makes vector instructions of, and the search in it is `memchr`'s, which SSE2 does in two. It does so
//! where the bytes are not looked at one by one next to it: after a change here, count the instructions of a head.

/// How many bytes a block has.
pub(crate) const SIZE: usize = 16;

/// The bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block<'b>(pub(crate) &'b [u8; SIZE]);

impl Block<'_> {
    /// The first of the bytes that is `byte`.
    #[inline(always)]
    pub(crate) fn find(self, byte: u8) -> Option<usize> {
        // Every x86-64 processor has SSE2.
        #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
        return memchr::arch::x86_64::sse2::memchr::One::new(byte)?.find(self.0);
        #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
        return self.find_plainly(byte);
    }

    /// As [`Block::find`], for any processor.
    #[cfg(any(test, not(all(target_arch = "x86_64", target_feature = "sse2"))))]
    fn find_plainly(self, byte: u8) -> Option<usize> {
        self.0.iter().position(|&own| own == byte)
    }

    /// The first of the bytes that is not between `from` and `to`, both included.
    #[inline(always)]
    pub(super) fn find_outside(self, from: u8, to: u8) -> Option<usize> {
        let outside = self.0.map(|byte| if byte.wrapping_sub(from) > to - from { u8::MAX } else { 0 });
        Block(&outside).find(u8::MAX)
    }

    /// Whether the bytes are as `pattern` says.
    #[inline(always)]
    pub(super) fn is(self, pattern: &Pattern<SIZE>) -> bool {
        differs(self.0, &pattern.free, &pattern.lower) == 0
    }
}

/// Nothing where the bytes are as a part of a pattern says.
#[inline(always)]
pub(super) fn differs(bytes: &[u8; SIZE], free: &[u8; SIZE], lower: &[u8; SIZE]) -> u64 {
    let ([low, high], [free, free_high], [lower, lower_high]) = (words(bytes), words(free), words(lower));
    (low | free) ^ lower | (high | free_high) ^ lower_high
}

#[inline(always)]
fn words(bytes: &[u8; SIZE]) -> [u64; 2] {
    let both = u128::from_le_bytes(*bytes);
    [both as u64, (both >> 64) as u64]
}

/// What so many bytes must be, in any case of their letters.
#[derive(Clone, Copy, Debug)]
// One line of the processor's cache.
#[repr(align(64))]
pub(super) struct Pattern<const N: usize> {
    /// The letters in lower case; all bits where any byte will do.
    pub(super) lower: [u8; N],
    /// The bit that tells the case, of letters; all bits where any byte will do.
    pub(super) free: [u8; N],
}

impl<const N: usize> Pattern<N> {
    /// What no bytes are.
    pub(super) const NEVER: Self = Self { lower: [0; N], free: [0xff; N] };

    /// `text` and `then`, with anything behind them. What does not fit does not count.
    pub(super) const fn of(text: &[u8], then: &[u8]) -> Self {
        let (mut lower, mut free) = ([0xff; N], [0xff; N]);
        let mut at = 0;
        while at < text.len() + then.len() && at < N {
            let byte = if at < text.len() { text[at] } else { then[at - text.len()] };
            lower[at] = byte.to_ascii_lowercase();
            free[at] = if byte.is_ascii_alphabetic() { 0x20 } else { 0 };
            at += 1;
        }
        Self { lower, free }
    }
}

/// At most fifteen bytes, `then`, and zeros behind that. Of more bytes some are lost.
#[inline]
pub(super) fn padded(bytes: &[u8], then: u8) -> [u8; SIZE] {
    let word = |word| u128::from(u64::from_le_bytes(word));
    let shift = 8 * bytes.len() % 128;
    let both = match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => word(*first) | word(*last) << (shift.wrapping_sub(64) % 64),
        _ => u128::from(padded_word(bytes)),
    };
    (both | u128::from(then) << shift).to_le_bytes()
}

/// At most seven bytes as a word.
#[inline]
fn padded_word(bytes: &[u8]) -> u64 {
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => {
            let last = u64::from(u32::from_le_bytes(*last));
            u64::from(u32::from_le_bytes(*first)) | last << (8 * (bytes.len() - 4) % 32)
        }
        _ => bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_agree_with_a_look_at_each_byte() {
        for byte in 0..=255u8 {
            // Those next to the limits among them.
            for filler in [0, 1, 0x1f, 0x20, b'-', b'@', b'Z', b'a', b'{', 0x7e, 0x7f, 0x80, 0xff] {
                for place in 0..SIZE {
                    let mut bytes = [filler; SIZE];
                    bytes[place] = byte;
                    let block = Block(&bytes);
                    for other in [byte, filler, b'\t', b':', 0x7f, 0xff] {
                        assert_eq!(block.find(other), block.find_plainly(other), "{byte} at {place}");
                    }
                    for (from, to) in [(0x20, 0x7e), (0x24, 0x7e), (b'a', b'z'), (0, 0), (0, 255), (0x80, 0xff)] {
                        let plain = bytes.iter().position(|byte| !(from..=to).contains(byte));
                        assert_eq!(block.find_outside(from, to), plain, "{byte} at {place}");
                    }
                }
            }
        }
    }

    #[test]
    fn patterns_are_found_in_any_case() {
        for text in [&b""[..], b"TE", b"a-b_C:0", b"If-None-Match", b"0123456789ABCdef", b"Sec-WebSocket-Version"] {
            let pattern = Pattern::of(text, b"");
            let text = &text[..text.len().min(SIZE)];
            for byte in 0..=255u8 {
                for place in 0..SIZE {
                    let mut bytes = [b'?'; SIZE];
                    bytes[..text.len()].copy_from_slice(text);
                    bytes[place] = byte;
                    let same = bytes[..text.len()].eq_ignore_ascii_case(text);
                    assert_eq!(Block(&bytes).is(&pattern), same, "{byte} at {place}");
                    assert!(!Block(&bytes).is(&Pattern::NEVER));
                }
            }
        }
    }

    #[test]
    fn zeros_follow_few_bytes() {
        for len in 0..SIZE {
            let bytes: Vec<_> = (1..=len as u8).collect();
            let mut expected = [0; SIZE];
            expected[..len].copy_from_slice(&bytes);
            assert_eq!(padded(&bytes, 0), expected);
            expected[len] = b':';
            assert_eq!(padded(&bytes, b':'), expected);
        }
    }
}
