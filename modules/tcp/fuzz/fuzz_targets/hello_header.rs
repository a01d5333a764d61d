//! The hello header: no panic, and what is decoded encodes to the same meaning.
#![no_main]

use anyproxy_tcp::core::hello_header::{MAX_LENGTH, Outcome, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| match decode(input) {
    Outcome::NeedMore => assert!(input.len() < MAX_LENGTH),
    Outcome::Parsed { hello, .. } => {
        let bytes = hello.encode().expect("what was decoded can be encoded");
        let consumed = bytes.len();
        assert_eq!(decode(&bytes), Outcome::Parsed { hello, consumed });
    }
    Outcome::NotHello | Outcome::Malformed(_) => {}
});
