//! Clients of HTTP/2 without TLS: curl, nghttp, h2load, and what of them the other side sees.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use h2::Reason;
use harness::{LIMIT, Nginx, Origin, Proxy, TempDir, eventually, pattern, program, skip};
use http::{HeaderValue, Request};

use crate::h2::*;
use crate::support::{OK, Scripted, head, net, proxy_to, server};

/// Runs curl with prior knowledge of HTTP/2; its output. `None`: it is not there. One request each: with prior knowledge
/// curl 7.88 cannot use a connection again, nginx's neither.
#[track_caller]
pub(crate) fn curl(args: &[&str]) -> Option<Vec<u8>> {
    let Some(curl) = program("curl") else {
        skip("curl is not installed");
        return None;
    };
    let out = Command::new(curl)
        .args(["-sS", "--http2-prior-knowledge", "--max-time", "20", "--noproxy", "*"])
        .args(args)
        .output()
        .expect("curl runs");
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    Some(out.stdout)
}

fn url(proxy: &Proxy, path: &str) -> String {
    format!("http://{}{path}", proxy.addr(0))
}

#[test]
fn curl_gets_heads_and_posts() {
    let echo = server("local { http_echo; }").start();
    let proxy = proxy_to(echo.addr(0), "");
    let at = url(&proxy, "/");
    let Some(out) = curl(&["-w", "%{http_code} %{http_version}", &at]) else { return };
    assert_eq!(String::from_utf8_lossy(&out), "200 2");
    let out = curl(&["-I", &at]).expect("it is there");
    assert!(out.starts_with(b"HTTP/2 200"), "{}", String::from_utf8_lossy(&out));
    let dir = TempDir::new();
    let file = dir.write("up", pattern::bytes(1 << 20));
    let data = format!("@{}", file.display());
    for more in ["X-Nothing: 1", "Expect: 100-continue", "Content-Length:"] {
        let out = curl(&["-H", more, "--data-binary", &data, &at]).expect("it is there");
        assert!(out == pattern::bytes(1 << 20), "{more}: {} bytes", out.len());
    }
}

#[test]
fn curl_gets_answers_of_any_framing() {
    let answers: [(&[u8], bool, &[u8]); 4] = [
        (OK, false, b"ok"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
            false,
            b"abcde",
        ),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", true, b"to the end"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, b"ok"),
    ];
    for (answer, close, body) in answers {
        let origin = Scripted::new(answer, close);
        let proxy = proxy_to(origin.addr(), "");
        let Some(out) = curl(&[&url(&proxy, "/")]) else { return };
        assert_eq!(out, body);
    }
}

#[test]
fn trailers_of_a_peer_of_http1_arrive_and_a_cut_answer_is_reset() {
    let origin = Origin::start(|mut conn| {
        while let Some(head) = head(&mut conn) {
            conn.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")?;
            if head.starts_with("GET /cut ") {
                break;
            }
            conn.write_all(b"0\r\nX-T: 1\r\n\r\n")?;
        }
        Ok(())
    });
    let proxy = proxy_to(origin.addr(), "");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let mut request = get("/");
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        let answer = client.ask(request, b"").await.expect("an answer");
        assert_eq!(answer.text(), "abc");
        assert_eq!(answer.trailers.expect("trailers")["x-t"], "1");
        let cut = client.get("/cut").await.expect_err("not the whole");
        assert!(cut.is_reset(), "{cut}");
        assert_eq!(client.get("/").await.expect("an answer").text(), "abc");
    });
}

#[test]
fn what_no_trailer_may_be_ends_with_the_peer_of_http1() {
    let origin = Origin::start(|mut conn| {
        while let Some(head) = head(&mut conn) {
            conn.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n")?;
            if !head.starts_with("GET /none ") {
                conn.write_all(b"Grpc-Status: 0\r\n")?;
            }
            conn.write_all(
                b"Connection: x\r\nKeep-Alive: 3\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n",
            )?;
        }
        Ok(())
    });
    let proxy = proxy_to(origin.addr(), "");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let answer = client.get("/").await.expect("an answer");
        let trailers = answer.trailers.expect("trailers");
        assert_eq!((answer.body.as_slice(), trailers.len()), (&b"abc"[..], 1), "{trailers:?}");
        assert_eq!(trailers["grpc-status"], "0");
        let answer = client.get("/none").await.expect("an answer");
        assert_eq!((answer.text().as_str(), answer.trailers), ("abc", None));
    });
    if let Some(out) = curl(&[&url(&proxy, "/")]) {
        assert_eq!(out, b"abc");
    }
}

