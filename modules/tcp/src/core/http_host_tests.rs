//! Tests of the Host reader over heads written here and over the seeds of its fuzz target.

use super::super::corpus;
use super::*;

fn read(bytes: &[u8]) -> Outcome {
    Reader::new().advance(&Rules::default(), bytes)
}

fn parsed(bytes: &[u8]) -> Head {
    match read(bytes) {
        Outcome::Parsed(head) => head,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

fn reason(bytes: &[u8]) -> &'static str {
    match read(bytes) {
        Outcome::Malformed(reason) => reason,
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

fn host(bytes: &[u8]) -> Option<String> {
    parsed(bytes).host
}

#[test]
fn the_host_field_is_found_whatever_its_case_and_place() {
    let head = parsed(b"GET / HTTP/1.1\r\nAccept: */*\r\nhOsT:  WWW.Example.cn.:8080 \t\r\nX: \xff\r\n\r\nbody");
    assert_eq!(head, Head { host: Some("www.example.cn".into()), port: Some(8080), minor_version: 1 });
    assert_eq!(host(b"PUT /a HTTP/1.1\r\nHost:[2001:DB8::1]:80\r\n\r\n").as_deref(), Some("[2001:db8::1]"));
    assert_eq!(host(b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").as_deref(), Some("a"));
    assert_eq!(host(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").as_deref(), Some("a"));
    assert_eq!(read(b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), Outcome::NotHttp);
    assert_eq!(host(b"GET / HTTP/1.9\r\nHost: a\r\n\r\n").as_deref(), Some("a"));
}

#[test]
fn the_authority_of_the_request_line_wins() {
    let head = parsed(b"GET http://A.example:81/x?y HTTP/1.1\r\nHost: b.example\r\n\r\n");
    assert_eq!((head.host.as_deref(), head.port), (Some("a.example"), Some(81)));
    let head = parsed(b"CONNECT a.example:443 HTTP/1.1\r\nHost: b.example\r\n\r\n");
    assert_eq!((head.host.as_deref(), head.port), (Some("a.example"), Some(443)));
    assert_eq!(host(b"GET http://a.example?y HTTP/1.0\r\n\r\n").as_deref(), Some("a.example"));
}

#[test]
fn http_1_0_needs_no_host() {
    assert_eq!(parsed(b"GET / HTTP/1.0\r\n\r\n"), Head::default());
    assert_eq!(host(b"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n"), None);
}

#[test]
fn a_head_is_read_over_segments() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a.example\r\nX: y\r\n\r\n";
    let (rules, mut reader) = (Rules::default(), Reader::new());
    for end in 0..bytes.len() {
        assert_eq!(reader.advance(&rules, &bytes[..end]), Outcome::NeedMore, "{end}");
    }
    assert!(matches!(reader.advance(&rules, bytes), Outcome::Parsed(_)));
}

#[test]
fn http2_with_prior_knowledge_is_recognised() {
    assert_eq!(read(PREFACE), Outcome::Http2Preface);
    for end in 0..PREFACE.len() {
        assert_eq!(read(&PREFACE[..end]), Outcome::NeedMore);
    }
    assert_eq!(read(b"PRI * HTTP/2.0\r\n\r\nXX"), Outcome::NotHttp);
}

#[test]
fn other_protocols_are_not_http() {
    for bytes in [
        b"\x16\x03\x01\0\x05".as_slice(),
        b"SSH-2.0-x\r\n",
        b"get / HTTP/1.1\r\n",
        b"GETX / HTTP/1.1\r\n",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"PROXY TCP4 ",
        b"\xf5apx",
        b"BREW / HTTP/1.1\r\n",
    ] {
        assert_eq!(read(bytes), Outcome::NotHttp, "{}", bytes.escape_ascii());
    }
}

#[test]
fn methods_are_configurable() {
    let rules = Rules { methods: vec!["BREW".into()], limit: 100 };
    let coffee = b"BREW / HTTP/1.1\r\nHost: pot\r\n\r\n";
    assert!(matches!(Reader::new().advance(&rules, coffee), Outcome::Parsed(_)));
    assert_eq!(Reader::new().advance(&rules, b"GET / HTTP/1.1"), Outcome::NotHttp);
}

#[test]
fn heads_that_readers_understand_differently_are_refused() {
    for (bytes, why) in [
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n".as_slice(), "several Host fields"),
        (b"GET / HTTP/1.1\r\nHost:\r\nHost: a\r\n\r\n", "several Host fields"),
        (b"GET / HTTP/1.1\r\nX: y\r\n\r\n", "no Host in an HTTP/1.1 request"),
        (b"GET http://a/ HTTP/1.1\r\n\r\n", "no Host in an HTTP/1.1 request"),
        (b"GET / HTTP/1.1\nHost: a\n\n", "bare LF in the request head"),
        (b"GET / HTTP/1.1\r\n\n", "bare LF in the request head"),
        (b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", "bare CR in the request head"),
        (b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", "bare CR in the request head"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", "folded line in the request head"),
        (b"GET / HTTP/1.1\r\n\tHost: a\r\n\r\n", "folded line in the request head"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "space before the colon of a field"),
        (b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n", "invalid field name"),
        (b"GET / HTTP/1.1\r\n: a\r\n\r\n", "invalid field name"),
        (b"GET / HTTP/1.1\r\nHost\r\n\r\n", "field line without a colon"),
        (b"GET / HTTP/1.1\r\nHost: a\0\r\n\r\n", "NUL in the request head"),
        (b"GET / HTTP/1.1\r\nX: \x1b\r\n\r\n", "control character in the request head"),
        (b"GET / HTTP/1.1\r\nX: \x7f\r\n\r\n", "control character in the request head"),
        (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", "invalid character in a host name"),
        (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "invalid character in a host name"),
        (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "invalid port"),
        (b"GET / HTTP/1.1\r\nHost: ::1\r\n\r\n", "invalid port"),
        (b"GET /  HTTP/1.1\r\n", "request line without three parts"),
        (b"GET /\r\n", "request line without three parts"),
        (b"GET / HTTP/1.1 \r\n", "request line without three parts"),
        (b"GET / HTTP/2.0\r\n", "unknown HTTP version"),
        (b"GET / http/1.1\r\n", "unknown HTTP version"),
        (b"GET /\t HTTP/1.1\r\n", "tab in the request target"),
        (b"GET a HTTP/1.1\r\n", "invalid request target"),
        (b"GET * HTTP/1.1\r\n", "invalid request target"),
        (b"GET 1http://a/ HTTP/1.1\r\n", "invalid request target"),
        (b"GET http:///x HTTP/1.1\r\n", "empty host name"),
        (b"CONNECT a HTTP/1.1\r\n", "CONNECT without a port"),
    ] {
        assert_eq!(reason(bytes), why, "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_head_over_the_limit_is_refused_even_without_a_line_end() {
    let rules = Rules { limit: 64, ..Rules::default() };
    let refused = Outcome::TooLong;
    let bytes = [b"GET /".as_slice(), &[b'a'; 100]].concat();
    assert_eq!(Reader::new().advance(&rules, &bytes), refused);
    assert_eq!(Reader::new().advance(&rules, &bytes[..64]), refused);
    assert_eq!(Reader::new().advance(&rules, &bytes[..63]), Outcome::NeedMore);
    let mut fits = b"GET / HTTP/1.0\r\nX: ".to_vec();
    fits.resize(60, b'y');
    fits.extend(b"\r\n\r\n");
    assert!(matches!(Reader::new().advance(&rules, &fits), Outcome::Parsed(_)));
}

#[test]
fn the_host_is_known_before_the_head_is_complete() {
    let after = |bytes: &str| {
        let mut reader = Reader::new();
        assert_eq!(reader.advance(&Rules::default(), bytes.as_bytes()), Outcome::NeedMore, "{bytes}");
        reader.host().map(str::to_owned)
    };
    for (bytes, host) in [
        ("GET / HTTP/1.1\r\nHost: a.test", None),
        ("GET / HTTP/1.1\r\nX: y\r\nHost: A.test:80\r\n", Some("a.test")),
        ("GET http://b.test/ HTTP/1.1\r\n", Some("b.test")),
        ("GET http://b.test/ HTTP/1.1\r\nHost: a.test\r\nX", Some("b.test")),
        ("GET / HTTP/1.1\r\nHost:\r\n", None),
    ] {
        assert_eq!(after(bytes).as_deref(), host, "{bytes}");
    }
}

#[test]
fn no_input_panics_or_depends_on_how_it_was_cut() {
    let rules = Rules { limit: 2048, ..Rules::default() };
    corpus::run("http_host", |input| {
        corpus::same_however_cut(input, || {
            let (mut reader, rules) = (Reader::new(), &rules);
            move |received: &[u8]| match reader.advance(rules, received) {
                Outcome::NeedMore => {
                    assert!(received.len() < rules.limit);
                    None
                }
                verdict => Some(verdict),
            }
        });
    });
    assert!(corpus::seeds("http_host").iter().any(|seed| matches!(read(seed), Outcome::Parsed(_))));
}
