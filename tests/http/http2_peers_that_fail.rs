//! Peers of HTTP/2 that go away, refuse, reset or say nothing, and what becomes of requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use bytes::Bytes;
use h2::Reason;
use harness::{Deaf, Origin, Proxy, client, eventually, pattern};
use http::Response;

use crate::h2::*;
use crate::http2_peers::{before, echo};
use crate::support::{ask, get as get1, once};

#[test]
fn a_new_connection_is_made_when_one_says_goaway() {
    let peer = Peer::start(|call| async move {
        // Each third request is the last of its connection.
        if call.number == 3 {
            call.go_away();
        }
        call.answer(b"ok").await;
    });
    let proxy = before(peer.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for n in 0..30 {
        let a = ask(&mut stream, get1("/"));
        assert_eq!((a.status, a.text().as_str()), (200, "ok"), "{n}");
    }
    assert!((8..=12).contains(&peer.accepted()), "{} connections", peer.accepted());
    eventually("old connections are closed", || (peer.open() <= 1).then_some(()));
}

#[test]
fn a_connection_that_ends_is_replaced() {
    let peer = Peer::start(|call| async move { call.answer(b"ok").await });
    let proxy = before(peer.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, get1("/")).text(), "ok");
    let addr = peer.addr();
    drop(peer);
    assert_eq!(ask(&mut stream, get1("/")).status, 502);
    let again = Origin::start_on(addr, |_| Ok(()));
    assert_eq!(ask(&mut stream, get1("/")).status, 502);
    drop(again);
}

#[test]
fn a_refused_request_is_sent_again_also_one_that_changes_something() {
    let refusals = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&refusals);
    let peer = Peer::start(move |mut call: Call| {
        let count = Arc::clone(&count);
        async move {
            if call.number % 2 == 1 {
                count.fetch_add(1, Relaxed);
                call.respond.send_reset(Reason::REFUSED_STREAM);
            } else {
                call.answer(b"ok").await;
            }
        }
    });
    let proxy = before(peer.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..4 {
        assert_eq!(ask(&mut stream, get1("/")).text(), "ok");
        assert_eq!(ask(&mut stream, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").text(), "ok");
    }
    assert_eq!((refusals.load(Relaxed), peer.requests()), (8, 16));
}

#[test]
fn a_reset_is_502_and_costs_nobody_else() {
    let peer = Peer::start(|mut call: Call| async move {
        match call.request.uri().path() {
            "/reset" => call.respond.send_reset(Reason::INTERNAL_ERROR),
            "/late" => {
                let ok = Response::builder().status(200).body(()).expect("a head");
                if let Ok(mut stream) = call.respond.send_response(ok, false) {
                    let _ = stream.send_data(Bytes::from_static(b"part"), false);
                    tokio::task::yield_now().await;
                    stream.send_reset(Reason::INTERNAL_ERROR);
                }
            }
            _ => call.answer(b"ok").await,
        }
    });
    let proxy = before(peer.addr(), "");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        assert_eq!(client.ask(post("/reset"), b"x").await.expect("an answer").status, 502);
        assert_eq!(client.get("/").await.expect("an answer").text(), "ok");
        // What came is not the whole.
        match client.get("/late").await {
            Ok(answer) => assert_eq!(answer.status, 502, "{answer:?}"),
            Err(e) => assert!(e.is_reset(), "{e}"),
        }
        assert_eq!(client.get("/").await.expect("an answer").text(), "ok");
    });
    assert_eq!(peer.accepted(), 1);
}

#[test]
fn a_peer_that_says_nothing_is_504() {
    let peer = Peer::start(|call: Call| async move {
        if call.request.uri().path() == "/never" {
            std::future::pending::<()>().await;
        }
        call.answer(b"ok").await;
    });
    let proxy = before(peer.addr(), "http_first_byte_timeout \"300ms\"");
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, get1("/never")).status, 504);
    assert_eq!(ask(&mut stream, get1("/")).text(), "ok");
}

#[test]
fn a_dead_peer_is_passed_over_as_with_http1() {
    let peer = Peer::start(|call| async move { call.answer(b"ok").await });
    let dead = Origin::echo().stop();
    let proxy = Proxy::start(&format!(
        "load_module \"tcp\" \"balancer\" \"http\"\ncommon {{ worker_threads 1; }}\n\
         upstream \"u\" {{ proxy_pass_tcp \"{dead}\"; proxy_pass_tcp \"{}\"; }}\n\
         net {{ server {{ port_listen_tcp \"127.0.0.1:0\"; http; \
         local {{ http_proxy version=\"2\"; proxy_pass_upstream \"u\"; }}; }}; }}\n",
        peer.addr()
    ));
    for n in 0..10 {
        assert_eq!(once(&proxy, get1("/")).status, 200, "{n}");
    }
}

#[test]
fn many_at_once_while_a_peer_cannot_be_reached_fail_together() {
    let dead = Origin::echo().stop();
    let proxy = before(dead, "");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let asks: Vec<_> = (0..100).map(|_| client.get("/")).collect();
        for answer in join(asks).await {
            assert_eq!(answer.expect("an answer").status, 502);
        }
    });
}

