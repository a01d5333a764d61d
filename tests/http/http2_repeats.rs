//! What of a request that a peer of HTTP/2 has not answered is repeated: as with HTTP/1, no more than is safe.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use harness::{Origin, Proxy, client};
use std::io::Write;

use crate::h2::*;
use crate::http2_peers::before;
use crate::support::{get, head, once};

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

/// A peer by hand, and how often it was asked.
struct Asked {
    origin: Origin,
    times: Arc<AtomicU64>,
}

impl Asked {
    /// `answer` gets the connection, the stream, and how many requests have come, this one included. False: the connection
    /// ends.
    fn new(answer: impl Fn(&mut Raw, u32, u64) -> bool + Send + Sync + 'static) -> Self {
        let times = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&times);
        let origin = by_hand(move |raw| {
            raw.send(SETTINGS, 0, 0, b"");
            while let Some(frame) = raw.frame() {
                match frame.kind {
                    SETTINGS if frame.flags & ACK == 0 => raw.send(SETTINGS, ACK, 0, b""),
                    HEADERS if !answer(raw, frame.stream, count.fetch_add(1, Relaxed) + 1) => return,
                    _ => {}
                }
            }
        });
        Self { origin, times }
    }

    /// So many requests came since.
    fn taken(&self) -> u64 {
        self.times.swap(0, Relaxed)
    }
}

/// 200 without content: an entry of HPACK's table.
fn ok(raw: &mut Raw, stream: u32) -> bool {
    raw.send(HEADERS, END_HEADERS | END_STREAM, stream, &[0x88]);
    true
}

fn reset(raw: &mut Raw, stream: u32, code: u32) -> bool {
    raw.send(RST_STREAM, 0, stream, &code.to_be_bytes());
    true
}

const INTERNAL_ERROR: u32 = 2;
const REFUSED: u32 = 7;

#[test]
fn nothing_is_repeated_once_something_of_an_answer_went_to_the_client() {
    for (code, more) in
        [INTERNAL_ERROR, REFUSED].into_iter().flat_map(|code| [(code, ""), (code, "http_retry \"reset\" tries=3")])
    {
        let peer = Asked::new(move |raw, stream, _| {
            raw.send(HEADERS, END_HEADERS, stream, b"\x08\x03103");
            reset(raw, stream, code)
        });
        let proxy = before(peer.origin.addr(), more);
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(get("/").as_bytes()).expect("write");
        for status in ["103", "502"] {
            let head = head(&mut stream).expect("a head");
            assert_eq!(head.split(' ').nth(1), Some(status), "{head}");
        }
        assert_eq!(peer.taken(), 1, "{code} {more}");
    }
}

#[test]
fn what_a_peer_may_have_begun_is_repeated_where_the_block_says_so_and_nothing_that_is_malformed() {
    type Answer = fn(&mut Raw, u32) -> bool;
    let answers: [(&str, Answer, u64); 5] = [
        ("a reset", |raw, stream| reset(raw, stream, INTERNAL_ERROR), 3),
        ("the end of a new connection", |_, _| false, 3),
        (
            "a head without a status",
            |raw, stream| {
                raw.send(HEADERS, END_HEADERS | END_STREAM, stream, b"");
                true
            },
            1,
        ),
        (
            "DATA before a head",
            |raw, stream| {
                raw.send(DATA, END_STREAM, stream, b"x");
                true
            },
            1,
        ),
        ("a flood", |raw, _| raw.try_write(&frame(PING, 0, 0, &[0; 8]).repeat(20_000)), 1),
    ];
    for (what, answer, with_retry) in answers {
        let peer = Asked::new(move |raw, stream, _| answer(raw, stream));
        for (more, times) in [("", 1), ("http_retry \"reset\" tries=3", with_retry)] {
            let proxy = before(peer.origin.addr(), more);
            assert_eq!(once(&proxy, get("/")).status, 502, "{what}");
            assert_eq!(peer.taken(), times, "{what} {more}");
        }
    }
}

#[test]
fn a_kept_connection_that_ends_under_a_request_is_replaced_once() {
    let peer = Asked::new(|raw, stream, nth| nth != 2 && ok(raw, stream));
    let proxy = before(peer.origin.addr(), "");
    assert_eq!(once(&proxy, get("/")).status, 200);
    assert_eq!(once(&proxy, get("/")).status, 200);
    assert_eq!(peer.taken(), 3);
    // What has an effect each time is not.
    assert_eq!(once(&proxy, get("/")).status, 200);
    assert_eq!(once(&proxy, POST).status, 502);
    assert_eq!(peer.taken(), 2);
    // Nor is it done again.
    let peer = Asked::new(|raw, stream, nth| nth == 1 && ok(raw, stream));
    let proxy = before(peer.origin.addr(), "");
    assert_eq!(once(&proxy, get("/")).status, 200);
    assert_eq!(once(&proxy, get("/")).status, 502);
    assert_eq!(peer.taken(), 3);
}

#[test]
fn what_was_refused_is_asked_for_three_times_or_as_often_as_the_block_says() {
    let refuses = Asked::new(|raw, stream, _| reset(raw, stream, REFUSED));
    let leaves = Asked::new(|raw, _, _| {
        raw.send(GOAWAY, 0, 0, &[0; 8]);
        true
    });
    for (more, times) in [("", 3), ("http_retry \"reset\" tries=3", 3), ("http_retry \"reset\" tries=5", 5)] {
        let proxy = before(refuses.origin.addr(), more);
        assert_eq!(once(&proxy, POST).status, 502);
        assert_eq!(refuses.taken(), times, "{more}");
        // That counts as no try, twice.
        let proxy = before(leaves.origin.addr(), more);
        assert_eq!(once(&proxy, POST).status, 502);
        assert_eq!(leaves.taken(), if more.is_empty() { 3 } else { times + 2 }, "{more}");
    }
}

#[test]
fn a_peer_that_takes_nothing_has_failed_and_another_one_is_asked_where_the_block_says_so() {
    let serves = Asked::new(|raw, stream, _| ok(raw, stream));
    let leaves = Asked::new(|raw, _, _| raw.try_write(&frame(GOAWAY, 0, 0, &[0; 8])));
    for (more, status, times) in [("", 502, [3, 0]), ("http_retry \"reset\" tries=5", 200, [3, 1])] {
        let proxy = Proxy::start(&format!(
            "load_module \"tcp\" \"balancer\" \"http\"\ncommon {{ worker_threads 1; }}\n\
             upstream \"u\" {{ proxy_pass_tcp \"{}\"; proxy_pass_tcp \"{}\" backup=#true; }}\n\
             net {{ server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n{more}\n\
             local {{ http_proxy version=\"2\"; proxy_pass_upstream \"u\"; }}\n}} }}\n",
            leaves.origin.addr(),
            serves.origin.addr()
        ));
        assert_eq!(once(&proxy, POST).status, status, "{more}");
        assert_eq!([leaves.taken(), serves.taken()], times, "{more}");
        // What ends the connections of others is no failure; what ends one that was made for the request is.
        assert_eq!(proxy.status()["upstreams"][0]["peers"][0]["failures"], 1, "{more}");
    }
}
