//! `http_retry`: another peer is asked when one fails, and only then, and only for what may be sent twice.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use harness::{Origin, Proxy, client, eventually};

use crate::support::{OK, Scripted, ask, get, head, once, server};

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

/// `first` is asked by everybody, `second` where that fails.
fn pair(retry: &str, first: SocketAddr, second: SocketAddr) -> Proxy {
    let peers = format!("proxy_pass_tcp \"{first}\"; proxy_pass_tcp \"{second}\" backup=#true");
    server(&format!("{retry}\nlocal {{ {peers}; }}")).start()
}

/// All requests to an upstream that says `text`.
fn upstream(retry: &str, text: &str) -> Proxy {
    let head = "load_module \"tcp\" \"balancer\" \"http\"\ncommon { worker_threads 1; }";
    let server = format!("port_listen_tcp \"127.0.0.1:0\"\nhttp\n{retry}\nlocal {{ proxy_pass_upstream \"u\"; }}");
    Proxy::start(&format!("{head}\nupstream \"u\" {{\n{text}\n}}\nnet {{ server {{\n{server}\n}} }}\n"))
}

/// Reads a request and ends, having said `text`.
fn ends(text: &'static str) -> Origin {
    Origin::start(move |mut conn| {
        let _ = head(&mut conn);
        conn.write_all(text.as_bytes())
    })
}

fn silent() -> Origin {
    Origin::start(|mut conn| {
        while head(&mut conn).is_some() {}
        Ok(())
    })
}

fn retried(proxy: &Proxy) -> u64 {
    let status = proxy.status();
    let all = status["modules"].as_array().cloned().unwrap_or_default();
    let http = all.iter().find(|m| m["id"] == "http").expect("http");
    http["status"]["upstream"]["retried"].as_u64().expect("a number")
}

#[test]
fn a_peer_that_ends_before_its_head_is_replaced() {
    let good = Scripted::new(OK, false);
    for text in ["", "HTTP/1.1 200 OK\r\nContent-Le"] {
        let bad = ends(text);
        let proxy = pair("http_retry \"reset\"", bad.addr(), good.addr());
        assert_eq!(once(&proxy, get("/")).text(), "ok", "{text:?}");
        assert_eq!(retried(&proxy), 1);
        // Not what may have had an effect.
        assert_eq!(once(&proxy, POST).status, 502);
    }
    assert_eq!(good.seen().len(), 2);
}

#[test]
fn without_it_such_an_end_is_the_answer() {
    let (bad, good) = (ends(""), Scripted::new(OK, false));
    for retry in ["", "http_retry \"503\"", "http_retry \"off\""] {
        assert_eq!(once(&pair(retry, bad.addr(), good.addr()), get("/")).status, 502, "{retry}");
    }
}

#[test]
fn what_says_that_it_may_be_repeated_is_with_its_body() {
    let (bad, good) = (Scripted::new(BUSY, false), Scripted::new(OK, false));
    let retry = "http_retry \"503\" non_idempotent=#true";
    let proxy = pair(&format!("{retry}\nhttp_request_buffering #true"), bad.addr(), good.addr());
    assert_eq!(once(&proxy, POST).text(), "ok");
    assert_eq!((bad.seen()[0].1.as_slice(), good.seen()[0].1.as_slice()), (&b"hello"[..], &b"hello"[..]));
    // A body that is gone is not there for another.
    let proxy = pair(retry, bad.addr(), good.addr());
    assert_eq!(once(&proxy, POST).text(), "busy");
}

#[test]
fn an_answer_that_is_thrown_away_keeps_its_connection_if_it_is_short() {
    let (bad, good) = (Scripted::new(BUSY, false), Scripted::new(OK, false));
    let proxy = pair("http_retry \"503\" \"429\"", bad.addr(), good.addr());
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..3 {
        assert_eq!(ask(&mut stream, get("/")).text(), "ok");
    }
    assert_eq!((bad.origin.accepted(), bad.seen().len(), good.origin.accepted()), (1, 3, 1));
    let mut long = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 1000000\r\n\r\n".to_vec();
    long.resize(long.len() + 1_000_000, b'x');
    let bad = Scripted::new(long, false);
    let proxy = pair("http_retry \"503\" \"429\"", bad.addr(), good.addr());
    for _ in 0..2 {
        assert_eq!(once(&proxy, get("/")).text(), "ok");
    }
    assert_eq!(bad.origin.accepted(), 2);
}

