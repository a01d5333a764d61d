//! `X-Forwarded-For`, `Forwarded` and `traceparent`: nobody is believed who is not trusted.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../checks/mod.rs"]
mod checks;

fuzz_target!(|input: &[u8]| {
    checks::forwarded(input);
});