#[test]
fn those_who_wait_for_a_connection_do_not_keep_a_dead_peer_in_service() {
    let (deaf, peer) = (Deaf::start(), Peer::start(|call| async move { call.answer(b"ok").await }));
    let proxy = Proxy::start(&format!(
        "load_module \"tcp\" \"balancer\" \"http\"\ncommon {{ worker_threads 1; }}\n\
         upstream \"u\" {{ connect_timeout \"200ms\"; retry attempts=1; eject consecutive=3 time=\"60s\"; \
         proxy_pass_tcp \"{}\"; proxy_pass_tcp \"{}\" backup=#true; }}\n\
         net {{ server {{ port_listen_tcp \"127.0.0.1:0\"; http; \
         local {{ http_proxy version=\"2\"; proxy_pass_upstream \"u\"; }}; }}; }}\n",
        deaf.addr(),
        peer.addr()
    ));
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        // Each connect that fails is of one of them, and the others have waited for it.
        join((0..4).map(|_| client.get("/")).collect::<Vec<_>>()).await;
        assert_eq!(client.get("/").await.expect("an answer").text(), "ok");
    });
    proxy.await_log("peer ejected: 3 failures in a row", harness::LIMIT);
}

#[test]
fn a_refused_request_is_sent_again_with_what_was_sent_of_its_body() {
    let refusals = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&refusals);
    let peer = Peer::start(move |mut call: Call| {
        let count = Arc::clone(&count);
        async move {
            if call.number % 2 == 1 {
                // Only once some of it is there.
                let _ = call.request.body_mut().data().await;
                count.fetch_add(1, Relaxed);
                call.respond.send_reset(Reason::REFUSED_STREAM);
            } else {
                echo(call).await;
            }
        }
    });
    let proxy = before(peer.addr(), "");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        for body in [pattern::bytes(10), pattern::bytes(20_000), pattern::bytes(50_000)] {
            let answer = client.ask(post("/"), &body).await.expect("an answer");
            assert!(answer.status == 200 && answer.body == body, "{} of {}", answer.status, body.len());
        }
    });
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody").text(), "body");
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    assert_eq!(ask(&mut stream, chunked).text(), "body");
    assert_eq!((refusals.load(Relaxed), peer.requests()), (5, 10));
    // More of it than is kept is gone.
    let answer = run(async { Client::open(proxy.addr(0)).await.ask(post("/"), &pattern::bytes(1 << 20)).await });
    assert!(matches!(answer.expect("an answer").status, 200 | 502));
}

#[test]
fn who_speaks_no_http2_is_no_peer_and_all_hear_of_it() {
    let http1 = crate::support::Scripted::new("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", true);
    let proxy = before(http1.addr(), "");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        for answer in join((0..60).map(|_| client.get("/")).collect()).await {
            assert_eq!(answer.expect("an answer").status, 502);
        }
    });
    let silent = Origin::start(|mut conn| std::io::copy(&mut conn, &mut std::io::sink()).map(|_| ()));
    let proxy = before(silent.addr(), "http_first_byte_timeout \"300ms\"");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let began = std::time::Instant::now();
        for answer in join((0..60).map(|_| client.get("/")).collect()).await {
            assert_eq!(answer.expect("an answer").status, 504);
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(5), "one after another");
    });
}

#[test]
fn clients_that_give_up_are_not_the_fault_of_a_peer() {
    let peer = Peer::start(|mut call: Call| async move {
        if call.request.uri().path() == "/reset" {
            return call.respond.send_reset(Reason::INTERNAL_ERROR);
        }
        let _ = std::future::poll_fn(|cx| call.respond.poll_reset(cx)).await;
    });
    // The other one is never asked: it is there so that one may be ejected.
    let other = Origin::echo();
    let proxy = Proxy::start(&format!(
        "load_module \"tcp\" \"balancer\" \"http\"\ncommon {{ worker_threads 1; }}\n\
         upstream \"u\" {{\neject consecutive=3 time=\"60s\"\nproxy_pass_tcp \"{}\"\n\
         proxy_pass_tcp \"{}\" backup=#true\n}}\n\
         net {{ server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n\
         local {{ http_proxy version=\"2\"; proxy_pass_upstream \"u\"; }}\n}} }}\n",
        peer.addr(),
        other.addr()
    ));
    let ejected = || proxy.status()["upstreams"].to_string().contains("\"ejected\"");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        for n in 1..=10 {
            let (response, up) = client.begin(get("/slow"), true).await.expect("a stream");
            client.send.clone().ready().await.expect("open");
            while peer.requests() < n {
                assert!(!ejected(), "{} clients gave up", n - 1);
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
            drop((response, up));
        }
    });
    eventually("no session is left", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
    assert!(!ejected(), "{}", proxy.status()["upstreams"]);
    // Its own resets are.
    for _ in 0..3 {
        once(&proxy, "POST /reset HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    }
    eventually("it is ejected", || ejected().then_some(()));
}
