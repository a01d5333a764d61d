//! How a WebSocket to a peer of HTTP/2 is opened (RFC 8441), and what becomes of those that cannot be.

use std::io::{Read, Write};
use std::sync::Mutex;

use harness::{LIMIT, Origin, client, eventually};
use http::{HeaderMap, Method, Response};

use crate::h2::*;
use crate::http2_websocket::{connect, serving};
use crate::http2_websocket_peers::{KEY, accept, before, handshake, offering};
use crate::support::{answer, ask, get as get1, head, once};

#[test]
fn a_peer_that_does_not_offer_it_is_502_and_says_why() {
    let peer = Peer::start(accept);
    let proxy = before(&peer, "");
    // On a connection that is made for it, and on one that there is.
    for _ in 0..2 {
        let mut stream = client::connect(proxy.addr(0));
        assert_eq!(ask(&mut stream, handshake("/chat")).status, 502);
        assert_eq!(ask(&mut stream, get1("/")).text(), "ok");
    }
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        while !client.send.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let (response, _up) = client.begin(connect("/chat"), false).await.expect("a stream");
        assert_eq!(response.await.expect("an answer").status(), 502);
        assert_eq!(client.get("/").await.expect("an answer").text(), "ok");
    });
    eventually("all lines in the log", || {
        let log = proxy.read("access.log");
        let lines: Vec<_> = log.lines().filter(|l| l.contains("path=/chat")).collect();
        assert!(
            lines.iter().all(|l| l.contains("status=502") && l.contains("reason=upstream_connect_protocol")),
            "{log}"
        );
        (lines.len() == 3).then_some(())
    });
    proxy.await_log("SETTINGS_ENABLE_CONNECT_PROTOCOL", LIMIT);
    assert_eq!((peer.accepted(), peer.requests()), (1, 3), "it was never asked");
}

#[test]
fn a_peer_that_declines_answers_as_ever() {
    let peer = Peer::start_with(offering(), |mut call: Call| async move {
        if call.request.method() != Method::CONNECT {
            return call.answer(b"ok").await;
        }
        let no = Response::builder().status(403).header("x-why", "not you").body(()).expect("a head");
        let Ok(out) = call.respond.send_response(no, false) else { return };
        // No tunnel: it may have trailers.
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().expect("a value"));
        let _ = send_all(out, b"go away", Some(trailers)).await;
    });
    let proxy = before(&peer, "");
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..3 {
        let a = ask(&mut stream, handshake("/"));
        assert_eq!((a.status, a.text().as_str(), a.header("x-why")), (403, "go away", Some("not you")));
        assert_eq!(a.header("sec-websocket-accept"), None);
        assert_eq!(ask(&mut stream, get1("/")).text(), "ok");
    }
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        while !client.send.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let (response, _up) = client.begin(connect("/"), false).await.expect("a stream");
        let answer = receive(response.await.expect("a head")).await.expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (403, "go away"));
        assert!(answer.trailers.is_some());
    });
    assert_eq!(peer.accepted(), 1);
}

