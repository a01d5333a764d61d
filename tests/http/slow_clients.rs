//! Clients that take their time.

use std::io::{Read, Write};

use harness::Proxy;
use harness::client::{self, End};

use crate::support::{OK, Scripted, answer, ask, get, once, proxy_to, server};

#[test]
fn a_head_that_does_not_come_to_its_end_is_408() {
    let proxy = server("http_header_timeout \"300ms\"\nlocal { http_echo body=\"x\"; }").start();
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(b"GET / HTTP/1.1\r\nHost:").expect("write");
    let a = answer(&mut stream, "GET");
    assert_eq!((a.status, a.header("connection")), (408, Some("close")));
    assert_eq!(client::end(&stream), End::Closed);
    proxy.await_line("access.log", "reason=client_preread_timeout", harness::LIMIT);
}

#[test]
fn a_head_in_single_bytes_is_read() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for byte in b"GET /slow HTTP/1.1\r\nHost: a.test\r\nX-A: b\r\n\r\n" {
        stream.write_all(&[*byte]).expect("write");
    }
    assert_eq!(answer(&mut stream, "GET").text(), "ok");
    assert!(origin.seen()[0].0.contains("X-A: b\r\n"));
}

#[test]
fn a_body_that_stands_still_ends_the_connection() {
    let origin = Scripted::new(OK, false);
    for more in ["", "http_request_buffering #true", "http_error_page 408 body=\"slow\" answer=400"] {
        let proxy = proxy_to(origin.addr(), &format!("http_body_timeout \"300ms\"\n{more}"));
        let mut stream = client::connect(proxy.addr(0));
        let a = ask(&mut stream, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
        let status = if more.contains("answer") { 400 } else { 408 };
        assert_eq!((a.status, a.header("connection")), (status, Some("close")), "{more}");
        assert_eq!(client::read_to_end(&stream), b"", "{more}");
        // Nor is the rest of it taken for a request.
        let line = proxy.await_line("access.log", "reason=client_transfer_timeout", harness::LIMIT);
        assert_eq!(line.matches("status=").count(), 1, "{line}");
    }
    assert!(origin.seen().is_empty());
}

/// One address: `servers`, each with its domain. The time for a domain is short, or no test of who says none would end.
fn by_domain(servers: &[(&str, &str)]) -> Proxy {
    let port = client::free_port();
    let one = |(domain, text): &(&str, &str)| {
        format!("server {{ domain \"{domain}\"; domain_listen_tcp \"127.0.0.1:{port}\"\n{text}\n}}\n")
    };
    let servers: String = servers.iter().map(one).collect();
    let head = "load_module \"tcp\" \"balancer\" \"http\"\ncommon { worker_threads 1; preread_timeout \"2s\"; }\n";
    Proxy::builder().config(&format!("{head}net {{\n{servers}\n}}\n")).start()
}

/// A head with so much in it, before or behind its Host.
fn large(host: &str, size: usize, before: bool) -> String {
    let (cookie, host) = (format!("Cookie: {}\r\n", "a".repeat(size)), format!("Host: {host}\r\n"));
    let lines = if before { cookie + &host } else { host + &cookie };
    format!("GET / HTTP/1.1\r\n{lines}\r\n")
}

#[test]
fn a_server_that_is_chosen_by_domain_has_limits_of_its_own() {
    let wide = "http; http_header_size \"64KiB\"; http_header_timeout \"300ms\"; local { return 200 \"wide\"; }";
    let proxy = by_domain(&[("wide.test", wide), ("narrow.test", "http; local { return 200 \"narrow\"; }")]);
    for before in [false, true] {
        assert_eq!(once(&proxy, large("wide.test", 20_000, before)).text(), "wide", "{before}");
        assert_eq!(once(&proxy, large("wide.test", 100_000, before)).status, 431, "{before}");
    }
    assert_eq!(once(&proxy, large("narrow.test", 20_000, false)).status, 431);
    // Of the host's two seconds, too, where no name came in them.
    for begun in ["GET / HTTP/1.1\r\nHost: wide.test\r\nX", "GET / HTTP/1.1\r\nX: y\r\nHo"] {
        let a = once(&proxy, begun);
        assert_eq!((a.status, a.header("connection")), (408, Some("close")), "{begun}");
    }
    // What is malformed before the name is answered as anywhere.
    for malformed in ["GET / HTTP/1.1\r\nX : y\r\nHost: wide.test\r\n\r\n", "GET / HTTP/1.1\nHost: wide.test\n\n"] {
        let a = once(&proxy, malformed);
        assert_eq!((a.status, a.header("connection")), (400, Some("close")), "{malformed}");
    }
    assert_eq!(once(&proxy, get("/").replace("a.test", "narrow.test")).text(), "narrow");
}

#[test]
fn beside_a_server_of_layer_4_heads_are_looked_at_to_their_end() {
    let origin = harness::Origin::http("relayed");
    let relay = format!("local {{ proxy_pass_tcp \"{}\"; }}", origin.addr());
    let wide = "http; http_header_size \"64KiB\"; local { return 200 \"wide\"; }";
    let proxy = by_domain(&[("wide.test", wide), ("relay.test", &relay)]);
    assert_eq!(once(&proxy, large("wide.test", 20_000, false)).text(), "wide");
    let gets = |pieces: [&str; 2]| {
        let mut stream = client::connect(proxy.addr(0));
        let mut all = Vec::new();
        // Closed, or reset, which may be before all is sent.
        let _ = pieces.map(|piece| stream.write_all(piece.as_bytes()));
        let _ = stream.read_to_end(&mut all);
        String::from_utf8_lossy(&all).into_owned()
    };
    for (pieces, status) in [
        (["GET / HTTP/1.1\r\nHost: relay.test\r\n", "Host: wide.test\r\n\r\n"], 400),
        ([&large("relay.test", 20_000, false), ""], 431),
        ([&large("wide.test", 20_000, true), ""], 431),
    ] {
        let said = gets(pieces);
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{:?}: {said}", &pieces[0][..40]);
    }
    assert_eq!(origin.accepted(), 0);
    assert_eq!(once(&proxy, get("/").replace("a.test", "relay.test")).text(), "relayed");
}
