//! The head of a response: the verdict does not depend on the cuts, and what a proxy passes on means the same.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/mod.rs"]
mod checks;

fuzz_target!(|input: &[u8]| {
    checks::response_head(input);
});
