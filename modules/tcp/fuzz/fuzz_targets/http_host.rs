//! The Host reader: no panic, a bound on what it asks for, the same verdict in one piece and in two.
#![no_main]

use anyproxy_tcp::core::http_host::{Outcome, Reader, Rules};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let rules = Rules {
        limit: 2048,
        ..Rules::default()
    };
    let whole = Reader::new().advance(&rules, input);
    assert!(whole != Outcome::NeedMore || input.len() < rules.limit);
    let mut reader = Reader::new();
    let half = reader.advance(&rules, &input[..input.len() / 2]);
    let cut = if half == Outcome::NeedMore {
        reader.advance(&rules, input)
    } else {
        half
    };
    assert_eq!(whole, cut);
});
