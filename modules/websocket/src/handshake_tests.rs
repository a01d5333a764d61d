use super::*;
use crate::conf::Limits;
use crate::origin::Allowed;

fn conf(protocols: &[&'static str], origins: Option<&[&str]>) -> Conf {
    let allowed = |all: &[&str]| all.iter().map(|o| Allowed::parse(o).expect("an origin")).collect();
    Conf {
        does: None,
        limits: Limits { message: 0, ping_ms: 0, silence_ms: 0 },
        protocols: protocols.to_vec(),
        origins: origins.map(allowed),
    }
}

/// The request of RFC 6455 section 1.3.
fn request() -> Request {
    let some = |text: &str| Some(text.as_bytes().to_vec());
    Request {
        method: b"GET".to_vec(),
        http: b"1.1".to_vec(),
        upgrade: some("websocket"),
        version: some("13"),
        key: some("dGhlIHNhbXBsZSBub25jZQ=="),
        protocols: some("chat, superchat"),
        origin: some("http://example.com"),
        has_body: false,
    }
}

/// The same over HTTP/2 (RFC 8441 section 5.1).
fn request2() -> Request {
    Request { method: b"CONNECT".to_vec(), http: b"2".to_vec(), key: None, has_body: true, ..request() }
}

#[test]
fn the_example_of_the_rfc() {
    let agreed = check(&request(), &conf(&[], None)).expect("a handshake");
    assert_eq!(agreed, Agreed { accept: Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned()), protocol: None });
}

#[test]
fn over_http_2_there_is_no_key() {
    let nothing = conf(&["superchat"], Some(&["example.com"]));
    assert_eq!(check(&request2(), &nothing), Ok(Agreed { accept: None, protocol: Some("superchat") }));
    // One that is there does not count.
    let with = Request { key: Some(b"x".to_vec()), ..request2() };
    assert_eq!(check(&with, &nothing).map(|a| a.accept), Ok(None));
    assert_eq!(check(&Request { version: None, ..request2() }, &nothing), Err(Refused::Version));
    let post = Request { method: b"POST".to_vec(), ..request2() };
    assert_eq!(check(&post, &nothing).map_err(Refused::status), Err(400));
}

#[test]
fn keys() {
    let with =
        |key: &str| check(&Request { key: Some(key.as_bytes().to_vec()), ..request() }, &conf(&[], None)).is_ok();
    // The second is RFC 6455's own, with bits behind its end.
    for key in ["AAAAAAAAAAAAAAAAAAAAAA==", "AQIDBAUGBwgJCgsMDQ4PEC=="] {
        assert!(with(key), "{key}");
    }
    for key in [
        "",
        "AAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAA=",
        "AAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAA=",
        "?",
    ] {
        assert!(!with(key), "{key}");
    }
}

#[test]
fn what_is_missing_is_told_apart() {
    let conf = conf(&[], None);
    let refused = |r: &Request| check(r, &conf).map_err(Refused::status).expect_err("refused");
    assert_eq!(refused(&Request { upgrade: None, ..request() }), 426);
    assert_eq!(refused(&Request { upgrade: Some(b"h2c".to_vec()), ..request() }), 426);
    assert_eq!(refused(&Request { upgrade: Some(b"websocket2".to_vec()), ..request() }), 426);
    assert_eq!(refused(&Request { http: b"1.0".to_vec(), ..request() }), 426);
    assert_eq!(refused(&Request { version: Some(b"8".to_vec()), ..request() }), 426);
    assert_eq!(refused(&Request { method: b"POST".to_vec(), ..request() }), 400);
    assert_eq!(refused(&Request { key: None, ..request() }), 400);
    assert_eq!(refused(&Request { has_body: true, ..request() }), 400);
    assert_eq!(refused(&Request { protocols: Some(b"a b".to_vec()), ..request() }), 400);
    assert!(check(&Request { upgrade: Some(b"h2c , websocket".to_vec()), ..request() }, &conf).is_ok());
}

#[test]
fn an_origin_that_is_not_listed() {
    let only = |origins: &[&str], request: &Request| check(request, &conf(&[], Some(origins))).map(|_| ());
    assert_eq!(only(&["a.test", "http://example.com"], &request()), Ok(()));
    assert_eq!(only(&["https://example.com"], &request()), Err(Refused::Origin));
    assert_eq!(only(&["a.test"], &Request { origin: None, ..request() }), Ok(()));
    assert_eq!(only(&["a.test"], &Request { origin: Some(vec![]), ..request() }), Err(Refused::Origin));
}
