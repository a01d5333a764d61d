//! `max_connections_per_client`: more of one address are closed at once, counted and logged; others are not concerned.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use harness::{Origin, client, eventually};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::support::relay;

fn echoes(mut stream: &TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut byte).is_ok()
}

/// A connection from another address of the loopback network.
fn from(ip: &str, to: SocketAddr) -> TcpStream {
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&fd, &format!("{ip}:0").parse::<SocketAddr>().expect("an address")).expect("127.0.0.0/8 is ours");
    connect(&fd, &to).expect("it listens");
    let stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(harness::LIMIT)).expect("a limit above zero");
    stream
}

#[test]
fn more_are_closed_and_counted() {
    let origin = Origin::echo();
    let proxy = relay(&origin, "max_connections_per_client 3").start();
    let addr = proxy.addr(0);
    let held: Vec<_> = (0..3).map(|_| client::connect(addr)).collect();
    assert!(held.iter().all(echoes));
    for _ in 0..5 {
        assert!(!echoes(&client::connect(addr)));
    }
    let line = proxy.await_log("max_connections_per_client", harness::LIMIT);
    assert!(line.contains("127.0.0.1"), "{line}");
    assert!(proxy.log().matches("max_connections_per_client").count() <= 2, "once a second");
    let traffic = proxy.status()["listeners"][0]["traffic"].clone();
    assert_eq!(traffic["shed"], 5, "{traffic}");
    assert!(echoes(&from("127.0.0.2", addr)), "another client");
    drop(held);
    eventually("room again", || echoes(&client::connect(addr)).then_some(()));
}

#[test]
fn a_client_of_ipv4_is_one_by_both_families() {
    let origin = Origin::echo();
    let common = "max_connections_per_client 2\n ipv6_only #false";
    let config = crate::support::RELAY.replace("\"127.0.0.1:0\"", "\"127.0.0.1:0\" \"[::]:0\"");
    let proxy = harness::Proxy::builder().config(&config).set("ORIGIN", origin.addr()).set("COMMON", common).start();
    let mapped = SocketAddr::from(([127, 0, 0, 1], proxy.addr(1).port()));
    let held = [client::connect(proxy.addr(0)), client::connect(mapped)];
    assert!(held.iter().all(echoes));
    assert!(!echoes(&client::connect(proxy.addr(0))) && !echoes(&client::connect(mapped)));
    drop(held);
    eventually("room again", || echoes(&client::connect(mapped)).then_some(()));
}
