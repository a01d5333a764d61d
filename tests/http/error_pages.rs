//! `http_error_page`: what clients are shown in place of an error.

use std::io::Write;

use harness::{Proxy, client};

use crate::others::{module, shipped};
use crate::support::{Answer, Scripted, answer, ask, get, once, proxy_to, server};

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nContent-Type: a/b\r\nETag: \"x\"\r\n\
    Retry-After: 7\r\nSet-Cookie: a=b\r\nContent-Language: de\r\n\r\nbusy";

fn accepting(path: &str, accept: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nAccept: {accept}\r\n\r\n")
}

fn kind(a: &Answer) -> &str {
    a.header("content-type").unwrap_or_default()
}

#[test]
fn without_one_the_client_gets_what_it_reads() {
    let proxy = server("local { rule \"${path}\" text=\"/x\"; http_echo; }").start();
    let mut stream = client::connect(proxy.addr(0));
    let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    for (accept, is, has) in [
        (browser, "text/html; charset=utf-8", "<h1>404</h1>"),
        ("application/json", "application/json", "\"status\":404"),
        ("application/json;q=0.5, text/html;q=0.1", "application/json", "{"),
        ("text/plain", "text/plain; charset=utf-8", "404 Not Found\n"),
        ("*/*", "text/plain; charset=utf-8", "404 Not Found\n"),
        ("image/png", "text/plain; charset=utf-8", "404 Not Found\n"),
    ] {
        let a = ask(&mut stream, accepting("/none", accept));
        assert_eq!((a.status, kind(&a), a.header("vary")), (404, is, Some("Accept")), "{accept}");
        assert!(a.text().contains(has), "{accept}: {}", a.text());
    }
    let a = ask(&mut stream, get("/none"));
    assert_eq!((a.status, kind(&a), a.text().as_str()), (404, "text/plain; charset=utf-8", "404 Not Found\n"));
    let full = ask(&mut stream, accepting("/none", "text/html")).body.len();
    let a = ask(&mut stream, "HEAD /none HTTP/1.1\r\nHost: a.test\r\nAccept: text/html\r\n\r\n");
    assert_eq!((a.status, a.header("content-length")), (404, Some(full.to_string().as_str())));
    assert_eq!(ask(&mut stream, get("/none")).status, 404, "no body of HEAD is left in the way");
}

