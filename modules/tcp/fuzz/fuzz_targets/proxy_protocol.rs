//! The PROXY protocol: no panic, and what is decoded encodes to the same meaning.
#![no_main]

use anyproxy_tcp::core::proxy_protocol::{Outcome, V2_MAX, decode, encode_v2};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| match decode(input) {
    Outcome::NeedMore => assert!(input.len() < V2_MAX),
    Outcome::Parsed { header, consumed } => {
        assert!(consumed <= input.len());
        let bytes = encode_v2(&header.endpoints, header.authority.as_deref(), true)
            .expect("what was decoded can be encoded");
        let Outcome::Parsed { header: again, .. } = decode(&bytes) else {
            panic!("what was encoded can be decoded");
        };
        assert_eq!(again.endpoints, header.endpoints);
    }
    Outcome::NotProxy | Outcome::Malformed(_) => {}
});
