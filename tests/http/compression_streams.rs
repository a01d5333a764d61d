//! Answers that are compressed while they come: what is seen of them, who waits for whom, what they cost.

use std::io::{Read, Write};
use std::sync::mpsc;

use harness::{Origin, client, pattern};

use crate::compression::{CODINGS, answering, coding, compressing, taking, text, undone};
use crate::support::{Scripted, ask, get, head, server};

#[test]
fn what_a_peer_sent_before_a_pause_is_visible() {
    for coding in ["gzip", "zstd"] {
        let (go_on, waits) = mpsc::channel::<()>();
        let waits = std::sync::Mutex::new(waits);
        let origin = Origin::start(move |mut conn| {
            let _ = head(&mut conn);
            conn.write_all(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            )?;
            for n in 0..5 {
                conn.write_all(format!("9\r\nevent {n}\n\n\r\n").as_bytes())?;
                // Not before the client has seen it.
                let _ = waits.lock().expect("not poisoned").recv();
            }
            conn.write_all(b"0\r\n\r\n")
        });
        let proxy = compressing(origin.addr(), "");
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(taking("/", coding).as_bytes()).expect("write");
        let got = head(&mut stream).expect("a head");
        assert!(got.contains(&format!("Content-Encoding: {coding}\r\n")), "{got}");
        let mut seen = Partly::new();
        let mut whole = Vec::new();
        for n in 0..5 {
            while !seen.out.ends_with(format!("event {n}\n\n").as_bytes()) {
                let chunk = one_chunk(&mut stream);
                assert!(!chunk.is_empty(), "the end came before event {n}");
                seen.more(coding, &chunk);
                whole.extend_from_slice(&chunk);
            }
            go_on.send(()).expect("the peer waits");
        }
        whole.extend_from_slice(&crate::support::chunks(&mut stream));
        assert_eq!(undone(coding, &whole), b"event 0\n\nevent 1\n\nevent 2\n\nevent 3\n\nevent 4\n\n");
    }
}

#[test]
fn what_a_peer_says_behind_its_answer_comes_behind_the_compressed_one() {
    let body = String::from_utf8(text(5000)).expect("text");
    let origin = Scripted::new(
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n{body}\r\n0\r\n\
             X-T: 1\r\ncontent-digest: md5=:x:\r\nETag: \"a\"\r\nX-U: 2\r\n\r\n"
        ),
        false,
    );
    let proxy = compressing(origin.addr(), "");
    for coding in CODINGS {
        let mut stream = client::connect(proxy.addr(0));
        let request = taking("/", coding).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("write");
        let all = client::read_to_end(&stream);
        // Not what is said of the bytes that were.
        assert!(all.ends_with(b"\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n"), "{coding}: {}", String::from_utf8_lossy(&all));
    }
}

/// As much as can be undone of the beginning of a stream.
struct Partly {
    gzip: flate2::Decompress,
    zstd: zstd_safe::DCtx<'static>,
    out: Vec<u8>,
}

impl Partly {
    fn new() -> Self {
        let zstd = zstd_safe::DCtx::create();
        Self { gzip: flate2::Decompress::new_gzip(15), zstd, out: Vec::with_capacity(1 << 20) }
    }

    fn more(&mut self, coding: &str, bytes: &[u8]) {
        if coding == "gzip" {
            self.gzip.decompress_vec(bytes, &mut self.out, flate2::FlushDecompress::Sync).expect("gzip");
            return;
        }
        let mut input = zstd_safe::InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            let at = self.out.len();
            let mut out = zstd_safe::OutBuffer::around_pos(&mut self.out, at);
            self.zstd.decompress_stream(&mut out, &mut input).expect("zstd");
        }
    }
}

/// The next chunk of a chunked body.
fn one_chunk(stream: &mut impl Read) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a size");
        line.push(byte[0]);
    }
    let size = String::from_utf8(line).ok().and_then(|l| usize::from_str_radix(l.trim(), 16).ok()).expect("a size");
    let mut chunk = vec![0; size + 2];
    stream.read_exact(&mut chunk).expect("a chunk");
    chunk.truncate(size);
    chunk
}