#[test]
fn the_last_answer_is_the_clients() {
    let (one, two) = (Scripted::new(BUSY, false), Scripted::new(BUSY, false));
    let proxy = pair("http_retry \"503\" tries=5", one.addr(), two.addr());
    let a = once(&proxy, get("/"));
    assert_eq!((a.status, a.text().as_str()), (503, "busy"));
    // Each once, and then those that there are.
    assert_eq!((one.seen().len() + two.seen().len(), retried(&proxy)), (5, 4));
}

#[test]
fn a_balancer_hashes_what_the_request_asks_for() {
    let all: Vec<_> = (0..3).map(|_| Scripted::new(OK, false)).collect();
    let peers: String = all.iter().map(|o| format!("proxy_pass_tcp \"{}\"; ", o.addr())).collect();
    for balancer in ["ip_hash", "ip_hash_active"] {
        let text = format!("balancer {balancer:?}\nbalancer_key \"${{http_request_uri}}\"\n{peers}");
        let proxy = upstream("", &text);
        let counts = || all.iter().map(|o| o.seen().len()).collect::<Vec<_>>();
        let by_uri = |uri: &str| {
            let before = counts();
            assert_eq!(once(&proxy, get(uri)).status, 200);
            let after = counts();
            before.iter().zip(&after).position(|(before, after)| before < after).expect("somebody was asked")
        };
        let first: Vec<_> = (0..24).map(|n| by_uri(&format!("/{n}?q"))).collect();
        let again: Vec<_> = (0..24).map(|n| by_uri(&format!("/{n}?q"))).collect();
        assert_eq!(first, again, "{balancer}: one URI, one peer");
        assert!(first.iter().any(|n| *n != first[0]), "{balancer}: {first:?}");
    }
}

#[test]
fn each_peer_is_asked_before_one_is_asked_twice() {
    let all: Vec<_> = (0..4).map(|_| Scripted::new(BUSY, false)).collect();
    let peers: String = all.iter().map(|o| format!("proxy_pass_tcp \"{}\"; ", o.addr())).collect();
    for balancer in ["weight", "random", "ip_hash", "fair"] {
        let proxy = upstream("http_retry \"503\" tries=4", &format!("balancer {balancer:?}\n{peers}"));
        let before: Vec<_> = all.iter().map(|o| o.seen().len()).collect();
        assert_eq!(once(&proxy, get("/")).status, 503);
        let asked = all.iter().zip(before).map(|(o, before)| o.seen().len() - before);
        assert_eq!(asked.collect::<Vec<_>>(), [1; 4], "{balancer}");
    }
}

#[test]
fn a_request_does_not_wait_for_the_place_that_it_holds_itself() {
    let queue = "balancer \"round_robin\"\nqueue size=10 timeout=\"60s\"";
    for (pool, peer) in [("max_connections 1", ""), ("", "max_connections=1")] {
        let (bad, good) = (Scripted::new(BUSY, false), Scripted::new(OK, false));
        let peers = [bad.addr(), good.addr()].map(|at| format!("proxy_pass_tcp \"{at}\" {peer}"));
        let proxy = upstream("http_retry \"503\"", &format!("{queue}\n{pool}\n{}", peers.join("\n")));
        for _ in 0..4 {
            assert_eq!(once(&proxy, get("/")).text(), "ok", "{pool}{peer}");
        }
        // There is no other: the same one is asked again, and its last answer is the client's.
        let alone = upstream(
            "http_retry \"503\" tries=3",
            &format!("{queue}\n{pool}\nproxy_pass_tcp \"{}\" {peer}", bad.addr()),
        );
        let before = bad.seen().len();
        assert_eq!(once(&alone, get("/")).text(), "busy", "{pool}{peer}");
        assert_eq!(bad.seen().len() - before, 3);
        for proxy in [&proxy, &alone] {
            let none_left = || (proxy.status()["upstreams"][0]["in_flight"] == 0).then_some(());
            eventually("every place is given back", none_left);
            assert_eq!(proxy.status()["upstreams"][0]["peers"][0]["in_flight"], 0);
        }
    }
}

