//! A protocol that the peer accepts with 101 is carried as a stream from then on.

use std::io::{Read, Write};

use harness::{Origin, client, eventually};

use crate::support::{ask, head, once, proxy_to};

const REQUEST: &str = "GET /chat HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[test]
fn both_directions_go_on_as_they_are() {
    let origin = Origin::start(|mut conn| {
        let request = head(&mut conn).expect("a head").to_ascii_lowercase();
        assert!(request.contains("upgrade: websocket") && request.contains("connection: upgrade"), "{request}");
        assert!(request.contains("sec-websocket-key: "), "{request}");
        // The first bytes of the new protocol come with the head.
        conn.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst")?;
        let mut buf = [0; 4096];
        loop {
            match conn.read(&mut buf)? {
                0 => return Ok(()),
                n => conn.write_all(&buf[..n])?,
            }
        }
    });
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    // Those of the client come with its head too.
    stream.write_all(format!("{REQUEST}early").as_bytes()).expect("write");
    let answer = head(&mut stream).expect("a head");
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let lower = answer.to_ascii_lowercase();
    assert!(lower.contains("upgrade: websocket") && lower.contains("connection: upgrade"), "{answer}");
    assert_eq!(client::read_exact(&stream, 10), b"firstearly");
    for n in 0..10 {
        let text = format!("message {n}");
        stream.write_all(text.as_bytes()).expect("write");
        assert_eq!(client::read_exact(&stream, text.len()), text.as_bytes());
    }
    stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
    assert_eq!(client::read_to_end(&stream), b"");
    drop(stream);
    eventually("its line in the log", || {
        proxy.read("access.log").contains("status=101 method=GET path=/chat").then_some(())
    });
}

/// Else a client would speak HTTP/2 to the peer itself, past all that stands in the configuration.
#[test]
fn http_is_no_protocol_to_change_to() {
    let origin = crate::support::Scripted::new(crate::support::OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for name in ["h2c", "H2C", "websocket, h2c", "HTTP/2.0", "TLS/1.0"] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {name}\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
        );
        assert_eq!(ask(&mut stream, request).text(), "ok", "{name}");
    }
    for (head, _) in origin.seen() {
        let head = head.to_ascii_lowercase();
        assert!(!head.contains("upgrade") && !head.contains("http2-settings"), "{head}");
    }
}

#[test]
fn a_peer_that_declines_answers_as_ever() {
    let origin = crate::support::Scripted::new(crate::support::OK, false);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..2 {
        assert_eq!(ask(&mut stream, REQUEST).text(), "ok");
    }
}

#[test]
fn an_upgrade_that_nobody_asked_for_is_refused() {
    let origin = crate::support::Scripted::new(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", false);
    let proxy = proxy_to(origin.addr(), "");
    assert_eq!(once(&proxy, crate::support::get("/")).status, 502);
}

/// RFC 9110 section 7.8.
#[test]
fn a_change_to_what_was_not_asked_for_is_refused() {
    for (lines, status) in [
        ("", 502),
        ("Upgrade: other\r\n", 502),
        ("Upgrade: websocket, other\r\n", 502),
        ("Upgrade: websocket\r\nUpgrade: other\r\n", 502),
        ("Upgrade: WebSocket\r\n", 101),
    ] {
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{lines}\r\n");
        let origin = crate::support::Scripted::new(answer, true);
        let proxy = proxy_to(origin.addr(), "");
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(REQUEST.as_bytes()).expect("write");
        let head = head(&mut stream).expect("a head");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{lines}: {head}");
    }
}

#[test]
fn an_operator_can_end_it() {
    let origin = Origin::start(|mut conn| {
        let _ = head(&mut conn);
        conn.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
        let mut byte = [0];
        while conn.read(&mut byte)? > 0 {}
        Ok(())
    });
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(REQUEST.as_bytes()).expect("write");
    assert!(head(&mut stream).expect("a head").starts_with("HTTP/1.1 101 "));
    let sessions = proxy.control(&serde_json::json!({ "cmd": "sessions" })).expect("sessions");
    let id = sessions[0]["id"].as_u64().unwrap_or_else(|| panic!("no session in {sessions}"));
    proxy.ctl(&["sessions", "kill", &id.to_string()]).assert(0, &["\"killed\": 1"]);
    assert_eq!(client::end(&stream), client::End::Reset);
}