#[test]
fn nghttp_and_h2load_see_no_error() {
    let dir = TempDir::new();
    dir.write("html/small", "small");
    dir.write("html/quarter", pattern::bytes(256 << 10));
    let origin = Scripted::new(OK, false);
    let proxy = net(&format!(
        "server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\nlocal {{ http_static \"{}\"; }} }}\n\
         server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\nlocal {{ proxy_pass_tcp \"{}\"; }} }}",
        dir.join("html").display(),
        origin.addr()
    ))
    .start();
    let (Some(nghttp), Some(h2load)) = (program("nghttp"), program("h2load")) else {
        return skip("nghttp2-client is not installed");
    };
    let out = Command::new(nghttp).args(["-nv", "-m", "20", &url(&proxy, "/quarter")]).output().expect("it runs");
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && text.contains(":status: 200"), "{text}");
    let passed = format!("http://{}/", proxy.addr(1));
    for (n, target) in [(2000, url(&proxy, "/small")), (600, url(&proxy, "/quarter")), (2000, passed)] {
        let count = n.to_string();
        let args = ["-n", &count, "-c", "4", "-m", "32", "-N", "15", "-T", "15", &target];
        let out = Command::new(&h2load).args(args).output().expect("it runs");
        let text = String::from_utf8_lossy(&out.stdout);
        let good = format!("{n} succeeded, 0 failed, 0 errored, 0 timeout");
        assert!(text.contains(&good) && text.contains(&format!("{n} 2xx")), "{target}:\n{text}");
    }
}

#[test]
fn a_client_that_waits_to_be_asked_is_asked() {
    let echo = server("local { http_echo; }").start();
    for proxy in [server("local { http_echo; }").start(), proxy_to(echo.addr(0), "")] {
        run(async {
            let client = Client::open(proxy.addr(0)).await;
            let mut request = post("/");
            request.headers_mut().insert("expect", HeaderValue::from_static("100-continue"));
            let (mut response, up) = client.begin(request, false).await.expect("a stream");
            let asked = std::future::poll_fn(|cx| response.poll_informational(cx)).await;
            assert_eq!(asked.expect("one").expect("an interim answer").status(), 100);
            send_all(up, b"body", None).await.expect("sent");
            assert_eq!(receive(response.await.expect("a head")).await.expect("an answer").text(), "body");
        });
    }
}

#[test]
fn interim_answers_of_a_peer_arrive_in_order() {
    let origin = Scripted::new(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n\
          HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        false,
    );
    let proxy = proxy_to(origin.addr(), "");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let (mut response, _) = client.begin(get("/"), true).await.expect("a stream");
        for link in ["</a>", "</b>"] {
            let hint = std::future::poll_fn(|cx| response.poll_informational(cx)).await;
            let hint = hint.expect("one").expect("an interim answer");
            assert_eq!((hint.status().as_u16(), hint.headers()["link"].as_bytes()), (103, link.as_bytes()));
        }
        assert_eq!(receive(response.await.expect("a head")).await.expect("an answer").text(), "ok");
    });
}

#[test]
fn requests_that_nobody_serves_are_answered_and_the_others_go_on() {
    let proxy = server("local { rule \"${path}\" text=\"/there\"; http_echo body=\"text\"; }").start();
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        assert_eq!(client.get("/there").await.expect("an answer").text(), "text");
        assert_eq!(client.get("/none").await.expect("an answer").status, 404);
        let mut large = get("/there");
        large.headers_mut().insert("x-large", HeaderValue::from_bytes(&[b'x'; 40 << 10]).expect("a value"));
        assert_eq!(client.ask(large, b"").await.expect("an answer").status, 431);
        let connect = Request::connect("a.test:443").body(()).expect("a request");
        let (response, _up) = client.begin(connect, false).await.expect("a stream");
        assert_eq!(response.await.expect("an answer").status(), 501);
        assert_eq!(client.get("/there").await.expect("an answer").text(), "text");
    });
}

