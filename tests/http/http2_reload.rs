//! A reload, and the end, while clients of HTTP/2 have requests under way: none is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use harness::{LIMIT, Origin, Proxy, eventually};
use serde_json::json;

use crate::h2::*;
use crate::support::{OK, head, proxy_to, server};

fn config(text: &str) -> String {
    format!(
        "load_module \"tcp\" \"balancer\" \"http\"\ncommon {{ worker_threads 2; }}\nnet {{ server {{\n\
         port_listen_tcp \"127.0.0.1:0\"\nhttp\n{text}\n}} }}\n"
    )
}

/// Asks until told to stop, on a new connection where the last one takes no more; a request that GOAWAY left out is
/// repeated, as clients do. What each sent comes back.
async fn ask_on(addr: std::net::SocketAddr, stop: &AtomicBool, done: &AtomicU64, reopened: &AtomicU64) {
    while !stop.load(Relaxed) {
        let client = Client::open(addr).await;
        let lanes = (0..8).map(|lane| {
            let client = &client;
            async move {
                while !stop.load(Relaxed) {
                    let text = format!("{lane} {}", done.load(Relaxed));
                    match client.ask(post("/"), text.as_bytes()).await {
                        Ok(answer) => {
                            assert_eq!((answer.status, answer.text()), (200, text));
                            done.fetch_add(1, Relaxed);
                        }
                        Err(e) if e.is_go_away() && e.reason() == Some(h2::Reason::NO_ERROR) => return,
                        Err(e) if e.reason() == Some(h2::Reason::REFUSED_STREAM) => return,
                        // Before anything was sent.
                        Err(e) if client.driver.is_finished() && client.send.clone().ready().await.is_err() => {
                            assert!(e.is_io() || e.is_library() || e.is_go_away(), "{e:?}");
                            return;
                        }
                        Err(e) => panic!("a request failed: {e:?}"),
                    }
                }
            }
        });
        join(lanes.collect()).await;
        reopened.fetch_add(1, Relaxed);
    }
}

fn under_load(text: impl Fn(usize) -> String) {
    let proxy = Proxy::start(&config(&text(0)));
    let addr = proxy.addr(0);
    let (stop, done, reopened) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| {
            run(async { join((0..8).map(|_| ask_on(addr, &stop, &done, &reopened)).collect()).await });
        });
        for n in 0..=5 {
            let before = done.load(Relaxed);
            eventually("requests go on", || (clients.is_finished() || done.load(Relaxed) > before + 300).then_some(()));
            if n < 5 && !clients.is_finished() {
                proxy.reload_with(&config(&text(n + 1))).assert(0, &[]);
            }
        }
        stop.store(true, Relaxed);
    });
    println!("{} requests, {} connections", done.load(Relaxed), reopened.load(Relaxed));
    assert!(done.load(Relaxed) >= 1800 && reopened.load(Relaxed) >= 8 * 5);
    eventually("one generation", || (proxy.status()["retired"] == json!([])).then_some(()));
    eventually("no session", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
}

#[test]
fn no_request_is_lost_by_reloads_under_load() {
    under_load(|n| format!("http_header_count {}\nlocal {{ http_echo; }}", 100 + n));
}

#[test]
fn nor_on_its_way_to_a_peer_of_http2() {
    let echo = server("http2_streams 1000\nlocal { http_echo; }").start();
    let peer = echo.addr(0);
    under_load(|n| {
        format!("http_header_count {}\nlocal {{ http_proxy version=\"2\"; proxy_pass_tcp \"{peer}\"; }}", 100 + n)
    });
    // Connections of generations that are gone are gone.
    eventually("few connections to the peer", || {
        (echo.status()["process"]["sessions"].as_u64() <= Some(2)).then_some(())
    });
}

#[test]
fn a_connection_hears_goaway_when_its_configuration_is_retired() {
    let proxy = Proxy::start(&config("local { http_echo body=\"old\"; }"));
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        assert_eq!(client.get("/").await.expect("an answer").text(), "old");
        proxy.reload_with(&config("local { http_echo body=\"new\"; }")).assert(0, &[]);
        client.ended().await.expect("a good end");
        assert_eq!(Client::open(proxy.addr(0)).await.get("/").await.expect("an answer").text(), "new");
    });
    eventually("one generation", || (proxy.status()["retired"] == json!([])).then_some(()));
}

