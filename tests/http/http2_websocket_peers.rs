//! WebSockets to peers that speak only HTTP/2 (RFC 8441): extended CONNECT for an upgrade, from clients of either version.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::Reason;
use harness::{LIMIT, Proxy, client, eventually, pattern};
use http::{Method, Response};

use crate::h2::*;
use crate::http2_websocket::{Socket, first, serving, serving_text};
use crate::support::{answer, at_rest, head};

/// The key of RFC 6455 section 1.3 and its answer.
pub(crate) const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub(crate) fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: a.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n{KEY}\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, other\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    )
}

pub(crate) fn offering() -> h2::server::Builder {
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol();
    builder
}

pub(crate) fn before(peer: &Peer, more: &str) -> Proxy {
    serving(&format!("local {{ {more} http_proxy version=\"2\"; proxy_pass_tcp \"{}\"; }}", peer.addr()))
}

/// Accepts, and answers with what comes to its end; `/bye` is said goodbye after that.
pub(crate) async fn accept(call: Call) {
    accept_and(call, std::future::ready(())).await;
}

/// The same, and reads nothing before `ready`.
async fn accept_and(mut call: Call, ready: impl Future<Output = ()>) {
    if call.request.method() != Method::CONNECT {
        return call.answer(b"ok").await;
    }
    let ok = Response::builder()
        .header("x-connection", call.connection.to_string())
        .header("sec-websocket-protocol", "chat")
        .header("sec-websocket-extensions", "permessage-deflate")
        // What is no business of a peer's of HTTP/2 reaches nobody.
        .header("sec-websocket-accept", "x")
        .header("content-length", "5");
    let Ok(mut out) = call.respond.send_response(ok.body(()).expect("a head"), false) else { return };
    ready.await;
    let bye = call.request.uri().path() == "/bye";
    let body = call.request.body_mut();
    while let Some(Ok(piece)) = body.data().await {
        let _ = body.flow_control().release_capacity(piece.len());
        if send(&mut out, piece).await.is_none() {
            return;
        }
    }
    if bye {
        let _ = out.send_data(Bytes::from_static(b"bye"), false);
    }
    let _ = out.send_data(Bytes::new(), true);
}

/// As the windows allow; `None`: the stream is gone.
async fn send(out: &mut h2::SendStream<Bytes>, mut rest: Bytes) -> Option<()> {
    while !rest.is_empty() {
        out.reserve_capacity(rest.len().min(1 << 16));
        let n = std::future::poll_fn(|cx| out.poll_capacity(cx)).await?.ok()?;
        out.send_data(rest.split_to(n.min(rest.len())), false).ok()?;
    }
    Some(())
}

#[test]
fn an_upgrade_is_extended_connect() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&seen);
    let peer = Peer::start_with(offering(), move |call| {
        let protocol = call.request.extensions().get::<h2::ext::Protocol>().map(|p| p.as_str().to_owned());
        let line = (call.request.method().clone(), call.request.uri().to_string(), protocol);
        keep.lock().expect("not poisoned").push((line, call.request.headers().clone()));
        accept(call)
    });
    for more in ["", "websocket_proxy;"] {
        let proxy = before(&peer, more);
        let mut stream = client::connect(proxy.addr(0));
        // The client's first bytes come with its head.
        stream.write_all(format!("{}early", handshake("/bye?a=b")).as_bytes()).expect("write");
        let answer = head(&mut stream).expect("a head");
        assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
        let lower = answer.to_ascii_lowercase();
        for line in [
            "\r\nconnection: upgrade\r\n",
            "\r\nupgrade: websocket\r\n",
            &format!("\r\nsec-websocket-accept: {}\r\n", ACCEPT.to_ascii_lowercase()),
            "\r\nsec-websocket-protocol: chat\r\n",
            "\r\nsec-websocket-extensions: permessage-deflate\r\n",
        ] {
            assert_eq!(lower.matches(line).count(), 1, "{line:?} in {answer}");
        }
        assert!(answer.contains(ACCEPT) && !lower.contains("content-length"), "{answer}");
        assert_eq!(client::read_exact(&stream, 5), b"early");
        let large = pattern::bytes(1 << 20);
        std::thread::scope(|scope| {
            scope.spawn(|| (&stream).write_all(&large).expect("write"));
            assert!(client::read_exact(&stream, large.len()) == large);
        });
        // This side ends; the other has its last word.
        stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
        assert_eq!(client::read_to_end(&stream), b"bye");
        drop(stream);
        let line = proxy.await_line("access.log", "status=101 method=GET path=/bye", LIMIT);
        assert!(line.contains("_transfer_done"), "{line}");

        let ((method, uri, protocol), headers) = seen.lock().expect("not poisoned").pop().expect("a request");
        assert_eq!((method, uri.as_str()), (Method::CONNECT, "http://a.test/bye?a=b"));
        assert_eq!(protocol.as_deref(), Some("websocket"));
        let text = |name: &str| headers.get(name).map(|v| v.to_str().expect("text"));
        assert_eq!(text("sec-websocket-version"), Some("13"));
        assert_eq!(text("sec-websocket-protocol"), Some("chat, other"));
        assert_eq!(text("sec-websocket-extensions"), Some("permessage-deflate; client_max_window_bits"));
        for name in ["sec-websocket-key", "connection", "upgrade", "host", "content-length"] {
            assert!(!headers.contains_key(name), "{headers:?}");
        }
    }
}