#[test]
fn an_answer_that_breaks_off_does_not_look_whole() {
    let origin = Origin::start(|mut conn| {
        let _ = head(&mut conn);
        conn.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n")?;
        conn.write_all(&text(50_000))
    });
    let proxy = compressing(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(taking("/", "gzip").as_bytes()).expect("write");
    let got = client::read_to_end(&stream);
    assert!(got.starts_with(b"HTTP/1.1 200 ") && !got.ends_with(b"\r\n0\r\n\r\n"), "{} bytes", got.len());
}

#[test]
fn a_slow_reader_holds_the_peer_back() {
    const PIECES: usize = 1000;
    let piece = pattern::bytes(64 << 10);
    let origin = Origin::start(move |mut conn| {
        let _ = head(&mut conn);
        conn.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")?;
        (0..PIECES).try_for_each(|_| conn.write_all(&piece))
    });
    let proxy = compressing(origin.addr(), "level=1");
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(taking("/", "gzip").as_bytes()).expect("write");
    assert!(head(&mut stream).is_some());
    // The peer stands still once buffers are full: what was sent does not grow over many looks.
    let (mut before, mut same) = (0, 0);
    let sent = harness::eventually("the peer is held back", || {
        let now = origin.sent();
        same = if now == before && now > 0 { same + 1 } else { 0 };
        before = now;
        (same == 30).then_some(now)
    });
    assert!(sent < 32 << 20, "{sent}");
    assert!(proxy.resident() < 128 << 20, "{}", proxy.resident());
    let whole = undone("gzip", &crate::support::chunks(&mut stream));
    assert_eq!(whole.len(), PIECES << 16);
    assert!(whole.chunks(64 << 10).all(|c| c == &pattern::bytes(64 << 10)[..]));
}

#[test]
fn a_transfer_between_fast_ends_leaves_the_worker_to_others() {
    for more in ["", "http_compress \"gzip\""] {
        let origin = Origin::start(|mut conn| {
            let _ = head(&mut conn);
            conn.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")?;
            let piece = vec![b'x'; 1 << 20];
            // Until somebody closes.
            loop {
                conn.write_all(&piece)?;
            }
        });
        let locals = format!(
            "local {{ rule \"${{path}}\" text=\"/other\"; http_echo body=\"other\"; }}\nlocal {{ proxy_pass_tcp \"{}\"; }}",
            origin.addr()
        );
        let proxy = server(&format!("{more}\n{locals}")).start();
        let mut fast = client::connect(proxy.addr(0));
        fast.write_all(taking("/", "gzip").as_bytes()).expect("write");
        assert!(head(&mut fast).is_some());
        let reading = fast.try_clone().expect("a second handle");
        std::thread::scope(|scope| {
            scope.spawn(move || std::io::copy(&mut &reading, &mut std::io::sink()));
            let mut stream = client::connect(proxy.addr(0));
            for _ in 0..20 {
                assert_eq!(ask(&mut stream, get("/other")).text(), "other", "{more}");
            }
            // Counted in work, not in time: about 10 MiB pass meanwhile, and 800 did before anybody else had a turn.
            assert!(origin.sent() < 256 << 20, "{more}: {} MiB", origin.sent() >> 20);
            fast.shutdown(std::net::Shutdown::Both).expect("it is open");
        });
    }
}

#[test]
fn fifty_at_once_end_and_give_their_memory_back() {
    let body = text(100_000);
    let origin = Scripted::new(answering("", &body), false);
    let proxy = compressing(origin.addr(), "");
    std::thread::scope(|scope| {
        for n in 0..50 {
            let (proxy, body) = (&proxy, &body);
            scope.spawn(move || {
                let coding = CODINGS[n % 3];
                let mut stream = client::connect(proxy.addr(0));
                for _ in 0..4 {
                    let a = ask(&mut stream, taking("/", coding));
                    assert!(undone(coding, &a.body) == *body, "{coding}");
                }
            });
        }
    });
    // Not given back, 700 more would find no memory left (510 KiB each of 256 MiB) and pass as they are.
    let mut stream = client::connect(proxy.addr(0));
    for n in 0..700 {
        assert_eq!(coding(&ask(&mut stream, taking("/", "zstd"))), Some("zstd"), "{n}");
    }
}
