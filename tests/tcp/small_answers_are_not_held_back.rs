//! Answers in two small writes are not held back by Nagle's algorithm and delayed acknowledgements (44 ms each, fault 5 of
//! the original).

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use harness::{Origin, client};

use crate::support::local;

#[test]
fn most_of_many_take_less_than_a_delayed_acknowledgement() {
    let origin = Origin::start(|mut conn| {
        let mut byte = [0];
        loop {
            conn.read_exact(&mut byte)?;
            conn.write_all(b"he")?;
            // So that the proxy sends it by itself, and not with the rest.
            std::thread::sleep(Duration::from_millis(1));
            conn.write_all(b"ad")?;
        }
    });
    let proxy = local("proxy_pass_tcp \"@ORIGIN@\"").set("ORIGIN", origin.addr()).start();
    let mut stream = client::connect(proxy.addr(0));
    let mut times = Vec::new();
    for _ in 0..60 {
        let began = Instant::now();
        stream.write_all(b"x").expect("write");
        client::read_exact(&stream, 4);
        times.push(began.elapsed());
    }
    // The first ones are acknowledged at once by the kernel in any case.
    let mut late = times.split_off(30);
    late.sort_unstable();
    assert!(late[7] < Duration::from_millis(38), "{late:?}");
}
