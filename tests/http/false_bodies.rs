//! What http believes of other modules: bodies that are not as long as they say, answers that are none, lines that are http's
//! own. By `tests/third-party/http-faulty`, which does what its directive names.

use std::path::Path;
use std::time::Duration;

use harness::{Proxy, client};

use crate::h2::{DATA, END_STREAM, Peer, RST_STREAM, Raw};
use crate::others::{module, shipped};
use crate::support::{OK, Scripted, answer, ask, get, once};

const LIMIT: Duration = Duration::from_secs(10);

/// A local where this goes wrong.
fn with(faulty: &Path, mode: &str, local: &str) -> Proxy {
    let http = shipped("http");
    Proxy::start(&format!(
        "load_module \"tcp\" {:?} {:?}\ncommon {{ worker_threads 1; }}\nnet {{ server {{\nport_listen_tcp \"127.0.0.1:0\"\n\
         http\nlocal {{ http_faulty {mode:?}; {local}; }}\n}} }}\n",
        http.display().to_string(),
        faulty.display().to_string(),
    ))
}

/// Sends a request and another one behind it: all that comes back.
fn two(proxy: &Proxy) -> String {
    use std::io::Write;
    let stream = client::connect(proxy.addr(0));
    (&stream).write_all(format!("{}{}", get("/"), get("/next")).as_bytes()).expect("write");
    String::from_utf8_lossy(&client::read_to_end(&stream)).into_owned()
}

#[test]
fn an_answer_that_is_longer_than_it_says_is_cut_off() {
    let Some(faulty) = module("http_faulty") else { return };
    let origin = Scripted::new(OK, false);
    let to_peer = format!("proxy_pass_tcp \"{}\"", origin.addr());
    for (mode, local, hook) in [
        ("answer_long", &*to_peer, "faulty_reply"),
        ("answer_long_at_once", &to_peer, "faulty_reply"),
        ("sent_long", &to_peer, "faulty_send"),
        ("handler", "http_router \"faulty\"", "faulty"),
    ] {
        let proxy = with(&faulty, mode, local);
        let all = two(&proxy);
        assert!(all.starts_with("HTTP/1.1 200 ") && all.contains("Content-Length: 5\r\n"), "{mode}: {all}");
        assert!(all.ends_with("\r\n\r\n12345"), "{mode}: {all}");
        let log = proxy.await_log("is longer than the 5 bytes", LIMIT);
        assert!(log.contains(&format!("hook={hook}")) && log.contains("session="), "{mode}: {log}");
    }
}

#[test]
fn an_answer_that_is_shorter_than_it_says_ends_the_connection() {
    let Some(faulty) = module("http_faulty") else { return };
    let origin = Scripted::new(OK, false);
    for (mode, hook) in [("answer_short", "faulty_reply"), ("sent_short", "faulty_send")] {
        let proxy = with(&faulty, mode, &format!("proxy_pass_tcp \"{}\"", origin.addr()));
        let all = two(&proxy);
        assert!(all.contains("Content-Length: 10\r\n") && all.ends_with("\r\n\r\n12345"), "{mode}: {all}");
        let log = proxy.await_log("ends after 5 of the 10 bytes", LIMIT);
        assert!(log.contains(&format!("hook={hook}")), "{mode}: {log}");
    }
}

#[test]
fn a_stream_of_http2_is_reset_for_it() {
    let Some(faulty) = module("http_faulty") else { return };
    let origin = Scripted::new(OK, false);
    for mode in ["answer_long", "answer_short"] {
        let proxy = with(&faulty, mode, &format!("proxy_pass_tcp \"{}\"", origin.addr()));
        let mut client = Raw::open(proxy.addr(0));
        client.get(1, "/");
        client.until("a reset", |f| {
            assert!(!f.payload.windows(8).any(|w| w == b"smuggled") && (f.kind != DATA || f.flags & END_STREAM == 0));
            f.kind == RST_STREAM && f.stream == 1
        });
        // Others of the connection go on.
        client.get(3, "/next");
        client.until("an answer", |f| f.stream == 3 && f.kind == DATA && f.payload == b"ok");
    }
}