#[test]
fn a_text_with_variables_and_a_file_take_the_place() {
    let proxy = server(
        r#"
        http_error_page 404 405 body="no ${path} for ${http_request_method}\n" content_type="text/plain"
        http_error_page 403 file="sorry.html"
        local { rule "${path}" text="/closed"; ip_deny "127.0.0.0/8"; http_echo; }
        local { rule "${path}" prefix="/own/"; http_error_page 403 404 body="own" content_type="a/b"; http_static "."; }
        "#,
    )
    .file("sorry.html", "<h1>sorry</h1>")
    .start();
    let mut stream = client::connect(proxy.addr(0));
    let a = ask(&mut stream, get("/none%20x?y"));
    assert_eq!((a.status, kind(&a), a.text().as_str()), (404, "text/plain", "no /none x for GET\n"));
    let a = ask(&mut stream, get("/closed"));
    assert_eq!((a.status, kind(&a), a.text().as_str()), (403, "text/html; charset=utf-8", "<h1>sorry</h1>"));
    assert_eq!(a.header("vary"), None, "whatever the client asks for");
    let a = ask(&mut stream, "HEAD /closed HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!((a.status, a.header("content-length")), (403, Some("14")));
    let a = ask(&mut stream, get("/own/none"));
    assert_eq!((a.status, kind(&a), a.text().as_str()), (404, "a/b", "own"), "the innermost counts");
    let a = ask(&mut stream, "POST /own/x HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!((a.status, a.header("allow"), a.text().as_str()), (405, Some("GET, HEAD"), "no /own/x for POST\n"));
    assert_eq!(ask(&mut stream, get("/closed")).status, 403, "the connection goes on");
    // The file was read with the configuration.
    proxy.dir().write("sorry.html", "changed");
    assert_eq!(ask(&mut stream, get("/closed")).text(), "<h1>sorry</h1>");
    proxy.reload().assert(0, &[]);
    assert_eq!(ask(&mut stream, get("/closed")).text(), "changed");
}

#[test]
fn a_class_of_statuses_and_one_of_them() {
    let proxy = server(
        r#"
        http_error_page "4xx" "5xx" body="any" content_type="text/plain"
        http_error_page 404 body="none" content_type="text/plain"
        local { rule "${path}" text="/599"; return 599; }
        local { rule "${path}" text="/400"; return 400; }
        local { rule "${path}" text="/304"; return 304; }
        local { rule "${path}" text="/404"; http_error_page "4xx" body="inner" content_type="text/plain"; return 404; }
        local { rule "${path}" text="/302"; http_error_page "3xx" body="moved" content_type="text/plain"; return 302 "/"; }
        local { rule "${path}" text="/200"; return 200 "ok"; }
        "#,
    )
    .start();
    let mut stream = client::connect(proxy.addr(0));
    for (path, status, text) in [
        ("/599", 599, "any"),
        ("/400", 400, "any"),
        ("/304", 304, ""),
        ("/none", 404, "none"),
        ("/404", 404, "inner"),
        ("/302", 302, ""),
        ("/200", 200, "ok"),
    ] {
        let a = ask(&mut stream, get(path));
        assert_eq!((a.status, a.text().as_str()), (status, text), "{path}");
    }
    for line in
        ["http_error_page \"2xx\"", "http_error_page \"6xx\"", "http_error_page \"500-599\"", "http_error_page 299"]
    {
        server(&format!("{line}\nlocal {{ http_echo; }}")).check().assert(1, &["main.kdl:8:", "http_error_page"]);
    }
}

#[test]
fn another_status_and_another_place() {
    let proxy = server(
        r#"
        http_error_page 404 answer=200 body="found after all" content_type="text/plain"
        http_error_page 403 answer=302 location="/login?back=${http_request_uri}"
        local { rule "${path}" text="/closed"; ip_deny "127.0.0.0/8"; http_echo; }
        "#,
    )
    .start();
    let a = once(&proxy, get("/none"));
    assert_eq!((a.status, a.text().as_str()), (200, "found after all"));
    let a = once(&proxy, get("/closed?x=y"));
    assert_eq!((a.status, a.header("location")), (302, Some("/login?back=/closed?x=y")));
    proxy.await_line("access.log", "status=200", harness::LIMIT);
    proxy.await_line("access.log", "status=302", harness::LIMIT);
}

#[test]
fn a_status_that_is_returned_without_a_text_gets_its_page() {
    let proxy = server(
        r#"
        http_error_page 503 body="closed for today" content_type="text/plain"
        local { rule "${path}" text="/text"; return 503 "own words"; }
        local { rule "${path}" text="/other"; return 410; }
        local { return 503; }
        "#,
    )
    .start();
    let a = once(&proxy, get("/"));
    assert_eq!((a.status, a.text().as_str()), (503, "closed for today"));
    assert_eq!(once(&proxy, get("/text")).text(), "own words");
    let a = once(&proxy, get("/other"));
    assert_eq!((a.status, a.header("content-length")), (410, Some("0")));
}

#[test]
fn an_answer_of_a_peer_is_replaced_only_where_that_is_said() {
    let origin = Scripted::new(BUSY, false);
    let page = "http_error_page 503 502 body=\"sorry\" content_type=\"text/plain\"";
    let kept = proxy_to(origin.addr(), page);
    let a = once(&kept, get("/"));
    assert_eq!((a.status, a.text().as_str(), kind(&a)), (503, "busy", "a/b"));
    let replaced = proxy_to(origin.addr(), &format!("{page} proxied=#true"));
    let mut stream = client::connect(replaced.addr(0));
    for _ in 0..3 {
        let a = ask(&mut stream, get("/"));
        assert_eq!((a.status, a.text().as_str(), kind(&a)), (503, "sorry", "text/plain"));
        assert_eq!((a.header("retry-after"), a.header("set-cookie")), (Some("7"), Some("a=b")));
        assert_eq!(
            (a.header("etag"), a.header("content-language"), a.header("content-length")),
            (None, None, Some("5"))
        );
    }
    let a = ask(&mut stream, "HEAD / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!((a.status, a.header("content-length")), (503, Some("5")));
    // Without a body of its own it is the short one, as the client asks for it.
    let plain = proxy_to(origin.addr(), "http_error_page 503 proxied=#true");
    assert!(once(&plain, accepting("/", "text/html")).text().contains("<h1>503</h1>"));
    // What this proxy says itself about a peer that is not there.
    let gone = proxy_to(origin.origin.stop(), page);
    let a = once(&gone, get("/"));
    assert_eq!((a.status, a.text().as_str()), (502, "sorry"));
}

#[test]
fn a_long_answer_that_is_replaced_and_a_request_that_goes_on_leave_the_connection_usable() {
    let long = harness::pattern::bytes(1 << 20);
    let mut text = format!("HTTP/1.1 500 No\r\nContent-Length: {}\r\n\r\n", long.len()).into_bytes();
    text.extend_from_slice(&long);
    let origin = harness::Origin::start(move |mut conn| {
        // Answers before it has read the body.
        while let Some(head) = crate::support::head(&mut conn) {
            if conn.write_all(&text).is_err() || head.starts_with("POST") {
                break;
            }
        }
        Ok(())
    });
    let proxy = proxy_to(origin.addr(), "http_error_page 500 body=\"short\" proxied=#true");
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..3 {
        let a = ask(&mut stream, get("/"));
        assert_eq!((a.status, a.text().as_str(), a.header("connection")), (500, "short", None));
    }
    stream.write_all(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhel").expect("write");
    let a = answer(&mut stream, "POST");
    assert_eq!((a.status, a.text().as_str()), (500, "short"));
    stream.write_all(b"lo").expect("write");
    if a.header("connection").is_none() {
        assert_eq!(ask(&mut stream, get("/")).status, 500);
    }
}

#[test]
fn challenges_and_hints_stay() {
    let proxy = server(
        r#"
        http_error_page 401 429 body="not now" content_type="text/plain"
        local { rule "${path}" text="/in"; http_auth_basic "staff" users="users"; http_echo; }
        local { http_limit_requests "1/s" per="86400s"; http_echo body="ok"; }
        "#,
    )
    .file("users", "a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    .start();
    let a = once(&proxy, get("/in"));
    assert_eq!((a.status, a.text().as_str()), (401, "not now"));
    assert!(a.header("www-authenticate").is_some_and(|v| v.contains("staff")), "{}", a.head);
    assert_eq!(once(&proxy, get("/")).text(), "ok");
    let a = once(&proxy, get("/"));
    assert_eq!((a.status, a.text().as_str(), a.header("retry-after").is_some()), (429, "not now", true));
}

#[test]
fn a_range_that_is_not_there_still_says_what_is() {
    let proxy = server("http_error_page 416 body=\"no\"\nlocal { http_static \".\"; }").file("f", "12345").start();
    let a = once(&proxy, "GET /f HTTP/1.1\r\nHost: a.test\r\nRange: bytes=10-\r\n\r\n");
    assert_eq!((a.status, a.header("content-range"), a.text().as_str()), (416, Some("bytes */5"), "no"));
}

#[test]
fn answers_without_a_body_get_none() {
    let origin = Scripted::new("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", false);
    let proxy = proxy_to(origin.addr(), "http_error_page 304 body=\"x\" proxied=#true");
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..2 {
        let a = ask(&mut stream, get("/"));
        assert_eq!((a.status, a.header("content-length")), (304, None));
    }
}

#[test]
fn hostile_paths_add_no_line_to_a_location() {
    let proxy = server(
        "http_error_page 404 answer=302 location=\"/x?${http_query_to}\"\nlocal { rule \"${path}\" text=\"/x\"; http_echo; }",
    )
    .start();
    let a = once(&proxy, get("/none?to=a%0d%0aX-Evil:1"));
    assert_eq!((a.status, a.header("x-evil"), a.header("location")), (302, None, Some("/x?a%0d%0aX-Evil:1")));
}

#[test]
fn a_filter_of_another_module_leaves_room_for_a_page() {
    let Some(stamp) = module("http_stamp") else { return };
    let text = format!(
        "load_module \"tcp\" \"balancer\" {:?} {:?}\nnet {{ server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n\
         http_error_page 404 403 body=\"Page\" content_type=\"text/plain\"\n\
         local {{ http_stamp \"seen\"; http_static \".\"; }}\n}} }}\n",
        shipped("http").display().to_string(),
        stamp.display().to_string()
    );
    let proxy = Proxy::start(&text);
    let a = once(&proxy, get("/none"));
    assert_eq!((a.status, a.text().as_str()), (404, "Page"));
    // What the module says itself stays.
    let a = once(&proxy, "GET / HTTP/1.1\r\nHost: a\r\nX-Refuse: 1\r\n\r\n");
    assert_eq!((a.status, a.text().as_str()), (403, "NOT TODAY\n"));
}

#[test]
fn a_mistake_is_told_when_the_configuration_is_read() {
    for (line, what) in [
        ("http_error_page 404 file=\"none.html\"", "none.html"),
        ("http_error_page 404 file=\"big.html\"", "longer than 1 MiB"),
        ("http_error_page 404 file=\"main.kdl\" body=\"x\"", "a body or a file"),
        ("http_error_page 200 body=\"x\"", "main.kdl:8:"),
        ("http_error_page 404 content_type=\"a\\nb\" body=\"x\"", "no media type"),
    ] {
        let builder = server(&format!("{line}\nlocal {{ http_echo; }}")).file("big.html", vec![b'x'; (1 << 20) + 1]);
        builder.check().assert(1, &["main.kdl:8:", what]);
    }
}
