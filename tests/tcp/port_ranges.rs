//! `127.0.0.1:10001-10004` listens on each of the ports, and nothing beside them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use harness::{Origin, client, eventually};

use crate::support::net;

#[test]
fn every_port_of_a_range_serves() {
    let origin = Origin::named("o");
    // Below the ports that the system gives to connections, which are rarely free in a row while other tests run.
    // Somebody else may take a port meanwhile: then another range is tried.
    let mut tries = std::process::id() as u16;
    let proxy = eventually("four free ports in a row", || {
        tries = tries.wrapping_add(1);
        let first = 12_000 + tries % 4_000 * 5;
        let free =
            first < 65_000 && (first..first + 5).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
        if !free {
            return None;
        }
        let server = "server {\nport_listen_tcp \"127.0.0.1:@A@-@B@\"\nlocal { proxy_pass_tcp \"@ORIGIN@\"; }\n}";
        let builder = net("", server).set("A", first).set("B", first + 3).set("ORIGIN", origin.addr());
        builder.try_start().ok().map(|proxy| (proxy, first))
    });
    let (proxy, first) = proxy;
    for n in 0..4 {
        let addr = SocketAddr::from(([127, 0, 0, 1], first + n));
        assert_eq!(proxy.addr(n.into()), addr);
        assert_eq!(client::exchange(addr, b""), b"o\n");
    }
    assert!(client::try_connect(SocketAddr::from(([127, 0, 0, 1], first + 4))).is_err());
}
