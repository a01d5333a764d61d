//! The checks of the fuzz targets as plain tests: over the seeds of a target, beginnings of them, and inputs bent from
//! them. The same seeds, a fixed generator and a bounded number of inputs, so that a run is the same everywhere.

use std::fs;
use std::path::Path;

#[path = "../fuzz/checks/mod.rs"]
mod checks;
#[path = "../fuzz/values.rs"]
mod values;

/// Mutations of all seeds of a target together. With the seeds and their prefixes this keeps a target under a second in a
/// debug build.
const MUTATIONS: usize = 4000;
const MAX_PREFIXES: usize = 128;
const MAX_INPUT: usize = 1024;

/// Shows the input when its check panics.
struct Input<'a>(&'a [u8]);

impl Drop for Input<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("input: \"{}\"", self.0.escape_ascii());
        }
    }
}

/// Calls `check` with each seed of `fuzz/corpus/<target>`, prefixes of each, and mutations. Asserts that the parser
/// accepts as many as `seeds` of the seeds, and at least `mutations` of the mutations: otherwise most of the check was not
/// reached.
fn run(target: &str, check: fn(&[u8]) -> bool, seeds: usize, mutations: usize) {
    let check = |input: &[u8]| {
        let _shown = Input(input);
        usize::from(check(input))
    };
    let all = read_seeds(target);
    let accepted: usize = all.iter().map(|seed| check(seed)).sum();
    assert_eq!(accepted, seeds, "seeds that are accepted, of {}", all.len());
    for seed in &all {
        for end in 0..seed.len().min(MAX_PREFIXES) {
            check(&seed[..end]);
        }
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    for at in 0..MUTATIONS {
        let mut input = all[at % all.len()].clone();
        for _ in 0..=random.below(3) {
            mutate(&mut input, &all, &mut random);
        }
        input.truncate(MAX_INPUT);
        accepted += check(&input);
    }
    assert!(accepted >= mutations, "only {accepted} of {MUTATIONS} mutations are accepted");
}

/// The seeds of a target in the order of their names.
fn read_seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no seeds for {target}");
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// Changes, adds, drops or repeats a few bytes, or goes on with another seed.
fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    /// Bytes and words at which one of the parsers takes a turn.
    const TELLING: &[&[u8]] = &[
        b"\0",
        b"\t",
        b"\n",
        b"\r",
        b"\r\n",
        b" ",
        b"\"",
        b"%",
        b"*",
        b",",
        b"-",
        b".",
        b"/",
        b"..",
        b"0",
        b"9",
        b":",
        b";",
        b"=",
        b"?",
        b"\\",
        b"\x7f",
        b"\xff",
        b"%2f",
        b"chunked",
        b"Connection: a\r\n",
        b"Content-Length: 1\r\n",
    ];
    let at = random.below(input.len() + 1);
    let end = (at + random.below(16)).min(input.len());
    match random.below(7) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = TELLING[random.below(TELLING.len())][0],
        2 => drop(input.drain(at..end)),
        3 => {
            let copy = input[at..end].to_vec();
            let to = random.below(input.len() + 1);
            input.splice(to..to, copy);
        }
        4 => {
            let other = &seeds[random.below(seeds.len())];
            let tail = &other[random.below(other.len() + 1)..];
            input.truncate(at);
            input.extend_from_slice(tail);
        }
        _ => drop(input.splice(at..at, TELLING[random.below(TELLING.len())].iter().copied())),
    }
}

/// xorshift64*: the same inputs on every machine.
struct Random(u64);

impl Random {
    /// Below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

#[test]
fn request_head() {
    run("request_head", checks::request_head, 17, 400);
}

#[test]
fn response_head() {
    run("response_head", checks::response_head, 12, 400);
}

#[test]
fn chunked() {
    run("chunked", checks::chunked, 7, 300);
}

#[test]
fn range() {
    run("range", checks::range, 9, 100);
}

#[test]
fn path() {
    run("path", checks::path, 13, 1000);
}

#[test]
fn conditional() {
    run("conditional", checks::conditional, 10, 1000);
}

#[test]
fn accept_encoding() {
    run("accept_encoding", checks::accept_encoding, 4, 600);
}

#[test]
fn forwarded() {
    run("forwarded", checks::forwarded, 10, 700);
}

#[test]
fn auth() {
    run("auth", checks::auth, 4, 40);
}

#[test]
fn http2() {
    run("http2", anyproxy_http::h2::check, 21, 400);
}

#[test]
fn hops() {
    run("hops", values::hops, 3, 400);
}

#[test]
fn redirect() {
    run("redirect", values::redirect, 5, 400);
}

#[test]
fn pairs() {
    run("pairs", values::pairs, 3, 400);
}

#[test]
fn origin() {
    run("origin", values::origin, 2, 20);
}
