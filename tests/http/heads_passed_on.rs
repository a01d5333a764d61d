//! What becomes of headers on their way.

use std::io::Write;

use harness::client;

use crate::h2::*;
use crate::http2_clients::curl;
use crate::http2_peers::before;
use crate::support::{OK, Scripted, ask, get, head, once, proxy_to};

#[test]
fn headers_of_one_hop_stay_there_and_the_others_pass() {
    let origin = Scripted::new(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n\
          Proxy-Authenticate: Basic\r\nServer: origin\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nok",
        false,
    );
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    let a = ask(
        &mut stream,
        "GET /x?y HTTP/1.1\r\nHost: a.test:81\r\nConnection: X-Mine, close\r\nX-Mine: 1\r\nKeep-Alive: 1\r\nTE: gzip\r\n\
         Proxy-Connection: x\r\nUpgrade: foo\r\nProxy-Authorization: secret\r\nCookie: c\r\nX-Other: two words\r\n\r\n",
    );
    let (head, _) = origin.seen().pop().expect("a request");
    let lower = head.to_ascii_lowercase();
    for gone in ["x-mine", "keep-alive: 1", "te:", "proxy-connection", "upgrade", "proxy-authorization", "close"] {
        assert!(!lower.contains(gone), "{gone}: {head}");
    }
    assert!(head.starts_with("GET /x?y HTTP/1.1\r\n"), "{head}");
    for kept in ["Host: a.test:81\r\n", "Cookie: c\r\n", "X-Other: two words\r\n"] {
        assert!(head.contains(kept), "{kept}: {head}");
    }
    for gone in ["x-hop", "keep-alive", "proxy-authenticate"] {
        assert_eq!(a.header(gone), None, "{}", a.head);
    }
    assert_eq!(a.header("server"), Some("origin"));
    assert_eq!(a.head.matches("Set-Cookie: ").count(), 2);
    assert_eq!(a.header("connection"), Some("close"));
}

#[test]
fn headers_are_set_added_and_removed_both_ways() {
    let origin =
        Scripted::new(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: o\r\nX-A: 1\r\nX-A: 2\r\n\r\nok", false);
    let proxy = crate::support::server(&format!(
        r#"
        http_request_header "set" "X-Path" "${{path}}"
        http_response_header "remove" "Server"
        http_response_header "add" "X-Status" "${{status}} ${{http_response_x_a}}"
        local {{
            rule "${{path}}" text="/own"
            http_response_header "set" "X-A" "own"
            return 200 "own"
        }}
        local {{
            http_request_header "remove" "Cookie"
            http_request_header "set" "host" "inner.test"
            http_response_header "set" "x-a" "3"
            proxy_pass_tcp "{}"
        }}
        "#,
        origin.addr()
    ))
    .start();
    let a = once(&proxy, "GET /p HTTP/1.1\r\nHost: a\r\nX-Path: forged\r\nx-path: again\r\nCookie: c\r\n\r\n");
    let (head, _) = origin.seen().pop().expect("a request");
    assert_eq!(head.to_ascii_lowercase().matches("x-path: ").count(), 1, "{head}");
    assert!(head.contains("X-Path: /p\r\n") && !head.contains("Cookie"), "{head}");
    assert!(head.contains("host: inner.test\r\n") && !head.contains("\r\nHost: a"), "{head}");
    assert_eq!((a.header("server"), a.header("x-status")), (None, Some("200 1, 2")), "{}", a.head);
    assert_eq!(a.head.to_ascii_lowercase().matches("x-a: ").count(), 1, "{}", a.head);
    assert!(a.head.contains("x-a: 3\r\n"), "{}", a.head);
    let own = once(&proxy, "GET /own HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((own.header("x-a"), own.text().as_str()), (Some("own"), "own"));
}

#[test]
fn a_value_that_would_be_two_lines_is_left_out() {
    let origin = Scripted::new(OK, false);
    let proxy = crate::support::server(&format!(
        "local {{ http_request_header \"set\" \"X-Path\" \"${{path}}\"; proxy_pass_tcp \"{}\"; }}",
        origin.addr()
    ))
    .start();
    for (path, has) in [("/a%c3%a9", true), ("/a%0d%0aX-Evil:%201", false), ("/a%7f", false)] {
        assert_eq!(once(&proxy, get(path)).status, 200);
        let (head, _) = origin.seen().pop().expect("a request");
        // The peer gets the address as it came.
        assert!(head.starts_with(&format!("GET {path} HTTP/1.1\r\n")), "{head}");
        assert!(head.contains("X-Path: ") == has && !head.contains("\r\nX-Evil"), "{head}");
    }
}

/// Applications parse it: with a port it is no address.
#[test]
fn the_books_example_sends_the_clients_address() {
    let book = include_str!("../../doc/src/http.md");
    let rule = book.lines().find(|l| l.contains("\"X-Real-IP\"")).expect("an example");
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), rule);
    once(&proxy, get("/"));
    let (head, _) = origin.seen().pop().expect("a request");
    assert!(head.contains("X-Real-IP: 127.0.0.1\r\n"), "{head}");
}

