//! A connection to a peer that begins with a client's greeting (PROXY protocol, hello header) is that client's alone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use harness::{Origin, Proxy, client, eventually};

use crate::support::{OK, Scripted, ask, get, head, server};

/// A peer that takes a greeting and then requests, and keeps what each connection brought.
struct Raw {
    origin: Origin,
    seen: Arc<Mutex<Seen>>,
}

/// Greetings and heads.
type Seen = Vec<(Vec<u8>, String)>;

impl Raw {
    fn new(greeting: fn(&mut BufReader<TcpStream>) -> Vec<u8>) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        let origin = Origin::start(move |mut conn| {
            let mut from = BufReader::new(conn.stream.try_clone()?);
            let greeting = greeting(&mut from);
            while let Some(head) = head(&mut from) {
                keep.lock().expect("not poisoned").push((greeting.clone(), head));
                conn.write_all(OK)?;
            }
            Ok(())
        });
        Self { origin, seen }
    }

    fn seen(&self) -> Seen {
        self.seen.lock().expect("not poisoned").clone()
    }
}

fn line(from: &mut BufReader<TcpStream>) -> Vec<u8> {
    let mut line = Vec::new();
    from.read_until(b'\n', &mut line).expect("a line");
    line
}

fn hello(from: &mut BufReader<TcpStream>) -> Vec<u8> {
    let mut start = [0; 8];
    from.read_exact(&mut start).expect("a hello header");
    assert_eq!(start[..4], *b"\xf5apx");
    let mut rest = vec![0; usize::from(u16::from_be_bytes([start[6], start[7]])) - 8];
    from.read_exact(&mut rest).expect("all of it");
    rest
}

/// A connection and the port that it comes from.
fn connect(proxy: &Proxy) -> (TcpStream, u16) {
    let stream = client::connect(proxy.addr(0));
    let port = stream.local_addr().expect("connected").port();
    (stream, port)
}

#[test]
fn each_request_has_a_connection_that_names_its_client() {
    let raw = Raw::new(line);
    let greeted = format!("proxy_pass_tcp \"{}\" {{ proxy_protocol version=1; }}", raw.origin.addr());
    let proxy = server(&format!("local {{ {greeted}; }}")).start();
    let (mut one, mut two) = (connect(&proxy), connect(&proxy));
    let mut ports = Vec::new();
    for _ in 0..2 {
        for client in [&mut one, &mut two] {
            assert_eq!(ask(&mut client.0, get("/")).text(), "ok");
            ports.push(client.1);
        }
    }
    assert_eq!(raw.origin.accepted(), 4);
    for ((greeting, head), port) in raw.seen().iter().zip(ports) {
        let text = String::from_utf8_lossy(greeting);
        assert!(text.starts_with(&format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} ")), "{text}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
    }
    eventually("none is kept", || (raw.origin.open() == 0).then_some(()));
}

#[test]
fn so_has_the_hello_header() {
    let raw = Raw::new(hello);
    let text = format!("local {{ proxy_pass_tcp \"{}\" {{ proxy_protocol_hello #true; }}; }}", raw.origin.addr());
    let proxy = server(&text).start();
    let (mut one, mut two) = (connect(&proxy), connect(&proxy));
    for client in [&mut one, &mut two] {
        assert_eq!(ask(&mut client.0, get("/")).text(), "ok");
    }
    assert_eq!(raw.origin.accepted(), 2);
    for ((greeting, _), port) in raw.seen().iter().zip([one.1, two.1]) {
        // Family, address and port of the client.
        let field = [&[4, 127, 0, 0, 1][..], &port.to_be_bytes()].concat();
        assert!(greeting.windows(field.len()).any(|w| w == field), "{greeting:?}");
    }
}

#[test]
fn what_one_local_says_is_not_for_another_with_the_same_peers() {
    let raw =
        Raw::new(|from| if from.fill_buf().is_ok_and(|b| b.starts_with(b"PROXY")) { line(from) } else { Vec::new() });
    let head = "load_module \"tcp\" \"balancer\" \"http\"\ncommon { worker_threads 1; }";
    let proxy = Proxy::start(&format!(
        "{head}\nupstream \"u\" {{ proxy_pass_tcp \"{}\"; }}\nnet {{ server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n\
         local {{ rule \"${{path}}\" text=\"/greeted\"; proxy_protocol version=1; proxy_pass_upstream \"u\"; }}\n\
         local {{ proxy_pass_upstream \"u\"; }}\n}} }}\n",
        raw.origin.addr()
    ));
    let mut stream = client::connect(proxy.addr(0));
    for path in ["/", "/greeted", "/", "/greeted", "/"] {
        assert_eq!(ask(&mut stream, get(path)).text(), "ok");
    }
    let seen = raw.seen();
    assert_eq!(seen.len(), 5);
    for (n, (greeting, head)) in seen.iter().enumerate() {
        assert_eq!((greeting.is_empty(), head.starts_with("GET /greeted ")), (n % 2 == 0, n % 2 == 1), "{seen:?}");
    }
    // One for each that is greeted, and one that is kept for the others.
    assert_eq!(raw.origin.accepted(), 3);
}

#[test]
fn peers_of_http_2_too() {
    let origin = Scripted::new(OK, false);
    let inner = server(&format!(
        "proxy_protocol_accept \"127.0.0.1\"\nhttp_request_header \"set\" \"X-Client\" \"${{client_addr}}\"\nlocal {{ \
         proxy_pass_tcp \"{}\"; }}",
        origin.addr()
    ))
    .start();
    let greeted = format!("proxy_pass_tcp \"{}\" {{ proxy_protocol version=2; }}", inner.addr(0));
    let proxy = server(&format!("local {{ http_proxy version=\"2\"; {greeted}; }}")).start();
    let (mut one, mut two) = (connect(&proxy), connect(&proxy));
    for n in 0..4 {
        let client = if n % 2 == 0 { &mut one } else { &mut two };
        let a = ask(&mut client.0, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(a.text(), "ok");
        let (head, body) = origin.seen().last().expect("a request").clone();
        assert!(head.contains(&format!("X-Client: 127.0.0.1:{}\r\n", client.1)), "{head}");
        assert_eq!(body, b"abc");
    }
    eventually("none is kept", || {
        let status = proxy.status();
        let upstream = status["modules"].as_array()?.iter().find(|m| m["id"] == "http")?["status"]["upstream"].clone();
        (upstream["new"] == 4 && upstream["reused"] == 0).then_some(())
    });
    eventually("they are closed", || {
        let list = inner.control(&serde_json::json!({ "cmd": "sessions" })).ok()?;
        list.as_array()?.is_empty().then_some(())
    });
}
