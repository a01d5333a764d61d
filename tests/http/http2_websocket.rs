//! WebSockets over HTTP/2 (RFC 8441): extended CONNECT to the module's own answers and to peers of HTTP/1.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use h2::{Reason, RecvStream, SendStream};
use harness::{LIMIT, Origin, Proxy, eventually, pattern};
use http::{HeaderValue, Method, Request, Response};

use crate::h2::*;
use crate::support::{FORMAT, OK, Scripted, head};

/// A configuration with one server; `text` is what is inside beside the listener.
pub(crate) fn serving_text(text: &str) -> String {
    format!(
        "load_module \"tcp\" \"balancer\" \"http\" \"websocket\"\ncommon {{ worker_threads 1; }}\nnet {{\n\
         access_log \"access.log\" flush=0 format=\"{FORMAT}\"\nserver {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n{text}\n}} }}\n"
    )
}

pub(crate) fn serving(text: &str) -> Proxy {
    Proxy::start(&serving_text(text))
}

pub(crate) fn connect(path: &str) -> Request<()> {
    let mut request = Request::builder().method(Method::CONNECT).uri(format!("http://a.test{path}"));
    request.extensions_mut().expect("a request").insert(h2::ext::Protocol::from_static("websocket"));
    let mut request = request.body(()).expect("a request");
    request.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("13"));
    request
}

/// A stream that has become a WebSocket's.
pub(crate) struct Socket {
    pub(crate) up: SendStream<Bytes>,
    pub(crate) down: RecvStream,
    pub(crate) head: Response<()>,
    unread: Vec<u8>,
}

impl Socket {
    pub(crate) async fn open(client: &Client, path: &str) -> Self {
        assert!(client.send.is_extended_connect_protocol_enabled(), "it is not announced");
        let (response, up) = client.begin(connect(path), false).await.expect("a stream");
        let (head, down) = response.await.expect("an answer").into_parts();
        assert_eq!(head.status, 200);
        Self { up, down, head: Response::from_parts(head, ()), unread: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        let mut rest = Bytes::copy_from_slice(bytes);
        while !rest.is_empty() {
            self.up.reserve_capacity(rest.len());
            let n = std::future::poll_fn(|cx| self.up.poll_capacity(cx)).await.expect("open").expect("open");
            self.up.send_data(rest.split_to(n.min(rest.len())), false).expect("open");
        }
    }

    /// So many bytes; fewer at the end.
    pub(crate) async fn read(&mut self, n: usize) -> Vec<u8> {
        while self.unread.len() < n {
            let Some(piece) = self.down.data().await else { break };
            let piece = piece.expect("no reset");
            self.down.flow_control().release_capacity(piece.len()).expect("as received");
            self.unread.extend_from_slice(&piece);
        }
        let n = n.min(self.unread.len());
        self.unread.drain(..n).collect()
    }
}

/// A masked frame, and the same as it comes back.
fn text(payload: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut sent = vec![0x81, 0x80 | payload.len() as u8, 1, 2, 3, 4];
    sent.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(b, m)| b ^ m));
    let mut back = vec![0x81, payload.len() as u8];
    back.extend_from_slice(payload);
    (sent, back)
}

const CLOSE: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];

/// What answers the key that this proxy gives peers in place of its clients of HTTP/2 (RFC 6455 section 4.2.2).
const ACCEPT: &str = "9B8qk1Hc5YMHFblyNgO+noIywOE=";
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                        Sec-WebSocket-Accept: 9B8qk1Hc5YMHFblyNgO+noIywOE=\r\n";

/// Accepts each handshake and sends bytes back as they come, to the end; how many are open.
fn origin() -> (Origin, Arc<AtomicU64>) {
    let open = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&open);
    let origin = Origin::start(move |mut conn| {
        let request = head(&mut conn).expect("a head").to_ascii_lowercase();
        for line in
            ["get /", "connection: upgrade", "upgrade: websocket", "sec-websocket-key: ", "sec-websocket-version: 13"]
        {
            assert!(request.contains(line), "{line} in {request}");
        }
        conn.write_all(format!("{SWITCHED}Sec-WebSocket-Protocol: chat\r\n\r\n").as_bytes())?;
        count.fetch_add(1, Relaxed);
        let mut buf = [0; 4096];
        let end = loop {
            match conn.read(&mut buf) {
                Ok(0) => break Ok(()),
                Ok(n) => conn.write_all(&buf[..n])?,
                Err(e) => break Err(e),
            }
        };
        count.fetch_sub(1, Relaxed);
        end
    });
    (origin, open)
}

