//! Cookies and parameters: what is found stands in the value.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../values.rs"]
mod values;

fuzz_target!(|input: &[u8]| {
    values::pairs(input);
});
