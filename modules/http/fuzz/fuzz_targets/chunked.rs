//! Chunks: the payload does not depend on the cuts, and what is encoded again is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/mod.rs"]
mod checks;

fuzz_target!(|input: &[u8]| {
    checks::chunked(input);
});
