//! Bytes whose place in a stream can be told from their value, to prove that a transfer lost, doubled and reordered
//! nothing. Knows nothing of sockets.

use std::sync::LazyLock;

/// Length after which the pattern repeats. A prime, so that it lines up with no buffer size.
pub const PERIOD: usize = 1_048_573;

/// Fills `buf` with the stream's bytes from `offset` on.
pub fn fill(offset: u64, buf: &mut [u8]) {
    for_parts(offset, buf.len(), |at, part| buf[at..at + part.len()].copy_from_slice(part));
}

/// The first `len` bytes of the stream.
pub fn bytes(len: usize) -> Vec<u8> {
    let mut all = vec![0; len];
    fill(0, &mut all);
    all
}

/// Whether `buf` is what the stream holds from `offset` on; else the stream offset of the first wrong byte.
pub fn verify(offset: u64, buf: &[u8]) -> Result<(), u64> {
    let mut wrong = None;
    for_parts(offset, buf.len(), |at, part| {
        let got = &buf[at..at + part.len()];
        // Slices are compared as memory: quick in unoptimised builds too.
        if wrong.is_none() && got != part {
            let first = got.iter().zip(part).position(|(a, b)| a != b).unwrap_or_default();
            wrong = Some(offset + (at + first) as u64);
        }
    });
    wrong.map_or(Ok(()), Err)
}

/// A checksum fed in pieces, for bytes that are not the pattern (FNV-1a, 64 bits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksum(u64);

impl Checksum {
    /// Of no bytes.
    pub const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    /// Of all of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let mut sum = Self::EMPTY;
        sum.update(bytes);
        sum
    }

    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

fn for_parts(offset: u64, len: usize, mut each: impl FnMut(usize, &[u8])) {
    static BLOCK: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let words = (0..PERIOD.div_ceil(8)).flat_map(|_| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        words.take(PERIOD).collect()
    });
    let mut at = 0;
    while at < len {
        let from = ((offset + at as u64) % PERIOD as u64) as usize;
        let part = (len - at).min(PERIOD - from);
        each(at, &BLOCK[from..from + part]);
        at += part;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole() {
        let whole = bytes(PERIOD + 1000);
        let mut piece = [0; 777];
        fill(PERIOD as u64 - 100, &mut piece);
        assert_eq!(piece, whole[PERIOD - 100..PERIOD + 677]);
        assert_eq!(verify(PERIOD as u64 - 100, &piece), Ok(()));
    }

    #[test]
    fn a_wrong_byte_is_named_by_its_place() {
        let mut data = bytes(5000);
        data[4321] ^= 1;
        assert_eq!(verify(0, &data), Err(4321));
        assert!(verify(1, &bytes(100)).is_err(), "shifted by one");
    }

    #[test]
    fn checksum_does_not_depend_on_pieces() {
        let mut sum = Checksum::EMPTY;
        sum.update(b"foo");
        sum.update(b"bar");
        assert_eq!(sum, Checksum::of(b"foobar"));
        assert_eq!(sum.to_string(), "85944171f73967e8");
    }
}
