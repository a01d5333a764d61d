//! `http_limit_rate`: an answer's body comes no faster than that, whoever made it.

use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Proxy, client, pattern, program, skip};

use crate::support::{Answer, Scripted, ask, get, server};

/// Asks and says how long it took.
fn timed(proxy: &Proxy) -> (Answer, Duration) {
    let mut stream = client::connect(proxy.addr(0));
    let began = Instant::now();
    let answer = ask(&mut stream, get("/large"));
    (answer, began.elapsed())
}

/// 300 KiB at 400 KiB/s, of which an eighth of a second comes at once: 0.625 s.
const RATE: &str = "http_limit_rate \"400KiB/s\"";
const LEAST: Duration = Duration::from_millis(600);
const MOST: Duration = Duration::from_secs(6);

fn body() -> Vec<u8> {
    pattern::bytes(300 << 10)
}

fn slow(answer: (Answer, Duration)) {
    let (a, took) = answer;
    assert!(a.body == body() && a.status == 200);
    assert!(took >= LEAST && took < MOST, "{took:?}");
}

fn files(text: &str) -> Proxy {
    let proxy = server(&format!("{text}\nlocal {{ http_static \"html\"; }}"));
    std::fs::create_dir(proxy.dir().join("html")).expect("own directory");
    proxy.file("html/large", body()).start()
}

#[test]
fn a_file_is_sent_in_parts() {
    slow(timed(&files(RATE)));
    let (a, took) = timed(&files(""));
    assert!(a.body == body() && took < LEAST, "{took:?}");
}

#[test]
fn a_peers_answer_in_pieces_of_either_framing() {
    let mut with_length = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body().len()).into_bytes();
    with_length.extend_from_slice(&body());
    let mut chunked =
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body().len()).into_bytes();
    chunked.extend_from_slice(&body());
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    for text in [with_length, chunked] {
        let origin = Scripted::new(text, false);
        for more in ["", "http_response_buffering #true"] {
            let text = format!("{RATE}\n{more}\nlocal {{ proxy_pass_tcp \"{}\"; }}", origin.addr());
            slow(timed(&server(&text).start()));
        }
    }
}

#[test]
fn the_first_bytes_may_be_free() {
    let (a, took) = timed(&files(&format!("{RATE} after=\"1MiB\"")));
    assert!(a.body == body() && took < LEAST, "{took:?}");
    // 100 KiB of it: 150 KiB are left for the rate, 0.375 s.
    let (a, took) = timed(&files(&format!("{RATE} after=\"100KiB\"")));
    assert!(a.body == body() && took >= Duration::from_millis(350), "{took:?}");
}

#[test]
fn clients_of_http_2_are_slowed_stream_by_stream() {
    let proxy = files(RATE);
    let url = format!("http://{}/large", proxy.addr(0));
    let Some(nghttp) = program("nghttp") else { return skip("nghttp is not installed") };
    let began = Instant::now();
    // Bodies of both, as their pieces come.
    let out = Command::new(nghttp).args([&url, &format!("{url}?2")]).output().expect("nghttp runs");
    let took = began.elapsed();
    assert_eq!((out.status.success(), out.stdout.len()), (true, 2 * body().len()));
    assert!(took >= LEAST && took < MOST, "{took:?}");
}

#[test]
fn small_answers_are_not_touched_and_the_connection_goes_on() {
    let proxy = server("http_limit_rate \"100KiB/s\"\nlocal { http_echo body=\"short\"; }").start();
    let mut stream = client::connect(proxy.addr(0));
    let began = Instant::now();
    for _ in 0..50 {
        assert_eq!(ask(&mut stream, get("/")).text(), "short");
    }
    assert!(began.elapsed() < Duration::from_secs(3));
    // What is longer, too, leaves the connection for others.
    let proxy = files(RATE);
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..2 {
        assert!(ask(&mut stream, get("/large")).body == body());
    }
}

#[test]
fn the_slowest_rate_is_no_standstill() {
    let proxy = server("http_body_timeout \"2s\"\nhttp_limit_rate \"1/s\"\nlocal { http_echo body=\"abcd\"; }").start();
    let began = Instant::now();
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, get("/")).text(), "abcd");
    assert!(began.elapsed() >= Duration::from_millis(2900), "{:?}", began.elapsed());
}
