//! `http_compress`: answers that are compressed as they pass.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::mpsc;

use harness::{Origin, Proxy, TempDir, client, pattern};

use crate::support::{Answer, Scripted, ask, get, head, once, proxy_to, server};

const CODINGS: [&str; 3] = ["zstd", "gzip", "br"];

/// What a client reads who undoes this coding. It panics where there is more or less than one whole stream.
fn undone(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    match coding {
        "gzip" => {
            let mut reader = flate2::bufread::GzDecoder::new(&mut rest);
            reader.read_to_end(&mut out).expect("gzip");
        }
        "br" => {
            let mut reader = brotli::Decompressor::new(&mut rest, 4096);
            reader.read_to_end(&mut out).expect("brotli");
        }
        "zstd" => {
            out = Vec::with_capacity(4 << 20);
            zstd_safe::decompress(&mut out, body).expect("zstd");
            rest = &[];
        }
        other => panic!("no coding: {other}"),
    }
    assert!(rest.is_empty(), "{coding}: {} bytes behind the end", rest.len());
    out
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

fn taking(path: &str, encodings: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: {encodings}\r\n\r\n")
}

fn coding(a: &Answer) -> Option<&str> {
    a.header("content-encoding")
}

/// Text that shrinks, and differs from place to place.
fn text(len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 64);
    let mut n = 0_u64;
    while out.len() < len {
        out.extend_from_slice(format!("line {n} of the text says {:x}\n", n.wrapping_mul(0x9e37_79b9)).as_bytes());
        n += 1;
    }
    out.truncate(len);
    out
}