#[test]
fn the_peer_sees_a_request_of_http1() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "http_request_header \"set\" \"X-Version\" \"${http_request_version}\"");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let mut request = post("/a?b=c");
        for piece in ["a=1", "b=2", "c=3"] {
            request.headers_mut().append("cookie", HeaderValue::from_static(piece));
        }
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        assert_eq!(client.ask(request, b"body").await.expect("an answer").text(), "ok");
    });
    let (head, body) = origin.seen().pop().expect("a request");
    assert!(head.starts_with("POST /a?b=c HTTP/1.1\r\n") && body == b"body", "{head}");
    let lower = head.to_ascii_lowercase();
    for line in [
        "host: a.test\r\n",
        "cookie: a=1; b=2; c=3\r\n",
        "x-forwarded-for: 127.0.0.1\r\n",
        "x-forwarded-proto: http\r\n",
        "x-version: 2",
    ] {
        assert!(lower.contains(line), "{line:?} in {head}");
    }
    assert_eq!(lower.matches("cookie:").count() + lower.matches("\nhost:").count(), 2, "{head}");
    let line = eventually("its line in the log", || proxy.read("access.log").lines().next().map(str::to_owned));
    assert!(line.contains("status=200 method=POST path=/a ") && line.contains("host=a.test"), "{line}");
}

#[test]
fn the_access_log_says_which_version() {
    let text = "load_module \"tcp\" \"balancer\" \"http\"\nnet {\naccess_log \"access.log\" flush=0 \
                format=\"v=${http_request_version} ${path} in=${client_bytes_received} out=${client_bytes_sent}\"\n\
                server {\nport_listen_tcp \"127.0.0.1:0\"\nhttp\nlocal { http_echo body=\"text\"; }\n} }\n";
    let proxy = Proxy::start(text);
    run(async { Client::open(proxy.addr(0)).await.get("/two").await.expect("an answer") });
    let line = proxy.await_line("access.log", "/two", LIMIT);
    assert!(line.contains("v=2") || line.contains("v=HTTP/2"), "{line}");
    assert!(!line.contains("in=0 ") && !line.ends_with("out=0"), "{line}");
}

#[test]
fn files_come_in_whole_and_in_parts() {
    let dir = TempDir::new();
    dir.write("html/large", pattern::bytes(5 << 20));
    let proxy = server(&format!("local {{ http_static \"{}\"; }}", dir.join("html").display())).start();
    let at = url(&proxy, "/large");
    let Some(out) = curl(&[&at]) else { return };
    assert!(out == pattern::bytes(5 << 20));
    let all = pattern::bytes(5 << 20);
    for (range, part) in
        [("0-9", &all[..10]), ("1000000-3000000", &all[1_000_000..=3_000_000]), ("-5", &all[all.len() - 5..])]
    {
        assert!(curl(&["-r", range, &at]).expect("it is there") == part, "{range}");
    }
    let out = curl(&["-o", "/dev/null", "-w", "%{http_code}", "-r", "9999999-", &at]).expect("it is there");
    assert_eq!(out, b"416");
    let out = String::from_utf8(curl(&["-I", &at]).expect("it is there")).expect("text");
    assert!(out.contains("content-length: 5242880") && out.contains("etag: "), "{out}");
    let tag = out.lines().find_map(|l| l.strip_prefix("etag: ")).expect("a tag").trim();
    let condition = format!("If-None-Match: {tag}");
    let out = curl(&["-o", "/dev/null", "-w", "%{http_code}", "-H", &condition, &at]).expect("it is there");
    assert_eq!(out, b"304");
}

