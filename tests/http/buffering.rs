//! Bodies that the proxy keeps, so that slow clients do not hold peers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use harness::{Origin, Proxy, TempDir, client, eventually, pattern, program, skip};

use crate::support::{OK, Scripted, answer, ask, at_rest, chunks, get, head, once, proxy_to};

/// More than sockets hold on the way.
const LARGE: usize = 48 << 20;

/// Answers every request with so many bytes of the pattern and these headers, and says when all of it was taken.
fn large(len: usize, headers: &'static str) -> (Origin, Arc<AtomicBool>) {
    let done = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&done);
    let origin = Origin::start(move |mut conn| {
        while head(&mut conn).is_some() {
            conn.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n{headers}\r\n").as_bytes())?;
            // In pieces, so that it shows how many were taken.
            pattern::bytes(len).chunks(64 << 10).try_for_each(|piece| conn.write_all(piece))?;
            told.store(true, SeqCst);
        }
        Ok(())
    });
    (origin, done)
}

/// Asks, and reads no more than the head.
fn slow(proxy: &Proxy) -> TcpStream {
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(get("/").as_bytes()).expect("write");
    assert!(head(&mut stream).expect("a head").starts_with("HTTP/1.1 200 "));
    stream
}

/// Files of a directory that the proxy has open, though it is empty.
pub(crate) fn unnamed(proxy: &Proxy, dir: &Path) -> usize {
    assert_eq!(std::fs::read_dir(dir).expect("a directory").count(), 0, "its files have no names");
    let fds = std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).expect("it runs");
    fds.flatten().filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to.starts_with(dir))).count()
}

pub(crate) fn is_pattern(body: &[u8], len: usize) {
    assert_eq!(body.len(), len);
    assert_eq!(pattern::verify(0, body), Ok(()));
}

#[test]
fn a_slow_client_does_not_hold_the_peer() {
    let (origin, done) = large(LARGE, "");
    let dir = TempDir::new();
    let proxy = proxy_to(origin.addr(), &format!("http_response_buffering #true path=\"{}\"", dir.path().display()));
    once(&proxy, get("/"));
    done.store(false, SeqCst);
    let before = proxy.resident();
    let mut stream = slow(&proxy);
    eventually("the peer is done", || done.load(SeqCst).then_some(()));
    eventually("it is free again", || (origin.open() <= 2).then_some(()));
    assert_eq!(unnamed(&proxy, dir.path()), 1);
    let more = proxy.resident().saturating_sub(before);
    assert!(more < 8 << 20, "{more} bytes more");
    is_pattern(&client::read_exact(&stream, LARGE), LARGE);
    eventually("the file is gone", || (unnamed(&proxy, dir.path()) == 0).then_some(()));
    // The connection goes on.
    is_pattern(&ask(&mut stream, get("/")).body, LARGE);
}

#[test]
fn without_it_or_where_it_is_not_wanted_the_peer_waits() {
    for (directive, headers) in [
        ("", ""),
        ("http_response_buffering #false", ""),
        ("http_response_buffering #true memory=\"64KiB\" file=0", ""),
        ("http_response_buffering #true memory=\"64KiB\" file=\"1MiB\"", ""),
        ("http_response_buffering #true", "X-Accel-Buffering: no\r\n"),
        ("http_response_buffering #true", "Content-Type: text/event-stream; charset=utf-8\r\n"),
    ] {
        let (origin, done) = large(LARGE, headers);
        let proxy = proxy_to(origin.addr(), directive);
        let stream = slow(&proxy);
        at_rest(|| origin.sent());
        assert!(!done.load(SeqCst), "{directive} {headers}");
        is_pattern(&client::read_exact(&stream, LARGE), LARGE);
    }
}