#[test]
fn the_modules_echo_answers_over_a_stream() {
    let proxy = serving("local { websocket_echo; }");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        client.get("/").await.expect("an answer");
        let mut sockets = Vec::new();
        for _ in 0..10 {
            sockets.push(Socket::open(&client, "/chat").await);
        }
        for name in ["connection", "upgrade", "sec-websocket-accept", "transfer-encoding"] {
            assert!(!sockets[0].head.headers().contains_key(name), "{:?}", sockets[0].head);
        }
        for n in 0..20 {
            for socket in &mut sockets {
                let (sent, back) = text(format!("message {n}").as_bytes());
                socket.send(&sent).await;
                assert_eq!(socket.read(back.len()).await, back);
            }
        }
        for mut socket in sockets {
            socket.send(&CLOSE).await;
            assert_eq!(socket.read(4).await, [0x88, 2, 0x03, 0xe8]);
            assert_eq!(socket.read(1).await, b"", "the stream ends");
        }
    });
    eventually("all lines in the log", || {
        (proxy.read("access.log").lines().filter(|l| l.contains("path=/chat")).count() == 10).then_some(())
    });
}

#[test]
fn peers_of_http1_are_reached_by_either_answerer() {
    let (origin, open) = origin();
    for more in ["", "websocket_proxy;"] {
        let proxy = serving(&format!("local {{ {more} proxy_pass_tcp \"{}\"; }}", origin.addr()));
        run(async {
            let client = Client::open(proxy.addr(0)).await;
            client.send.clone().ready().await.expect("open");
            let mut socket = first(&client, "/chat").await;
            assert_eq!(socket.head.headers()["sec-websocket-protocol"], "chat");
            let large = pattern::bytes(200_000);
            for bytes in [&b"as it is"[..], &large] {
                socket.send(bytes).await;
                assert!(socket.read(bytes.len()).await == bytes, "{more}");
            }
            // This side ends; the other does then.
            socket.up.send_data(Bytes::new(), true).expect("open");
            assert_eq!(socket.read(1).await, b"");
        });
        eventually("the peer's connection ends", || (open.load(Relaxed) == 0).then_some(()));
    }
}

#[test]
fn what_comes_before_the_answer_is_kept_for_the_peer() {
    let (origin, _open) = origin();
    let proxy = serving(&format!("local {{ proxy_pass_tcp \"{}\"; }}", origin.addr()));
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        while !client.send.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let (response, mut up) = client.begin(connect("/"), false).await.expect("a stream");
        up.send_data(Bytes::from_static(b"early"), false).expect("open");
        let (head, down) = response.await.expect("an answer").into_parts();
        assert_eq!(head.status, 200);
        let mut socket = Socket { up, down, head: Response::from_parts(head, ()), unread: Vec::new() };
        assert_eq!(socket.read(5).await, b"early");
    });
}

/// The first on a connection: it waits for what the server announces.
pub(crate) async fn first(client: &Client, path: &str) -> Socket {
    while !client.send.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    Socket::open(client, path).await
}

#[test]
fn a_reset_gives_up_the_peer() {
    let (origin, open) = origin();
    let proxy = serving(&format!("local {{ proxy_pass_tcp \"{}\"; }}", origin.addr()));
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let mut reset = first(&client, "/reset").await;
        let mut other = Socket::open(&client, "/other").await;
        reset.send(b"x").await;
        assert_eq!(reset.read(1).await, b"x");
        reset.up.send_reset(Reason::CANCEL);
        drop(reset);
        other.send(b"goes on").await;
        assert_eq!(other.read(7).await, b"goes on");
        // Each echo is a turn of everybody; `run` ends it if it never comes.
        while open.load(Relaxed) != 1 {
            other.send(b"y").await;
            assert_eq!(other.read(1).await, b"y");
        }
    });
    eventually("none is left", || (open.load(Relaxed) == 0).then_some(()));
    eventually("no session is left", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
    proxy.await_line("access.log", "path=/reset", LIMIT);
}

