//! Addresses and cookies of peers: never a second line, never another host than the rule's.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../values.rs"]
mod values;

fuzz_target!(|input: &[u8]| {
    values::redirect(input);
});
