//! Requests of a module's own to an upstream that its directive names, by `tests/third-party/http-auth`: whether a request is
//! let in is asked of a service that is no peer of the local's.

use std::path::Path;

use harness::{Proxy, client};

use crate::h2::Peer;
use crate::others::{module, shipped};
use crate::support::{OK, Scripted, ask, get, once};

fn config(auth: &Path, upstreams: &str, server: &str) -> String {
    let http = shipped("http");
    format!(
        "load_module \"tcp\" \"balancer\" {:?} {:?}\ncommon {{ worker_threads 1; }}\n{upstreams}\nnet {{\n\
         access_log \"access.log\" flush=0 format=\"up=${{upstream_addr}} of=${{upstream_name}} connect=${{upstream_connect_time}}\"\n\
         server {{\nport_listen_tcp \"127.0.0.1:0\"\n{server}\n}} }}\n",
        http.display().to_string(),
        auth.display().to_string(),
    )
}

fn service(to: impl std::fmt::Display) -> String {
    format!("upstream \"accounts\" {{ proxy_pass_tcp \"{to}\"; }}")
}

fn guarded(auth: &Path, service: &str, more: &str, origin: &Scripted) -> String {
    let local = format!("http\nlocal {{ http_auth \"accounts\" {more}; proxy_pass_tcp \"{}\"; }}", origin.addr());
    config(auth, service, &format!("http_request_header \"set\" \"X-Secret\" \"of the origin\"\n{local}"))
}

const USER: &[u8] = b"HTTP/1.1 204 No Content\r\nX-User: ada\r\n\r\n";
const ONCE: &[u8] = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
const WHO: &[u8] = b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nContent-Length: 2\r\n\r\nno";

#[test]
fn a_request_is_let_in_as_another_upstream_says() {
    let Some(auth) = module("http_auth") else { return };
    let (origin, accounts) = (Scripted::new(OK, false), Scripted::new(USER, false));
    let proxy = Proxy::start(&guarded(&auth, &service(accounts.addr()), "path=\"/verify\"", &origin));
    let mut stream = client::connect(proxy.addr(0));
    let request = "POST /a?b=c HTTP/1.1\r\nHost: a.test\r\nAuthorization: Bearer x\r\nX-User: eve\r\nContent-Length: 3\r\n\r\nabc";
    for _ in 0..2 {
        let a = ask(&mut stream, request);
        assert_eq!((a.status, a.text().as_str()), (200, "ok"));
    }
    let (asked, seen) = (accounts.seen(), origin.seen());
    assert_eq!((asked.len(), seen.len()), (2, 2));
    let (head, body) = &asked[0];
    assert!(head.starts_with("GET /verify HTTP/1.1\r\n") && body.is_empty(), "{head}");
    assert!(head.contains("X-Asked: /a?b=c\r\n") && head.contains("Authorization: Bearer x\r\n"), "{head}");
    // Rules for the local's peers are not for the service.
    assert!(!head.contains("X-Secret"), "{head}");
    let (head, body) = &seen[0];
    assert!(head.contains("X-User: ada\r\n") && !head.contains("eve") && head.contains("X-Secret"), "{head}");
    assert_eq!(body, b"abc");
    // The peer that the log names is the local's.
    proxy.await_line("access.log", &format!("up={}", origin.addr()), std::time::Duration::from_secs(10));
    // Both have their books: two uses of each, which are over, over one connection.
    let status = proxy.status();
    for asked in [&accounts, &origin] {
        let peers = status["upstreams"].as_array().into_iter().flatten().flat_map(|u| u["peers"].as_array()).flatten();
        let uses: Vec<_> = peers
            .filter(|peer| peer["address"] == asked.addr().to_string())
            .map(|peer| ["picked", "in_flight", "connect_failures", "failures"].map(|of| peer[of].as_u64()))
            .collect();
        assert_eq!(uses, [[2, 0, 0, 0].map(Some)], "{status}");
        assert_eq!(asked.origin.accepted(), 1);
    }
}

#[test]
fn the_log_has_no_connect_time_of_the_service() {
    let Some(auth) = module("http_auth") else { return };
    // The service is connected for each request, the origin once.
    let (origin, accounts) = (Scripted::new(OK, false), Scripted::new(ONCE, true));
    let proxy = Proxy::start(&guarded(&auth, &service(accounts.addr()), "", &origin));
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, get("/")).text(), "ok");
    assert_eq!(ask(&mut stream, get("/")).text(), "ok");
    proxy.await_line("access.log", "connect=0.", harness::LIMIT);
    proxy.await_line("access.log", "connect=-", harness::LIMIT);
    assert_eq!(accounts.origin.accepted(), 2);
}

#[test]
fn what_the_service_denies_reaches_no_peer() {
    let Some(auth) = module("http_auth") else { return };
    let (origin, accounts) = (Scripted::new(OK, false), Scripted::new(WHO, false));
    let proxy = Proxy::start(&guarded(&auth, &service(accounts.addr()), "", &origin));
    let a = once(&proxy, get("/"));
    assert_eq!((a.status, a.header("www-authenticate")), (401, Some("Bearer")));
    // One that is not there lets nobody in either.
    let gone = service(format_args!("127.0.0.1:{}", client::free_port()));
    proxy.reload_with(&guarded(&auth, &gone, "", &origin)).assert(0, &[]);
    assert_eq!(once(&proxy, get("/")).status, 500);
    assert!(origin.seen().is_empty());
}

#[test]
fn a_service_is_asked_by_http2_where_the_module_says_so() {
    let Some(auth) = module("http_auth") else { return };
    let origin = Scripted::new(OK, false);
    let accounts = Peer::start(|call| call.answer(b"yes"));
    let proxy = Proxy::start(&guarded(&auth, &service(accounts.addr()), "version=\"2\"", &origin));
    assert_eq!(once(&proxy, get("/")).text(), "ok");
    assert_eq!((accounts.requests(), origin.seen().len()), (1, 1));
}

#[test]
fn an_upstream_that_is_not_there_is_a_mistake_with_its_place() {
    let Some(auth) = module("http_auth") else { return };
    let (origin, accounts) = (Scripted::new(OK, false), Scripted::new(USER, false));
    let good = guarded(&auth, &service(accounts.addr()), "", &origin);
    let proxy = Proxy::start(&good);
    let wrong = good.replace("http_auth \"accounts\"", "http_auth \"acounts\"");
    let place = wrong.lines().position(|l| l.contains("http_auth \"")).expect("it is there") + 1;
    proxy
        .reload_with(&wrong)
        .assert(1, &["there is no upstream \"acounts\"", "did you mean \"accounts\"", &format!(":{place}:")]);
    assert_eq!(once(&proxy, get("/")).text(), "ok");
}

#[test]
fn a_module_of_layer_4_connects_to_the_upstream_that_it_names() {
    let Some(auth) = module("http_auth") else { return };
    let accounts = Scripted::new(OK, false);
    let proxy = Proxy::start(&config(&auth, &service(accounts.addr()), "local { relay_to \"accounts\"; }"));
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, get("/")).text(), "ok");
    drop(stream);
    // Its local has no peers of its own, so the log names this one.
    proxy.await_line("access.log", &format!("up={}", accounts.addr()), std::time::Duration::from_secs(10));
}
