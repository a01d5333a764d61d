//! The ClientHello reader: no panic, a bound on what it asks for, the same verdict in one piece and in two.
#![no_main]

use anyproxy_tcp::core::client_hello::{MAX_RECEIVED, Outcome, Reader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let whole = Reader::new().advance(input);
    assert!(whole != Outcome::NeedMore || input.len() < MAX_RECEIVED);
    let mut reader = Reader::new();
    let half = reader.advance(&input[..input.len() / 2]);
    let cut = if half == Outcome::NeedMore {
        reader.advance(input)
    } else {
        half
    };
    assert_eq!(whole, cut);
});
