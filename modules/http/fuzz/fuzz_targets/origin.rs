//! Origins of pages: who is let in is who asks.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../values.rs"]
mod values;

fuzz_target!(|input: &[u8]| {
    values::origin(input);
});
