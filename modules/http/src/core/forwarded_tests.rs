use super::forwarded::{
    Element, Node, append_forwarded, append_x_forwarded_for, client_by_forwarded, client_by_x_forwarded_for,
    is_request_id, traceparent,
};
use super::noise_tests::Noise;
use std::net::IpAddr;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Everything in 10.0.0.0/8 and fd00::/8.
fn trusted(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.octets()[0] == 10,
        IpAddr::V6(address) => address.octets()[0] == 0xfd,
    }
}

#[test]
fn appends() {
    /// What came in, the peer, and what goes out.
    type Row<'a> = (Option<&'a [u8]>, &'a str, &'a [u8]);
    let table: [Row<'_>; 6] = [
        (None, "192.0.2.1", b"192.0.2.1"),
        (Some(b""), "192.0.2.1", b"192.0.2.1"),
        (Some(b" "), "::ffff:192.0.2.1", b"192.0.2.1"),
        (Some(b"a, b "), "192.0.2.1", b"a, b, 192.0.2.1"),
        (Some(b"a"), "2001:db8::1", b"a, 2001:db8::1"),
        (Some(b"\xff"), "::1", b"\xff, ::1"),
    ];
    for (existing, peer, want) in table {
        assert_eq!(append_x_forwarded_for(existing, ip(peer)), want);
    }
    assert_eq!(append_forwarded(Some(b"for=a"), "for=b"), b"for=a, for=b");
    assert_eq!(append_forwarded(None, "for=b"), b"for=b");
    assert_eq!(append_forwarded(Some(b"for=a"), ""), b"for=a");
}

#[test]
fn elements() {
    let all = Element {
        from: Some(Node::Socket("[2001:db8::1]:4711".parse().expect("a socket"))),
        by: Some(Node::Address(ip("10.0.0.1"))),
        host: Some(b"a.example:8080"),
        proto: Some(b"https"),
    };
    assert_eq!(all.text(), "for=\"[2001:db8::1]:4711\";by=10.0.0.1;host=\"a.example:8080\";proto=https");
    let from = |node| Element { from: Some(node), ..Element::default() }.text();
    assert_eq!(from(Node::Address(ip("2001:db8::1"))), "for=\"[2001:db8::1]\"");
    assert_eq!(from(Node::Address(ip("::ffff:192.0.2.1"))), "for=192.0.2.1");
    assert_eq!(from(Node::Socket("192.0.2.1:80".parse().expect("a socket"))), "for=\"192.0.2.1:80\"");
    assert_eq!(from(Node::Unknown), "for=unknown");
    assert_eq!(from(Node::Hidden("_a.b-c_")), "for=_a.b-c_");
    assert_eq!(from(Node::Hidden("a\";evil")), "for=unknown");
    assert_eq!(from(Node::Hidden("_")), "for=unknown");
    let host = |host| Element { host: Some(host), ..Element::default() }.text();
    assert_eq!(host(b"a.example"), "host=a.example");
    assert_eq!(host(b"[::1]"), "host=\"[::1]\"");
    assert_eq!(host(b"a\"\\,;"), "host=\"a\\\"\\\\,;\"");
    assert_eq!(host(b"a\r\nb"), "");
    assert_eq!(host(b"\xe9"), "");
    assert_eq!(host(b""), "");
    assert_eq!(Element::default().text(), "");
}

