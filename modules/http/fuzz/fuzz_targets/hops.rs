//! Lists of hops: each step takes one off, and a hop has one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../values.rs"]
mod values;

fuzz_target!(|input: &[u8]| {
    values::hops(input);
});
