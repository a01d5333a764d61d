//! Deterministic noise for the tests of the parsers: bytes that look enough like a header to get deep into them.

/// A xorshift generator; the same seed gives the same noise on every run.
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `bound`, which is not zero.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 11) as usize % bound
    }

    /// Up to `most` pieces, at random from `pieces`, now and then a random byte instead.
    pub(super) fn text(&mut self, pieces: &[&[u8]], most: usize) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..self.below(most + 1) {
            if self.below(24) == 0 {
                out.push(self.next() as u8);
            } else {
                out.extend_from_slice(pieces[self.below(pieces.len())]);
            }
        }
        out
    }

    /// `seed` with up to three bytes changed, dropped or doubled.
    pub(super) fn mutate(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut out = seed.to_vec();
        for _ in 0..self.below(4) {
            if out.is_empty() {
                break;
            }
            let at = self.below(out.len());
            match self.below(4) {
                0 => out[at] = self.next() as u8,
                1 => out[at] = b" ,;=\"\\-0:/"[self.below(10)],
                2 => drop(out.remove(at)),
                _ => out.insert(at, out[at]),
            }
        }
        out
    }
}

#[test]
fn same_seed_same_noise() {
    let run = || Noise::new(7).text(&[b"a", b"bc"], 40);
    assert_eq!(run(), run());
}
