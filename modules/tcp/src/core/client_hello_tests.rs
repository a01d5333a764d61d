//! Tests of the ClientHello reader over hellos built here and over the seeds of its fuzz target.

use super::super::corpus;
use super::*;

fn block8(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len() as u8], bytes].concat()
}

fn block16(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes(), bytes].concat()
}

fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
    [kind.to_be_bytes().to_vec(), block16(data)].concat()
}

fn sni(name: &[u8]) -> Vec<u8> {
    extension(SERVER_NAME, &block16(&[&[HOST_NAME], block16(name).as_slice()].concat()))
}

fn alpn(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = names.iter().flat_map(|name| block8(name)).collect();
    extension(ALPN, &block16(&list))
}

fn handshake(extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend(block8(&[9; 32]));
    body.extend(block16(&[0x0a, 0x0a, 0x13, 0x01, 0xc0, 0x2f])); // GREASE first
    body.extend(block8(&[0]));
    if !extensions.is_empty() {
        body.extend(block16(extensions));
    }
    let length = (body.len() as u32).to_be_bytes();
    [&[CLIENT_HELLO, length[1], length[2], length[3]], body.as_slice()].concat()
}

fn records(message: &[u8], fragment: usize) -> Vec<u8> {
    message.chunks(fragment).flat_map(|chunk| [[HANDSHAKE, 3, 1].as_slice(), &block16(chunk)].concat()).collect()
}

fn read(bytes: &[u8]) -> Outcome {
    Reader::new().advance(bytes)
}

fn read_extensions(extensions: &[Vec<u8>]) -> Outcome {
    read(&records(&handshake(&extensions.concat()), MAX_FRAGMENT))
}

