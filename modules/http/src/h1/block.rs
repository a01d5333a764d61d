//! Sixteen bytes looked at at once. Knows nothing of what the bytes mean.
//!
//! This is plain code of a form that the compiler turns into vector instructions, without any for one processor and
//! without unsafe code: an answer for all bytes is one load, what is asked, and one `pmovmskb`. It does so for a single
//! comparison with at most one addition before it, and only where the bytes are not looked at one by one next to it;
//! others would be as right, but slow. So after a change here, count the instructions of a head.

use std::array::from_fn;

/// How many bytes a block has.
pub(super) const SIZE: usize = 16;

/// The bytes. An answer has a bit for each of them, the lowest for the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Block<'b>(pub(super) &'b [u8; SIZE]);

impl Block<'_> {
    /// The first of the bytes that is `byte`.
    #[inline(always)]
    pub(super) fn find(self, byte: u8) -> Option<usize> {
        #[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
        return memchr::arch::x86_64::sse2::memchr::One::new(byte)?.find(self.0);
        #[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
        return self.0.iter().position(|&own| own == byte);
    }

    /// Which bytes are between `from` and `to`, both included.
    #[inline(always)]
    pub(super) fn within(self, from: u8, to: u8) -> u16 {
        mask(self.0.map(|own| own.wrapping_sub(from) <= to - from))
    }

    /// Whether the bytes are as `pattern` says.
    #[inline(always)]
    pub(super) fn is(self, pattern: &Pattern) -> bool {
        let ([low, high], [free, free_high], [lower, lower_high]) =
            (words(self.0), words(&pattern.free), words(&pattern.lower));
        (low | free) ^ lower | (high | free_high) ^ lower_high == 0
    }

    /// Whether `yes` holds for all bytes. It may be anything that needs no branch.
    #[inline(always)]
    pub(super) fn all(self, yes: impl Fn(u8) -> bool) -> bool {
        self.0.iter().fold(true, |all, &byte| all & yes(byte))
    }
}

/// One bit for each yes. Gathered in pairs, because that is what the compiler takes for the gathering of bits that it is.
#[inline(always)]
fn mask(yes: [bool; SIZE]) -> u16 {
    let one = yes.map(u16::from);
    let two: [u16; 8] = from_fn(|at| one[2 * at] | one[2 * at + 1] << 1);
    let four: [u16; 4] = from_fn(|at| two[2 * at] | two[2 * at + 1] << 2);
    let eight: [u16; 2] = from_fn(|at| four[2 * at] | four[2 * at + 1] << 4);
    eight[0] | eight[1] << 8
}

#[inline(always)]
fn words(bytes: &[u8; SIZE]) -> [u64; 2] {
    let both = u128::from_le_bytes(*bytes);
    [both as u64, (both >> 64) as u64]
}

/// The place of the lowest bit.
#[inline(always)]
pub(super) fn first(bits: u16) -> Option<usize> {
    if bits == 0 { None } else { Some(bits.trailing_zeros() as usize) }
}

/// What a block must be, in any case of its letters.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
pub(super) struct Pattern {
    /// The letters in lower case; all bits where any byte will do.
    lower: [u8; SIZE],
    /// The bit that tells the case, of letters; all bits where any byte will do.
    free: [u8; SIZE],
}

impl Pattern {
    /// What no block is.
    pub(super) const NEVER: Self = Self { lower: [0; SIZE], free: [0xff; SIZE] };

    /// `text` and `then`, with anything behind them. What does not fit a block does not count.
    pub(super) const fn of(text: &[u8], then: &[u8]) -> Self {
        let (mut lower, mut free) = ([0xff; SIZE], [0xff; SIZE]);
        let mut at = 0;
        while at < text.len() + then.len() && at < SIZE {
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
    fn answers_are_those_of_single_bytes() {
        for byte in 0..=255u8 {
            // Those next to the limits among them.
            for filler in [0, 1, 0x1f, 0x20, b'-', b'@', b'Z', b'a', b'{', 0x7e, 0x7f, 0x80, 0xff] {
                for place in 0..SIZE {
                    let mut bytes = [filler; SIZE];
                    bytes[place] = byte;
                    let block = Block(&bytes);
                    let plain = |yes: &dyn Fn(u8) -> bool| {
                        bytes.iter().rev().fold(0, |mask, &byte| mask << 1 | u16::from(yes(byte)))
                    };
                    for (from, to) in [(0x20, 0x7e), (0x24, 0x7e), (b'a', b'z'), (0, 0), (0, 255), (0x80, 0xff)] {
                        let within = plain(&|byte| (from..=to).contains(&byte));
                        assert_eq!(block.within(from, to), within);
                        assert_eq!(first(within), bytes.iter().position(|byte| (from..=to).contains(byte)));
                    }
                    for other in [0, b'\t', b':', b'_', 0x7f, 0x80, 0xff] {
                        assert_eq!(block.find(other), bytes.iter().position(|&byte| byte == other));
                    }
                    assert_eq!(block.all(|own| own == filler), byte == filler);
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
