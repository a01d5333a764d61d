//! IPv4, IPv6 and Unix sockets, as listeners and as peers, in every combination.

use std::io::{Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;

use harness::{Origin, UnixEcho, client};

use crate::support::{field, lines, net};

#[test]
fn in_every_combination() {
    let v4 = Origin::echo();
    let v6 = Origin::start_on(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)), |mut conn| {
        let mut buf = [0; 64];
        loop {
            match conn.read(&mut buf)? {
                0 => return conn.stream.shutdown(Shutdown::Write),
                n => conn.write_all(&buf[..n])?,
            }
        }
    });
    let peers = ["@V4@", "@V6@", "unix:@DIR@/peer.sock"];
    let servers: String = peers
        .iter()
        .enumerate()
        .map(|(n, peer)| {
            format!(
                "server {{\nport_listen_tcp \"127.0.0.1:0\" \"[::1]:0\" \"unix:@DIR@/in{n}.sock\"\n\
                 local {{ proxy_pass_tcp \"{peer}\"; }}\n}}\n"
            )
        })
        .collect();
    let builder = net("", &servers);
    let dir = builder.dir().path().to_owned();
    let unix = UnixEcho::start(dir.join("peer.sock"));
    let proxy = builder.set("V4", v4.addr()).set("V6", v6.addr()).set("DIR", dir.display()).start();
    for n in 0..peers.len() {
        for listener in [3 * n, 3 * n + 1] {
            let addr = proxy.addr(listener);
            assert_eq!(addr.is_ipv6(), listener % 3 == 1, "{addr}");
            assert_eq!(client::exchange(addr, b"hello"), b"hello", "{addr}");
        }
        let mut stream = UnixStream::connect(dir.join(format!("in{n}.sock"))).expect("connect");
        stream.write_all(b"hello").expect("write");
        stream.shutdown(Shutdown::Write).expect("half-close");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("read");
        assert_eq!(answer, b"hello");
    }
    harness::eventually("nine lines", || (lines(&proxy).len() == 9).then_some(()));
    for line in lines(&proxy) {
        assert!(field(&line, "reason").ends_with("_transfer_done"), "{line}");
    }
    drop(unix);
}

#[test]
fn the_ipv6_wildcard_takes_ipv4_only_when_told_to() {
    for (text, both) in [("", false), ("ipv6_only #false", true)] {
        let origin = Origin::named("o");
        let port = client::free_port();
        let top = format!("common {{\nworker_threads 1\n{text}\n}}");
        // A list of IPv4 networks holds for mapped addresses too.
        let server = format!(
            "ip_deny \"127.0.0.2\"\nserver {{\nport_listen_tcp \"[::]:{port}\"\nlocal {{ proxy_pass_tcp \"@O@\"; }}\n}}"
        );
        let proxy = net(&top, &server).set("O", origin.addr()).start();
        assert_eq!(client::exchange(SocketAddr::from((Ipv6Addr::LOCALHOST, port)), b""), b"o\n");
        let v4 = client::try_exchange(SocketAddr::from(([127, 0, 0, 1], port)), b"");
        assert_eq!(v4.is_ok_and(|answer| answer == b"o\n"), both, "{text}");
        if both {
            assert!(crate::support::is_cut_from([127, 0, 0, 2], port), "denied");
            let line = crate::support::logged(&proxy, 1);
            assert!(field(&line, "client").starts_with("[::ffff:127.0.0.1]:"), "{line}");
        }
    }
}

#[test]
fn the_path_of_a_unix_listener_is_its_address() {
    let text = "server {\nport_listen_tcp \"unix:@DIR@/a.sock\" \"unix:@DIR@/b.sock\"\n\
                local { rule \"${local_addr}\" text=\"unix:@DIR@/a.sock\"; proxy_pass_tcp \"@A@\"; }\n\
                local { proxy_pass_tcp \"@B@\"; }\n}";
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let builder = net("", text);
    let dir = builder.dir().path().to_owned();
    let _proxy = builder.set("DIR", dir.display()).set("A", a.addr()).set("B", b.addr()).start();
    for name in ["a", "b"] {
        let mut stream = UnixStream::connect(dir.join(format!("{name}.sock"))).expect("connect");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("read");
        assert_eq!(answer.trim(), name);
    }
}
