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

/// A `Connection` line with so many names.
fn listing(names: usize) -> String {
    let all: Vec<_> = (0..names).map(|n| format!("x-{n}")).collect();
    format!("Connection: {}\r\n", all.join(", "))
}

/// Whoever lists more names than are looked for had all lines struck, the length of the body with them: the peer took the body
/// for a request of its own, and the next client's for the rest of that.
#[test]
fn no_list_in_connection_hides_where_a_body_ends() {
    const POISON: &str = "GET /admin/poison HTTP/1.1\r\nHost: x\r\nX-Ignore: ";
    for more in ["", "http_host \"peer\"", "http_request_buffering #true"] {
        let origin = Origin::http_mirror();
        let proxy = proxy_to(origin.addr(), more);
        for names in [33, 1000] {
            let mut stream = client::connect(proxy.addr(0));
            let (list, length) = (listing(names), POISON.len());
            let a = ask(
                &mut stream,
                format!("POST /pub HTTP/1.1\r\nHost: a\r\n{list}Content-Length: {length}\r\n\r\n{POISON}"),
            );
            assert_eq!((a.status, a.header("connection")), (400, Some("close")), "{}", a.head);
            assert_eq!(client::read_to_end(&stream), b"");
            // Another client has its own answer.
            let seen = once(&proxy, get("/victim")).text();
            assert!(seen.starts_with("GET /victim HTTP/1.1\r\n"), "{more}: {seen}");
        }
        proxy.await_line(
            "access.log",
            "status=400 method=- path=- uri=- host=- up=- reason=client_preread_malformed",
            harness::LIMIT,
        );
        assert_eq!(proxy.log().matches("too many names in Connection").count(), 2);
    }
}

#[test]
fn a_list_in_connection_strikes_what_it_names_and_nothing_that_frames() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    let list = listing(32).replace("x-0,", "x-0, content-length, transfer-encoding, host, te,");
    let framed = [("Content-Length: 5\r\n", "hello"), ("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")];
    for (framing, body) in framed {
        let a =
            ask(&mut stream, format!("POST / HTTP/1.1\r\nHost: a\r\nX-31: y\r\nX-32: z\r\n{list}{framing}\r\n{body}"));
        assert_eq!(a.text(), "ok");
        let (head, body) = origin.seen().pop().expect("a request");
        assert_eq!(body, b"hello", "{head}");
        assert!(head.contains("Host: a\r\n") && head.contains(framing) && head.contains("X-32: z"), "{head}");
        assert!(!head.contains("X-31") && !head.contains("Connection"), "{head}");
    }
}

/// What a client says of its body's length is never passed on: it is written anew, as the body goes.
#[test]
fn a_length_is_written_where_the_peer_needs_one() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for (method, framing, expected) in [
        ("GET", "", None),
        ("GET", "content-length: 0\r\n", Some("Content-Length: 0")),
        ("POST", "", Some("Content-Length: 0")),
        ("DELETE", "content-length: 0005\r\n", Some("Content-Length: 5")),
        ("PUT", "content-length: 5\r\n", Some("Content-Length: 5")),
    ] {
        let body = if framing.contains('5') { "hello" } else { "" };
        assert_eq!(ask(&mut stream, format!("{method} / HTTP/1.1\r\nHost: a\r\n{framing}\r\n{body}")).text(), "ok");
        let (head, _) = origin.seen().pop().expect("a request");
        let lines: Vec<_> = head.lines().filter(|l| l.to_ascii_lowercase().starts_with("content-length")).collect();
        assert_eq!(lines, Vec::from_iter(expected), "{method} {framing}");
    }
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
        let a = head(&mut stream).expect("a head");
        assert!(a.starts_with("HTTP/1.1 400 "), "{body:?}: {a:?}");
        client::read_to_end(&stream);
    }
    assert!(origin.seen().is_empty(), "{:?}", origin.seen());
}

#[test]
fn malformed_chunks_of_an_answer_cut_it() {
    for chunks in
        ["g\r\n", "-1\r\n", "1 \r\na\r\n", "2\r\nabc\r\n", "1\na\n", "0\r\nX y: z\r\n\r\n", "0\r\nX: a\nY: b\r\n\r\n"]
    {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n{chunks}0\r\n\r\n");
        let origin = Scripted::new(answer, false);
        let proxy = proxy_to(origin.addr(), "");
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(get("/").as_bytes()).expect("write");
        assert!(head(&mut stream).expect("a head").starts_with("HTTP/1.1 200 "));
        let rest = String::from_utf8(client::read_to_end(&stream)).expect("text");
        assert!(rest.starts_with("5\r\nhello\r\n") && !rest.ends_with("0\r\n\r\n"), "{chunks:?}: {rest:?}");
        proxy.await_line("access.log", "reason=upstream_transfer_malformed", harness::LIMIT);
        // Nothing else comes over that connection.
        origin.origin.await_idle();
    }
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
        b"HTTP/1.1 200 OK\r\nX\0: a\r\n\r\n",
        b"HTTP/1.1 200 OK\nX: a\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nX: a\nY: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rY: b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        format!("HTTP/1.1 200 OK\r\n{}X: a\r\nContent-Length: 2\r\n\r\nok", listing(33)).as_bytes(),
        b"",
    ] {
        let answer = [answer, b"HTTP/1.1 200 OK\r\nX: smuggled\r\nContent-Length: 8\r\n\r\nsmuggled"].concat();
        let shown = answer.escape_ascii().to_string();
        let origin =
            Scripted::new(if answer.starts_with(b"HTTP/1.1 200 OK\r\nX: sm") { Vec::new() } else { answer }, true);
        let proxy = proxy_to(origin.addr(), "");
        let mut stream = client::connect(proxy.addr(0));
        for _ in 0..2 {
            let a = ask(&mut stream, get("/"));
            assert_eq!((a.status, a.header("x")), (502, None), "{shown}: {a:?}");
            assert!(!a.text().contains("smuggled"), "{shown}: {a:?}");
        }
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
