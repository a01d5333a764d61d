//! Thirty-two bytes looked at at once: by the instructions of AVX2 where the processor has them, by plain code elsewhere.
//! Knows nothing of what the bytes mean. The one place of this module with unsafe code (decision 0022).

use super::block::{Block, Pattern, SIZE, differs};
use super::scan;

/// How many bytes are looked at.
pub(super) const WIDE: usize = 2 * SIZE;

/// A way to look at them.
pub(super) trait Look: Copy {
    /// The first that is `byte`; [`WIDE`] where there is none.
    fn find(self, bytes: &[u8; WIDE], byte: u8) -> usize;

    /// The first that is not between SP and `~`; [`WIDE`] where there is none.
    fn text_end(self, bytes: &[u8; WIDE]) -> usize;

    /// The first that is not of a token (RFC 9110 section 5.6.2); [`WIDE`] where there is none.
    fn token_end(self, bytes: &[u8; WIDE]) -> usize;

    /// The first in which they differ; [`WIDE`] where they are the same.
    fn same(self, bytes: &[u8; WIDE], others: &[u8; WIDE]) -> usize;

    /// Whether they are as `pattern` says.
    fn begins(self, bytes: &[u8; WIDE], pattern: &Pattern<WIDE>) -> bool;
}

/// What is done by looking.
pub(super) trait Looking {
    type Found;

    /// To be inlined, with all it calls: only then it is compiled for the processor that `look` is for.
    fn look(self, look: impl Look) -> Self::Found;
}

/// Does it in the best way that this processor has.
#[inline(always)]
pub(super) fn best<L: Looking>(looking: L) -> L::Found {
    #[cfg(target_arch = "x86_64")]
    {
        avx2::or_plain(looking)
    }
    #[cfg(not(target_arch = "x86_64"))]
    looking.look(Plain)
}

/// For every processor.
#[derive(Clone, Copy)]
pub(super) struct Plain;

impl Look for Plain {
    #[inline(always)]
    fn find(self, bytes: &[u8; WIDE], byte: u8) -> usize {
        in_halves(bytes, |half| half.find(byte))
    }

    #[inline(always)]
    fn text_end(self, bytes: &[u8; WIDE]) -> usize {
        in_halves(bytes, |half| half.find_outside(b' ', b'~'))
    }

    // Of names that are not known: seldom enough to be a call.
    #[inline(never)]
    fn token_end(self, bytes: &[u8; WIDE]) -> usize {
        scan::token_end(bytes, 0)
    }

    #[inline(always)]
    fn same(self, bytes: &[u8; WIDE], others: &[u8; WIDE]) -> usize {
        let differs = |(a, b): (&[u8; 8], &[u8; 8])| (u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b)).trailing_zeros();
        let words = bytes.as_chunks().0.iter().zip(others.as_chunks().0);
        let mut found = 0;
        for bits in words.map(differs) {
            if bits < 64 {
                return found + bits as usize / 8;
            }
            found += 8;
        }
        WIDE
    }

    #[inline(always)]
    fn begins(self, bytes: &[u8; WIDE], pattern: &Pattern<WIDE>) -> bool {
        let [bytes, free, lower] = [bytes, &pattern.free, &pattern.lower].map(|of| of.as_chunks().0);
        differs(&bytes[0], &free[0], &lower[0]) | differs(&bytes[1], &free[1], &lower[1]) == 0
    }
}

#[inline(always)]
fn in_halves(bytes: &[u8; WIDE], find: impl Fn(Block<'_>) -> Option<usize>) -> usize {
    let halves = bytes.as_chunks().0;
    find(Block(&halves[0])).or_else(|| Some(SIZE + find(Block(&halves[1]))?)).unwrap_or(WIDE)
}

#[cfg(target_arch = "x86_64")]
#[allow(
    unsafe_code,
    reason = "the instructions are for those processors only that have them, which the compiler cannot know"
)]
mod avx2 {
    use super::*;
    use std::arch::{is_x86_feature_detected, x86_64::*};
    use std::sync::LazyLock;

    /// Asked for once, since each question is answered from memory.
    static IS_THERE: LazyLock<bool> = LazyLock::new(|| {
        is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2")
    });

    /// By AVX2. Made in [`with`] only, so that whoever has one is on a processor that has that.
    #[derive(Clone, Copy)]
    struct Avx2(());

    #[inline(always)]
    pub(super) fn or_plain<L: Looking>(looking: L) -> L::Found {
        if *IS_THERE {
            // SAFETY: the processor has what the function is compiled for.
            unsafe { with(looking) }
        } else {
            looking.look(Plain)
        }
    }

    #[target_feature(enable = "avx2,bmi1,bmi2")]
    fn with<L: Looking>(looking: L) -> L::Found {
        looking.look(Avx2(()))
    }

