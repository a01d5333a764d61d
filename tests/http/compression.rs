//! `http_compress`: in which coding an answer goes out, and that it comes out as it went in.

use std::io::{Read, Write};
use std::net::SocketAddr;

use harness::{Origin, Proxy, client, pattern};

use crate::support::{Answer, Scripted, ask, get, head, once, proxy_to};

pub(crate) const CODINGS: [&str; 3] = ["zstd", "gzip", "br"];

/// What a client reads who undoes this coding. It panics where there is more or less than one whole stream.
pub(crate) fn undone(coding: &str, body: &[u8]) -> Vec<u8> {
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

pub(crate) fn taking(path: &str, encodings: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: {encodings}\r\n\r\n")
}

pub(crate) fn coding(a: &Answer) -> Option<&str> {
    a.header("content-encoding")
}

/// Text that shrinks, and differs from place to place.
pub(crate) fn text(len: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(len + 64);
    let mut n = 0_u64;
    while out.len() < len {
        out.extend_from_slice(format!("line {n} of the text says {:x}\n", n.wrapping_mul(0x9e37_79b9)).as_bytes());
        n += 1;
    }
    out.truncate(len);
    out
}

pub(crate) fn answering(lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{lines}Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Everything that is worth it, in the order of preference.
pub(crate) fn compressing(origin: SocketAddr, more: &str) -> Proxy {
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
