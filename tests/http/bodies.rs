//! Bodies both ways, however they are delimited.

use std::io::Write;

use harness::{Origin, client, pattern};

use crate::h2::{Client, run};
use crate::support::{OK, Scripted, answer, ask, get, head, once, proxy_to, server};

fn post(framing: &str) -> String {
    format!("POST /x HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n")
}

#[test]
fn a_request_with_a_length_arrives_with_it() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for len in [0, 1, 100_000] {
        let body = pattern::bytes(len);
        stream.write_all(post(&format!("Content-Length: {len}")).as_bytes()).expect("write");
        stream.write_all(&body).expect("write");
        assert_eq!(answer(&mut stream, "POST").text(), "ok");
        assert!(origin.seen().pop().expect("a request").1 == body, "{len}");
    }
}

#[test]
fn a_chunked_request_arrives_whole_and_without_its_extensions() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    let head = post("Transfer-Encoding: chunked");
    let body = "5;name=\"value\"\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\nX-Trailer: t\r\n\r\n";
    assert_eq!(ask(&mut stream, head + body).text(), "ok");
    let (head, body) = origin.seen().pop().expect("a request");
    assert_eq!(body, b"hello world");
    assert!(head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "{head}");
    assert_eq!(ask(&mut stream, get("/")).text(), "ok", "the connection goes on");
}

/// Without the word of who asks a peer should send no trailers (RFC 9110 section 6.5.1), and `Trailer`, which says which are to
/// come, is of no single connection (section 7.6.1).
#[test]
fn a_peer_hears_whether_trailers_are_understood_and_the_client_which_come() {
    let origin = Scripted::new(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\nTE: trailers\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n",
        false,
    );
    for more in ["", "http_upstream_keepalive 0"] {
        let proxy = proxy_to(origin.addr(), more);
        for (te, said) in [
            ("TE: trailers\r\nConnection: TE\r\n", true),
            ("TE: gzip, Trailers\r\n", true),
            ("TE: gzip;q=0.5\r\nConnection: te\r\n", false),
            ("", false),
        ] {
            let a = once(&proxy, format!("GET / HTTP/1.1\r\nHost: a\r\nTrailer: X-Mine\r\n{te}\r\n"));
            assert_eq!(
                (a.text().as_str(), a.header("trailer"), a.header("te")),
                ("ok", Some("X-T"), None),
                "{}",
                a.head
            );
            let (head, _) = origin.seen().pop().expect("a request");
            assert_eq!(head.contains("TE: trailers\r\nConnection: TE\r\n"), said, "{te}: {head}");
            assert_eq!(head.to_ascii_lowercase().matches("\nte:").count(), usize::from(said), "{head}");
            assert_eq!(head.contains("Connection: close\r\n"), !more.is_empty(), "{head}");
            assert!(head.contains("Trailer: X-Mine\r\n"), "{head}");
        }
    }
}

