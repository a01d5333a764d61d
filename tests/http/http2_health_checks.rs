//! Checks of peers that speak HTTP/2 alone, by `http_heartbeat` and by the health service of gRPC.

use std::sync::{Arc, Mutex, PoisonError};

use ::h2::server::SendResponse;
use bytes::Bytes;
use harness::{Builder, Proxy, eventually};
use http::{HeaderMap, Response};
use serde_json::Value;

use crate::h2::{Call, Peer, read_all, send_all};
use crate::support::{get, once, server};

/// What the peer answers to checks; a test changes it while it runs.
#[derive(Clone, Default)]
struct Says(Arc<Mutex<Answer>>);

/// Status, body and grpc-status.
type Answer = (u16, Vec<u8>, Option<&'static str>);

impl Says {
    fn set(&self, status: u16, body: &[u8], grpc_status: Option<&'static str>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (status, body.to_vec(), grpc_status);
    }

    async fn tell(&self, mut respond: SendResponse<Bytes>) {
        let (status, body, grpc_status) = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let head = Response::builder().status(status).body(()).expect("a head");
        let trailers = grpc_status.map(|code| {
            let mut lines = HeaderMap::new();
            lines.insert("grpc-status", code.parse().expect("a value"));
            lines
        });
        if let Ok(stream) = respond.send_response(head, false) {
            let _ = send_all(stream, &body, trailers).await;
        }
    }
}

/// The proxy's entry of its only peer.
fn entry(proxy: &Proxy) -> Value {
    fn find(v: &Value) -> Option<&Value> {
        match v {
            Value::Object(o) if o.contains_key("checks_passed") => Some(v),
            Value::Object(o) => o.values().find_map(find),
            Value::Array(a) => a.iter().find_map(find),
            _ => None,
        }
    }
    find(&proxy.status()["upstreams"]).cloned().unwrap_or_default()
}

#[track_caller]
fn await_failure(proxy: &Proxy, why: &str) {
    eventually(&format!("a check fails with {why:?}"), || (entry(proxy)["check_failure"] == why).then_some(()));
    eventually("the peer is down", || (entry(proxy)["condition"] == "down").then_some(()));
}

#[track_caller]
fn await_well(proxy: &Proxy) {
    let passed = entry(proxy)["checks_passed"].as_u64();
    eventually("checks pass", || {
        let now = entry(proxy);
        (now["condition"] == "ready" && now["checks_passed"].as_u64() > passed).then_some(())
    });
}

const OFTEN: &str = "heartbeat interval=\"100ms\" timeout=\"2s\" fail=2 pass=1";

fn asking(peer: &Peer, lines: &str, proxied: &str) -> Builder {
    server(&format!("local {{ {proxied}; proxy_pass_tcp \"{}\" {{ {OFTEN}; {lines}; }}; }}", peer.addr()))
}

#[test]
fn status_and_body_are_what_they_are_by_http1() {
    let says = Says::default();
    says.set(200, b"state=ready", None);
    let of = says.clone();
    let peer = Peer::start(move |call: Call| {
        let of = of.clone();
        async move {
            match call.request.uri().path() {
                "/health" => {
                    assert_eq!(call.request.uri().authority().map(|a| a.as_str()), Some("check.test"));
                    of.tell(call.respond).await;
                }
                _ => call.answer(b"served").await,
            }
        }
    });
    let check = "http_heartbeat \"/health\" status=\"200-299\" body=\"~state=(ready|busy)\" host=\"check.test\"";
    // As the local asks them.
    let proxy = asking(&peer, check, "http_proxy version=\"2\"").start();
    await_well(&proxy);
    assert_eq!(once(&proxy, get("/")).text(), "served");
    says.set(503, b"state=ready", None);
    await_failure(&proxy, "status 503, not 200-299");
    says.set(200, b"state=broken", None);
    await_failure(&proxy, "the body does not match state=(ready|busy)");
    says.set(204, b"", None);
    await_failure(&proxy, "the body does not match state=(ready|busy)");
    says.set(200, b"state=busy", None);
    await_well(&proxy);
    assert_eq!(once(&proxy, get("/")).text(), "served");
    // Each check's connection ends with it, and those of requests stay.
    let connections = peer.accepted();
    eventually("more were made", || (peer.accepted() > connections + 3).then_some(()));
    eventually("none of them stays", || (peer.open() <= 2).then_some(()));
}

#[test]
fn a_pool_says_the_version_itself() {
    let says = Says::default();
    says.set(200, b"", None);
    let of = says.clone();
    let peer = Peer::start(move |call: Call| {
        let of = of.clone();
        async move { of.tell(call.respond).await }
    });
    let pool = |version: &str| {
        format!(
            "load_module \"tcp\" \"http\"\ncommon {{ worker_threads 1; }}\nupstream \"o\" {{ {OFTEN}; http_heartbeat {version}; \
             proxy_pass_tcp \"{}\"; }}\nnet {{ server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\nlocal {{ http_proxy version=\"2\"; \
             proxy_pass_upstream \"o\"; }}\n}} }}\n",
            peer.addr()
        )
    };
    let proxy = Proxy::start(&pool("version=\"2\""));
    await_well(&proxy);
    proxy.reload_with(&pool("version=\"1.1\"")).assert(0, &[]);
    eventually("HTTP/1 is not understood", || (entry(&proxy)["condition"] == "down").then_some(()));
}

#[test]
fn a_peer_that_speaks_only_http1_is_not_well() {
    let origin = crate::support::Scripted::new("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", true);
    let proxy = server(&format!(
        "local {{ proxy_pass_tcp \"{}\" {{ {OFTEN}; http_heartbeat version=\"2\"; }}; }}",
        origin.addr()
    ))
    .start();
    await_failure(&proxy, "no answer by HTTP/2");
    eventually("several fail", || (entry(&proxy)["checks_failed"].as_u64() > Some(3)).then_some(()));
    assert!(!proxy.log().contains("FRAME_SIZE_ERROR"), "each check: {}", proxy.log());
}

#[test]
fn the_health_service_of_grpc_says_it() {
    let says = Says::default();
    const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
    says.set(200, SERVING, Some("0"));
    let of = says.clone();
    let peer = Peer::start(move |mut call: Call| {
        let of = of.clone();
        async move {
            let request = &call.request;
            assert_eq!((request.method().as_str(), request.uri().path()), ("POST", "/grpc.health.v1.Health/Check"));
            assert_eq!(request.headers()["content-type"], "application/grpc");
            assert_eq!(request.headers()["te"], "trailers");
            let (body, _) = read_all(call.request.body_mut()).await.expect("a body");
            assert_eq!(body, b"\0\0\0\0\x06\x0a\x04shop");
            of.tell(call.respond).await;
        }
    });
    let proxy = asking(&peer, "http_grpc_heartbeat \"shop\"", "http_proxy version=\"2\"").start();
    await_well(&proxy);
    for (status, body, code, why) in [
        (200, &[0, 0, 0, 0, 2, 8, 2][..], Some("0"), "NOT_SERVING"),
        (200, &[0, 0, 0, 0, 0], Some("0"), "UNKNOWN"),
        (200, b"", Some("5"), "grpc-status 5"),
        (200, SERVING, None, "no grpc-status"),
        (200, b"\0\0\0\0\x09", Some("0"), "a malformed message"),
        (502, b"", None, "status 502, not 200"),
    ] {
        says.set(status, body, code);
        await_failure(&proxy, why);
    }
    says.set(200, SERVING, Some("0"));
    await_well(&proxy);
    let both = asking(&peer, "http_grpc_heartbeat; http_heartbeat", "http_proxy version=\"2\"").check();
    both.assert(1, &["http_grpc_heartbeat"]);
}