#[test]
fn client_of_x_forwarded_for() {
    let table = [
        ("192.0.2.9", "198.51.100.1", "192.0.2.9"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, 198.51.100.2", "198.51.100.2"),
        ("10.0.0.1", "198.51.100.1,10.0.0.3 ,\t10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "2001:db8::1, fd00::1", "2001:db8::1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
        ("10.0.0.1", "::ffff:198.51.100.1, ::ffff:10.0.0.2", "198.51.100.1"),
        // Malformed members stop.
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.1,,10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.1,", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:x", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1:", "10.0.0.1"),
        ("10.0.0.1", "[198.51.100.1]", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::1", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::1]x", "10.0.0.1"),
        ("10.0.0.1", "198.51.100", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.01", "10.0.0.1"),
        ("10.0.0.1", "fe80::1%eth0", "10.0.0.1"),
        ("10.0.0.1", "rubbish, 198.51.100.1", "198.51.100.1"),
    ];
    for (peer, value, want) in table {
        assert_eq!(client_by_x_forwarded_for(ip(peer), value.as_bytes(), trusted), ip(want), "{peer} {value}");
    }
    assert_eq!(client_by_x_forwarded_for(ip("10.0.0.1"), b"\xff", trusted), ip("10.0.0.1"));
}

#[test]
fn client_of_forwarded() {
    let table = [
        ("192.0.2.9", "for=198.51.100.1", "192.0.2.9"),
        ("10.0.0.1", "for=198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "For=198.51.100.1;proto=http;by=10.0.0.9", "198.51.100.1"),
        ("10.0.0.1", "proto=http; for=\"198.51.100.1:80\"", "198.51.100.1"),
        ("10.0.0.1", "for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
        ("10.0.0.1", "for=\"[2001:db8::1]:_port\", for=\"[fd00::2]\"", "2001:db8::1"),
        ("10.0.0.1", "for=198.51.100.1, for=10.0.0.3;host=\"a,;b\\\"\" , for=10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "for=198.51.100.1;x=\"\\\\\", for=10.0.0.2;x=\"\\\"\\\\\"", "198.51.100.1"),
        ("10.0.0.1", "for=10.0.0.3, for=10.0.0.2", "10.0.0.3"),
        // What a client has broken at the left does not reach the right.
        ("10.0.0.1", "for=\"evil, for=198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "x=\"\\, for=\"198.51.100.1:1\"", "198.51.100.1"),
        ("10.0.0.1", "\"\"\", for=198.51.100.1, for=\"10.0.0.2\"", "198.51.100.1"),
        // Malformed elements stop.
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "for=198.51.100.1,", "10.0.0.1"),
        ("10.0.0.1", "for=198.51.100.1, proto=http, for=10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "for=198.51.100.1, for=unknown, for=10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "for=198.51.100.1, for=_hidden", "10.0.0.1"),
        ("10.0.0.1", "for=198.51.100.1;for=198.51.100.2", "10.0.0.1"),
        ("10.0.0.1", "for=198.51.100.1;", "10.0.0.1"),
        ("10.0.0.1", "for", "10.0.0.1"),
        ("10.0.0.1", "for=", "10.0.0.1"),
        ("10.0.0.1", "for =198.51.100.1", "10.0.0.1"),
        ("10.0.0.1", "for=198.51.100.1:80", "10.0.0.1"),
        ("10.0.0.1", "for=[2001:db8::1]", "10.0.0.1"),
        ("10.0.0.1", "for=\"2001:db8::1\"", "10.0.0.1"),
        ("10.0.0.1", "for=\"198.51.100.1\"x", "10.0.0.1"),
        ("10.0.0.1", "for=\"198.51.100.1", "10.0.0.1"),
        ("10.0.0.1", "for=198.51.100.1\"", "10.0.0.1"),
    ];
    for (peer, value, want) in table {
        assert_eq!(client_by_forwarded(ip(peer), value.as_bytes(), trusted), ip(want), "{peer} {value}");
    }
}

#[test]
fn reads_what_it_writes() {
    for (node, want) in [
        (Node::Address(ip("198.51.100.1")), "198.51.100.1"),
        (Node::Address(ip("2001:db8::1")), "2001:db8::1"),
        (Node::Socket("[2001:db8::1]:1".parse().expect("a socket")), "2001:db8::1"),
    ] {
        let text = Element { from: Some(node), host: Some(b"a\",b\\"), ..Element::default() }.text();
        let value = append_forwarded(Some(b"for=\"x"), &text);
        assert_eq!(client_by_forwarded(ip("10.0.0.1"), &value, trusted), ip(want), "{text}");
    }
}

#[test]
fn traces() {
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let parsed = traceparent(good.as_bytes()).expect("a traceparent");
    assert_eq!((parsed.version, parsed.flags), (0, 1));
    assert_eq!(parsed.trace_id, b"0af7651916cd43dd8448eb211c80319c");
    assert_eq!(parsed.parent_id, b"b7ad6b7169203331");
    let later = good.replacen("00", "cc", 1);
    for value in [later.clone(), format!("{later}-what-ever"), format!(" {good} ")] {
        assert!(traceparent(value.as_bytes()).is_some(), "{value}");
    }
    let bad = [
        String::new(),
        good[..54].to_owned(),
        format!("{good}-00"),
        format!("{good}0"),
        format!("{later}x"),
        good.replacen("00", "ff", 1),
        good.to_uppercase(),
        good.replace('-', "_"),
        good.replacen('a', "g", 1),
        good.replacen("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32), 1),
        good.replacen("b7ad6b7169203331", &"0".repeat(16), 1),
        good.replacen("-b7", "b-7", 1),
        good.replacen("7ad", "-ad", 1),
    ];
    for value in bad {
        assert_eq!(traceparent(value.as_bytes()), None, "{value}");
    }
}

#[test]
fn request_ids() {
    for value in ["a", "A-Z_0.9", &"x".repeat(128)] {
        assert!(is_request_id(value.as_bytes()));
    }
    for value in ["", "a b", "a\n", "a/b", "\u{e9}", &"x".repeat(129)] {
        assert!(!is_request_id(value.as_bytes()));
    }
}

#[test]
fn noise_keeps_invariants() {
    let mut noise = Noise::new(12);
    let pieces: [&[u8]; 14] = [
        b"for=",
        b"10.0.0.2",
        b"198.51.100.1",
        b"\"",
        b"\\",
        b",",
        b";",
        b" ",
        b"[fd00::1]",
        b"host=a",
        b":80",
        b"_x",
        b"::1",
        b"=",
    ];
    let peer = ip("10.0.0.1");
    for _ in 0..60_000 {
        let value = noise.text(&pieces, 14);
        // Nobody is believed who is not trusted.
        assert_eq!(client_by_forwarded(ip("192.0.2.9"), &value, trusted), ip("192.0.2.9"));
        let _ = client_by_x_forwarded_for(peer, &value, trusted);
        // Whatever is at the left, the nearest proxy's word counts.
        let text = Element { from: Some(Node::Address(ip("203.0.113.5"))), host: Some(&value), ..Element::default() };
        let sent = append_forwarded(Some(&value), &text.text());
        assert_eq!(client_by_forwarded(peer, &sent, trusted), ip("203.0.113.5"), "{}", sent.escape_ascii());
        let sent = append_x_forwarded_for(Some(&value), ip("203.0.113.5"));
        assert_eq!(client_by_x_forwarded_for(peer, &sent, trusted), ip("203.0.113.5"));
        let seed = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        if let Some(parsed) = traceparent(&noise.mutate(seed)) {
            assert_eq!((parsed.trace_id.len(), parsed.parent_id.len()), (32, 16));
        }
    }
}
