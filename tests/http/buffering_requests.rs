//! Requests whose bodies the proxy receives in full before it asks a peer.

use std::io::{Read, Write};

use harness::{Origin, TempDir, client, eventually, pattern};

use crate::buffering::{is_pattern, unnamed};
use crate::support::{OK, Scripted, answer, ask, at_rest, head, once, proxy_to};

#[test]
fn a_slow_upload_is_a_peers_matter_once_it_is_whole() {
    let origin = Scripted::new(OK, false);
    let dir = TempDir::new();
    let proxy = proxy_to(
        origin.addr(),
        &format!("http_request_buffering #true memory=\"64KiB\" path=\"{}\"", dir.path().display()),
    );
    for len in [5, 3 << 20] {
        let body = pattern::bytes(len);
        let mut stream = client::connect(proxy.addr(0));
        let accepted = (origin.origin.accepted(), origin.seen().len());
        stream
            .write_all(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n").as_bytes())
            .expect("write");
        stream.write_all(&body[..len - 1]).expect("write");
        at_rest(|| origin.origin.received());
        assert_eq!((origin.origin.accepted(), origin.seen().len()), accepted, "nobody was asked");
        if len > 1 << 20 {
            eventually("it has a file", || (unnamed(&proxy, dir.path()) == 1).then_some(()));
        }
        stream.write_all(&body[len - 1..]).expect("write");
        assert_eq!(answer(&mut stream, "PUT").text(), "ok");
        is_pattern(&origin.seen().pop().expect("a request").1, len);
        eventually("the file is gone", || (unnamed(&proxy, dir.path()) == 0).then_some(()));
        // Chunks, and one that waits to be asked: peers get a length and no question.
        stream
            .write_all(b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
            .expect("write");
        assert_eq!(head(&mut stream).as_deref(), Some("HTTP/1.1 100 Continue\r\n\r\n"));
        for chunk in body.chunks(50_000) {
            stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).expect("write");
            stream.write_all(chunk).expect("write");
            stream.write_all(b"\r\n").expect("write");
        }
        stream.write_all(b"0\r\n\r\n").expect("write");
        assert_eq!(answer(&mut stream, "PUT").text(), "ok");
        let (head, seen) = origin.seen().pop().expect("a request");
        is_pattern(&seen, len);
        let lower = head.to_ascii_lowercase();
        assert!(lower.contains(&format!("content-length: {len}\r\n")), "{head}");
        assert!(!lower.contains("transfer-encoding") && !lower.contains("expect"), "{head}");
    }
}

#[test]
fn lines_behind_a_body_keep_its_chunks() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "http_request_buffering #true");
    let request = "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n";
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, request).text(), "ok");
    assert_eq!(ask(&mut stream, request).text(), "ok");
    let (head, body) = origin.seen().pop().expect("a request");
    assert!(body == b"abc" && head.to_ascii_lowercase().contains("transfer-encoding: chunked"), "{head}");
}

#[test]
fn a_body_beyond_the_bound_is_413_and_nobody_is_asked() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "http_request_buffering #true memory=\"1KiB\" file=\"100KiB\"");
    let put = |framing: &str| format!("PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
    assert_eq!(once(&proxy, put("Content-Length: 102401")).status, 413);
    let chunk = "19000\r\n".to_owned() + &"x".repeat(102_400) + "\r\n1\r\nx\r\n0\r\n\r\n";
    assert_eq!(once(&proxy, put("Transfer-Encoding: chunked") + &chunk).status, 413);
    assert_eq!(origin.origin.accepted(), 0);
    assert_eq!(once(&proxy, put("Content-Length: 102400") + &"x".repeat(102_400)).text(), "ok");
    let small = proxy_to(origin.addr(), "http_request_buffering #true\nhttp_body_size \"10B\"");
    assert_eq!(once(&small, put("Transfer-Encoding: chunked") + "b\r\n01234567890\r\n0\r\n\r\n").status, 413);
}

#[test]
fn a_client_that_stops_is_408_and_nobody_is_asked() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "http_request_buffering #true\nhttp_body_timeout \"300ms\"");
    assert_eq!(once(&proxy, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").status, 408);
    assert_eq!(origin.origin.accepted(), 0);
}

#[test]
fn a_request_with_a_body_is_repeated_where_a_kept_connection_ends() {
    // Each connection answers one request; the second is read, body and all, and then the connection ends.
    let origin = Origin::start(|mut conn| {
        for n in 0..2 {
            let Some(request) = head(&mut conn) else { return Ok(()) };
            let length = request.to_ascii_lowercase().contains("content-length: 2000000");
            let mut body = vec![0; if length { 2_000_000 } else { 0 }];
            conn.read_exact(&mut body)?;
            if n == 0 {
                let whole = body.is_empty() || pattern::verify(0, &body).is_ok();
                conn.write_all(if whole { OK } else { b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n" })?;
            }
        }
        Ok(())
    });
    let proxy = proxy_to(origin.addr(), "http_request_buffering #true memory=\"100KiB\"");
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..4 {
        let mut request = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n".to_vec();
        request.extend(pattern::bytes(2_000_000));
        assert_eq!(ask(&mut stream, request).status, 200);
    }
    assert!(origin.accepted() >= 4);
}
