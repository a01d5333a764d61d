//! `websocket_proxy`: handshakes go to the peers, and frames as they are.

use std::io::{Read, Write};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use harness::{LIMIT, Origin, client};

use crate::support::*;

/// Accepts each handshake, whatever it says, and sends bytes back as they come; the heads that it saw.
fn origin() -> (Origin, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    let origin = Origin::start(move |mut conn| {
        keep.lock().expect("not poisoned").push(head(&mut conn));
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\
             Sec-WebSocket-Protocol: peers\r\n\r\n"
        );
        conn.write_all(answer.as_bytes())?;
        let mut buf = [0; 4096];
        loop {
            match conn.read(&mut buf)? {
                0 => return Ok(()),
                n => conn.write_all(&buf[..n])?,
            }
        }
    });
    (origin, seen)
}

#[test]
fn frames_pass_as_they_are() {
    let (origin, seen) = origin();
    let proxy = server(&format!(
        "websocket_message_size \"1B\"; local {{ websocket_proxy; proxy_pass_tcp \"{}\"; }}",
        origin.addr()
    ));
    let mut client =
        Client::open_with(proxy.addr(0), "/chat?a=b", "Sec-WebSocket-Protocol: mine, peers\r\nOrigin: http://x\r\n");
    assert_eq!(header(&client.head, "sec-websocket-accept"), Some(ACCEPT));
    assert_eq!(header(&client.head, "sec-websocket-protocol"), Some("peers"));
    {
        let seen = seen.lock().expect("not poisoned");
        let lower = seen[0].to_ascii_lowercase();
        assert!(seen[0].starts_with("GET /chat?a=b HTTP/1.1\r\n"), "{}", seen[0]);
        for line in [
            "sec-websocket-version: 13",
            "sec-websocket-protocol: mine, peers",
            "origin: http://x",
            "upgrade: websocket",
        ] {
            assert!(lower.contains(line), "{line} in {lower}");
        }
    }
    // Masks, and what would be mistakes, are the peer's to see.
    for bytes in [frame(0x81, b"masked", Some([1, 2, 3, 4])), frame(0xf3, b"odd", None), vec![0; 100_000]] {
        client.raw(&bytes);
        assert!(client::read_exact(&client.stream, bytes.len()) == bytes);
    }
    client.stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
    assert_eq!(client::read_to_end(&client.stream), b"");
    await_count(&proxy, "/proxied", 1);
    await_count(&proxy, "/opened", 0);
    proxy.await_line("access.log", "status=101 path=/chat", LIMIT);
}

#[test]
fn only_handshakes_reach_the_peer() {
    let (origin, seen) = origin();
    let proxy = server(&format!(
        "local {{ websocket_origins \"a.test\"; websocket_proxy; proxy_pass_tcp \"{}\"; }}",
        origin.addr()
    ));
    let mut stream = client::connect(proxy.addr(0));
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 426),
        (handshake("/", "").replace(KEY, "short"), 400),
        (handshake("/", "Origin: http://b.test\r\n"), 403),
    ] {
        let head = ask(&mut stream, &request);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        client::read_exact(&stream, header(&head, "content-length").and_then(|n| n.parse().ok()).expect("a length"));
    }
    assert!(seen.lock().expect("not poisoned").is_empty());
    let head = ask(&mut stream, &handshake("/", "Origin: http://a.test\r\n"));
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(seen.lock().expect("not poisoned").len(), 1);
}

#[test]
fn without_http_nothing_passes_unchecked() {
    let (origin, seen) = origin();
    let text = config(&format!("local {{ websocket_proxy; proxy_pass_tcp \"{}\"; }}", origin.addr()));
    let proxy = harness::Proxy::start(&text.replace("\nhttp\n", "\n").replace(" path=${path}", ""));
    let stream = client::connect(proxy.addr(0));
    client::end(&stream);
    proxy.await_log("websocket_proxy in a server without `http`", LIMIT);
    proxy.await_line("access.log", "reason=proxy_route_protocol", LIMIT);
    assert!(seen.lock().expect("not poisoned").is_empty());
}

#[test]
fn a_peer_that_declines_answers_as_ever() {
    let (told, declined) = mpsc::channel();
    let origin = Origin::start(move |mut conn| {
        head(&mut conn);
        let _ = told.send(());
        conn.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno")
    });
    let proxy = server(&format!("local {{ websocket_proxy; proxy_pass_tcp \"{}\"; }}", origin.addr()));
    let mut stream = client::connect(proxy.addr(0));
    let answer = ask(&mut stream, &handshake("/", ""));
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(client::read_exact(&stream, 2), b"no");
    declined.recv_timeout(LIMIT).expect("the peer was asked");
}
