//! Which answers `http_compress` takes, and what it says of them in their heads.

use std::io::Write;

use harness::{Origin, Proxy, TempDir, client};

use crate::compression::{CODINGS, answering, coding, compressing, taking, text, undone};
use crate::support::{Scripted, ask, get, head, once, server};

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
        // Where it takes none now, a 200 would say the strong one, and so does this.
        let a = ask(&mut stream, format!("GET {path} HTTP/1.1\r\nHost: a\r\nIf-None-Match: W/{tag}\r\n\r\n"));
        assert_eq!((a.status, a.header("etag")), (304, Some(tag.as_str())), "{path}");
        assert_eq!(a.header("vary"), Some("Accept-Encoding"));
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

/// Both say what a 200 to the same request would (RFC 9110 sections 15.3.7 and 15.4.5): a cache goes by it.
#[test]
fn what_has_not_changed_and_parts_depend_on_the_client_as_the_whole_does() {
    for (status, kind, vary) in [
        ("304 Not Modified", "ETag: \"a\"\r\n", true),
        ("304 Not Modified", "Content-Type: text/css\r\n", true),
        ("304 Not Modified", "Content-Type: image/png\r\n", false),
        ("304 Not Modified", "Cache-Control: no-transform\r\n", false),
        ("206 Partial Content", "Content-Type: text/css\r\nContent-Range: bytes 0-1/3000\r\n", true),
        ("206 Partial Content", "Content-Type: multipart/byteranges; boundary=x\r\n", true),
        ("206 Partial Content", "Content-Type: image/png\r\nContent-Range: bytes 0-1/3000\r\n", false),
        ("206 Partial Content", "Content-Type: text/css\r\nContent-Encoding: br\r\n", false),
    ] {
        let length = if status.starts_with("206") { "Content-Length: 2\r\n\r\nab" } else { "\r\n" };
        let origin = Scripted::new(format!("HTTP/1.1 {status}\r\n{kind}{length}"), false);
        let proxy = compressing(origin.addr(), "");
        for codings in ["gzip", "identity"] {
            let a = once(&proxy, taking("/", codings));
            assert!(status.starts_with(&a.status.to_string()), "{}", a.head);
            assert_eq!(a.header("vary"), vary.then_some("Accept-Encoding"), "{status} {kind}");
        }
    }
}