fn answering(lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{lines}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Everything that is worth it, in the order of preference.
fn compressing(origin: SocketAddr, more: &str) -> Proxy {
    proxy_to(origin, &format!("http_compress \"zstd\" \"gzip\" \"br\" {more}"))
}

#[test]
fn the_coding_is_the_one_that_the_client_prefers() {
    let body = text(5000);
    let origin = Scripted::new(answering("", &body), false);
    let proxy = compressing(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for (encodings, got) in [
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip", Some("gzip")),
        ("x-gzip", Some("gzip")),
        ("GZIP;q=0.5", Some("gzip")),
        ("br;q=1.0, gzip;q=0.8", Some("br")),
        ("zstd;q=0.2, br;q=0.3, gzip;q=0.1", Some("br")),
        ("zstd;q=0, *", Some("gzip")),
        ("*", Some("zstd")),
        ("gzip;q=0, identity", None),
        ("identity, gzip;q=0.5", None),
        ("deflate", None),
        ("", None),
        ("*;q=0", None),
        ("gzip;q=2", None),
    ] {
        let a = ask(&mut stream, taking("/", encodings));
        assert_eq!((a.status, coding(&a)), (200, got), "{encodings}");
        assert_eq!(a.header("vary"), Some("Accept-Encoding"), "{encodings}");
        match got {
            Some(coding) => {
                assert_eq!((a.header("content-length"), a.header("transfer-encoding")), (None, Some("chunked")));
                assert!(a.body.len() < body.len() && undone(coding, &a.body) == body, "{encodings}");
            }
            None => assert!(a.body == body && a.header("content-length") == Some("5000"), "{encodings}"),
        }
    }
    let a = ask(&mut stream, get("/"));
    assert_eq!((coding(&a), a.header("vary")), (None, Some("Accept-Encoding")), "who does not ask");
    assert_eq!(origin.origin.accepted(), 1, "the peer's connection is kept");
}

#[test]
fn every_length_and_framing_comes_out_as_it_went_in() {
    let origin = Origin::start(|mut conn| {
        while let Some(head) = head(&mut conn) {
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let (how, len) = target.trim_start_matches('/').split_once('/').expect("/how/length");
            let body = text(len.parse().expect("a length"));
            let kind = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
            match how {
                "length" => {
                    conn.write_all(format!("{kind}Content-Length: {}\r\n\r\n", body.len()).as_bytes())?;
                    conn.write_all(&body)?;
                }
                "chunked" => {
                    conn.write_all(format!("{kind}Transfer-Encoding: chunked\r\n\r\n").as_bytes())?;
                    for chunk in body.chunks(7777) {
                        conn.write_all(format!("{:x}\r\n", chunk.len()).as_bytes())?;
                        conn.write_all(chunk)?;
                        conn.write_all(b"\r\n")?;
                    }
                    conn.write_all(b"0\r\nX-Sum: 1\r\n\r\n")?;
                }
                _ => {
                    conn.write_all(format!("{kind}\r\n").as_bytes())?;
                    conn.write_all(&body)?;
                    break;
                }
            }
        }
        Ok(())
    });
    let proxy = compressing(origin.addr(), "min_length=\"0B\"");
    let mut stream = client::connect(proxy.addr(0));
    for coding in CODINGS {
        for how in ["length", "chunked", "close"] {
            for len in [1, 2, 100, 1023, 1024, 32_767, 65_536, 65_537, 300_000, 1 << 20] {
                let a = ask(&mut stream, taking(&format!("/{how}/{len}"), coding));
                assert_eq!(self::coding(&a), Some(coding), "{how} {len}");
                assert!(undone(coding, &a.body) == text(len), "{coding} {how} {len}");
            }
        }
    }
    // What is empty is no stream of a coding.
    for how in ["length", "chunked", "close"] {
        let a = ask(&mut stream, taking(&format!("/{how}/0"), "gzip"));
        assert!(a.body.is_empty() && coding(&a).is_none() || undone("gzip", &a.body).is_empty(), "{how}: {}", a.head);
    }
    let a = ask(&mut stream, taking("/length/0", "gzip"));
    assert_eq!((a.header("content-length"), coding(&a)), (Some("0"), None));
}

#[test]
fn what_does_not_shrink_and_what_shrinks_to_nothing_pass_too() {
    for body in [pattern::bytes(1 << 20), vec![0; 8 << 20]] {
        let origin = Scripted::new(answering("", &body), false);
        let proxy = compressing(origin.addr(), "");
        for coding in ["gzip", "br"] {
            let a = once(&proxy, taking("/", coding));
            assert!(undone(coding, &a.body) == body, "{coding} {} of {}", a.body.len(), body.len());
        }
    }
}

#[test]
fn files_are_compressed_and_their_tags_are_weak() {
    let dir = TempDir::new();
    for (name, len) in [("small.txt", 2000), ("large.txt", 1 << 20), ("tiny.txt", 100), ("page.html", 40_000)] {
        dir.write(name, text(len));
    }
    dir.write("large.bin", text(50_000));
    let proxy = server(&format!(
        "http_compress \"zstd\" \"gzip\" \"br\"\nlocal {{ http_static \"{}\"; }}",
        dir.path().display()
    ))
    .start();
    let mut stream = client::connect(proxy.addr(0));
    for (path, len) in [("/small.txt", 2000), ("/large.txt", 1 << 20), ("/page.html", 40_000)] {
        let plain = ask(&mut stream, get(path));
        assert!(plain.body == text(len) && plain.header("vary") == Some("Accept-Encoding"), "{path}");
        let tag = plain.header("etag").expect("a tag").to_owned();
        assert!(tag.starts_with('"'), "{tag}");
        for coding in CODINGS {
            let a = ask(&mut stream, taking(path, coding));
            assert_eq!(
                (self::coding(&a), a.header("accept-ranges"), a.header("content-length")),
                (Some(coding), None, None)
            );
            assert_eq!(a.header("etag"), Some(format!("W/{tag}").as_str()));
            assert!(undone(coding, &a.body) == text(len), "{coding} {path}");
        }
        // A client that has it asks with the tag that it got.
        let a = ask(
            &mut stream,
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nIf-None-Match: W/{tag}\r\n\r\n"),
        );
        assert_eq!((a.status, coding(&a), a.body.len()), (304, None, 0), "{path}");
        assert_eq!((a.header("etag"), a.header("vary")), (Some(format!("W/{tag}").as_str()), Some("Accept-Encoding")));
        // One that has it as it is keeps the strong one.
        let a = ask(
            &mut stream,
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n\r\n"),
        );
        assert_eq!((a.status, a.header("etag")), (304, Some(tag.as_str())), "{path}");
        // A part is of the file as it is.
        let a = ask(
            &mut stream,
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nRange: bytes=5-1999\r\n\r\n"),
        );
        assert_eq!((a.status, coding(&a)), (206, None), "{path}");
        assert!(a.body == text(len)[5..2000], "{path}");
        // No part of what was compressed can be had by its tag.
        let a = ask(
            &mut stream,
            format!(
                "GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nRange: bytes=5-9\r\nIf-Range: W/{tag}\r\n\r\n"
            ),
        );
        assert_eq!(a.status, 200, "{path}");
        let head = ask(&mut stream, format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"));
        assert_eq!((head.status, coding(&head), head.header("content-length")), (200, Some("gzip"), None), "{path}");
    }
    let a = ask(&mut stream, taking("/tiny.txt", "gzip"));
    assert_eq!((coding(&a), a.header("content-length")), (None, Some("100")));
    let a = ask(&mut stream, taking("/large.bin", "gzip"));
    assert_eq!(
        (coding(&a), a.header("vary"), a.header("content-length")),
        (None, None, Some("50000")),
        "no type for that"
    );
    // A client of curl and gzip reads it.
    if let Some(curl) = harness::program("curl") {
        let url = format!("http://{}/large.txt", proxy.addr(0));
        let args = ["-sS", "--max-time", "20", "--noproxy", "*", "--compressed", &url];
        let out = std::process::Command::new(curl).args(args).output().expect("curl runs");
        assert!(out.status.success() && out.stdout == text(1 << 20), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn what_is_not_for_that_passes_as_it_is() {
    let body = text(3000);
    for (lines, vary) in [
        ("Content-Encoding: br\r\n", false),
        ("Cache-Control: public, No-Transform\r\n", false),
        ("Content-Type: image/png\r\n", false),
    ] {
        // The first line of a name counts: the type in `lines` comes first.
        let answer = answering(lines, &body);
        let answer = if lines.starts_with("Content-Type") {
            String::from_utf8(answer).expect("text").replacen("Content-Type: text/plain\r\n", "", 1).into_bytes()
        } else {
            answer
        };
        let origin = Scripted::new(answer, false);
        let proxy = compressing(origin.addr(), "");
        let a = once(&proxy, taking("/", "gzip"));
        assert!(a.body == body && a.header("content-length") == Some("3000"), "{lines}{}", a.head);
        assert_eq!(a.header("vary").is_some(), vary, "{lines}");
    }
    for (answer, method) in [
        ("HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n", "GET"),
        ("HTTP/1.1 304 Not Modified\r\nContent-Type: text/plain\r\nETag: \"x\"\r\n\r\n", "GET"),
        (
            "HTTP/1.1 206 Partial Content\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/9000\r\nContent-Length: 2\r\n\r\nok",
            "GET",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", "HEAD"),
    ] {
        let origin = Scripted::new(answer, false);
        let proxy = compressing(origin.addr(), "min_length=\"0B\"");
        let mut stream = client::connect(proxy.addr(0));
        for _ in 0..2 {
            let a = ask(&mut stream, format!("{method} / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"));
            assert_eq!((coding(&a), a.header("etag").unwrap_or("\"x\"")), (None, "\"x\""), "{answer}");
        }
    }
    // The head is that of GET, without a body.
    let origin = Scripted::new("HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nContent-Length: 9000\r\n\r\n", false);
    let proxy = compressing(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..2 {
        let a = ask(&mut stream, "HEAD / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
        assert_eq!((a.status, coding(&a), a.header("content-length")), (200, Some("gzip"), None));
    }
}

#[test]
fn types_and_the_least_length_are_the_configurations() {
    let origin = Origin::start(|mut conn| {
        while let Some(head) = head(&mut conn) {
            let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let (len, kind) = target.trim_start_matches('/').split_once('/').expect("/length/type");
            let body = text(len.parse().expect("a length"));
            conn.write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len}\r\n\r\n").as_bytes(),
            )?;
            conn.write_all(&body)?;
        }
        Ok(())
    });
    let check = |proxy: &Proxy, path: &str, shrinks: bool| {
        let a = once(proxy, taking(path, "gzip"));
        assert_eq!(coding(&a).is_some(), shrinks, "{path}");
    };
    let proxy = compressing(origin.addr(), "");
    for kind in ["text/html;charset=utf-8", "application/json", "application/ld+json", "image/svg+xml", "TEXT/CSS"] {
        check(&proxy, &format!("/1024/{kind}"), true);
        check(&proxy, &format!("/1023/{kind}"), false);
    }
    for kind in ["image/png", "application/octet-stream", "video/mp4", "font/woff2", "x"] {
        check(&proxy, &format!("/5000/{kind}"), false);
    }
    let proxy = compressing(origin.addr(), "types=\"application/x-own font/*\" min_length=\"2KiB\" level=9");
    for (path, shrinks) in [
        ("/2048/application/x-own", true),
        ("/2047/application/x-own", false),
        ("/4000/font/x", true),
        ("/4000/text/html", false),
    ] {
        check(&proxy, path, shrinks);
    }
}

#[test]
fn a_tag_and_vary_of_the_peer_are_kept_right() {
    let body = text(3000);
    for (lines, vary, tag) in [
        ("ETag: \"a\"\r\nVary: Cookie\r\n", "Cookie", "W/\"a\""),
        ("ETag: W/\"a\"\r\nVary: accept-encoding, Cookie\r\n", "accept-encoding, Cookie", "W/\"a\""),
        ("ETag: \"a\"\r\nVary: *\r\n", "*", "W/\"a\""),
    ] {
        let digests = "Content-MD5: a\r\nDigest: b\r\nContent-Digest: c\r\nRepr-Digest: d\r\n";
        let origin = Scripted::new(answering(&format!("{lines}{digests}"), &body), false);
        let proxy = compressing(origin.addr(), "");
        let a = once(&proxy, taking("/", "gzip"));
        assert_eq!((a.header("vary"), a.header("etag")), (Some(vary), Some(tag)));
        // These were of other bytes.
        let left = ["content-md5", "digest", "content-digest", "repr-digest"].map(|name| a.header(name));
        assert_eq!(left, [None; 4]);
        let plain = once(&proxy, taking("/", "identity"));
        assert_eq!((plain.header("etag").is_some(), plain.header("content-digest")), (true, Some("c")));
        let all = a.head.to_ascii_lowercase().matches("accept-encoding").count();
        assert_eq!(all, usize::from(vary != "*"), "{}", a.head);
        assert_eq!(a.head.to_ascii_lowercase().matches("\r\netag:").count(), 1, "{}", a.head);
    }
}

#[test]
fn a_client_of_1_0_reads_until_the_end() {
    let body = text(200_000);
    let origin = Scripted::new(answering("", &body), false);
    let proxy = compressing(origin.addr(), "");
    for keep in ["", "Connection: keep-alive\r\n"] {
        let a = once(&proxy, format!("GET / HTTP/1.0\r\nHost: a\r\n{keep}Accept-Encoding: gzip\r\n\r\n"));
        assert_eq!((coding(&a), a.header("transfer-encoding"), a.header("content-length")), (Some("gzip"), None, None));
        assert_eq!(a.header("connection"), Some("close"));
        assert!(undone("gzip", &a.body) == body);
    }
}

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
fn a_nested_block_may_say_off_and_own_texts_are_compressed() {
    let long = "text ".repeat(1000);
    let proxy = server(&format!(
        r#"
        http_compress "gzip"
        local {{ rule "${{path}}" text="/off"; http_compress "off"; http_echo body="{long}"; }}
        local {{ rule "${{path}}" text="/br"; http_compress "br"; http_echo body="{long}"; }}
        local {{ rule "${{path}}" text="/echo"; http_echo; }}
        local {{ rule "${{path}}" text="/page"; http_error_page 404 body="{long}"; http_static "/nonexistent"; }}
        local {{ http_echo body="{long}"; }}
        "#
    ))
    .start();
    let mut stream = client::connect(proxy.addr(0));
    let a = ask(&mut stream, taking("/off", "gzip, br"));
    assert_eq!((coding(&a), a.header("vary"), a.text().as_str()), (None, None, long.as_str()));
    for (path, want) in [("/", "gzip"), ("/br", "br"), ("/page", "gzip")] {
        let a = ask(&mut stream, taking(path, "gzip, br"));
        assert_eq!(coding(&a), Some(want), "{path}");
        assert_eq!(undone(want, &a.body), long.as_bytes(), "{path}");
    }
    // What a client sends comes back while it is still sending.
    let body = text(300_000);
    let mut request =
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len())
            .into_bytes();
    request.extend_from_slice(&body);
    let a = ask(&mut stream, request);
    assert_eq!(coding(&a), Some("gzip"));
    assert!(undone("gzip", &a.body) == body);
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
