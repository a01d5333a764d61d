//! A reload cuts no connection and loses no request; what it changed holds from the next request on.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use harness::client::{self, End};
use harness::{Proxy, eventually};

use crate::support::{OK, Scripted, ask, get, server};

fn says(text: &str) -> String {
    format!("local {{ http_echo body=\"{text}\"; }}")
}

fn config(text: &str) -> String {
    format!(
        "load_module \"tcp\" \"balancer\" \"http\"\ncommon {{ worker_threads 2; }}\nnet {{ server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n{text}\n}} }}\n"
    )
}

#[test]
fn a_kept_connection_sees_the_new_configuration() {
    let proxy = Proxy::start(&config(&says("old")));
    let mut idle = client::connect(proxy.addr(0));
    let mut fresh = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut idle, get("/")).text(), "old");
    proxy.reload_with(&config(&says("new"))).assert(0, &[]);
    for stream in [&mut idle, &mut fresh] {
        let a = ask(stream, get("/"));
        assert_eq!((a.text().as_str(), a.header("connection")), ("new", None));
    }
    // Nothing of the old one is left.
    eventually("one generation", || (proxy.status()["retired"] == serde_json::json!([])).then_some(()));
    assert_eq!(proxy.status()["process"]["sessions"], 2);
}

#[test]
fn sixty_four_kept_connections_go_on_under_load() {
    let origin = Scripted::new(OK, false);
    let text = format!("local {{ proxy_pass_tcp \"{}\"; }}", origin.addr());
    let proxy = Proxy::start(&config(&text));
    let mut streams: Vec<TcpStream> = (0..64).map(|_| client::connect(proxy.addr(0))).collect();
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for part in streams.chunks_mut(16) {
            let (stop, done) = (&stop, &done);
            scope.spawn(move || {
                while !stop.load(Relaxed) {
                    for stream in &mut *part {
                        let a = ask(stream, get("/"));
                        assert_eq!((a.text().as_str(), a.header("connection")), ("ok", None));
                        done.fetch_add(1, Relaxed);
                    }
                }
            });
        }
        for n in 0..8 {
            let before = done.load(Relaxed);
            eventually("requests go on", || (done.load(Relaxed) > before + 64).then_some(()));
            proxy.reload_with(&config(&format!("http_header_count {}\n{text}", 100 + n))).assert(0, &[]);
        }
        stop.store(true, Relaxed);
    });
    assert!(done.load(Relaxed) > 64 * 8);
}

#[test]
fn a_server_that_is_gone_ends_its_idle_connections() {
    let proxy = server(&says("old")).start();
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, get("/")).text(), "old");
    proxy.reload_with("load_module \"tcp\" \"balancer\" \"http\"\nnet { server { port_listen_tcp \"127.0.0.1:0\"; local { proxy_pass_tcp \"127.0.0.1:9\"; }; }; }\n").assert(0, &[]);
    assert_eq!(client::end(&stream), End::Closed);
}

#[test]
fn quitting_ends_idle_connections_and_says_so_on_busy_ones() {
    let mut proxy = server(&says("text")).start();
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, get("/")).text(), "text");
    proxy.send("quit").assert(0, &[]);
    assert_eq!(client::end(&stream), End::Closed);
    proxy.wait_exit(harness::LIMIT);
}
