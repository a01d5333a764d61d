//! HTTP/2: frames and field blocks are read the same however they are cut, at either end, within the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    anyproxy_http::h2::check(input);
});
