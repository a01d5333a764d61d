//! Requests of HTTP/2 that are none: what becomes of them, and who is told.

use h2::Reason;
use harness::LIMIT;
use http::{Request, Version};

use crate::h2::*;
use crate::support::{OK, Scripted, proxy_to};

/// Without `:authority` it is `host` that says whom a request is for (RFC 9113 section 8.3.1), and what is none is none there, too.
#[test]
fn a_host_is_looked_at_where_there_is_no_authority() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        for host in ["a.test", "A.test:81", "[::1]:80"] {
            let request = Request::get("/").version(Version::HTTP_11).header("host", host);
            assert_eq!(client.ask(request.body(()).expect("a request"), b"").await.expect("an answer").status, 200);
            let (head, _) = origin.seen().pop().expect("a request");
            assert!(head.contains(&format!("\r\nHost: {host}\r\n")), "{head}");
            assert!(head.contains("X-Forwarded-Host: "), "{head}");
        }
        let before = origin.seen().len();
        for host in ["", "a/b", "a b", "u@a", "a:b", "a?b", "a,b"] {
            let request = Request::get("/").version(Version::HTTP_11).header("host", host);
            let answer = client.ask(request.body(()).expect("a request"), b"").await.expect("an answer");
            assert_eq!(answer.status, 400, "{host:?}");
        }
        assert_eq!(origin.seen().len(), before);
    });
}

/// No exchange is made of them, so that the error log has what there is to be known.
#[test]
fn what_is_malformed_is_in_the_error_log_once_a_second() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let with = |more: &[u8]| [&section(false, "/")[..], more].concat();
    let no_host = vec![0x82, 0x86, 0x84];
    for (head, end, reason) in [
        (with(b"\x00\x02Ab\x01c"), true, "a malformed field, or one that HTTP/2 has not"),
        (with(b"\x00\x02te\x04gzip"), true, "a malformed field, or one that HTTP/2 has not"),
        (with(b"\x00\x0aconnection\x05close"), true, "a malformed field, or one that HTTP/2 has not"),
        (vec![0x82, 0x84], true, "pseudo header fields are missing, or too many"),
        (no_host, true, "neither :authority nor host"),
        (with(b"\x00\x04host\x05other"), true, "a host that is not the :authority"),
        (with(b"\x0f\x0d\x015"), true, "content-length, and no content"),
        (with(b"\x0f\x0d\x012"), false, "content of another length than content-length"),
    ] {
        let mut raw = Raw::open(proxy.addr(0));
        for stream in (1..).step_by(2).take(20) {
            raw.send(HEADERS, END_HEADERS | u8::from(end), stream, &head);
            if !end {
                raw.send(DATA, END_STREAM, stream, b"abc");
            }
            let reset = raw.until("RST_STREAM", |f| f.kind == RST_STREAM);
            assert_eq!((reset.stream, reset.code()), (stream, Reason::PROTOCOL_ERROR), "{reason}");
        }
        let line = proxy.await_line("stderr.log", &format!("request refused: {reason}"), LIMIT);
        assert!(line.contains("[info] [http]") && line.contains("stream=1 code=PROTOCOL_ERROR"), "{line}");
        let told = proxy.log().matches("request refused").count();
        assert!(told < 20, "{told} lines");
        raw.get(99, "/");
        raw.until("an answer", |f| f.kind == HEADERS && f.stream == 99);
    }
}
