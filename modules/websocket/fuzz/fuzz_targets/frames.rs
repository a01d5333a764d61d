//! Frames: where messages end, as the parser sees it that reads them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    anyproxy_websocket::check(input);
});