#[test]
fn a_silent_peer_is_given_up_for_another_within_the_time() {
    let (bad, good) = (silent(), Scripted::new(OK, false));
    let limit = "http_first_byte_timeout \"300ms\"\n";
    let proxy = pair(&format!("{limit}http_retry \"timeout\""), bad.addr(), good.addr());
    let began = Instant::now();
    assert_eq!(once(&proxy, get("/")).text(), "ok");
    assert!(began.elapsed() >= Duration::from_millis(290));
    let proxy = pair(&format!("{limit}http_retry \"timeout\" timeout=\"100ms\""), bad.addr(), good.addr());
    assert_eq!(once(&proxy, get("/")).status, 504);
}

#[test]
fn a_connect_that_fails_is_repeated_whatever_the_method_is() {
    let (dead, good) = (Origin::echo().stop(), Scripted::new(OK, false));
    let proxy = pair("http_retry \"connect\"", dead, good.addr());
    for _ in 0..3 {
        assert_eq!(once(&proxy, POST).text(), "ok");
    }
    assert_eq!(retried(&proxy), 3);
    let other = Origin::echo().stop();
    let proxy = pair("http_retry \"connect\"", dead, other);
    assert_eq!(once(&proxy, POST).status, 502);
}

#[test]
fn nothing_is_repeated_that_the_client_has_heard_of() {
    let bad = ends("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    let good = Scripted::new(OK, false);
    let proxy = pair("http_retry \"reset\"", bad.addr(), good.addr());
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, get("/")).status, 103);
    assert_eq!(crate::support::answer(&mut stream, "GET").status, 502);
    assert!(good.seen().is_empty());
}

#[test]
fn the_upstreams_budget_bounds_what_is_repeated() {
    let (bad, good) = (Scripted::new(BUSY, false), Scripted::new(OK, false));
    let peers = format!("proxy_pass_tcp \"{}\"; proxy_pass_tcp \"{}\" backup=#true", bad.addr(), good.addr());
    let proxy = upstream("http_retry \"503\"", &format!("retry budget=\"0%\"\n{peers}"));
    let mut stream = client::connect(proxy.addr(0));
    let busy = (0..30).filter(|_| ask(&mut stream, get("/")).status == 503).count();
    // Ten are free in ten seconds.
    assert_eq!((busy, retried(&proxy)), (20, 10));
    let proxy = upstream("http_retry \"503\"", &format!("retry budget=\"100%\"\n{peers}"));
    let mut stream = client::connect(proxy.addr(0));
    assert!((0..30).all(|_| ask(&mut stream, get("/")).status == 200), "each request pays for one");
}

#[test]
fn peers_of_http_2_too() {
    let good = server("local { http_echo body=\"from h2\"; }").start();
    let busy = server("local { return 503; }").start();
    let dead = Origin::echo().stop();
    for (retry, bad) in [("connect", dead), ("503", busy.addr(0)), ("reset", ends("").addr())] {
        let peers = format!("proxy_pass_tcp \"{bad}\"; proxy_pass_tcp \"{}\" backup=#true", good.addr(0));
        let text = format!("http_retry {retry:?}\nlocal {{ http_proxy version=\"2\"; {peers}; }}");
        let proxy = server(&text).start();
        for _ in 0..2 {
            assert_eq!(once(&proxy, get("/")).text(), "from h2", "{retry}");
        }
        assert_eq!(retried(&proxy), 2, "{retry}");
    }
}

#[test]
fn what_is_no_reason_is_a_mistake() {
    for (line, what) in
        [("http_retry \"200\"", "200"), ("http_retry", "http_retry"), ("http_retry \"reset\" tries=1", "tries")]
    {
        server(&format!("{line}\nlocal {{ http_echo; }}")).check().assert(1, &["main.kdl:8:", what]);
    }
}
