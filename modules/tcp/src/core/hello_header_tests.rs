//! Tests of the hello header over headers built here and over the seeds of its fuzz target.

use super::super::{client_hello, corpus, http_host, proxy_protocol};
use super::*;

fn full() -> Hello {
    Hello {
        hops: 2,
        sender: Some("anyproxy/0.1.0".into()),
        request_id: Some("0123456789abcdef".into()),
        client: Some("192.0.2.1:4321".parse::<SocketAddr>().unwrap().into()),
        domain: Some("www.example.cn".into()),
    }
}

fn header(hops: u8, fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut out = [MAGIC.as_slice(), &[FORMAT, hops, 0, 0]].concat();
    for (kind, value) in fields {
        field(&mut out, *kind, value).unwrap();
    }
    let length = (out.len() as u16).to_be_bytes();
    out[6..8].copy_from_slice(&length);
    out
}

#[test]
fn what_is_encoded_is_decoded_and_the_rest_left() {
    let addresses: [Address; 4] = [
        Address::Ip("192.0.2.1:1".parse().unwrap()),
        Address::Ip("[2001:db8::1]:65535".parse().unwrap()),
        Address::Unix(b"/run/a.sock".as_slice().into()),
        Address::Unix(b"".as_slice().into()),
    ];
    for address in addresses {
        let hello = Hello { client: Some(address), ..full() };
        let mut bytes = hello.encode().unwrap();
        let consumed = bytes.len();
        bytes.extend(b"\x16\x03\x01");
        assert_eq!(decode(&bytes), Outcome::Parsed { hello, consumed });
    }
}

#[test]
fn every_prefix_needs_more() {
    let bytes = full().encode().unwrap();
    for end in 0..bytes.len() {
        assert_eq!(decode(&bytes[..end]), Outcome::NeedMore, "{end}");
    }
}

#[test]
fn the_bytes_of_version_1_never_change() {
    let hello = Hello { sender: None, request_id: Some("r1".into()), domain: Some("a.b".into()), ..full() };
    assert_eq!(
        hello.encode().unwrap(),
        b"\xf5apx\x01\x02\x00\x1d\x02\0\x02r1\x03\0\x07\x04\xc0\0\x02\x01\x10\xe1\x04\0\x03a.b"
    );
}

#[test]
fn the_magic_is_no_other_protocols_beginning() {
    let bytes = full().encode().unwrap();
    assert_eq!(client_hello::Reader::new().advance(&bytes), client_hello::Outcome::NotTls);
    let rules = http_host::Rules::default();
    assert_eq!(http_host::Reader::new().advance(&rules, &bytes), http_host::Outcome::NotHttp);
    assert_eq!(proxy_protocol::decode(&bytes), proxy_protocol::Outcome::NotProxy);
    for other in [b"\x16\x03\x01".as_slice(), b"GET /", b"PROXY TCP4", b"\r\n\r\n\0\r\nQUIT\n"] {
        assert_eq!(decode(other), Outcome::NotHello);
    }
}

#[test]
fn hops_are_counted_and_a_circle_ends() {
    let mut hello = Hello::first();
    for hops in 2..=MAX_HOPS {
        hello = hello.next_hop().unwrap();
        assert_eq!(hello.hops, hops);
    }
    assert_eq!(hello.next_hop(), Err("more than 16 hops"));
    for hops in [0, 17, 255] {
        let refused = Outcome::Malformed("hop count of the hello header out of range");
        assert_eq!(decode(&header(hops, &[])), refused);
        assert!(Hello { hops, ..full() }.encode().is_err());
    }
}

#[test]
fn unknown_fields_are_skipped() {
    let bytes = header(1, &[(200, b"later"), (REQUEST_ID, b"id"), (0, b"")]);
    let hello = Hello { request_id: Some("id".into()), ..Hello::first() };
    assert_eq!(decode(&bytes), Outcome::Parsed { hello, consumed: bytes.len() });
}

#[test]
fn fields_out_of_their_bounds_are_refused() {
    let long_path = [&[1], [b'a'; 109].as_slice()].concat();
    let long = [b'a'; 65];
    for (kind, value) in [
        (REQUEST_ID, b"".as_slice()),
        (REQUEST_ID, &long),
        (REQUEST_ID, b"a b"),
        (REQUEST_ID, b"a\n"),
        (SENDER, &long[..33]),
        (SENDER, b"a\x1b"),
        (CLIENT, b""),
        (CLIENT, b"\x04\x7f\0\0\x01\0"),
        (CLIENT, b"\x04\x7f\0\0\x01\0\x50\0"),
        (CLIENT, b"\x06\x7f\0\0\x01\0\x50"),
        (CLIENT, b"\x05\x7f\0\0\x01\0\x50"),
        (CLIENT, &long_path),
        (DOMAIN, b""),
        (DOMAIN, b"a b"),
    ] {
        let outcome = decode(&header(1, &[(kind, value)]));
        assert!(matches!(outcome, Outcome::Malformed(_)), "{kind} {}", value.escape_ascii());
    }
    let repeated = decode(&header(1, &[(DOMAIN, b"a"), (DOMAIN, b"a")]));
    assert_eq!(repeated, Outcome::Malformed("repeated field in the hello header"));
    assert_eq!(
        decode(b"\xf5apx\x01\x01\0\x0b\x02\0\x01"),
        Outcome::Malformed("field of the hello header longer than the header")
    );
    for length in [b"\0\x07", b"\x10\x01", b"\xff\xff"] {
        let bytes = [b"\xf5apx\x01\x01".as_slice(), length].concat();
        assert_eq!(decode(&bytes), Outcome::Malformed("length of the hello header out of range"));
    }
    assert_eq!(decode(b"\xf5apx\x02"), Outcome::Malformed("unknown version of the hello header"));
}

#[test]
fn no_input_panics_or_depends_on_how_it_was_cut() {
    corpus::run("hello_header", |input| {
        corpus::same_however_cut(input, || {
            |received: &[u8]| match decode(received) {
                Outcome::NeedMore => {
                    assert!(received.len() < MAX_LENGTH);
                    None
                }
                verdict => Some(verdict),
            }
        });
        if let Outcome::Parsed { hello, .. } = decode(input) {
            let again = hello.encode().unwrap();
            assert_eq!(decode(&again), Outcome::Parsed { hello, consumed: again.len() });
        }
    });
}