#[test]
fn what_is_no_handshake_of_http1_is_answered_or_passed_without() {
    let peer = Peer::start_with(offering(), accept);
    let proxy = before(&peer, "");
    let without = handshake("/").replace(KEY, "");
    let long = handshake("/").replace(KEY, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE=AA==\r\n");
    let twice = handshake("/").replace(KEY, &KEY.repeat(2));
    let body = handshake("/").replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi");
    for request in [without, long, twice, body] {
        assert_eq!(once(&proxy, &request).status, 400, "{request}");
    }
    assert_eq!(peer.requests(), 0);
    // An upgrade may be ignored (RFC 9110 section 7.8), and 1.0 has none.
    let post = handshake("/").replacen("GET", "POST", 1).replace("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n");
    for request in [
        "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: \r\n\r\n",
        &handshake("/").replace("HTTP/1.1", "HTTP/1.0"),
        &post,
    ] {
        let a = once(&proxy, request);
        assert_eq!((a.status, a.text().as_str()), (200, "ok"), "{request}");
    }
}

/// SETTINGS with SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 section 3).
const OFFER: &[u8] = &[0, 8, 0, 0, 0, 1];

#[test]
fn nothing_is_asked_before_the_peer_has_said_what_it_allows() {
    let (go, wait) = std::sync::mpsc::channel();
    let wait = Mutex::new(wait);
    let origin = by_hand(move |raw| {
        raw.until("SETTINGS", |f| f.kind == SETTINGS);
        wait.lock().expect("not poisoned").recv_timeout(LIMIT).expect("the test goes on");
        raw.stream.set_nonblocking(true).expect("a socket");
        let mut more = [0; 64];
        // WINDOW_UPDATE of the connection, if anything.
        let n = raw.stream.read(&mut more).unwrap_or(0);
        assert!(n == 0 || (n == 13 && more[3] == WINDOW_UPDATE), "{:?}", &more[..n]);
        raw.stream.set_nonblocking(false).expect("a socket");
        raw.send(SETTINGS, 0, 0, OFFER);
        let asked = raw.until("a request", |f| f.kind == HEADERS);
        assert_eq!(asked.flags & END_STREAM, 0);
        // :status 200, by its index.
        raw.send(HEADERS, END_HEADERS, asked.stream, &[0x88]);
        let data = raw.until("DATA", |f| f.kind == DATA);
        raw.send(DATA, END_STREAM, asked.stream, &data.payload);
        raw.until("the end of the stream", |f| f.kind == DATA && f.flags & END_STREAM != 0);
    });
    let proxy = serving(&format!("local {{ http_proxy version=\"2\"; proxy_pass_tcp \"{}\"; }}", origin.addr()));
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(format!("{}frames", handshake("/")).as_bytes()).expect("write");
    eventually("the proxy has connected", || (origin.accepted() == 1 && origin.received() >= 24).then_some(()));
    go.send(()).expect("the peer waits");
    assert_eq!(answer(&mut stream, "GET").status, 101);
    assert_eq!(client::read_exact(&stream, 6), b"frames");
    assert_eq!(client::read_to_end(&stream), b"");
}

#[test]
fn a_peer_without_http2_or_settings_is_a_bad_gateway() {
    // One ends the connection, the other answers as a server of HTTP/1 would.
    let ends = by_hand(|_| {});
    let plain = Origin::start(|mut conn| {
        let _ = head(&mut conn);
        conn.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    });
    for peer in [ends.addr(), plain.addr()] {
        let proxy = serving(&format!("local {{ http_proxy version=\"2\"; proxy_pass_tcp \"{peer}\"; }}"));
        assert_eq!(once(&proxy, handshake("/chat")).status, 502);
        proxy.await_line("access.log", "reason=upstream_connect_unreachable", LIMIT);
    }
    // Another one is asked where that is wanted.
    let good = Peer::start_with(offering(), accept);
    let proxy = serving(&format!(
        "http_retry \"connect\"; local {{ http_proxy version=\"2\"; proxy_pass_tcp \"{}\"; proxy_pass_tcp \"{}\"; }}",
        ends.addr(),
        good.addr()
    ));
    for _ in 0..4 {
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(handshake("/").as_bytes()).expect("write");
        assert_eq!(answer(&mut stream, "GET").status, 101);
    }
    let silent = by_hand(|raw| while raw.frame().is_some() {});
    let proxy = serving(&format!(
        "http_first_byte_timeout \"200ms\"; local {{ http_proxy version=\"2\"; proxy_pass_tcp \"{}\"; }}",
        silent.addr()
    ));
    assert_eq!(once(&proxy, handshake("/chat")).status, 504);
    proxy.await_line("access.log", "reason=upstream_connect_timeout", LIMIT);
}

#[test]
fn a_101_of_http2_is_no_answer() {
    let origin = by_hand(|raw| {
        raw.send(SETTINGS, 0, 0, OFFER);
        while let Some(asked) = raw.frame() {
            if asked.kind == HEADERS {
                // :status, the name by its index and the value as it is.
                raw.send(HEADERS, END_HEADERS, asked.stream, b"\x08\x03101");
            }
        }
    });
    let proxy = serving(&format!("local {{ http_proxy version=\"2\"; proxy_pass_tcp \"{}\"; }}", origin.addr()));
    for request in [handshake("/"), get1("/")] {
        assert_eq!(once(&proxy, request).status, 502);
    }
    proxy.await_line("access.log", "reason=upstream_transfer_malformed", LIMIT);
}
