//! How long a connection of a client is kept, and what ends it.

use std::io::Write;

use harness::client::{self, End};

use crate::support::{answer, ask, get, server};

fn echo(more: &str) -> harness::Proxy {
    server(&format!("{more}\nlocal {{ http_echo body=\"ok\"; }}")).start()
}

#[test]
fn requests_sent_together_are_answered_in_order() {
    let proxy = server("local { http_echo body=\"${path}\"; }").start();
    let mut stream = client::connect(proxy.addr(0));
    let all: String = (0..50).map(|n| get(&format!("/{n}"))).collect();
    stream.write_all(all.as_bytes()).expect("write");
    for n in 0..50 {
        assert_eq!(answer(&mut stream, "GET").text(), format!("/{n}"));
    }
}

#[test]
fn close_is_said_and_done_when_the_client_asks_for_it() {
    let proxy = echo("");
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, Close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let mut stream = client::connect(proxy.addr(0));
        let a = ask(&mut stream, request);
        assert_eq!((a.status, a.header("connection")), (200, Some("close")), "{request}");
        assert_eq!(client::end(&stream), End::Closed);
    }
}

#[test]
fn a_client_of_1_0_may_ask_to_be_kept() {
    let proxy = echo("");
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..2 {
        let a = ask(&mut stream, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(a.header("connection"), Some("keep-alive"));
    }
}

#[test]
fn the_last_of_the_requests_allowed_says_so() {
    let proxy = echo("http_keepalive_requests 3");
    let mut stream = client::connect(proxy.addr(0));
    for n in 1..=3 {
        let a = ask(&mut stream, get("/"));
        assert_eq!(a.header("connection"), (n == 3).then_some("close"), "{n}");
    }
    assert_eq!(client::end(&stream), End::Closed);
}

#[test]
fn a_silent_connection_is_closed_in_order() {
    let proxy = echo("http_keepalive_timeout \"300ms\"");
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, get("/")).status, 200);
    assert_eq!(client::end(&stream), End::Closed);
}

#[test]
fn each_request_is_one_line_of_the_log() {
    let proxy = echo("");
    // One without a request, as load balancers and browsers make them, is none.
    drop(client::connect(proxy.addr(0)));
    harness::eventually("it is over", || {
        let listener = &proxy.status()["listeners"][0];
        (listener["traffic"]["connections"] == 1 && listener["traffic"]["sessions"] == 0).then_some(())
    });
    let mut stream = client::connect(proxy.addr(0));
    for path in ["/one", "/two?q"] {
        ask(&mut stream, get(path));
    }
    drop(stream);
    harness::eventually("two lines", || (proxy.read("access.log").lines().count() == 2).then_some(()));
    let log = proxy.read("access.log");
    let lines: Vec<_> = log.lines().collect();
    assert!(lines[0].starts_with("status=200 method=GET path=/one uri=/one host=a.test "), "{log}");
    assert!(lines[1].starts_with("status=200 method=GET path=/two uri=/two?q host=a.test "), "{log}");
    assert!(lines[1].ends_with("agent=t"), "{log}");
}

/// They are over before a local is chosen, where they would say nothing.
#[test]
fn limits_of_connections_and_heads_are_none_of_locals() {
    for limit in [
        "http_header_size \"32KiB\"",
        "http_header_count 10",
        "http_header_timeout \"1s\"",
        "http_keepalive_timeout \"1s\"",
        "http_keepalive_requests 10",
        "http2_streams 10",
        "http2_window \"1MiB\"",
    ] {
        server(&format!("{limit}\nlocal {{ return 200; }}")).check().assert(0, &[]);
        server(&format!("local {{ {limit}; return 200; }}"))
            .check()
            .assert(1, &["is allowed in net, server; not in local"]);
    }
}

#[test]
fn at_the_limit_of_connections_an_idle_one_makes_room_and_not_one_with_a_request() {
    let proxy = harness::Proxy::start(
        r#"load_module "tcp" "balancer" "http"
        common { worker_threads 1; max_connections 3; }
        net { server { port_listen_tcp "127.0.0.1:0"; http; local { http_echo; } } }"#,
    );
    // A request whose body is not all there, on the oldest of all.
    let mut busy = client::connect(proxy.addr(0));
    busy.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab").expect("write");
    assert!(crate::support::head(&mut busy).is_some_and(|head| head.starts_with("HTTP/1.1 200")));
    let mut idle = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut idle, get("/")).status, 200);
    // With this one the places are taken, and nobody waits for one.
    let mut another = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut another, get("/")).status, 200);
    assert_eq!(ask(&mut idle, get("/")).status, 200);
    let mut last = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut last, get("/")).status, 200);
    assert_eq!(client::end(&idle), End::Closed);
    busy.write_all(b"cd").expect("write");
    assert_eq!(client::read_exact(&busy, 4), b"abcd");
    assert_eq!(ask(&mut another, get("/")).status, 200);
    let said = proxy.await_log("limit reached", harness::LIMIT);
    assert!(said.contains("leaving=1"), "{said}");
}
