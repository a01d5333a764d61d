//! `http_cors`: what pages of other origins may read.

use harness::client;

use crate::support::{Answer, OK, Scripted, ask, once, proxy_to, server};

const APP: &str = "https://app.example.com";

fn from(origin: &str, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nOrigin: {origin}\r\n\r\n")
}

fn preflight(origin: &str, method: &str, headers: &str) -> String {
    let headers =
        if headers.is_empty() { String::new() } else { format!("Access-Control-Request-Headers: {headers}\r\n") };
    format!(
        "OPTIONS /x HTTP/1.1\r\nHost: a.test\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: {method}\r\n{headers}\r\n"
    )
}

fn allowed(a: &Answer) -> Option<&str> {
    a.header("access-control-allow-origin")
}

#[test]
fn a_preflight_is_answered_here() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), &format!("http_cors \"{APP}\" credentials=#true max_age=\"1h\""));
    let mut stream = client::connect(proxy.addr(0));
    let a = ask(&mut stream, preflight(APP, "PUT", "content-type, authorization"));
    assert_eq!((a.status, allowed(&a)), (204, Some(APP)));
    assert_eq!(a.header("access-control-allow-credentials"), Some("true"));
    assert!(a.header("access-control-allow-methods").is_some_and(|v| v.contains("PUT")), "{}", a.head);
    assert!(a.header("access-control-allow-headers").is_some_and(|v| v.contains("Authorization")), "{}", a.head);
    assert_eq!(a.header("access-control-max-age"), Some("3600"));
    assert!(a.header("vary").is_some_and(|v| v.contains("Origin")), "{}", a.head);
    assert_eq!(a.head.to_ascii_lowercase().matches("\r\nvary:").count(), 1, "{}", a.head);
    assert_eq!(a.header("content-length"), None);
    let refused = ask(&mut stream, preflight("https://evil.test", "PUT", ""));
    assert_eq!((refused.status, allowed(&refused)), (204, None));
    assert_eq!(refused.header("access-control-allow-methods"), None);
    assert_eq!(refused.head.to_ascii_lowercase().matches("\r\nvary:").count(), 1, "{}", refused.head);
    assert!(origin.seen().is_empty(), "the peer is not asked");
    assert_eq!(ask(&mut stream, from(APP, "/")).text(), "ok", "the connection goes on");
}

#[test]
fn options_that_are_no_preflight_go_to_the_peer_and_may_be_read() {
    let origin = Scripted::new("HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n", false);
    let proxy = proxy_to(origin.addr(), &format!("http_cors \"{APP}\""));
    let a = once(&proxy, format!("OPTIONS / HTTP/1.1\r\nHost: a.test\r\nOrigin: {APP}\r\n\r\n"));
    assert_eq!((a.status, a.header("allow"), allowed(&a)), (204, Some("GET"), Some(APP)));
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn who_may_read_is_told_so_and_others_are_not() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(
        origin.addr(),
        "http_cors \"https://a.example\" \"https://*.example.com\" \"http://localhost:3000\" expose=\"X-Total X-Page\"",
    );
    let mut stream = client::connect(proxy.addr(0));
    for (from_origin, may) in [
        ("https://a.example", true),
        ("https://app.example.com", true),
        ("https://x.y.example.com", true),
        ("http://localhost:3000", true),
        ("https://example.com", false),
        ("http://app.example.com", false),
        ("https://app.example.com:8443", false),
        ("https://evil-example.com", false),
        ("https://app.example.com.evil.test", false),
        ("https://a.example.evil.test", false),
        ("https://evil.test/.example.com", false),
        ("https://evil.test#.example.com", false),
        ("https://A.example", false),
        ("http://localhost:3001", false),
        ("null", false),
    ] {
        let a = ask(&mut stream, from(from_origin, "/"));
        assert_eq!((a.status, a.text().as_str()), (200, "ok"), "{from_origin}");
        assert_eq!(allowed(&a), may.then_some(from_origin));
        assert_eq!(a.header("access-control-expose-headers"), may.then_some("X-Total, X-Page"), "{from_origin}");
        assert_eq!(a.header("access-control-allow-credentials"), None);
        assert_eq!(a.header("vary"), Some("Origin"), "{from_origin}");
    }
    // A cache must not keep what somebody without origin got for all.
    let a = ask(&mut stream, crate::support::get("/"));
    assert_eq!((allowed(&a), a.header("vary")), (None, Some("Origin")));
}