/// A peer that answers once it is told.
fn held() -> (Origin, Arc<AtomicBool>, Arc<AtomicBool>) {
    let (asked, go): (Arc<AtomicBool>, Arc<AtomicBool>) = Default::default();
    let (tell, wait) = (Arc::clone(&asked), Arc::clone(&go));
    let origin = Origin::start(move |mut conn| {
        while head(&mut conn).is_some() {
            tell.store(true, Relaxed);
            eventually("the answer is wanted", || wait.load(Relaxed).then_some(()));
            std::io::Write::write_all(&mut conn, OK)?;
        }
        Ok(())
    });
    (origin, asked, go)
}

#[test]
fn quitting_waits_for_streams_that_are_open() {
    let (origin, asked, go) = held();
    let mut proxy = proxy_to(origin.addr(), "");
    let mut raw = Raw::open(proxy.addr(0));
    raw.get(1, "/");
    eventually("the peer has it", || asked.load(Relaxed).then_some(()));
    proxy.send("quit").assert(0, &[]);
    raw.until("GOAWAY", |f| f.kind == GOAWAY && f.code() == h2::Reason::NO_ERROR);
    go.store(true, Relaxed);
    let body = raw.until("the answer", |f| f.kind == DATA && f.stream == 1);
    assert_eq!(body.payload, b"ok");
    while raw.frame().is_some() {}
    proxy.wait_exit(LIMIT);
}

#[test]
fn quitting_ends_idle_connections() {
    let mut proxy = server("local { http_echo body=\"text\"; }").start();
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        assert_eq!(client.get("/").await.expect("an answer").text(), "text");
        proxy.send("quit").assert(0, &[]);
        client.ended().await.expect("a good end");
    });
    proxy.wait_exit(LIMIT);
}

#[test]
fn an_operator_can_end_a_connection_and_a_stream() {
    let (origin, asked, go) = held();
    let proxy = proxy_to(origin.addr(), "");
    let list = || proxy.control(&json!({ "cmd": "sessions" })).expect("sessions");
    let ids = || -> Vec<u64> {
        let all = list();
        all.as_array().expect("a list").iter().filter_map(|s| s["id"].as_u64()).collect()
    };
    let mut raw = Raw::open(proxy.addr(0));
    raw.until("SETTINGS", |f| f.kind == SETTINGS);
    let connection = eventually("the connection's session", || ids().first().copied());
    raw.get(1, "/");
    eventually("the peer has it", || asked.load(Relaxed).then_some(()));
    // The stream's own: the connection goes on.
    let stream = ids().into_iter().find(|id| *id != connection).expect("it is listed");
    proxy.ctl(&["sessions", "kill", &stream.to_string()]).assert(0, &["\"killed\": 1"]);
    raw.until("the end of the stream", |f| f.kind == RST_STREAM && f.stream == 1);
    asked.store(false, Relaxed);
    raw.get(3, "/three");
    eventually("the peer has it, too", || asked.load(Relaxed).then_some(()));
    proxy.ctl(&["sessions", "kill", &connection.to_string()]).assert(0, &["\"killed\": 1"]);
    while raw.frame().is_some() {}
    go.store(true, Relaxed);
    eventually("no session is left", || ids().is_empty().then_some(()));
    // Who ended the connection ended what was under way on it.
    let line = proxy.await_line("access.log", "path=/three", LIMIT);
    assert!(line.contains("reason=proxy_transfer_killed"), "{line}");
}

#[test]
fn an_answer_that_takes_long_is_not_cut_by_a_reload() {
    let (origin, asked, go) = held();
    let text = |n: usize| config(&format!("http_header_count {n}\nlocal {{ proxy_pass_tcp \"{}\"; }}", origin.addr()));
    let proxy = Proxy::start(&text(100));
    let mut raw = Raw::open(proxy.addr(0));
    raw.get(1, "/");
    eventually("the peer has it", || asked.load(Relaxed).then_some(()));
    proxy.reload_with(&text(101)).assert(0, &[]);
    raw.until("the last word", |f| f.kind == GOAWAY && f.payload[..4] == 1_u32.to_be_bytes());
    // It came too late: nobody looks at it.
    raw.get(3, "/");
    go.store(true, Relaxed);
    assert_eq!(raw.until("the answer", |f| f.kind == DATA).stream, 1);
    while let Some(f) = raw.frame() {
        assert_ne!(f.stream, 3, "{f:?}");
    }
}
