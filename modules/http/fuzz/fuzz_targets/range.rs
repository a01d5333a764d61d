//! `Range`: what comes of it lies within the representation and is what was asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/mod.rs"]
mod checks;

fuzz_target!(|input: &[u8]| {
    checks::range(input);
});