#[test]
fn an_answer_goes_without_chunks_where_that_is_said() {
    const CHUNKS: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let (whole, cut) = ([CHUNKS, b"0\r\n\r\n"].concat(), CHUNKS);
    let origin = Scripted::new(whole, false);
    let proxy = proxy_to(origin.addr(), "http_chunked #false");
    let a = once(&proxy, get("/"));
    assert_eq!((a.header("transfer-encoding"), a.header("connection")), (None, Some("close")), "{}", a.head);
    assert_eq!(a.text(), "hello", "to the end of the connection");
    // What has a length keeps its connection.
    let short = Scripted::new(OK, false);
    let proxy = proxy_to(short.addr(), "http_chunked #false");
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!((ask(&mut stream, get("/")).text(), ask(&mut stream, get("/")).text()), ("ok".into(), "ok".into()));
    // The end of one that is not whole is no end in order: the client could not tell.
    let origin = Scripted::new(cut, true);
    let proxy = proxy_to(origin.addr(), "http_chunked #false");
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(get("/").as_bytes()).expect("write");
    let end = std::io::copy(&mut stream, &mut std::io::sink()).expect_err("a reset");
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_chunked_answer_arrives_whole_in_pieces_of_any_size() {
    let origin = Origin::start(|mut conn| {
        while head(&mut conn).is_some() {
            conn.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for len in [1, 10, 70_000] {
                conn.write_all(format!("{len:x}\r\n").as_bytes())?;
                conn.write_all(&pattern::bytes(len))?;
                conn.write_all(b"\r\n")?;
            }
            conn.write_all(b"0\r\n\r\n")?;
        }
        Ok(())
    });
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..3 {
        let a = ask(&mut stream, get("/"));
        assert_eq!(a.body.len(), 70_011);
        assert!(a.body[11..] == pattern::bytes(70_000)[..]);
    }
    assert_eq!(origin.accepted(), 1, "one connection carried them all");
    // A client of 1.0 knows no chunks: the end of the connection is the end of the body.
    let a = once(&proxy, "GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert_eq!((a.header("transfer-encoding"), a.body.len()), (None, 70_011));
}

#[test]
fn an_answer_that_ends_with_the_connection_arrives_whole() {
    let origin = Origin::start(|mut conn| {
        let _ = head(&mut conn);
        conn.write_all(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n")?;
        conn.write_all(&pattern::bytes(300_000))
    });
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..2 {
        let a = ask(&mut stream, get("/"));
        assert!(a.body == pattern::bytes(300_000), "{} bytes, {}", a.body.len(), a.head);
        assert_eq!(a.header("transfer-encoding"), Some("chunked"), "so that the client's connection can go on");
    }
}

#[test]
fn a_large_answer_to_a_slow_reader_is_held_back_and_whole() {
    let origin = Origin::start(|mut conn| {
        let _ = head(&mut conn);
        conn.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 50 << 20).as_bytes())?;
        let piece = pattern::bytes(1 << 20);
        for _ in 0..50 {
            conn.write_all(&piece)?;
        }
        Ok(())
    });
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(get("/").as_bytes()).expect("write");
    let a = head(&mut stream).expect("a head");
    assert!(a.contains("52428800"), "{a}");
    let got = client::read_exact(&stream, 50 << 20);
    assert!(got.chunks(1 << 20).all(|c| c == &pattern::bytes(1 << 20)[..]));
}

#[test]
fn answers_without_a_body_have_none() {
    for (answer, method, status) in [
        (&b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n"[..], "GET", 204),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", "GET", 304),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "HEAD", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HEAD", 200),
    ] {
        let origin = Scripted::new(answer, false);
        let proxy = proxy_to(origin.addr(), "");
        let mut stream = client::connect(proxy.addr(0));
        for _ in 0..2 {
            let a = ask(&mut stream, format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(a.status, status);
        }
        assert_eq!(origin.origin.accepted(), 1, "{method} {status}");
    }
}

/// RFC 9110 section 15.3.6.
#[test]
fn an_answer_of_205_has_no_content_whatever_a_peer_says() {
    for body in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "\r\n"]
    {
        let origin = Scripted::new(format!("HTTP/1.1 205 Reset Content\r\nX: y\r\n{body}"), true);
        let proxy = proxy_to(origin.addr(), "");
        let mut stream = client::connect(proxy.addr(0));
        for method in ["GET", "HEAD", "GET"] {
            let a = ask(&mut stream, format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(
                (a.status, a.header("content-length"), a.header("x")),
                (205, Some("0"), Some("y")),
                "{}",
                a.head
            );
            assert_eq!(a.text(), "");
        }
        let a = run(async { Client::open(proxy.addr(0)).await.get("/").await }).expect("an answer");
        assert_eq!((a.status, a.text().as_str()), (205, ""));
    }
}

#[test]
fn a_client_that_waits_for_100_gets_it() {
    let origin = Origin::start(|mut conn| {
        let request = head(&mut conn).expect("a head");
        assert!(request.to_ascii_lowercase().contains("expect: 100-continue"), "{request}");
        conn.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        let mut body = [0; 4];
        std::io::Read::read_exact(&mut conn, &mut body)?;
        assert_eq!(&body, b"body");
        conn.write_all(OK)
    });
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(post("Content-Length: 4\r\nExpect: 100-continue").as_bytes()).expect("write");
    assert_eq!(head(&mut stream).as_deref(), Some("HTTP/1.1 100 Continue\r\n\r\n"));
    stream.write_all(b"body").expect("write");
    assert_eq!(answer(&mut stream, "POST").text(), "ok");
    // One that answers by itself says so too, before it reads.
    let echo = server("local { http_echo; }").start();
    let mut stream = client::connect(echo.addr(0));
    stream.write_all(post("Content-Length: 4\r\nExpect: 100-continue").as_bytes()).expect("write");
    assert_eq!(head(&mut stream).as_deref(), Some("HTTP/1.1 100 Continue\r\n\r\n"));
    stream.write_all(b"body").expect("write");
    assert_eq!(answer(&mut stream, "POST").text(), "body");
}

/// RFC 9110 section 10.1.1.
#[test]
fn a_client_of_http_1_0_does_not_wait_whatever_it_says() {
    let origin = Scripted::new(OK, false);
    let peers = [proxy_to(origin.addr(), ""), proxy_to(origin.addr(), "http_request_buffering #true")];
    let echo = server("local { http_echo; }").start();
    let request = "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody";
    for (proxy, text) in [(&peers[0], "ok"), (&peers[1], "ok"), (&echo, "body")] {
        let a = once(proxy, request);
        assert_eq!((a.status, a.text().as_str()), (200, text), "{}", a.head);
    }
    let seen = origin.seen();
    assert_eq!(seen.len(), 2);
    for (head, body) in seen {
        assert!(!head.to_ascii_lowercase().contains("expect") && body == b"body", "{head}");
    }
}

#[test]
fn what_is_malformed_from_the_beginning_is_not_echoed() {
    let echo = server("http_body_size \"4B\"\nlocal { http_echo; }").start();
    for (body, status) in [("x\r\n", 400), ("-1\r\na\r\n", 400), ("5\r\nabcde\r\n", 413)] {
        let a = once(&echo, post("Transfer-Encoding: chunked") + body);
        assert_eq!((a.status, a.header("connection")), (status, Some("close")), "{body:?}");
    }
    echo.await_line("access.log", "status=400 method=POST", harness::LIMIT);
    echo.await_line("access.log", "reason=client_transfer_malformed", harness::LIMIT);
    let mut stream = client::connect(echo.addr(0));
    for body in ["0\r\n\r\n", "2\r\nab\r\n0\r\n\r\n", "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"] {
        let a = ask(&mut stream, post("Transfer-Encoding: chunked") + body);
        assert_eq!((a.status, a.header("connection")), (200, None), "{body:?}");
    }
    // Each piece comes back as it came: nothing waits for the next one.
    stream.write_all((post("Transfer-Encoding: chunked") + "1\r\na\r\n").as_bytes()).expect("write");
    assert!(head(&mut stream).expect("a head").starts_with("HTTP/1.1 200 "));
    stream.write_all(b"0\r\n\r\n").expect("write");
    assert_eq!(crate::support::chunks(&mut stream), b"a");
}

#[test]
fn a_body_over_the_limit_is_refused() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "http_body_size \"10B\"");
    let a = once(&proxy, post("Content-Length: 11"));
    assert_eq!((a.status, a.header("connection")), (413, Some("close")));
    let a = once(&proxy, post("Transfer-Encoding: chunked") + "b\r\n01234567890\r\n0\r\n\r\n");
    assert_eq!(a.status, 413);
    assert_eq!(once(&proxy, post("Content-Length: 10") + "0123456789").text(), "ok");
    let lengths: Vec<_> = origin.seen().iter().map(|(_, b)| b.len()).collect();
    assert_eq!(lengths, [10]);
}

#[test]
fn an_echo_gives_the_body_back() {
    let proxy = server("local { http_echo; }").start();
    let mut stream = client::connect(proxy.addr(0));
    let body = pattern::bytes(200_000);
    let mut request = post("Content-Length: 200000").into_bytes();
    request.extend_from_slice(&body);
    std::thread::scope(|s| {
        let other = stream.try_clone().expect("a second handle");
        s.spawn(move || (&other).write_all(&request).expect("write"));
        assert!(answer(&mut stream, "POST").body == body);
    });
    assert_eq!(ask(&mut stream, post("Transfer-Encoding: chunked") + "3\r\nabc\r\n0\r\n\r\n").text(), "abc");
}
