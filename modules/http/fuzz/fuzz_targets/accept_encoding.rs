//! `Accept-Encoding`, weights and media types: the choice is on offer and accepted.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/mod.rs"]
mod checks;

fuzz_target!(|input: &[u8]| {
    checks::accept_encoding(input);
});
