//! The head of a request: the verdict does not depend on the cuts, and what a proxy passes on means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/mod.rs"]
mod checks;

fuzz_target!(|input: &[u8]| {
    checks::request_head(input);
});
