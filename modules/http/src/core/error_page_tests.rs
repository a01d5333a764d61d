use super::error_page::{Kind, MAX_RANGES, body, body_of, choose};
use super::noise_tests::Noise;

#[test]
fn chooses() {
    use Kind::{Html, Json, Plain};
    for (accept, want) in [
        ("", Plain),
        ("*/*", Plain),
        ("image/png", Plain),
        ("text/*", Plain),
        ("text/plain", Plain),
        // Firefox, Chrome, a fetch() of axios, an API client.
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Html),
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,\
             application/signed-exchange;v=b3;q=0.7",
            Html,
        ),
        ("application/json, text/plain, */*", Json),
        ("application/json", Json),
        ("application/problem+json", Json),
        ("application/json;q=0.9, text/html", Html),
        ("application/json, text/html", Html),
        ("text/html, application/json", Html),
        ("text/html;q=0.5, application/json;q=0.6", Json),
        ("text/html;q=0.5, text/plain", Plain),
        ("text/plain;q=0.5, text/html;q=0.5", Html),
        ("text/html;q=0", Plain),
        ("text/html;q=0, application/json;q=0.001", Json),
        ("TEXT/HTML ; level=1 ; Q=0.3", Html),
        ("text/html;q=2", Plain),
        ("text/html;q=x, application/json;q=0.1", Json),
        (",, ;;, text/html", Html),
        ("application/*", Plain),
    ] {
        assert_eq!(choose(Some(accept.as_bytes())), want, "{accept}");
    }
    assert_eq!(choose(None), Plain);
    let far = |ranges: usize| format!("{}text/html", "a/b,".repeat(ranges));
    assert_eq!(choose(Some(far(MAX_RANGES - 1).as_bytes())), Html);
    assert_eq!(choose(Some(far(MAX_RANGES).as_bytes())), Plain);
}

#[test]
fn bodies() {
    assert_eq!(body_of(Kind::Plain, 404, "Not Found", ""), "404 Not Found\n");
    assert_eq!(body_of(Kind::Plain, 502, "Bad\r\n Gateway\x1b[31m", "a\u{202e}b"), "502 Bad Gateway[31m\nrequest ab\n");
    assert_eq!(body_of(Kind::Json, 404, "Not Found", ""), "{\"status\":404,\"error\":\"Not Found\"}\n");
    assert_eq!(
        body_of(Kind::Json, 500, "a\"b\\c\nd", "x-1"),
        "{\"status\":500,\"error\":\"a\\\"b\\\\cd\",\"request_id\":\"x-1\"}\n"
    );
    let page = body_of(Kind::Html, 503, "Service Unavailable", "7f3a");
    assert_eq!(page, body(503, "Service Unavailable", "7f3a"));
    for part in ["<!doctype html>", "<title>503 Service Unavailable</title>", "<h1>503</h1>", "<code>7f3a</code>"] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!body(404, "Not Found", "").contains("<code>"));
    let types = [Kind::Plain, Kind::Html, Kind::Json].map(Kind::content_type);
    assert_eq!(types, ["text/plain; charset=utf-8", "text/html; charset=utf-8", "application/json"]);
}

#[test]
fn escapes() {
    let page = body(400, "<script>'\"&", "</code><b>");
    assert!(!page.contains("<script") && !page.contains("<b>"));
    assert!(page.contains("&lt;script&gt;&#39;&quot;&amp;") && page.contains("&lt;/code&gt;&lt;b&gt;"));
}

#[test]
fn stays_small() {
    for char in ["a", "\"", "\u{e9}", "\u{1f600}", "&", "\0"] {
        for kind in [Kind::Plain, Kind::Html, Kind::Json] {
            let text = char.repeat(5000);
            let length = body_of(kind, u16::MAX, &text, &text).len();
            assert!(length < 1024, "{kind:?} {char:?}: {length}");
        }
    }
    let usual = body(511, "Network Authentication Required", &"f".repeat(64)).len();
    assert!(usual < 800, "{usual}");
}

#[test]
fn noise_never_panics() {
    let mut noise = Noise::new(91);
    let pieces: [&[u8]; 8] = [b"text/html", b"application/json", b",", b";", b"q=", b"0.5", b" ", b"1"];
    for _ in 0..40_000 {
        let accept = noise.text(&pieces, 12);
        let kind = choose(Some(&accept));
        assert!(kind == Kind::Plain || accept.iter().filter(|&&byte| byte == b'/').count() > 0);
    }
}
