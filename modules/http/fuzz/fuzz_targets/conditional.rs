//! Conditional requests, tags and dates: only readers hear that nothing changed; what is read is written back.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/mod.rs"]
mod checks;

fuzz_target!(|input: &[u8]| {
    checks::conditional(input);
});