#[test]
fn a_peer_that_ends_ends_the_stream() {
    let origin = Origin::start(|mut conn| {
        let _ = head(&mut conn);
        conn.write_all(format!("{SWITCHED}\r\nbye").as_bytes())?;
        conn.stream.shutdown(std::net::Shutdown::Write)?;
        let mut rest = Vec::new();
        conn.read_to_end(&mut rest)?;
        Ok(())
    });
    let proxy = serving(&format!("local {{ proxy_pass_tcp \"{}\"; }}", origin.addr()));
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let mut socket = first(&client, "/").await;
        assert_eq!(socket.read(100).await, b"bye");
        // The other direction is still open.
        socket.send(b"late").await;
        socket.up.send_data(Bytes::new(), true).expect("open");
        client.send.clone().ready().await.expect("open");
    });
    eventually("all of it arrives", || (origin.received() > 0 && origin.open() == 0).then_some(()));
}

#[test]
fn a_peer_that_declines_is_no_tunnel() {
    let origin = Scripted::new(OK, false);
    let proxy = serving(&format!("local {{ proxy_pass_tcp \"{}\"; }}", origin.addr()));
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        while !client.send.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let (response, _up) = client.begin(connect("/"), false).await.expect("a stream");
        // A status of success would be a tunnel to this client (RFC 8441 section 5).
        match response.await {
            Ok(answer) => assert!(!answer.status().is_success(), "{answer:?}"),
            Err(e) => assert!(e.is_reset(), "{e}"),
        }
        assert_eq!(client.get("/").await.expect("an answer").text(), "ok");
    });
}

/// What such a client says of a length is of no body: what comes is the other protocol's, and would be missing in front of the
/// next client's request.
#[test]
fn a_length_in_a_handshake_is_not_passed_on() {
    let origin = Scripted::new(OK, false);
    let proxy = serving(&format!("local {{ proxy_pass_tcp \"{}\"; }}", origin.addr()));
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        while !client.send.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let mut request = connect("/");
        request.headers_mut().insert("content-length", HeaderValue::from_static("5"));
        let (response, _up) = client.begin(request, false).await.expect("a stream");
        let status = response.await.expect("an answer").status();
        assert_eq!((status.as_u16(), client.get("/next").await.expect("an answer").text().as_str()), (501, "ok"));
    });
    let seen = origin.seen();
    assert!(!seen[0].0.to_ascii_lowercase().contains("content-length: 5"), "{}", seen[0].0);
    assert!(seen[1].0.starts_with("GET /next "), "{}", seen[1].0);
}

#[test]
fn a_handshake_that_is_none_is_refused() {
    let proxy = serving("local { websocket_echo; }");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        while !client.send.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let mut request = connect("/");
        request.headers_mut().insert("sec-websocket-version", HeaderValue::from_static("8"));
        let (response, _up) = client.begin(request, false).await.expect("a stream");
        assert_eq!(response.await.expect("an answer").status(), 426);
        let mut socket = Socket::open(&client, "/").await;
        // Not masked: a mistake, which the WebSocket hears of and the stream ends with.
        socket.send(&[0x81, 1, b'x']).await;
        assert_eq!(socket.read(4).await, [0x88, 2, 0x03, 0xea]);
        assert_eq!(socket.read(1).await, b"");
    });
}

/// A client of HTTP/2 has no key and sees no answer to one: it is this proxy that opens the WebSocket (RFC 6455 section 4.1).
#[test]
fn a_peer_that_has_not_understood_the_handshake_is_502() {
    let right = format!("Upgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n");
    let wrong = [
        right.replace(ACCEPT, "AAAA"),
        right.replace("Accept", "Other"),
        right.replace("WebSocket\r\n", "other\r\n"),
        right.replace("Upgrade: WebSocket\r\n", ""),
        right.replace("Connection: upgrade\r\n", ""),
        format!("{right}Sec-WebSocket-Accept: {ACCEPT}\r\n"),
    ];
    for (lines, status) in wrong.into_iter().map(|lines| (lines, 502)).chain([(right, 200)]) {
        let peer = Scripted::new(format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n"), true);
        let proxy = serving(&format!("local {{ proxy_pass_tcp \"{}\"; }}", peer.addr()));
        run(async {
            let client = Client::open(proxy.addr(0)).await;
            while !client.send.is_extended_connect_protocol_enabled() {
                tokio::task::yield_now().await;
            }
            let (response, _up) = client.begin(connect("/chat"), false).await.expect("a stream");
            assert_eq!(response.await.expect("an answer").status(), status, "{lines}");
        });
    }
}