    impl Look for Avx2 {
        #[inline(always)]
        fn find(self, bytes: &[u8; WIDE], byte: u8) -> usize {
            // SAFETY: the processor has AVX2, see the type; what is loaded is a reference's, of that size.
            let mask = unsafe {
                let bytes = _mm256_loadu_si256(bytes.as_ptr().cast());
                _mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(byte.cast_signed())))
            };
            mask.trailing_zeros() as usize
        }

        #[inline(always)]
        fn text_end(self, bytes: &[u8; WIDE]) -> usize {
            // One more than `~` is the largest of signed bytes: what is outside comes below the others, once one is added.
            // SAFETY: as above.
            let mask = unsafe {
                let moved = _mm256_add_epi8(_mm256_loadu_si256(bytes.as_ptr().cast()), _mm256_set1_epi8(1));
                _mm256_movemask_epi8(_mm256_cmpgt_epi8(_mm256_set1_epi8(b' '.cast_signed() + 1), moved))
            };
            mask.trailing_zeros() as usize
        }

        #[inline(always)]
        fn token_end(self, bytes: &[u8; WIDE]) -> usize {
            // Which high halves a byte of a token may have with its low half, as bits; and which bit is that of a high half.
            // Those above 0x7f find nothing.
            // SAFETY: as above; the tables are as long as what is loaded.
            let mask = unsafe {
                let bytes = _mm256_loadu_si256(bytes.as_ptr().cast());
                let [low, high] =
                    [&TOKEN, &HALF].map(|of| _mm256_broadcastsi128_si256(_mm_loadu_si128(of.as_ptr().cast())));
                let halves = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), _mm256_set1_epi8(0x0f));
                let both = _mm256_and_si256(_mm256_shuffle_epi8(low, bytes), _mm256_shuffle_epi8(high, halves));
                _mm256_movemask_epi8(_mm256_cmpeq_epi8(both, _mm256_setzero_si256()))
            };
            mask.trailing_zeros() as usize
        }

        #[inline(always)]
        fn same(self, bytes: &[u8; WIDE], others: &[u8; WIDE]) -> usize {
            // SAFETY: as above.
            let mask = unsafe {
                let [bytes, others] = [bytes, others].map(|of| _mm256_loadu_si256(of.as_ptr().cast()));
                !_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, others))
            };
            mask.trailing_zeros() as usize
        }

        #[inline(always)]
        fn begins(self, bytes: &[u8; WIDE], pattern: &Pattern<WIDE>) -> bool {
            // SAFETY: as above; each part of the pattern is as long as what is loaded.
            unsafe {
                let [bytes, free, lower] =
                    [bytes, &pattern.free, &pattern.lower].map(|of| _mm256_loadu_si256(of.as_ptr().cast()));
                let other = _mm256_xor_si256(_mm256_or_si256(bytes, free), lower);
                _mm256_testz_si256(other, other) != 0
            }
        }
    }

    /// By the low half of a byte: a bit for each high half with which it is one of a token.
    static TOKEN: [u8; SIZE] = {
        let mut table = [0; SIZE];
        let mut byte = 0u8;
        while byte < 0x80 {
            if scan::is_token_byte(byte) {
                table[byte as usize & 0x0f] |= HALF[byte as usize >> 4];
            }
            byte += 1;
        }
        table
    };

    /// The bit of each high half.
    const HALF: [u8; SIZE] = {
        let mut table = [0; SIZE];
        let mut half = 0;
        while half < 8 {
            table[half] = 1 << half;
            half += 1;
        }
        table
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a way to look finds, of everything there is.
    struct All<'b>(&'b [u8; WIDE], u8, &'b Pattern<WIDE>);

    impl Looking for All<'_> {
        type Found = (usize, usize, usize, bool);
        fn look(self, look: impl Look) -> Self::Found {
            (look.find(self.0, self.1), look.text_end(self.0), look.token_end(self.0), look.begins(self.0, self.2))
        }
    }

    #[test]
    fn both_ways_find_what_a_look_at_each_byte_finds() {
        let pattern = Pattern::of(b"Content-Type", b":");
        let end = |bytes: &[u8; WIDE], is: &dyn Fn(u8) -> bool| bytes.iter().position(|&b| is(b)).unwrap_or(WIDE);
        for byte in 0..=255u8 {
            for filler in [0, 0x1f, b' ', b':', b'~', 0x7f, 0x80, 0xff] {
                for place in 0..=WIDE {
                    let mut bytes = [filler; WIDE];
                    bytes[2..15].copy_from_slice(b"content-type:");
                    bytes.rotate_left(if place % 3 == 0 { 2 } else { 0 });
                    if let Some(own) = bytes.get_mut(place) {
                        *own = byte;
                    }
                    for other in [byte, filler, b':'] {
                        let plainly = (
                            end(&bytes, &|b| b == other),
                            end(&bytes, &|b| !(b' '..=b'~').contains(&b)),
                            end(&bytes, &|b| !scan::is_token_byte(b)),
                            bytes[..13].eq_ignore_ascii_case(b"content-type:"),
                        );
                        assert_eq!(All(&bytes, other, &pattern).look(Plain), plainly, "{byte} at {place}");
                        assert_eq!(best(All(&bytes, other, &pattern)), plainly, "{byte} at {place}");
                    }
                }
            }
        }
    }
}