/// CGI and all that is made like it cannot tell `X_User` from `X-User`.
#[test]
fn headers_with_underscores_get_round_no_rule() {
    const CLAIMS: &str = "GET / HTTP/1.1\r\nHost: a\r\nX-Other: 1\r\nX_User: admin\r\nx_Secret: 2\r\nX_Forwarded_For: 6.6.6.6\r\n\
        Content_Length: 9\r\nX-Real_Ip: 1.1.1.1\r\n\r\n";
    const RULES: &str = "http_request_header \"set\" \"X-User\" \"real\"\nhttp_request_header \"remove\" \"X-Secret\"";
    let origin = Scripted::new(OK, false);
    let start = |more: &str| {
        crate::support::server(&format!(
            "{more}\nlocal {{ rule \"${{http_request_x_user}}\" text=\"admin\"; return 403; }}\n\
             local {{ {RULES}; proxy_pass_tcp \"{}\"; }}",
            origin.addr()
        ))
        .start()
    };
    let proxy = start("");
    assert_eq!(once(&proxy, CLAIMS).text(), "ok", "it is no X-User");
    let url = format!("http://{}/", proxy.addr(0));
    let by_http2 = curl(&["-H", "X_User: admin", "-H", "X-Other: 1", &url]);
    for (head, _) in origin.seen() {
        assert!(!head.contains('_') && head.contains("X-User: real\r\n"), "{head}");
        assert!(head.to_ascii_lowercase().contains("x-other: 1\r\n"), "{head}");
    }
    assert_eq!(origin.seen().len(), 1 + usize::from(by_http2.is_some()));

    let proxy = start("http_header_underscores");
    assert_eq!(once(&proxy, CLAIMS).status, 403, "its name is known");
    assert_eq!(once(&proxy, "GET / HTTP/1.1\r\nHost: a\r\nX_Us-er: admin\r\nX_Id: 7\r\n\r\n").text(), "ok");
    let (head, _) = origin.seen().pop().expect("a request");
    assert!(head.contains("X_Us-er: admin\r\n") && head.contains("X_Id: 7\r\n"), "{head}");
}

#[test]
fn headers_that_are_the_proxys_own_are_a_mistake() {
    for (line, what) in [
        ("http_request_header \"set\" \"Content-Length\" \"1\"", "the proxy's own"),
        ("http_request_header \"add\" \"host\" \"b.test\"", "a request has one Host"),
        ("http_response_header \"add\" \"a b\" \"1\"", "no name of a header"),
        ("http_response_header \"set\" \"X\"", "need a value"),
        ("http_response_header \"remove\" \"X\" \"1\"", "takes no value"),
        ("http_error_page 404 answer=302 location=\"/x\\r\\nA: b\"", "the value of \"Location\" is not one line"),
        (
            "local { rule \"${path}\" text=\"/\"; return 301 \"/x\\r\\nA: b\"; }",
            "the value of \"Location\" is not one line",
        ),
        (
            "local { rule \"${path}\" text=\"/\"; http_echo content_type=\"a\\nb\"; }",
            "\"Content-Type\" is not one line",
        ),
        ("http_request_id \"a b\"", "main.kdl:8:17: error: \"a b\" is no name of a header"),
        ("http_request_id \"Content-Length\"", "main.kdl:8:17: error: \"Content-Length\" is the proxy's own"),
        ("http_request_id \"te\"", "the proxy's own"),
        ("http_request_id \"host\"", "http_host"),
    ] {
        let output = crate::support::server(&format!("{line}\nlocal {{ return 200; }}")).check();
        assert!(output.code == Some(1) && output.stderr.contains(what), "{line}: {}", output.stderr);
    }
    // A text that is no header's may have many lines.
    let output = crate::support::server("local { return 200 \"a\\r\\nb: ${path}\"; }").check();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

#[test]
fn the_client_is_named_to_the_peer() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    once(&proxy, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
    let (head, _) = origin.seen().pop().expect("a request");
    assert!(head.contains("X-Forwarded-For: 192.0.2.7, 127.0.0.1\r\n"), "{head}");
    assert!(head.contains("X-Forwarded-Proto: http\r\n"), "{head}");
}

#[test]
fn who_is_trusted_says_whose_request_it_is() {
    let origin = Scripted::new(OK, false);
    let proxy = |trusted: &str| {
        crate::support::server(&format!(
            "{trusted}\nhttp_request_id \"X-Request-Id\"\nlocal {{ rule \"${{client_addr}}\" prefix=\"192.0.2.\"; return 200 \"${{request_id}}\"; }}\n\
             local {{ proxy_pass_tcp \"{}\"; }}",
            origin.addr()
        ))
        .start()
    };
    let request = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1, 192.0.2.7, 127.0.0.9\r\nX-Request-Id: abc-1\r\n\r\n";
    let trusting = proxy("http_trusted \"127.0.0.0/8\"");
    assert_eq!(once(&trusting, request).text(), "abc-1");
    // The whole way is told to the peer, the sender last.
    let chain = crate::support::server(&format!(
        "http_trusted \"127.0.0.0/8\"\nlocal {{ proxy_pass_tcp \"{}\"; }}",
        origin.addr()
    ))
    .start();
    once(&chain, request);
    let (head, _) = origin.seen().pop().expect("a request");
    assert!(head.contains("X-Forwarded-For: 203.0.113.1, 192.0.2.7, 127.0.0.9, 127.0.0.1\r\n"), "{head}");
    let wary = proxy("");
    assert_eq!(once(&wary, request).text(), "ok");
    let (head, _) = origin.seen().pop().expect("a request");
    let id = head.lines().find_map(|l| l.strip_prefix("X-Request-Id: ")).expect("an id");
    assert!(id != "abc-1" && id.len() >= 16 && head.matches("X-Request-Id").count() == 1, "{head}");
}

#[test]
fn a_target_in_absolute_form_names_the_host() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    assert_eq!(once(&proxy, "GET http://b.test/x?y HTTP/1.1\r\nHost: a.test\r\n\r\n").text(), "ok");
    let (head, _) = origin.seen().pop().expect("a request");
    assert!(head.starts_with("GET /x?y HTTP/1.1\r\n") && head.contains("Host: b.test\r\n"), "{head}");
}

