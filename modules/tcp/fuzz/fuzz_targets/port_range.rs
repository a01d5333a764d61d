//! Listen addresses: no panic, bounded, and what parses is written back.
#![no_main]

use anyproxy_tcp::core::port_range::{MAX_PORTS, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(list) = parse(&String::from_utf8_lossy(input)) {
        assert!((1..=MAX_PORTS).contains(&list.len()));
        for address in list {
            assert_eq!(parse(&address.to_string()), Ok(vec![address]));
        }
    }
});