#[test]
fn clients_of_http2_share_a_connection_with_other_requests() {
    let peer = Peer::start_with(offering(), accept);
    for more in ["", "websocket_proxy;"] {
        let proxy = before(&peer, more);
        run(async {
            let client = Client::open(proxy.addr(0)).await;
            let mut sockets = vec![first(&client, "/").await];
            for _ in 0..10 {
                sockets.push(Socket::open(&client, "/").await);
            }
            let connection = sockets[0].head.headers()["x-connection"].clone();
            for socket in &mut sockets {
                let headers = socket.head.headers();
                assert_eq!(
                    (&headers["x-connection"], &headers["sec-websocket-protocol"]),
                    (&connection, &"chat".parse().expect("a value"))
                );
                for name in ["connection", "upgrade", "sec-websocket-accept", "content-length"] {
                    assert!(!headers.contains_key(name), "{headers:?}");
                }
            }
            let large = pattern::bytes(300_000);
            for socket in &mut sockets {
                for bytes in [&b"as it is"[..], &large] {
                    socket.send(bytes).await;
                    assert!(socket.read(bytes.len()).await == bytes);
                }
            }
            // One that is given up is reset at the peer, and no other.
            let mut reset = sockets.remove(0);
            reset.up.send_reset(Reason::CANCEL);
            drop(reset);
            for mut socket in sockets {
                socket.send(b"goes on").await;
                assert_eq!(socket.read(7).await, b"goes on");
                socket.up.send_data(Bytes::new(), true).expect("open");
                assert_eq!(socket.read(1).await, b"");
            }
        });
        eventually("no session is left", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
        let line = proxy.await_line("access.log", "_transfer_done in=", LIMIT);
        // Each byte is counted once.
        let counted = |name: &str| {
            let n = line.split_once(name).and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
            n.unwrap_or_else(|| panic!("no {name} in {line}"))
        };
        for n in [counted(" in="), counted(" out=")] {
            assert!((300_015..301_000).contains(&n), "{line}");
        }
    }
    assert_eq!(peer.accepted(), 2);
}

#[test]
fn a_side_that_does_not_read_holds_up_the_other_and_nobody_else() {
    const ALL: usize = 48 << 20;
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let peer = Peer::start_with(offering(), move |mut call: Call| {
        let count = Arc::clone(&count);
        async move {
            if call.request.uri().path() != "/film" {
                return accept(call).await;
            }
            let ok = Response::builder().body(()).expect("a head");
            let Ok(mut out) = call.respond.send_response(ok, false) else { return };
            let piece = Bytes::from(pattern::bytes(1 << 16));
            for _ in 0..ALL >> 16 {
                if send(&mut out, piece.clone()).await.is_none() {
                    return;
                }
                count.fetch_add(1 << 16, Relaxed);
            }
            let _ = out.send_data(Bytes::new(), true);
        }
    });
    let proxy = before(&peer, "");
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(handshake("/film").as_bytes()).expect("write");
    assert!(head(&mut stream).expect("a head").starts_with("HTTP/1.1 101 "));
    // Windows, and what the system has for the sockets.
    let stopped = at_rest(|| sent.load(Relaxed));
    assert!(stopped < ALL as u64 / 2, "{stopped} bytes");
    let mut other = client::connect(proxy.addr(0));
    other.write_all(handshake("/").as_bytes()).expect("write");
    assert_eq!(answer(&mut other, "GET").status, 101);
    other.write_all(b"others go on").expect("write");
    assert_eq!(client::read_exact(&other, 12), b"others go on");
    let piece = pattern::bytes(1 << 16);
    for _ in 0..ALL >> 16 {
        assert!(client::read_exact(&stream, 1 << 16) == piece);
    }
    assert_eq!(peer.accepted(), 1);
}

#[test]
fn a_peer_that_does_not_read_holds_up_its_client() {
    const ALL: usize = 48 << 20;
    let go = Arc::new(tokio::sync::Semaphore::new(0));
    let wait = Arc::clone(&go);
    let peer = Peer::start_with(offering(), move |call| {
        let wait = Arc::clone(&wait);
        async move {
            accept_and(call, async { wait.acquire().await.expect("open").forget() }).await;
        }
    });
    let proxy = before(&peer, "");
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(handshake("/").as_bytes()).expect("write");
    assert!(head(&mut stream).expect("a head").starts_with("HTTP/1.1 101 "));
    let sent = AtomicU64::new(0);
    let piece = pattern::bytes(1 << 16);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..ALL >> 16 {
                (&stream).write_all(&piece).expect("write");
                sent.fetch_add(1 << 16, Relaxed);
            }
            stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
        });
        let stopped = at_rest(|| sent.load(Relaxed));
        assert!(stopped < ALL as u64 / 2, "{stopped} bytes");
        go.add_permits(1);
        for _ in 0..ALL >> 16 {
            assert!(client::read_exact(&stream, 1 << 16) == piece);
        }
    });
    assert_eq!(client::read_to_end(&stream), b"");
}

