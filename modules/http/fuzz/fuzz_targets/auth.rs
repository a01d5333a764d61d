//! `Authorization: Basic`, base64 and password files: one text has one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/mod.rs"]
mod checks;

fuzz_target!(|input: &[u8]| {
    checks::auth(input);
});