#[test]
fn nginx_behind_serves_many_at_once() {
    let Some(origin) = Nginx::start() else { return skip("nginx is not installed") };
    origin.write("large", pattern::bytes(1 << 20));
    let proxy = proxy_to(origin.addr(), "");
    run(async {
        let client = Client::open(proxy.addr(0)).await;
        let all = join((0..50).map(|_| client.get("/large")).collect()).await;
        assert!(all.into_iter().all(|a| a.expect("an answer").body == pattern::bytes(1 << 20)));
    });
}

/// A client that is told to stop in the same breath as it is answered may see nothing of the answer: curl 7.88 does not.
#[test]
fn curl_gets_answers_that_do_not_wait_for_its_body() {
    let early = Origin::start(|mut conn| {
        // Before any of the body is read.
        let _ = head(&mut conn);
        conn.write_all(b"HTTP/1.1 413 Too Much\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n")?;
        std::io::copy(&mut conn, &mut std::io::sink()).map(drop)
    });
    let proxy = server(&format!(
        "local {{ rule \"${{path}}\" text=\"/return\"; return 200 \"text\"; }}
        local {{ rule \"${{path}}\" text=\"/limit\"; http_body_size \"1KiB\"; http_echo; }}
        local {{ proxy_pass_tcp \"{}\"; }}",
        early.addr()
    ))
    .start();
    let dir = TempDir::new();
    let file = dir.write("up", pattern::bytes(300 << 10));
    let short = String::from_utf8(vec![b'x'; 60_000]).expect("text");
    let large = format!("@{}", file.display());
    for (path, data, status, times) in [
        ("/return", "abc", "200", 50),
        ("/return", &short, "200", 20),
        ("/limit", &large, "413", 20),
        ("/", &large, "413", 20),
    ] {
        for n in 0..times {
            let at = url(&proxy, path);
            let args = ["-o", "/dev/null", "-w", "%{http_code}", "--data-binary", data, &at];
            let Some(out) = curl(&args) else { return };
            assert_eq!(String::from_utf8_lossy(&out), status, "{path} {n}");
        }
    }
    // No curl of this age copes with that, but it is not to wait for ever.
    let at = url(&proxy, "/return");
    let args = ["-sS", "--http2-prior-knowledge", "--max-time", "20", "--noproxy", "*", "--data-binary", &large, &at];
    let out = Command::new("curl").args(args).output().expect("curl runs");
    assert_ne!(out.status.code(), Some(28), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_short_body_that_nobody_wants_is_taken_and_a_long_one_is_not() {
    let proxy = server("local { return 200 \"text\"; }").start();
    let mut raw = Raw::open(proxy.addr(0));
    let reset = |f: &Frame| f.kind == RST_STREAM && f.code() == Reason::NO_ERROR;
    // Its end comes late, but it comes.
    raw.send(HEADERS, END_HEADERS, 1, &section(true, "/"));
    raw.until("the answer", |f| f.kind == DATA && f.flags & END_STREAM != 0);
    raw.send(DATA, 0, 1, &[b'x'; 16 << 10]);
    raw.send(DATA, END_STREAM, 1, b"abc");
    raw.send(PING, 0, 0, b"12345678");
    raw.until("PING", |f| {
        assert!(f.kind != RST_STREAM, "{f:?}");
        f.kind == PING
    });
    // It does not come. The request is over and in the log all the same.
    raw.send(HEADERS, END_HEADERS, 3, &section(true, "/"));
    raw.until("the answer", |f| {
        assert!(f.kind != RST_STREAM, "{f:?}");
        f.stream == 3 && f.kind == DATA && f.flags & END_STREAM != 0
    });
    let began = Instant::now();
    let logged = || proxy.read("access.log").matches("status=200 method=POST").count() == 2;
    eventually("it is in the log", || logged().then_some(()));
    assert!(began.elapsed() < Duration::from_millis(900), "it waited");
    raw.until("the end", |f| reset(f) && f.stream == 3);
    // There is more of it.
    raw.send(HEADERS, END_HEADERS, 5, &section(true, "/"));
    (0..5).for_each(|_| raw.send(DATA, 0, 5, &[b'x'; 16 << 10]));
    raw.until("the end", |f| reset(f) && f.stream == 5);
}