#[test]
fn the_end_of_a_stream_or_a_connection_ends_the_client() {
    let peer = Peer::start_with(offering(), |mut call: Call| async move {
        let ok = Response::builder().body(()).expect("a head");
        let Ok(mut out) = call.respond.send_response(ok, false) else { return };
        let _ = out.send_data(Bytes::from_static(b"x"), false);
        let _ = call.request.body_mut().data().await;
        out.send_reset(Reason::INTERNAL_ERROR);
    });
    let proxy = before(&peer, "");
    let open = |proxy: &Proxy| {
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(handshake("/").as_bytes()).expect("write");
        assert!(head(&mut stream).expect("a head").starts_with("HTTP/1.1 101 "));
        assert_eq!(client::read_exact(&stream, 1), b"x");
        stream
    };
    let (mut reset, cut) = (open(&proxy), open(&proxy));
    reset.write_all(b"now").expect("write");
    assert_ne!(client::end(&reset), client::End::Closed, "it is not what the peer would have said");
    drop(peer);
    assert_ne!(client::end(&cut), client::End::Closed);
    eventually("no session is left", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
}

#[test]
fn a_greeted_peer_has_a_connection_for_each() {
    let inner = serving("proxy_protocol_accept \"127.0.0.1\"\nlocal { websocket_echo; }");
    let to = format!("proxy_pass_tcp \"{}\" {{ proxy_protocol version=2; }}", inner.addr(0));
    let proxy = serving(&format!("local {{ http_proxy version=\"2\"; {to}; }}"));
    let open: Vec<_> = (0..3)
        .map(|_| {
            let mut stream = client::connect(proxy.addr(0));
            stream.write_all(handshake("/").as_bytes()).expect("write");
            assert_eq!(answer(&mut stream, "GET").status, 101);
            // A masked text, and the close.
            stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).expect("write");
            assert_eq!(client::read_exact(&stream, 4), [0x81, 2, b'h', b'i']);
            stream
        })
        .collect();
    let status = proxy.status();
    let http = status["modules"].as_array().and_then(|all| all.iter().find(|m| m["id"] == "http")).expect("a status");
    assert_eq!(http["status"]["upstream"]["new"], 3);
    for mut stream in open {
        stream.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8]).expect("write");
        assert_eq!(client::read_to_end(&stream), [0x88, 2, 0x03, 0xe8]);
    }
    eventually("they are closed", || {
        let list = inner.control(&serde_json::json!({ "cmd": "sessions" })).ok()?;
        list.as_array()?.is_empty().then_some(())
    });
}

#[test]
fn a_reload_cuts_none() {
    let peer = Peer::start_with(offering(), accept);
    let config = |name: &str| {
        let to = format!("http_proxy version=\"2\"; proxy_pass_tcp \"{}\"", peer.addr());
        serving_text(&format!("http_request_header \"set\" \"X\" \"{name}\"; local {{ {to}; }}"))
    };
    let proxy = Proxy::start(&config("old"));
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(handshake("/").as_bytes()).expect("write");
    assert_eq!(answer(&mut stream, "GET").status, 101);
    proxy.reload_with(&config("new")).assert(0, &[]);
    for _ in 0..3 {
        stream.write_all(b"goes on").expect("write");
        assert_eq!(client::read_exact(&stream, 7), b"goes on");
    }
    stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
    assert_eq!(client::read_to_end(&stream), b"");
    eventually("the old generation is gone", || (proxy.status()["retired"] == serde_json::json!([])).then_some(()));
    eventually("its connection too", || (peer.open() == 0).then_some(()));
}
