//! What two readers could understand differently is refused, in both directions, and nothing of it is passed on.

use std::io::Write;

use harness::client;
use harness::{Origin, eventually};

use crate::support::{OK, Scripted, ask, get, head, once, proxy_to};

const REFUSED: &[(&str, u16)] = &[
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
    ("GET / HTTP/1.1\nHost: a\n\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\nY: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nX y: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    // A tunnel to elsewhere, which the peer would take for granted; HTTP/2 says the same.
    ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
    ("GET / HTTP/1.2\r\n\r\n", 400),
    ("GET / HTTX/1.1\r\nHost: a\r\n\r\n", 400),
];

#[test]
fn ambiguous_requests_are_refused_and_the_connection_ends() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    for (request, status) in REFUSED {
        let mut stream = client::connect(proxy.addr(0));
        // Something to smuggle behind it.
        let a = ask(&mut stream, format!("{request}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!((a.status, a.header("connection")), (*status, Some("close")), "{request:?}");
        assert_eq!(client::read_to_end(&stream), b"", "{request:?}");
    }
    assert!(origin.seen().is_empty(), "{:?}", origin.seen());
    assert_eq!(once(&proxy, get("/")).text(), "ok");
    // The log says whose fault it was.
    proxy.await_line(
        "access.log",
        "status=400 method=- path=- uri=- host=- up=- reason=client_preread_malformed",
        harness::LIMIT,
    );
    proxy.await_line("access.log", "reason=client_preread_protocol", harness::LIMIT);
    // What has no path has none of an earlier request's.
    assert_eq!(once(&proxy, get("/earlier")).status, 200);
    assert_eq!(once(&proxy, "CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n").status, 501);
    proxy.await_line("access.log", "status=501 method=CONNECT path=- uri=b:80 host=b:80", harness::LIMIT);
}

#[test]
fn a_later_minor_version_is_ours_on_both_sides() {
    let origin = Scripted::new(b"HTTP/1.9 200 Fine\r\nContent-Length: 2\r\n\r\nok", false);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for minor in 2..10 {
        let a = ask(&mut stream, format!("GET /{minor} HTTP/1.{minor}\r\nHost: a\r\n\r\n"));
        assert!(a.head.starts_with("HTTP/1.1 200 Fine\r\n") && a.header("connection").is_none(), "{}", a.head);
        assert_eq!(a.text(), "ok");
        let (head, _) = origin.seen().pop().expect("a request");
        assert!(head.starts_with(&format!("GET /{minor} HTTP/1.1\r\n")), "{head}");
    }
    assert_eq!(origin.origin.accepted(), 1, "kept, as those of HTTP/1.1 are");
}

#[test]
fn malformed_chunks_end_the_exchange() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    for body in [
        "g\r\n",
        "-1\r\n",
        "1 \r\na\r\n0\r\n\r\n",
        "1\na\n0\n\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "11111111111111111\r\n",
        "0x1\r\na\r\n",
    ] {
        let mut stream = client::connect(proxy.addr(0));
        stream
            .write_all(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}").as_bytes())
            .expect("write");
        let a = head(&mut stream);
        assert!(a.as_deref().is_none_or(|a| a.starts_with("HTTP/1.1 400 ")), "{body:?}: {a:?}");
    }
    assert!(origin.seen().is_empty(), "{:?}", origin.seen());
}

#[test]
fn oversized_heads_are_refused() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "http_header_size \"2KiB\"\nhttp_header_count 10");
    let long = "x".repeat(3000);
    assert_eq!(once(&proxy, get(&format!("/{long}"))).status, 414);
    assert_eq!(once(&proxy, format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n")).status, 431);
    let many = "X: y\r\n".repeat(11);
    assert_eq!(once(&proxy, format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n")).status, 431);
    assert!(origin.seen().is_empty());
}

#[test]
fn malformed_answers_are_502_and_nothing_of_them_is_passed_on() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0\r\n\r\n",
        b"",
    ] {
        let origin = Scripted::new(answer, true);
        let proxy = proxy_to(origin.addr(), "");
        let a = once(&proxy, get("/"));
        assert_eq!(a.status, 502, "{:?}: {a:?}", String::from_utf8_lossy(answer));
    }
}

#[test]
fn an_answer_cut_short_is_seen_to_be_cut() {
    for cut in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    ] {
        let (seen, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let origin = Origin::start(move |mut conn| {
            let _ = head(&mut conn);
            conn.write_all(cut)?;
            // The client has the head before the end comes.
            let _ = wait.lock().expect("not poisoned").recv();
            Ok(())
        });
        let proxy = proxy_to(origin.addr(), "");
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(get("/").as_bytes()).expect("write");
        assert!(head(&mut stream).expect("a head").contains("200"));
        drop(seen);
        let rest = client::read_to_end(&stream);
        let text = String::from_utf8_lossy(&rest);
        assert!(text.contains("hal") || text.contains("hel"), "{text}");
        assert!(!text.ends_with("0\r\n\r\n"), "{text:?}");
        eventually("it is logged as the upstream's fault", || {
            proxy.read("access.log").contains("reason=upstream_transfer_closed").then_some(())
        });
    }
}