fn reason(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Malformed(reason) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn name_and_protocols_are_found_among_grease() {
    let outcome = read_extensions(&[
        extension(0x1a1a, b""),
        sni(b"WWW.Example.cn."),
        extension(43, &[4, 0x2a, 0x2a, 3, 4]),
        alpn(&[b"\x0a\x0a", b"h2", b"http/1.1"]),
        extension(0xfafa, b"\0"),
    ]);
    assert_eq!(
        outcome,
        Outcome::Parsed(ClientHello {
            sni: Some("www.example.cn".into()),
            alpn: vec![b"\x0a\x0a".to_vec(), b"h2".to_vec(), b"http/1.1".to_vec()],
        })
    );
}

#[test]
fn a_hello_without_extensions_or_name_is_parsed() {
    assert_eq!(read_extensions(&[]), Outcome::Parsed(ClientHello::default()));
    assert_eq!(read_extensions(&[extension(10, &[0, 2, 0, 29])]), Outcome::Parsed(ClientHello::default()));
}

#[test]
fn a_hello_is_read_over_records_and_segments() {
    let message = handshake(&[sni(b"a.example"), alpn(&[b"h2"])].concat());
    for fragment in [3, 4, 7, 50, 1000] {
        let bytes = records(&message, fragment);
        let mut reader = Reader::new();
        for end in 0..bytes.len() {
            assert_eq!(reader.advance(&bytes[..end]), Outcome::NeedMore, "{fragment} {end}");
        }
        let Outcome::Parsed(hello) = reader.advance(&bytes) else {
            panic!("fragments of {fragment}");
        };
        assert_eq!(hello.sni.as_deref(), Some("a.example"));
    }
}

#[test]
fn bytes_after_the_records_are_left_alone() {
    let mut bytes = records(&handshake(&sni(b"a.example")), 100);
    bytes.extend([20, 3, 3, 0, 1, 1]);
    assert!(matches!(read(&bytes), Outcome::Parsed(_)));
}

#[test]
fn other_protocols_are_not_tls() {
    for bytes in [
        b"GET / HTTP/1.1\r\n".as_slice(),
        b"\x16\x02",
        b"\x15\x03\x03\0\x02",
        b"PROXY TCP4 ",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"\xf5apx",
        b"\x80\x2e\x02",
        b"\0",
    ] {
        assert_eq!(read(bytes), Outcome::NotTls, "{}", bytes.escape_ascii());
    }
    assert_eq!(read(b""), Outcome::NeedMore);
}

#[test]
fn an_sslv2_hello_is_refused() {
    for bytes in [b"\x80\x2e\x01\0\x02\0\x15".as_slice(), b"\x80\x2e\x01\x03\x01\0\x15"] {
        assert_eq!(reason(read(bytes)), "SSLv2 ClientHello");
        assert_eq!(read(&bytes[..4]), Outcome::NeedMore);
    }
}

#[test]
fn names_that_are_no_host_names_are_refused() {
    for name in [b"".as_slice(), b"a b", b"192.0.2.1", b"::1", b"-a.b", b"a..b", b"a\0.b", b"\xff"] {
        assert!(!reason(read_extensions(&[sni(name)])).is_empty(), "{}", name.escape_ascii());
    }
}

#[test]
fn what_is_ambiguous_is_refused() {
    let two = [[HOST_NAME].as_slice(), &block16(b"a"), &[HOST_NAME], &block16(b"b")].concat();
    for (extensions, why) in [
        (vec![sni(b"a"), sni(b"b")], "two server_name extensions"),
        (vec![alpn(&[b"a"]), alpn(&[b"b"])], "two ALPN extensions"),
        (vec![extension(0, &block16(&two))], "two host names in server_name"),
        (vec![extension(0, b"")], "server_name shorter than its fields"),
        (vec![extension(0, b"\0\0")], "empty list of server names"),
        (vec![extension(0, b"\0\0\0")], "bytes after the list of server names"),
        (vec![extension(16, b"\0\0")], "empty list of ALPN protocols"),
        (vec![extension(16, b"\0\x01\0")], "empty ALPN protocol"),
        (vec![extension(16, b"\0\x02\x05h")], "ALPN shorter than its fields"),
        (vec![b"\0\0".to_vec()], "ClientHello shorter than its fields"),
    ] {
        assert_eq!(reason(read_extensions(&extensions)), why);
    }
}

#[test]
fn names_of_an_unknown_type_are_skipped() {
    let list = [[9].as_slice(), &block16(b"\xff\xff"), &[HOST_NAME], &block16(b"a.example")].concat();
    let Outcome::Parsed(hello) = read_extensions(&[extension(0, &block16(&list))]) else {
        panic!("refused");
    };
    assert_eq!(hello.sni.as_deref(), Some("a.example"));
}

#[test]
fn records_that_cannot_be_a_hello_are_refused_at_once() {
    for (bytes, why) in [
        (b"\x16\x03\x01\0\0".as_slice(), "empty handshake record"),
        (b"\x16\x03\x01\x40\x01", "TLS record over 16 KiB"),
        (b"\x16\x03\x01\0\x30\x02", "first handshake message is not a ClientHello"),
        (b"\x16\x03\x01\0\x30\x01\0\x40\x01", "ClientHello over 16 KiB"),
        (b"\x16\x03\x01\0\x30\x01\0\0\x05", "bytes after the ClientHello in its record"),
        (b"\x16\x03\x01\0\x01\x01\x17", "record of another type inside the ClientHello"),
        (b"\x16\x03\x01\0\x01\x01\x16\x02", "unknown record version inside the ClientHello"),
    ] {
        assert_eq!(reason(read(bytes)), why);
    }
}

#[test]
fn the_largest_hello_is_read_and_splitting_it_finely_is_refused() {
    let fixed = handshake(b"x").len() - 1;
    let padding = MAX_MESSAGE + MESSAGE_HEADER - fixed - 4;
    let message = handshake(&extension(21, &vec![0; padding]));
    assert_eq!(message.len(), MAX_MESSAGE + MESSAGE_HEADER);
    let bytes = records(&message, 257);
    assert!(bytes.len() <= MAX_RECEIVED);
    assert!(matches!(read(&bytes), Outcome::Parsed(_)));
    let fine = records(&message, 100);
    assert_eq!(reason(read(&fine)), "ClientHello in more than 64 records");
}

#[test]
fn the_alert_is_fatal_unrecognized_name() {
    assert_eq!(UNRECOGNIZED_NAME_ALERT, [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70]);
}

#[test]
fn no_input_panics_or_depends_on_how_it_was_cut() {
    corpus::run("client_hello", |input| {
        corpus::same_however_cut(input, || {
            let mut reader = Reader::new();
            move |received: &[u8]| match reader.advance(received) {
                Outcome::NeedMore => {
                    assert!(received.len() < MAX_RECEIVED);
                    None
                }
                verdict => Some(verdict),
            }
        });
    });
    assert!(corpus::seeds("client_hello").iter().any(|seed| matches!(read(seed), Outcome::Parsed(_))));
}
