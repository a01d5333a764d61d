//! Malformed and untrusted headers in front of a stream: closed without any peer having been asked, counted and logged.

use harness::{Origin, eventually};

use crate::support::{await_reason, is_cut, metric, server, traffic};

#[test]
fn of_every_kind() {
    let long_line = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
    let cases: [(&str, &[u8]); 10] = [
        ("proxy_protocol_accept", b"PROXY TCP4 192.0.2.300 127.0.0.1 1 2\r\n"),
        ("proxy_protocol_accept", b"PROXY TCP4 192.0.2.3 127.0.0.1 1\r\n"),
        ("proxy_protocol_accept", b"PROXY TCP5 192.0.2.3 127.0.0.1 1 2\r\n"),
        ("proxy_protocol_accept", &long_line),
        ("proxy_protocol_accept", b"GET / HTTP/1.1\r\n\r\n"),
        ("proxy_protocol_accept", b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c"),
        ("proxy_protocol_accept", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x01\0"),
        ("proxy_protocol_hello_accept", b"\xf5apx\x02\x01\0\x08"),
        ("proxy_protocol_hello_accept", b"\xf5apx\x01\x11\0\x08"),
        ("proxy_protocol_hello_accept", b"\xf5apx\x01\x01\0\x0b\x01\0\x40"),
    ];
    for (directive, bytes) in cases {
        let origin = Origin::echo();
        let text = format!("{directive} \"127.0.0.1\"\nlocal {{ proxy_pass_tcp \"@ORIGIN@\"; }}");
        let proxy = server(&text).set("ORIGIN", origin.addr()).start();
        assert!(is_cut(proxy.addr(0), bytes), "{bytes:?}");
        await_reason(&proxy, "client_preread_malformed");
        eventually("it is counted", || (traffic(&proxy, 0)["malformed"] == 1).then_some(()));
        assert_eq!(metric(&proxy, "anyproxy_tcp_preread_malformed"), 1, "{bytes:?}");
        let log = proxy.await_log("malformed first bytes", harness::LIMIT);
        assert!(log.contains("reason="), "{log}");
        assert_eq!(origin.accepted(), 0);
    }
}

#[test]
fn from_senders_that_are_not_trusted() {
    let cases: [(&str, &[u8]); 3] = [
        ("proxy_protocol_accept", b"PROXY TCP4 192.0.2.3 127.0.0.1 1 2\r\nx"),
        ("proxy_protocol_accept", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"),
        ("proxy_protocol_hello_accept", b"\xf5apx\x01\x01\0\x08"),
    ];
    for (directive, bytes) in cases {
        let origin = Origin::echo();
        let text = format!("{directive} \"192.0.2.0/24\"\nlocal {{ proxy_pass_tcp \"@ORIGIN@\"; }}");
        let proxy = server(&text).set("ORIGIN", origin.addr()).start();
        assert!(is_cut(proxy.addr(0), bytes), "{bytes:?}");
        await_reason(&proxy, "client_preread_malformed");
        let log = proxy.await_log("malformed first bytes", harness::LIMIT);
        assert!(log.contains("not trusted"), "{log}");
        assert_eq!(origin.accepted(), 0);
        // Without a header the connection is like any other.
        assert_eq!(harness::client::exchange(proxy.addr(0), b"plain"), b"plain");
    }
}

#[test]
fn that_end_before_they_are_whole() {
    let v1 = b"PROXY TCP4 192.0.2.3 127.0.0.1 11 22\r\n".as_slice();
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".as_slice();
    let hello = b"\xf5apx\x01\x01\0\x08".as_slice();
    let cases = [
        ("proxy_protocol_accept", &v1[..1]),
        ("proxy_protocol_accept", &v1[..8]),
        ("proxy_protocol_accept", &v1[..v1.len() - 1]),
        ("proxy_protocol_accept", &v2[..8]),
        ("proxy_protocol_accept", &v2[..v2.len() - 1]),
        ("proxy_protocol_hello_accept", &hello[..4]),
        ("proxy_protocol_hello_accept", &hello[..hello.len() - 1]),
    ];
    for (directive, bytes) in cases {
        let origin = Origin::echo();
        let text = format!("{directive} \"127.0.0.1\"\nlocal {{ proxy_pass_tcp \"@ORIGIN@\"; }}");
        let proxy = server(&text).set("ORIGIN", origin.addr()).start();
        assert!(is_cut(proxy.addr(0), bytes), "{bytes:?}");
        await_reason(&proxy, "client_preread_malformed");
        eventually("it is counted", || (traffic(&proxy, 0)["malformed"] == 1).then_some(()));
        let log = proxy.await_log("malformed first bytes", harness::LIMIT);
        assert!(log.contains("ended within its"), "{log}");
        assert_eq!(origin.accepted(), 0);
    }
}

#[test]
fn a_sender_that_must_send_one_and_ends_before_is_a_check() {
    let origin = Origin::named("peer");
    let text = "proxy_protocol_accept \"127.0.0.1\"\nlocal { proxy_pass_tcp \"@ORIGIN@\"; }";
    let proxy = server(text).set("ORIGIN", origin.addr()).start();
    assert!(is_cut(proxy.addr(0), b""));
    await_reason(&proxy, "client_preread_closed");
    assert_eq!((traffic(&proxy, 0)["malformed"].clone(), origin.accepted()), (0.into(), 0));
    // Who need not send one has ended its side, and may still be told something.
    for directive in ["proxy_protocol_accept \"192.0.2.0/24\"", "proxy_protocol_hello_accept \"127.0.0.1\""] {
        let text = format!("{directive}\nlocal {{ proxy_pass_tcp \"@ORIGIN@\"; }}");
        let proxy = server(&text).set("ORIGIN", origin.addr()).start();
        for bytes in [b"".as_slice(), b"P", b"\r\n", b"\xf5"] {
            assert_eq!(harness::client::exchange(proxy.addr(0), bytes), b"peer\n", "{directive} {bytes:?}");
        }
    }
}
