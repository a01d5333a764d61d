//! What the streams of one client's connection do to each other, and what they leave behind.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use harness::{Origin, Proxy, TempDir, client, eventually, pattern};

use crate::h2::*;
use crate::support::{OK, at_rest, head, proxy_to, server};

/// Answers with a pattern as fast as it can, as long as the path says: `/1000`.
fn source() -> Origin {
    Origin::start(|mut conn| {
        while let Some(head) = head(&mut conn) {
            let length: u64 = head.split([' ', '/']).find_map(|t| t.parse().ok()).expect("a length");
            conn.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes())?;
            let piece = vec![b'x'; 1 << 16];
            let mut left = length;
            while left > 0 {
                let n = left.min(1 << 16);
                conn.write_all(&piece[..n as usize])?;
                left -= n;
            }
        }
        Ok(())
    })
}

#[test]
fn a_stream_that_is_not_read_holds_up_neither_memory_nor_others() {
    let origin = source();
    let proxy = proxy_to(origin.addr(), "");
    run(async {
        let mut narrow = wide();
        narrow.initial_window_size(65_535);
        let client = Client::open_with(proxy.addr(0), &narrow).await;
        client.get("/10").await.expect("an answer");
        let before = proxy.resident();
        let (response, _up) = client.begin(get("/300000000"), true).await.expect("a stream");
        let held = response.await.expect("a head");
        for _ in 0..50 {
            assert_eq!(client.get("/100000").await.expect("an answer").body.len(), 100_000);
        }
        let grown = proxy.resident().saturating_sub(before);
        assert!(grown < 12 << 20, "{} KiB more", grown >> 10);
        drop(held);
        assert_eq!(client.get("/10").await.expect("an answer").body.len(), 10);
    });
}

/// A client whose windows never close: what holds somebody up is the connection itself.
fn boundless(proxy: &Proxy) -> Raw {
    let mut raw = Raw { stream: client::connect(proxy.addr(0)) };
    raw.write(PREFACE);
    raw.send(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
    raw.send(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes());
    raw
}

#[test]
fn a_large_answer_does_not_hold_up_small_ones() {
    let origin = source();
    let proxy = proxy_to(origin.addr(), "");
    let mut raw = boundless(&proxy);
    raw.get(1, "/200000000");
    raw.until("data", |f| f.kind == DATA);
    for n in 1..=10 {
        raw.get(1 + 2 * n, "/500000");
    }
    let (mut done, mut large) = (0, 0);
    while done < 10 {
        let f = raw.until("data", |f| f.kind == DATA);
        if f.stream == 1 {
            large += f.payload.len();
            assert_eq!(f.flags & END_STREAM, 0, "{done} of the small ones were done");
        } else if f.flags & END_STREAM != 0 {
            done += 1;
        }
    }
    println!("{large} bytes of the large one came first");
    assert!(large < 30_000_000, "{large} bytes of the large one came first");
}

#[test]
fn a_client_that_reads_nothing_at_all_does_not_fill_memory() {
    let origin = source();
    let proxy = proxy_to(origin.addr(), "");
    let mut raw = boundless(&proxy);
    let before = proxy.resident();
    for n in 0..50 {
        raw.get(1 + 2 * n, "/10000000");
    }
    origin.await_accepted(50);
    at_rest(|| origin.sent());
    let grown = proxy.resident().saturating_sub(before);
    assert!(grown < 24 << 20, "{} KiB more", grown >> 10);
}

#[test]
fn a_stream_that_is_reset_gives_up_its_peer_and_leaves_nothing() {
    let asked = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&asked);
    let origin = Origin::start(move |mut conn| {
        while let Some(head) = head(&mut conn) {
            if head.starts_with("GET /slow ") {
                told.store(true, Relaxed);
                let mut byte = [0];
                while conn.read(&mut byte)? > 0 {}
                return Ok(());
            }
            conn.write_all(OK)?;
        }
        Ok(())
    });
    let proxy = proxy_to(origin.addr(), "");
    let mut raw = Raw::open(proxy.addr(0));
    raw.get(1, "/");
    raw.until("an answer", |f| f.kind == DATA && f.flags & END_STREAM != 0);
    let sessions = || proxy.status()["process"]["sessions"].as_u64().expect("a number");
    let before = sessions();
    for n in 1..20 {
        asked.store(false, Relaxed);
        let id = 1 + 2 * n;
        raw.get(id, "/slow");
        eventually("the peer has it", || asked.load(Relaxed).then_some(()));
        raw.send(RST_STREAM, 0, id, &8_u32.to_be_bytes());
    }
    eventually("the peer is left alone", || (origin.open() <= 1).then_some(()));
    eventually("no session is left of them", || (sessions() == before).then_some(()));
    eventually("their lines in the log", || {
        let log = proxy.read("access.log");
        (log.lines().filter(|l| l.contains("path=/slow") && l.contains("reason=client_transfer_reset")).count() == 19)
            .then_some(())
    });
    raw.get(101, "/");
    raw.until("an answer", |f| f.kind == DATA && f.flags & END_STREAM != 0);
    // Nor of those whose connection ends.
    raw.get(103, "/slow");
    drop(raw);
    eventually("no session is left", || (sessions() == 0).then_some(()));
    eventually("the peer is left alone", || (origin.open() <= 1).then_some(()));
}

#[test]
fn idle_connections_hold_little() {
    let dir = TempDir::new();
    dir.write("html/file", pattern::bytes(256 << 10));
    let proxy = server(&format!("local {{ http_static \"{}\"; }}", dir.join("html").display())).start();
    let ask = |raw: &mut Raw| {
        raw.send(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]);
        raw.send(WINDOW_UPDATE, 0, 0, &0x7000_0000_u32.to_be_bytes());
        raw.get(1, "/file");
        raw.until("the end", |f| f.kind == DATA && f.flags & END_STREAM != 0);
    };
    let open = || {
        let mut raw = Raw::open(proxy.addr(0));
        ask(&mut raw);
        raw
    };
    let mut all: Vec<Raw> = (0..5).map(|_| open()).collect();
    let before = proxy.resident();
    all.extend((0..200).map(|_| open()));
    let each = proxy.resident().saturating_sub(before) / 200;
    assert!(each < 48 << 10, "{} KiB each", each >> 10);
}