#[test]
fn a_body_is_announced_as_it_is_whatever_the_one_before_it_was() {
    let Some(faulty) = module("http_faulty") else { return };
    let origin = Scripted::new(OK, false);
    let to_peer = format!("proxy_pass_tcp \"{}\"", origin.addr());
    for (mode, local, lines, text) in [
        ("sent_well", &*to_peer, "Content-Length: 5\r\n", "12345"),
        ("sent_none", &to_peer, "Content-Length: 0\r\n", ""),
        ("sent_open", &to_peer, "Transfer-Encoding: chunked\r\n", "12345"),
        ("sent_well", "http_echo body=\"hello, world\"", "Content-Length: 5\r\n", "12345"),
        // It gives back what it got.
        ("sent_as_it_is", &to_peer, "Content-Length: 2\r\n", "ok"),
    ] {
        let proxy = with(&faulty, mode, local);
        let mut stream = client::connect(proxy.addr(0));
        for _ in 0..2 {
            let a = ask(&mut stream, get("/"));
            assert_eq!((a.status, a.text().as_str()), (200, text), "{mode}");
            assert!(
                a.head.contains(lines) && a.head.to_lowercase().matches("content-length").count() < 2,
                "{}",
                a.head
            );
        }
    }
    // To HEAD nothing shows the length of another body: what the peer said stays, or nothing is said.
    for (mode, length) in [("sent_as_it_is", Some("2")), ("sent_open", Some("2"))] {
        let a = once(&with(&faulty, mode, &to_peer), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((a.status, a.header("content-length"), a.header("x-sent")), (200, length, Some("1")), "{mode}");
    }
}

#[test]
fn an_answer_that_a_filter_makes_of_one_without_a_body_has_its_body() {
    let Some(faulty) = module("http_faulty") else { return };
    for head in ["204 No Content\r\n", "304 Not Modified\r\nContent-Length: 7\r\n"] {
        let origin = Scripted::new(format!("HTTP/1.1 {head}\r\n"), false);
        for (mode, lines, text) in [
            ("again_well", "Content-Length: 5\r\n", "12345"),
            ("again_open", "Transfer-Encoding: chunked\r\n", "12345"),
            ("again_as_it_is", "Content-Length: 0\r\n", ""),
        ] {
            let proxy = with(&faulty, mode, &format!("proxy_pass_tcp \"{}\"", origin.addr()));
            let mut stream = client::connect(proxy.addr(0));
            for _ in 0..2 {
                let a = ask(&mut stream, get("/"));
                assert_eq!((a.status, a.text().as_str()), (200, text), "{head} {mode}");
                assert!(a.head.contains(lines), "{}", a.head);
            }
        }
    }
}

#[test]
fn a_request_has_the_length_of_its_new_body() {
    let Some(faulty) = module("http_faulty") else { return };
    for (mode, method, line, text) in [
        ("request_well", "POST", Some("Content-Length: 5"), "12345"),
        ("request_well", "GET", Some("Content-Length: 5"), "12345"),
        ("request_none", "POST", Some("Content-Length: 0"), ""),
        ("request_open", "POST", Some("Transfer-Encoding: chunked"), "12345"),
    ] {
        let origin = Scripted::new(OK, false);
        let proxy = with(&faulty, mode, &format!("proxy_pass_tcp \"{}\"", origin.addr()));
        let mut stream = client::connect(proxy.addr(0));
        for n in 0..2 {
            let a = ask(&mut stream, format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n1234567"));
            assert_eq!((a.status, a.text().as_str()), (200, "ok"), "{mode}");
            let (head, body) = &origin.seen()[n];
            let framing: Vec<_> =
                head.lines().filter(|l| l.starts_with("Content-Length") || l.starts_with("Transfer-")).collect();
            assert_eq!(
                (framing.first().copied(), framing.len(), &body[..]),
                (line, 1, text.as_bytes()),
                "{mode}: {head}"
            );
        }
    }
}

#[test]
fn a_peer_serves_no_request_that_hides_in_anothers_body() {
    let Some(faulty) = module("http_faulty") else { return };
    for mode in ["request_long", "request_long_at_once", "request_short"] {
        let origin = Scripted::new(OK, false);
        let proxy = with(&faulty, mode, &format!("proxy_pass_tcp \"{}\"", origin.addr()));
        let mut stream = client::connect(proxy.addr(0));
        for _ in 0..2 {
            let a = ask(&mut stream, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n1234567");
            assert_eq!(a.status, 500, "{mode}");
        }
        let log = proxy.await_log("bytes that it says it has", LIMIT);
        assert!(log.contains("hook=faulty_ask"), "{log}");
        assert!(origin.seen().iter().all(|(head, _)| head.starts_with("POST / ")), "{mode}: {:?}", origin.seen());
    }
}

#[test]
fn nor_does_a_peer_of_http2() {
    let Some(faulty) = module("http_faulty") else { return };
    let peer = Peer::start(|mut call| async move {
        // Whoever sends too little or too much resets: there is nothing to answer.
        let body = call.request.body_mut();
        while let Some(piece) = body.data().await {
            if piece.is_err() {
                return;
            }
        }
        call.answer(b"whole").await;
    });
    for (mode, status, text) in
        [("request_long", 500, None), ("request_short", 500, None), ("request_well", 200, Some("whole"))]
    {
        let proxy = with(&faulty, mode, &format!("http_proxy version=\"2\"; proxy_pass_tcp \"{}\"", peer.addr()));
        let a = once(&proxy, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n1234567");
        assert_eq!(a.status, status, "{mode}");
        assert!(text.is_none_or(|text| a.text() == text), "{mode}: {}", a.text());
    }
}

/// Whose fault it is that a request's body is not whole, behind hooks as well: status and reason.
#[test]
fn a_body_that_is_not_whole_is_its_makers_fault() {
    let (Some(faulty), Some(stamp)) = (module("http_faulty"), module("http_stamp")) else { return };
    let (whole, broken) = ("Content-Length: 2\r\n\r\nok", "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\nno\r\n");
    let passed_on = "; http_stamp \"x\"";
    for (mode, more, request, status, reason) in [
        ("request_fails", "", whole, 500, "proxy_transfer_reset"),
        ("request_file", "", whole, 500, "proxy_transfer_closed"),
        ("request_short", passed_on, whole, 500, "proxy_transfer_malformed"),
        ("nothing", "", broken, 400, "client_transfer_malformed"),
        ("nothing", passed_on, broken, 400, "client_transfer_malformed"),
        // Its hook fails by what it reads, and is not the one to blame.
        ("request_read", "", broken, 400, "client_transfer_malformed"),
        ("request_read", passed_on, whole, 200, "client_transfer_done"),
    ] {
        let origin = Scripted::new(OK, false);
        let local = format!("local {{ http_faulty {mode:?}{more}; proxy_pass_tcp \"{}\"; }}", origin.addr());
        let proxy = crate::modules_of_others::with(&[&faulty, &stamp], &local).start();
        let a = once(&proxy, format!("POST / HTTP/1.1\r\nHost: a\r\n{request}"));
        assert_eq!(a.status, status, "{mode}{more}");
        proxy.await_line("access.log", &format!("reason={reason}"), LIMIT);
    }
}

#[test]
fn a_request_of_a_modules_own_is_framed_and_has_one_host() {
    let Some(faulty) = module("http_faulty") else { return };
    for (mode, said, host, length) in [
        ("fetch_well", "status 200", "a.test", Some("5")),
        ("fetch_open", "status 200", "a.test", None),
        ("fetch_host", "status 200", "other.test", Some("0")),
        ("fetch_long", "Invalid", "", None),
        ("fetch_short", "Invalid", "", None),
        ("fetch_hosts", "Invalid", "", None),
        ("fetch_line", "Invalid", "", None),
    ] {
        let origin = Scripted::new(OK, false);
        let proxy = with(&faulty, mode, &format!("proxy_pass_tcp \"{}\"", origin.addr()));
        assert_eq!(once(&proxy, get("/")).text(), said, "{mode}");
        if host.is_empty() {
            assert!(origin.seen().iter().all(|(head, _)| !head.contains("smuggled")), "{mode}");
            continue;
        }
        let head = &origin.seen()[0].0;
        assert!(head.matches("Host: ").count() == 2, "{head}");
        assert!(head.contains(&format!("\r\nHost: {host}\r\n")), "{head}");
        let line = head.lines().find_map(|l| l.strip_prefix("Content-Length: "));
        assert_eq!((line, head.contains("chunked")), (length, length.is_none()), "{mode}: {head}");
    }
    // Its own mistakes are one thing, those of a peer another.
    for (mode, answer, said) in [
        ("fetch_fails", OK, "Reset"),
        ("fetch_file", OK, "UnexpectedEof"),
        ("fetch_well", b"HTTP/1.1 nothing\r\n\r\n", "Other"),
    ] {
        let origin = Scripted::new(answer, false);
        let proxy = with(&faulty, mode, &format!("proxy_pass_tcp \"{}\"", origin.addr()));
        assert_eq!(once(&proxy, get("/")).text(), said, "{mode}");
    }
}

#[test]
fn a_request_has_one_host_whatever_a_hook_adds() {
    let Some(faulty) = module("http_faulty") else { return };
    let origin = Scripted::new(OK, false);
    let proxy = with(&faulty, "request_hosts", &format!("proxy_pass_tcp \"{}\"", origin.addr()));
    // Nor does a client take away what a hook adds.
    let request = "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: X-Taken, Host\r\nX-Taken: mine\r\n\r\n";
    assert_eq!(once(&proxy, request).text(), "ok");
    let head = &origin.seen()[0].0;
    assert!(head.matches("X-Taken").count() == 1 && head.contains("\r\nX-Taken: [false, false] true\r\n"), "{head}");
    assert!(head.contains("\r\nHost: other.test\r\n") && head.matches("\r\nHost: ").count() == 1, "{head}");
}

#[test]
fn a_final_answer_of_101_is_none() {
    let Some(faulty) = module("http_faulty") else { return };
    let origin = Scripted::new(OK, false);
    let proxy = with(&faulty, "answer_101", &format!("proxy_pass_tcp \"{}\"", origin.addr()));
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, get("/")).status, 500);
    // Nor is it one where another protocol is asked for, and nobody goes on by it.
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n";
    assert_eq!(ask(&mut stream, upgrade).status, 500);
    proxy.await_log("a hook answered with 101", LIMIT);
    // Of an answer neither, and what takes its place may have a page.
    let page = "http_error_page 500 body=\"sorry\"";
    let filtered = with(&faulty, "again_101", &format!("{page}; proxy_pass_tcp \"{}\"", origin.addr()));
    let a = once(&filtered, upgrade);
    assert_eq!((a.status, a.text().as_str()), (500, "sorry"));
    assert_eq!(ask(&mut stream, get("/next")).text(), "ok");
}

#[test]
fn why_a_hook_is_not_taken_is_said() {
    let Some(faulty) = module("http_faulty") else { return };
    let proxy = with(&faulty, "nothing", "http_echo body=\"ok\"");
    for (why, hook) in [("has its name already", "faulty_ask"), ("contradict those of others", "faulty_torn")] {
        let log = proxy.await_log(why, LIMIT);
        assert!(log.contains("cannot be taken: ") && log.contains(&format!("hook={hook}")), "{log}");
    }
    let mut stream = client::connect(proxy.addr(0));
    std::io::Write::write_all(&mut stream, get("/").as_bytes()).expect("write");
    assert_eq!(answer(&mut stream, "GET").text(), "ok");
}

#[test]
fn what_a_panic_says_and_where_it_was_is_in_the_error_log() {
    let Some(faulty) = module("http_faulty") else { return };
    let origin = Scripted::new(OK, false);
    let proxy = with(&faulty, "answer_panic", &format!("proxy_pass_tcp \"{}\"", origin.addr()));
    assert_eq!(once(&proxy, get("/")).status, 500);
    proxy.await_log("hook=faulty_reply", LIMIT);
    let log = proxy.await_log("] panic at ", LIMIT);
    let line = log.lines().find(|l| l.contains("told to panic")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.contains("[error] [http_faulty]") && line.contains("http-faulty/src/lib.rs:"), "{line}");
}