#[test]
fn a_client_of_medium_speed_gets_all_in_order_through_a_small_file() {
    for (how, framing) in [
        ("memory=\"64KiB\" file=\"1MiB\"", "length"),
        ("memory=0 file=\"300KiB\"", "chunks"),
        ("memory=\"1MiB\" file=0", "chunks"),
        ("memory=0 file=0", "length"),
    ] {
        let origin = Origin::start(move |mut conn| {
            let len = 12 << 20;
            let body = pattern::bytes(len);
            while head(&mut conn).is_some() {
                if framing == "length" {
                    conn.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n").as_bytes())?;
                    conn.write_all(&body)?;
                    continue;
                }
                conn.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                let mut rest = &body[..];
                for size in [1, 100, 5000, 70_000, 300_000].into_iter().cycle() {
                    let (piece, after) = rest.split_at(rest.len().min(size));
                    if piece.is_empty() {
                        break;
                    }
                    rest = after;
                    conn.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
                    conn.write_all(piece)?;
                    conn.write_all(b"\r\n")?;
                }
                conn.write_all(b"0\r\nX-Last: 1\r\n\r\n")?;
            }
            Ok(())
        });
        let proxy = proxy_to(origin.addr(), &format!("http_response_buffering #true {how}"));
        let stream = slow(&proxy);
        struct Slowed(TcpStream, usize);
        impl Read for Slowed {
            fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
                self.1 += 1;
                // Slower than the peer, whatever the machine.
                if self.1.is_multiple_of(20) {
                    std::thread::sleep(Duration::from_millis(2));
                }
                let most = to.len().min(64 << 10);
                self.0.read(&mut to[..most])
            }
        }
        at_rest(|| origin.sent());
        let mut stream = Slowed(stream, 0);
        let body = if framing == "chunks" {
            chunks(&mut stream)
        } else {
            let mut body = vec![0; 12 << 20];
            stream.read_exact(&mut body).expect("all of it");
            body
        };
        is_pattern(&body, 12 << 20);
        assert_eq!(ask(&mut stream.0, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").status, 200, "{how}");
    }
}

#[test]
fn an_event_is_there_when_it_comes_and_small_answers_too() {
    let origin = Origin::start(|mut conn| {
        while let Some(request) = head(&mut conn) {
            let kind = if request.contains("/events") { "text/event-stream" } else { "text/plain" };
            conn.write_all(
                format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes(),
            )?;
            for n in 0..3 {
                conn.write_all(format!("3\r\n{n}\n\n\r\n").as_bytes())?;
                // The next one comes when this one was seen.
                conn.read_exact(&mut [0])?;
            }
            conn.write_all(b"0\r\n\r\n")?;
        }
        Ok(())
    });
    let proxy = proxy_to(origin.addr(), "http_response_buffering #true");
    for path in ["/events", "/text"] {
        let mut stream = client::connect(proxy.addr(0));
        let request = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("write");
        head(&mut stream).expect("a head");
        for n in 0..3 {
            let piece = client::read_exact(&stream, 8);
            assert_eq!(String::from_utf8_lossy(&piece), format!("3\r\n{n}\n\n\r\n"));
            stream.write_all(b"x").expect("write");
        }
        assert_eq!(client::read_exact(&stream, 5), b"0\r\n\r\n");
    }
}

#[test]
fn what_the_peer_says_of_buffering_is_for_the_proxy() {
    let (origin, _) = large(10, "X-Accel-Buffering: no\r\nX-Other: 1\r\n");
    let asking = proxy_to(origin.addr(), "");
    assert_eq!(once(&asking, get("/")).header("x-accel-buffering"), Some("no"));
    let origin = Origin::start(|mut conn| {
        let _ = head(&mut conn);
        conn.write_all(b"HTTP/1.1 200 OK\r\nX-Accel-Buffering: no\r\n\r\nok")
    });
    let proxy = proxy_to(origin.addr(), "http_response_buffering #true");
    let a = once(&proxy, get("/"));
    assert_eq!((a.text().as_str(), a.header("x-accel-buffering")), ("ok", None));
}

#[test]
fn an_answer_that_breaks_off_is_cut_after_what_came() {
    let origin = Origin::start(|mut conn| {
        let _ = head(&mut conn);
        conn.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n")?;
        conn.write_all(&pattern::bytes(8 << 20))
    });
    let proxy = proxy_to(origin.addr(), "http_response_buffering #true");
    let mut stream = slow(&proxy);
    eventually("the peer is gone", || (origin.open() == 0).then_some(()));
    at_rest(|| origin.sent());
    let mut body = Vec::new();
    let _ = stream.read_to_end(&mut body);
    is_pattern(&body, 8 << 20);
    proxy.await_line("access.log", "reason=upstream", harness::LIMIT);
}

#[test]
fn requests_behind_one_another_are_all_answered() {
    let (origin, _) = large(3 << 20, "");
    let proxy = proxy_to(origin.addr(), "http_response_buffering #true\nhttp_request_buffering #true");
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(get("/1").repeat(3).as_bytes()).expect("write");
    at_rest(|| origin.sent());
    for _ in 0..3 {
        is_pattern(&answer(&mut stream, "GET").body, 3 << 20);
    }
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "http_response_buffering #true\nhttp_request_buffering #true");
    let mut stream = client::connect(proxy.addr(0));
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let fixed = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nde";
    stream.write_all(format!("{chunked}{fixed}{chunked}{}", get("/")).as_bytes()).expect("write");
    for _ in 0..4 {
        assert_eq!(answer(&mut stream, "POST").text(), "ok");
    }
    let bodies: Vec<_> = origin.seen().into_iter().map(|(_, body)| body).collect();
    assert_eq!(bodies, [&b"abc"[..], b"de", b"abc", b""]);
}

#[test]
fn many_slow_clients_have_a_bounded_share_of_memory() {
    let (origin, _) = large(LARGE, "");
    let proxy = proxy_to(origin.addr(), "http_response_buffering #true memory=\"40MiB\" file=0");
    let before = proxy.resident();
    let slow: Vec<_> = (0..5).map(|_| slow(&proxy)).collect();
    at_rest(|| origin.sent());
    let more = proxy.resident().saturating_sub(before) >> 20;
    assert!((100..150).contains(&more), "{more} MiB");
    std::thread::scope(|s| {
        for stream in &slow {
            s.spawn(move || is_pattern(&client::read_exact(stream, LARGE), LARGE));
        }
    });
}

