//! `memory_limit`: when the buffers are used up accepting pauses, sessions wait for memory, and all go on once there is
//! some.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;

use harness::{Origin, Proxy, client, eventually};

use crate::support::RELAY;

#[test]
fn slow_peers_use_it_up_and_give_it_back() {
    let (origin, gate) = Origin::gated();
    // What is spliced waits in the kernel, not in buffers.
    let config = RELAY.replace("net {", "net { splice #false;").replace("@COMMON@", "memory_limit \"256KiB\"");
    let proxy = Proxy::builder().config(&config).set("ORIGIN", origin.addr()).start();
    let part = vec![7; 65536];
    // Each client sends until neither the proxy nor the kernel takes more.
    let fill = |stream: &std::net::TcpStream| {
        stream.set_nonblocking(true).expect("flag");
        let mut sent = 0;
        loop {
            match (&mut &*stream).write(&part) {
                Ok(n) => sent += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock => break sent,
                Err(e) => panic!("{e}"),
            }
        }
    };
    let mut clients = Vec::new();
    eventually("the limit is reached", || {
        if clients.len() < 40 {
            let stream = client::connect(proxy.addr(0));
            let sent = fill(&stream);
            clients.push((stream, sent));
        }
        proxy.log_contains("memory_limit").then_some(())
    });
    let buffers = proxy.status()["buffers"].clone();
    assert_eq!(buffers["limit"], 256 << 10);
    assert!(buffers["in_use"].as_u64() <= Some(256 << 10), "{buffers}");
    gate.open();
    for (stream, sent) in clients {
        stream.set_nonblocking(false).expect("flag");
        stream.shutdown(Shutdown::Write).expect("half-close");
        let answer = client::read_to_end(&stream);
        assert!(answer.starts_with(format!("{sent} ").as_bytes()), "{}", String::from_utf8_lossy(&answer));
    }
    eventually("all memory is back", || (proxy.status()["buffers"]["in_use"] == 0).then_some(()));
}
