//! Bodies that stand still, and peers that say nothing: how long is a local's own to say, and 0 is for ever.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use harness::{LIMIT, Origin, Proxy, client, eventually};
use http::Response;
use tokio::sync::watch;

use crate::h2::*;
use crate::support::{chunks, get as get1, head, server};

/// All but `/patient` and what is below is cut short soon.
fn before(directive: &str, version: &str, peer: std::net::SocketAddr) -> Proxy {
    let to = format!("http_proxy version=\"{version}\"; proxy_pass_tcp \"{peer}\"");
    server(&format!(
        "{directive} \"300ms\"\nlocal {{ rule \"${{path}}\" prefix=\"/patient\"; {directive} 0; {to}; }}\nlocal {{ {to}; }}"
    ))
    .start()
}

/// A peer of HTTP/2 that says a word, and the rest once it is told. `late`: not even the head before.
fn slow_peer(go: &Arc<watch::Sender<bool>>, late: bool) -> Peer {
    let go = Arc::clone(go);
    Peer::start(move |mut call: Call| {
        let go = Arc::clone(&go);
        async move {
            let mut told = go.subscribe();
            if late {
                let _ = told.wait_for(|go| *go).await;
                return call.answer(b"one, two").await;
            }
            let ok = Response::builder().body(()).expect("a head");
            let Ok(mut out) = call.respond.send_response(ok, false) else { return };
            let _ = out.send_data(Bytes::from_static(b"one, "), false);
            let _ = told.wait_for(|go| *go).await;
            let _ = out.send_data(Bytes::from_static(b"two"), true);
        }
    })
}

/// The same of HTTP/1.
fn slow_origin(go: &Arc<watch::Sender<bool>>) -> Origin {
    let go = Arc::clone(go);
    Origin::start(move |mut conn| {
        if head(&mut conn).is_some() {
            conn.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\none, \r\n")?;
            eventually("it is told", || go.borrow().then_some(()));
            conn.write_all(b"3\r\ntwo\r\n0\r\n\r\n")?;
        }
        Ok(())
    })
}

/// Streams that begin together: one is cut, and the other, as silent, is not.
fn patience_outlives_the_limit(proxy: &Proxy, go: &watch::Sender<bool>) {
    let mut patient = client::connect(proxy.addr(0));
    patient.write_all(get1("/patient").as_bytes()).expect("write");
    assert!(head(&mut patient).expect("a head").starts_with("HTTP/1.1 200 "));
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        // Its own body is open as well, as in a call of gRPC in both directions.
        let (patient, mut up) = client.begin(post("/patient/2"), false).await.expect("a stream");
        up.send_data(Bytes::from_static(b"half"), false).expect("open");
        let (cut, _up) = client.begin(get("/cut"), true).await.expect("a stream");
        let cut = cut.await.expect("a head");
        assert!(receive(cut).await.expect_err("it is cut").is_reset());
        go.send_replace(true);
        up.send_data(Bytes::new(), true).expect("open");
        let patient = receive(patient.await.expect("a head")).await.expect("an answer");
        assert_eq!(patient.text(), "one, two");
    });
    assert_eq!(chunks(&mut patient), b"one, two");
    proxy.await_line("access.log", "path=/cut", LIMIT);
    let log = proxy.read("access.log");
    assert_eq!(log.matches("reason=upstream_transfer_timeout").count(), 1, "{log}");
}

#[test]
fn a_silent_answer_of_http2_lasts_as_long_as_its_local_says() {
    let go = Arc::new(watch::Sender::new(false));
    let peer = slow_peer(&go, false);
    patience_outlives_the_limit(&before("http_body_timeout", "2", peer.addr()), &go);
}

#[test]
fn and_one_of_http1() {
    let go = Arc::new(watch::Sender::new(false));
    let origin = slow_origin(&go);
    patience_outlives_the_limit(&before("http_body_timeout", "1.1", origin.addr()), &go);
}

#[test]
fn a_client_that_stands_still_too() {
    let peer = Peer::start(crate::http2_peers::echo);
    let proxy = before("http_body_timeout", "2", peer.addr());
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let (patient, mut up) = client.begin(post("/patient"), false).await.expect("a stream");
        let (cut, mut cut_up) = client.begin(post("/cut"), false).await.expect("a stream");
        up.send_data(Bytes::from_static(b"one, "), false).expect("open");
        cut_up.send_data(Bytes::from_static(b"half"), false).expect("open");
        let cut = async { receive(cut.await?).await };
        assert!(cut.await.expect_err("it is cut").is_reset());
        up.send_data(Bytes::from_static(b"two"), true).expect("open");
        assert_eq!(receive(patient.await.expect("a head")).await.expect("an answer").text(), "one, two");
    });
}

#[test]
fn a_peer_may_take_its_time_for_the_head_as_well() {
    let go = Arc::new(watch::Sender::new(false));
    let peer = slow_peer(&go, true);
    let proxy = before("http_first_byte_timeout", "2", peer.addr());
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let (patient, _up) = client.begin(get("/patient"), true).await.expect("a stream");
        assert_eq!(client.get("/cut").await.expect("an answer").status, 504);
        go.send_replace(true);
        assert_eq!(receive(patient.await.expect("a head")).await.expect("an answer").text(), "one, two");
    });
}
