//! Runs a parser over the seeds of its fuzz target and over inputs bent from them, as a plain test: the same seeds for
//! the same target, a fixed generator, a bounded number of inputs.

use std::fs;
use std::path::Path;

/// Mutations of each seed. With the prefixes of each this keeps a target well under a second.
const MUTATIONS: usize = 400;
const MAX_INPUT: usize = 20 * 1024;

/// Calls `check` with each seed of `fuzz/corpus/<target>`, each of its prefixes, and mutations of it.
pub(super) fn run(target: &str, mut check: impl FnMut(&[u8])) {
    let seeds = seeds(target);
    assert!(!seeds.is_empty(), "no seeds for {target}");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for seed in &seeds {
        check(seed);
        for end in 0..seed.len().min(1024) {
            check(&seed[..end]);
        }
        for _ in 0..MUTATIONS {
            let mut input = seed.clone();
            for _ in 0..=random.below(4) {
                mutate(&mut input, &seeds, &mut random);
            }
            input.truncate(MAX_INPUT);
            check(&input);
        }
    }
}

/// Feeds `input` in pieces of every small size and in random ones to `feed(so_far) -> Some(verdict) | None (more)`, and
/// asserts that the verdict does not depend on how the bytes were cut.
pub(super) fn same_however_cut<V: PartialEq + std::fmt::Debug, F: FnMut(&[u8]) -> Option<V>>(
    input: &[u8],
    mut reader: impl FnMut() -> F,
) {
    let feed_by = |feed: &mut F, step: &mut dyn FnMut() -> usize| {
        let mut end = 0;
        loop {
            if let Some(verdict) = feed(&input[..end]) {
                return Some(verdict);
            }
            if end == input.len() {
                return None;
            }
            end = (end + step()).min(input.len());
        }
    };
    let by_one = feed_by(&mut reader(), &mut || 1);
    let mut random = Random(input.len() as u64 + 1);
    let by_random = feed_by(&mut reader(), &mut || random.below(40) + 1);
    let whole = feed_by(&mut reader(), &mut || input.len().max(1));
    assert_eq!(by_one, by_random, "{}", input.escape_ascii());
    assert_eq!(by_one, whole, "{}", input.escape_ascii());
}

/// The seeds of a target in the order of their names.
pub(super) fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    const TELLING: [u8; 12] = [0, 1, 2, 4, 0x7f, 0x80, 0xff, b'\r', b'\n', b' ', b':', b'.'];
    let at = random.below(input.len() + 1);
    match random.below(7) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = TELLING[random.below(TELLING.len())],
        2 => input.insert(at, TELLING[random.below(TELLING.len())]),
        3 => input.truncate(at),
        4 if at < input.len() => {
            input.remove(at);
        }
        5 => {
            let other = &seeds[random.below(seeds.len())];
            let tail = other[random.below(other.len() + 1)..].to_vec();
            input.truncate(at);
            input.extend(tail);
        }
        _ => {
            let end = (at + random.below(64)).min(input.len());
            let copy = input[at..end].to_vec();
            input.splice(at..at, copy);
        }
    }
}

/// xorshift64*: the same inputs on every machine.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `bound`, or 0 when that is 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 33) as usize % bound.max(1)
    }
}