#[test]
fn everybody_may_read_where_it_is_public() {
    let proxy =
        server("http_cors \"*\" methods=\"*\" headers=\"*\" expose=\"*\"\nlocal { http_echo body=\"x\"; }").start();
    let a = once(&proxy, from("https://any.test", "/"));
    assert_eq!((allowed(&a), a.header("access-control-expose-headers")), (Some("*"), Some("*")));
    assert_eq!(a.header("vary"), None, "the same for all");
    let a = once(&proxy, preflight("https://any.test", "PURGE", "x-a,authorization"));
    assert_eq!((a.status, allowed(&a)), (204, Some("*")));
    assert_eq!(a.header("access-control-allow-methods"), Some("PURGE"));
    assert_eq!(a.header("access-control-allow-headers"), Some("x-a, authorization"));
}

#[test]
fn errors_may_be_read_too() {
    let gone = client::free_port();
    let proxy = server(&format!(
        r#"
        http_cors "{APP}"
        local {{ rule "${{path}}" text="/502"; proxy_pass_tcp "127.0.0.1:{gone}"; }}
        local {{ rule "${{path}}" text="/401"; http_auth_basic "staff" users="users"; http_echo; }}
        local {{ rule "${{path}}" text="/413"; http_body_size "1B"; http_echo; }}
        local {{ rule "${{path}}" text="/418"; return 418 "tea"; }}
        local {{ rule "${{path}}" text="/429"; http_limit_requests "1/s" per="86400s"; http_echo body="x"; }}
        local {{ rule "${{path}}" text="/page"; http_error_page 403 body="no"; ip_deny "127.0.0.0/8"; http_echo; }}
        "#
    ))
    .file("users", "a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    .start();
    once(&proxy, from(APP, "/429"));
    for (path, status) in [("/502", 502), ("/404", 404), ("/401", 401), ("/418", 418), ("/429", 429), ("/page", 403)] {
        let a = once(&proxy, from(APP, path));
        assert_eq!((a.status, allowed(&a)), (status, Some(APP)), "{path}");
        assert!(a.head.contains("\r\nVary: Origin\r\n"), "{path}: {}", a.head);
        assert_eq!(allowed(&once(&proxy, from("https://evil.test", path))), None, "{path}");
    }
    // Browsers send no credentials with a preflight: it passes before anybody is asked for them.
    let request = preflight(APP, "PUT", "authorization").replace("/x", "/401");
    let a = once(&proxy, request);
    assert_eq!((a.status, allowed(&a)), (204, Some(APP)));
}

#[test]
fn a_peer_that_speaks_for_itself_is_heard() {
    let origin = Scripted::new(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: https://own.test\r\n\r\nok",
        false,
    );
    let proxy = proxy_to(origin.addr(), &format!("http_cors \"{APP}\""));
    let a = once(&proxy, from(APP, "/"));
    let lines = a.head.to_ascii_lowercase().matches("access-control-allow-origin").count();
    assert_eq!((allowed(&a), lines), (Some("https://own.test"), 1));
}

#[test]
fn a_hostile_origin_adds_no_line() {
    let proxy = server("http_cors \"https://*.example.com\"\nlocal { http_echo body=\"x\"; }").start();
    for origin in ["https://a\t.example.com", "https://a, https://b.example.com", "https://\u{e9}.example.com"] {
        assert_eq!(allowed(&once(&proxy, from(origin, "/"))), None, "{origin}");
    }
    let long = format!("https://{}.example.com", "a".repeat(600));
    assert_eq!(allowed(&once(&proxy, from(&long, "/"))), None);
    let a = once(&proxy, preflight("https://a.example.com", "PUT", &"x,".repeat(100)));
    assert_eq!(a.status, 204);
}

#[test]
fn a_mistake_is_told_when_the_configuration_is_read() {
    for (line, what) in [
        ("http_cors \"*\" credentials=#true", "credentials with origin *"),
        ("http_cors \"https://a.example\" expose=\"*\" credentials=#true", "credentials with exposed headers *"),
        ("http_cors \"null\"", "origin null"),
        ("http_cors \"a.example\"", "expected scheme://host"),
        ("http_cors \"https://*\"", "not a host name"),
        ("http_cors \"https://a*.example\"", "not a host name"),
        ("http_cors \"https://a.example/\"", "not a host name"),
        ("http_cors \"https://a.example\" methods=\"A(B\"", "method"),
    ] {
        server(&format!("{line}\nlocal {{ http_echo; }}")).check().assert(1, &["main.kdl:8:", what]);
    }
}
