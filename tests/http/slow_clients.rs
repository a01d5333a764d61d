//! Clients that take their time.

use std::io::Write;

use harness::client::{self, End};

use crate::support::{OK, Scripted, answer, ask, proxy_to, server};

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