/// A file system of so much room, for as long as this lives.
struct Small(TempDir);

impl Small {
    fn new(size: &str) -> Option<Self> {
        let dir = TempDir::new();
        let option = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &option, "none"]).arg(dir.path()).output();
        if !mounted.is_ok_and(|o| o.status.success()) {
            skip("no tmpfs can be mounted: not root, or not allowed");
            return None;
        }
        Some(Self(dir))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_lets_the_peer_wait_and_refuses_requests() {
    let Some(small) = Small::new("1m") else { return };
    let path = small.0.path().display();
    let (origin, done) = large(LARGE, "");
    let proxy = proxy_to(
        origin.addr(),
        &format!(
            "http_response_buffering #true path=\"{path}\"\nhttp_request_buffering #true memory=\"64KiB\" path=\"{path}\""
        ),
    );
    let mut stream = slow(&proxy);
    proxy.await_log("no file for an answer", harness::LIMIT);
    at_rest(|| origin.sent());
    assert!(!done.load(SeqCst));
    is_pattern(&client::read_exact(&stream, LARGE), LARGE);
    // Its file is gone, and what fits is kept again.
    let mut request = format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 4 << 20).into_bytes();
    request.extend(pattern::bytes(4 << 20));
    std::thread::scope(|s| {
        let other = stream.try_clone().expect("a second handle");
        s.spawn(move || {
            let _ = (&other).write_all(&request);
        });
        let a = answer(&mut stream, "PUT");
        assert_eq!(a.status, 507, "{}", a.head);
    });
    proxy.await_log("no file for the body of a request", harness::LIMIT);
}

#[test]
fn clients_of_http2_are_served_the_same() {
    let Some(curl) = program("curl") else {
        skip("curl is not installed");
        return;
    };
    let (origin, done) = large(LARGE, "");
    let proxy = proxy_to(origin.addr(), "http_response_buffering #true");
    let dir = TempDir::new();
    let got = dir.join("got");
    let url = format!("http://{}/", proxy.addr(0));
    let args = ["-sS", "--http2-prior-knowledge", "--noproxy", "*", "--max-time", "60"];
    let mut slow = Command::new(&curl)
        .args(args)
        .args(["--limit-rate", "12M", "-o"])
        .args([got.as_os_str(), url.as_ref()])
        .spawn()
        .expect("curl runs");
    eventually("the peer is done", || done.load(SeqCst).then_some(()));
    assert!(slow.try_wait().expect("curl is there").is_none(), "the client is not");
    assert!(slow.wait().expect("it ends").success());
    is_pattern(&std::fs::read(&got).expect("what came"), LARGE);

    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "http_request_buffering #true memory=\"64KiB\"");
    let file = dir.write("up", pattern::bytes(3 << 20));
    // With a length, and without one.
    for from in [file.to_str().expect("ours"), "-"] {
        let stdin = std::fs::File::open(&file).expect("it is there");
        let url = format!("http://{}/up", proxy.addr(0));
        let out = Command::new(&curl).args(args).args(["-T", from, &url]).stdin(stdin).output().expect("curl runs");
        assert_eq!(out.stdout, b"ok", "{}", String::from_utf8_lossy(&out.stderr));
        let (head, body) = origin.seen().pop().expect("a request");
        assert!(head.to_ascii_lowercase().contains("content-length: 3145728\r\n"), "{head}");
        is_pattern(&body, 3 << 20);
    }
}

#[test]
fn what_is_compressed_is_kept_compressed() {
    let Some(curl) = program("curl") else {
        skip("curl is not installed");
        return;
    };
    let (origin, done) = large(LARGE, "Content-Type: text/plain\r\n");
    let proxy = proxy_to(origin.addr(), "http_compress \"gzip\" level=1\nhttp_response_buffering #true");
    let url = format!("http://{}/", proxy.addr(0));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        done.store(false, SeqCst);
        let out = Command::new(&curl)
            .args(["-sS", version, "--compressed", "--noproxy", "*", "--max-time", "60", &url])
            .output()
            .expect("curl runs");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        is_pattern(&out.stdout, LARGE);
    }
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n").expect("write");
    done.store(false, SeqCst);
    let head = head(&mut stream).expect("a head");
    assert!(head.contains("Content-Encoding: gzip"), "{head}");
    eventually("the peer is done", || done.load(SeqCst).then_some(()));
}

#[test]
fn mistakes_are_told() {
    for (line, what) in [
        ("http_request_buffering #true path=\"/no/such/dir\"", "is no directory"),
        ("http_response_buffering #true memory=\"1TiB\"", "memory"),
        ("http_response_buffering", "on"),
        ("http_request_buffering #true size=\"1MiB\"", "size"),
    ] {
        let output = crate::support::server(&format!("{line}\nlocal {{ return 200; }}")).check();
        assert!(output.code == Some(1) && output.stderr.contains(what), "{line}: {}", output.stderr);
    }
}