/// RFC 9112 section 3.2.4: asked of a host without a path, OPTIONS is of the server.
#[test]
fn options_of_a_whole_server_arrive_as_such() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for (target, sent) in [("*", "*"), ("http://a", "*"), ("http://a/", "/"), ("http://a?b", "/?b")] {
        let a = ask(&mut stream, format!("OPTIONS {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((a.status, a.header("connection")), (200, None), "{target}");
        let (head, _) = origin.seen().pop().expect("a request");
        assert!(
            head.starts_with(&format!("OPTIONS {sent} HTTP/1.1\r\n")) && head.contains("\r\nHost: a\r\n"),
            "{head}"
        );
    }
    proxy.await_line("access.log", "method=OPTIONS path=- uri=* host=a ", harness::LIMIT);
}

#[test]
fn a_request_that_may_pass_so_many_proxies_is_counted_down() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    let mut status = |method: &str, said: &str| {
        let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nmax-forwards: {said}\r\n\r\n");
        ask(&mut stream, request).status
    };
    for method in ["OPTIONS", "TRACE"] {
        for (said, told) in [("5", "5"), ("1", "1"), ("x", "x"), ("99999999999999999999", "18446744073709551615")] {
            let told = told.parse::<u64>().map_or_else(|_| told.to_owned(), |n| (n - 1).to_string());
            assert_eq!(status(method, said), 200);
            let seen = origin.seen().pop().expect("a request").0.to_ascii_lowercase();
            assert!(seen.contains(&format!("max-forwards: {told}\r\n")), "{method} {said}: {seen}");
            assert_eq!(seen.matches("max-forwards").count(), 1, "{seen}");
        }
    }
    let before = origin.seen().len();
    assert_eq!((status("OPTIONS", "0"), status("TRACE", "0")), (200, 501));
    assert_eq!(origin.seen().len(), before, "nobody was asked");
    // To other methods it means nothing.
    assert_eq!(status("GET", "0"), 200);
    assert!(origin.seen().pop().expect("a request").0.contains("max-forwards: 0\r\n"));
}

/// It has no content (RFC 9110 section 8.6), and who believes the length waits for it.
#[test]
fn an_interim_answer_has_no_length_whatever_a_peer_says() {
    let says = by_hand(|raw| {
        raw.send(SETTINGS, 0, 0, b"");
        while let Some(frame) = raw.frame() {
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => raw.send(SETTINGS, ACK, 0, b""),
                HEADERS => {
                    // :status 103, content-length 5, and x: y; then 200.
                    raw.send(HEADERS, END_HEADERS, frame.stream, b"\x08\x03103\x0f\x0d\x015\x00\x01x\x01y");
                    raw.send(HEADERS, END_HEADERS | END_STREAM, frame.stream, &[0x88]);
                }
                _ => {}
            }
        }
    });
    let http1 = Scripted::new(
        b"HTTP/1.1 103 E\r\nContent-Length: 5\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        false,
    );
    for proxy in [before(says.addr(), ""), proxy_to(http1.addr(), "")] {
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(get("/").as_bytes()).expect("write");
        let interim = head(&mut stream).expect("a head").to_ascii_lowercase();
        assert!(
            interim.contains(" 103 ") && interim.contains("x: y") && !interim.contains("content-length"),
            "{interim}"
        );
        assert!(head(&mut stream).expect("a head").starts_with("HTTP/1.1 200 "));
    }
}
