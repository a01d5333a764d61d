//! The end of a file that the system sends is pushed out: no answer waits for a full segment or for an acknowledgement (fault 5 of
//! the original: 208 ms with sendfile).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::{client, pattern};

use crate::support::{ask, server};

/// Neither fills segments; the first is just too long to be sent from memory.
const SIZES: [usize; 2] = [(32 << 10) + 1, 100_003];
const TIMES: usize = 40;

/// Times of requests, from the shortest on.
fn times(addr: SocketAddr, size: usize, close: bool) -> Vec<Duration> {
    let connection = if close { "close" } else { "keep-alive" };
    let request = format!("GET /{size} HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n");
    let mut stream = client::connect(addr);
    let mut times: Vec<_> = (0..TIMES)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(ask(&mut stream, &request).body.len(), size);
            let took = began.elapsed();
            if close {
                stream = client::connect(addr);
            }
            took
        })
        .collect();
    // The first ones are acknowledged at once by the kernel in any case.
    let mut late = times.split_off(TIMES / 2);
    late.sort_unstable();
    late
}

#[test]
fn most_of_many_take_less_than_a_delayed_acknowledgement() {
    for small in ["", "http_limit_rate \"1GiB/s\""] {
        let proxy = server(&format!("{small}\nlocal {{ http_static \".\"; }}"));
        let proxy = SIZES.iter().fold(proxy, |p, size| p.file(&size.to_string(), pattern::bytes(*size))).start();
        for size in SIZES {
            for close in [false, true] {
                let late = times(proxy.addr(0), size, close);
                assert!(late[TIMES / 8] < Duration::from_millis(38), "{small} {size} {close}: {late:?}");
            }
        }
    }
}
