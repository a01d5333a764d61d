//! Requests that peers of HTTP/2 have not begun with (RFC 9113 section 8.7): another connection carries them, whatever their
//! method is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use h2::Reason;
use harness::{Nginx, Proxy, client, skip};

use crate::h2::*;
use crate::http2_peers::before;
use crate::support::{ask, get as get1};

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";

/// So many POSTs at once, each of which gets its answer.
fn all_at_once(proxy: &Proxy, n: usize) {
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let asks = (0..n).map(|_| client.ask(post("/"), b"body")).collect();
        let statuses = join(asks).await.into_iter().map(|answer| answer.expect("an answer").status);
        let bad: Vec<u16> = statuses.filter(|status| *status != 200).collect();
        assert!(bad.is_empty(), "{} of {n}: {bad:?}", bad.len());
    });
}

/// Allows five streams at once and takes two of a connection: the others are behind its GOAWAY.
fn takes_two(raw: &mut Raw) {
    raw.send(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 5]);
    while let Some(frame) = raw.frame() {
        match (frame.kind, frame.stream) {
            (SETTINGS, _) if frame.flags & ACK == 0 => raw.send(SETTINGS, ACK, 0, b""),
            (HEADERS, stream @ (1 | 3)) => {
                if stream == 3 {
                    raw.send(GOAWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0]);
                }
                // :status 200, by its index.
                raw.send(HEADERS, END_HEADERS | END_STREAM, stream, &[0x88]);
            }
            _ => {}
        }
    }
}

#[test]
fn a_peer_that_takes_few_requests_of_a_connection_serves_all() {
    let peer = by_hand(takes_two);
    for retry in ["", "http_retry \"reset\" \"connect\" tries=5"] {
        let proxy = before(peer.addr(), &format!("http2_streams 200\n{retry}"));
        all_at_once(&proxy, 100);
    }
}

#[test]
fn so_does_nginx() {
    let few = "http2_max_concurrent_streams 5; keepalive_requests 11; location / { return 200 ok; }";
    let Some(nginx) = Nginx::start_http2(few) else { return skip("nginx is not installed") };
    for retry in ["", "http_retry \"reset\" \"connect\" tries=5"] {
        let proxy = before(nginx.addr(), &format!("http2_streams 200\n{retry}"));
        for _ in 0..10 {
            all_at_once(&proxy, 200);
        }
    }
}

#[test]
fn what_is_refused_is_repeated_as_often_as_the_block_says_whatever_its_method_is() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let peer = Peer::start(move |mut call: Call| {
        let nth = count.fetch_add(1, Relaxed) + 1;
        async move {
            match nth % 4 {
                0 => call.answer(b"ok").await,
                _ => call.respond.send_reset(Reason::REFUSED_STREAM),
            }
        }
    });
    let proxy = before(peer.addr(), "http_retry \"reset\" tries=5");
    let mut stream = client::connect(proxy.addr(0));
    for request in [get1("/"), POST.to_owned()] {
        assert_eq!(ask(&mut stream, &request).text(), "ok", "{request}");
    }
    assert_eq!(asked.load(Relaxed), 8);
    // By default it is asked three times, the last one on a connection of the request's own.
    let proxy = before(peer.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, POST).status, 502);
    assert_eq!((asked.load(Relaxed), peer.accepted()), (11, 3));
}
