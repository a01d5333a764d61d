//! Tests of the PROXY protocol over headers written here and over the seeds of its fuzz target.

use super::super::corpus;
use super::*;

fn ip(source: &str, destination: &str) -> Endpoints {
    Endpoints::Proxied {
        source: Address::Ip(source.parse().unwrap()),
        destination: Address::Ip(destination.parse().unwrap()),
    }
}

fn v2_bytes(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = (rest.len() as u16).to_be_bytes();
    [v2::PROTOCOL_PREFIX, &[command, family], &length, rest].concat()
}

fn parsed(bytes: &[u8]) -> (Header, usize) {
    match decode(bytes) {
        Outcome::Parsed { header, consumed } => (header, consumed),
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

fn reason(bytes: &[u8]) -> &'static str {
    match decode(bytes) {
        Outcome::Malformed(reason) => reason,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 2, 0x10, 0xe1, 0, 80];

#[test]
fn a_line_of_version_1_is_read_and_the_rest_left() {
    let (header, consumed) = parsed(b"PROXY TCP4 192.0.2.1 198.51.100.2 4321 80\r\nGET /");
    assert_eq!(header.endpoints, ip("192.0.2.1:4321", "198.51.100.2:80"));
    assert_eq!((header.version, consumed), (Version::V1, 43));
    let (header, _) = parsed(b"PROXY TCP6 2001:db8::1 ::1 1 65535\r\n");
    assert_eq!(header.endpoints, ip("[2001:db8::1]:1", "[::1]:65535"));
}

#[test]
fn what_follows_unknown_is_ignored() {
    for line in [
        b"PROXY UNKNOWN\r\n".as_slice(),
        b"PROXY UNKNOWN ffff:f...f:ffff ffff 65535 65535\r\n",
        b"PROXY UNKNOWN a b c d e f g h \xff\r\n",
    ] {
        assert_eq!(parsed(line).0.endpoints, Endpoints::Unknown);
        assert_eq!(parsed(line).1, line.len());
    }
}

#[test]
fn invalid_lines_of_version_1_are_refused() {
    for line in [
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4321\r\n".as_slice(),
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4321 80 x\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 4321 80\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 04321 80\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 +432 80\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 80\r\n",
        b"PROXY TCP4  192.0.2.1 198.51.100.2 4321 80\r\n",
        b"PROXY TCP4 ::1 ::1 4321 80\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.2 4321 80\r\n",
        b"PROXY TCP4 192.0.2.1\r198.51.100.2 4321 80\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.2 4321 80\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY \r\n",
        b"PROXY TCP4 \xff\r\n",
    ] {
        assert!(!reason(line).is_empty());
    }
    let mut long = b"PROXY UNKNOWN ".to_vec();
    long.resize(V1_MAX, b'x');
    assert_eq!(reason(&long), "PROXY v1 line over 107 bytes");
    assert_eq!(decode(&long[..V1_MAX - 1]), Outcome::NeedMore);
}

#[test]
fn a_header_of_version_2_is_read_and_the_rest_left() {
    let mut bytes = v2_bytes(0x21, 0x11, &V4);
    bytes.push(b'x');
    let (header, consumed) = parsed(&bytes);
    assert_eq!(header.endpoints, ip("192.0.2.1:4321", "198.51.100.2:80"));
    assert_eq!((header.version, consumed), (Version::V2, 28));
    for end in 0..consumed {
        assert_eq!(decode(&bytes[..end]), Outcome::NeedMore, "{end}");
    }
}

#[test]
fn local_is_taken_whatever_its_block_holds() {
    for bytes in [v2_bytes(0x20, 0, b""), v2_bytes(0x20, 0xff, b"junk"), v2_bytes(0x20, 0x11, &V4)] {
        let (header, consumed) = parsed(&bytes);
        assert_eq!((header.endpoints, consumed), (Endpoints::Local, bytes.len()));
    }
}

#[test]
fn fields_are_read_behind_every_family() {
    let field = b"\x04\0\x01\0\xee\0\x02zz\x02\0\x09A.Example";
    let mut unix = vec![0; 216];
    unix[..6].copy_from_slice(b"/run/a");
    for (family, block) in [(0x00, b"".as_slice()), (0x11, &V4), (0x31, &unix)] {
        let (header, _) = parsed(&v2_bytes(0x21, family, &[block, field].concat()));
        assert_eq!(header.authority.as_deref(), Some("a.example"));
    }
}

#[test]
fn a_checksum_is_verified() {
    let endpoints = ip("[2001:db8::1]:1", "[::1]:2");
    let mut bytes = encode_v2(&endpoints, Some("a.example"), true).unwrap();
    assert_eq!(parsed(&bytes).0.endpoints, endpoints);
    for at in [16, 60, bytes.len() - 1] {
        bytes[at] ^= 1;
        assert!(!reason(&bytes).is_empty(), "{at}");
        bytes[at] ^= 1;
    }
    assert_eq!(crc32c(b"123456789".iter().copied()), 0xe306_9283);
}

#[test]
fn invalid_headers_of_version_2_are_refused() {
    let with = |fields: &[u8]| v2_bytes(0x21, 0x11, &[&V4, fields].concat());
    for (bytes, why) in [
        (v2_bytes(0x11, 0x11, &V4), "unknown version in a PROXY v2 header"),
        (v2_bytes(0x22, 0x11, &V4), "invalid PROXY v2 header"),
        (v2_bytes(0x21, 0x41, &V4), "invalid PROXY v2 header"),
        (v2_bytes(0x21, 0x13, &V4), "invalid PROXY v2 header"),
        (v2_bytes(0x21, 0x11, &V4[1..]), "invalid PROXY v2 header"),
        (v2_bytes(0x21, 0x31, &V4), "invalid PROXY v2 header"),
        (with(b"\x02"), "field of a PROXY v2 header longer than the header"),
        (with(b"\xee\0\x02z"), "field of a PROXY v2 header longer than the header"),
        (with(b"\x02\0\x01a\x02\0\x01a"), "two authorities in a PROXY v2 header"),
        (with(b"\x02\0\x03a b"), "invalid character in a host name"),
        (with(b"\x03\0\x04\0\0\0\0"), "wrong checksum of a PROXY v2 header"),
        (with(b"\x03\0\0"), "wrong checksum of a PROXY v2 header"),
    ] {
        assert_eq!(reason(&bytes), why);
    }
    let mut long = v2_bytes(0x21, 0x11, b"");
    long[14..16].copy_from_slice(&4081u16.to_be_bytes());
    assert_eq!(reason(&long), "PROXY v2 header over 4096 bytes");
}

#[test]
fn what_is_encoded_is_decoded() {
    let unix = Endpoints::Proxied {
        source: Address::Unix(b"/run/a".as_slice().into()),
        destination: Address::Unix(b"\0abstract".as_slice().into()),
    };
    for endpoints in [
        ip("192.0.2.1:1", "198.51.100.2:2"),
        ip("[2001:db8::1]:1", "[::1]:2"),
        unix,
        Endpoints::Unknown,
        Endpoints::Local,
    ] {
        for (authority, checksum) in [(None, false), (Some("a.example"), true)] {
            let bytes = encode_v2(&endpoints, authority, checksum).unwrap();
            let (header, consumed) = parsed(&bytes);
            assert_eq!((&header.endpoints, consumed), (&endpoints, bytes.len()));
            if endpoints != Endpoints::Local {
                assert_eq!(header.authority.as_deref(), authority);
            }
        }
    }
    let four = ip("192.0.2.1:1", "198.51.100.2:2");
    assert_eq!(encode_v1(&four), b"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\r\n");
    assert_eq!(parsed(&encode_v1(&four)).0.endpoints, four);
    assert_eq!(encode_v1(&Endpoints::Local), b"PROXY UNKNOWN\r\n");
}

#[test]
fn addresses_of_two_families_are_mapped() {
    let mixed = ip("192.0.2.1:1", "[::1]:2");
    let mapped = ip("[::ffff:192.0.2.1]:1", "[::1]:2");
    assert_eq!(parsed(&encode_v1(&mixed)).0.endpoints, mapped);
    assert_eq!(parsed(&encode_v2(&mixed, None, false).unwrap()).0.endpoints, mapped);
    let odd = Endpoints::Proxied {
        source: Address::Unix(b"/a".as_slice().into()),
        destination: Address::Ip("[::1]:2".parse().unwrap()),
    };
    assert_eq!(parsed(&encode_v2(&odd, None, false).unwrap()).0.endpoints, Endpoints::Unknown);
    assert_eq!(encode_v1(&odd), b"PROXY UNKNOWN\r\n");
}

#[test]
fn what_cannot_be_encoded_is_refused() {
    let long = Address::Unix(vec![b'a'; 109].into());
    let endpoints = Endpoints::Proxied { source: long.clone(), destination: long };
    assert!(encode_v2(&endpoints, None, false).is_err());
    assert!(encode_v2(&Endpoints::Unknown, Some("a b"), false).is_err());
}

#[test]
fn other_protocols_are_not_proxy() {
    for bytes in [b"GET /".as_slice(), b"\x16\x03\x01", b"PROXYTCP4", b"\r\n\r\n\x01", b"\xf5apx"] {
        assert_eq!(decode(bytes), Outcome::NotProxy);
    }
}

#[test]
fn no_input_panics_or_depends_on_how_it_was_cut() {
    corpus::run("proxy_protocol", |input| {
        corpus::same_however_cut(input, || {
            |received: &[u8]| match decode(received) {
                Outcome::NeedMore => {
                    assert!(received.len() < V2_MAX);
                    None
                }
                verdict => Some(verdict),
            }
        });
        if let Outcome::Parsed { header, consumed } = decode(input) {
            assert!(consumed <= input.len());
            let authority = header.authority.as_deref();
            let again = encode_v2(&header.endpoints, authority, true).unwrap();
            assert_eq!(parsed(&again).0.endpoints, header.endpoints);
        }
    });
}
