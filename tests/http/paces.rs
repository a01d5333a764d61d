//! `http_limit_rate`: an answer's body comes no faster than that, whoever made it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use harness::{Proxy, client, eventually, pattern, program, skip};

use crate::support::{Answer, Scripted, answer, ask, get, server};

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

/// Two workers, so that both know of a key.
const KEYED: &str = r#"
load_module "tcp" "balancer" "http"
common { worker_threads 2; }
net {
    server {
        port_listen_tcp "127.0.0.1:0"
        http
        http_limit_rate "400KiB/s" key="${http_request_x_key}"
        local { http_static "html"; }
    }
}
"#;

/// 400 KiB/s for all who send the same key.
fn keyed() -> Proxy {
    keyed_by(KEYED)
}

fn keyed_by(text: &str) -> Proxy {
    let proxy = Proxy::builder().config(text);
    std::fs::create_dir(proxy.dir().join("html")).expect("own directory");
    proxy.file("html/large", body()).file("html/huge", pattern::bytes(16 << 20)).start()
}

fn with_key(path: &str, key: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.test\r\nX-Key: {key}\r\n\r\n")
}

/// Asks for it so many times at once over one connection of HTTP/2, and says how long that took. `None`: it cannot.
fn over_http_2(proxy: &Proxy, key: &str, times: usize) -> Option<Duration> {
    let nghttp = program("nghttp")?;
    let urls: Vec<_> = (0..times).map(|i| format!("http://{}/large?{i}", proxy.addr(0))).collect();
    let began = Instant::now();
    let out = Command::new(nghttp).args(["-H", &format!("x-key: {key}")]).args(urls).output().expect("nghttp runs");
    assert_eq!((out.status.success(), out.stdout.len()), (true, times * body().len()));
    Some(began.elapsed())
}

fn asks(proxy: &Proxy, path: &str, key: &str) -> TcpStream {
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(with_key(path, key).as_bytes()).expect("write");
    stream
}

/// Two answers of 300 KiB, of which an eighth of a second comes at once: 1.375 s.
const LEAST_OF_TWO: Duration = Duration::from_millis(1370);

#[test]
fn answers_with_the_same_key_share_the_rate() {
    let proxy = keyed();
    let began = Instant::now();
    let mut streams = [asks(&proxy, "/large", "a"), asks(&proxy, "/large", "a")];
    for stream in &mut streams {
        assert!(answer(stream, "GET").body == body());
    }
    assert!(began.elapsed() >= LEAST_OF_TWO, "{:?}", began.elapsed());
    // A client of HTTP/1, and two streams of HTTP/2: 2.125 s for all three.
    let began = Instant::now();
    let mut stream = asks(&proxy, "/large", "b");
    if over_http_2(&proxy, "b", 2).is_none() {
        return skip("nghttp is not installed");
    }
    assert!(answer(&mut stream, "GET").body == body());
    assert!(began.elapsed() >= Duration::from_millis(2120), "{:?}", began.elapsed());
}

#[test]
fn other_keys_have_the_rate_for_themselves_and_no_key_has_none() {
    let proxy = keyed();
    // 40 s long: they are under way until they are dropped.
    let began = Instant::now();
    let mut slow = [asks(&proxy, "/huge", "a"), asks(&proxy, "/huge", "a")];
    // Each of them comes on.
    for stream in &mut slow {
        let mut some = vec![0; 100 << 10];
        stream.read_exact(&mut some).expect("a part of it");
    }
    assert!(began.elapsed() >= Duration::from_millis(370), "{:?}", began.elapsed());
    assert!(answer(&mut asks(&proxy, "/large", "b"), "GET").body == body());
    assert_eq!(answer(&mut asks(&proxy, "/huge", ""), "GET").body.len(), 16 << 20);
    assert!(began.elapsed() < Duration::from_secs(35), "they are not under way any more");
}

#[test]
fn a_reload_gives_no_key_its_rate_twice() {
    let proxy = keyed();
    let began = Instant::now();
    let mut first = asks(&proxy, "/large", "a");
    first.read_exact(&mut [0]).expect("its beginning");
    proxy.reload_with(&KEYED.replace("local {", "http_header_count 200\nlocal {")).assert(0, &[]);
    let mut second = asks(&proxy, "/large", "a");
    let rest = answer(&mut second, "GET");
    assert!(rest.body == body());
    // The head, and what is left of it.
    answer(&mut first, "GET");
    assert!(began.elapsed() >= LEAST_OF_TWO, "{:?}", began.elapsed());
}

#[test]
fn who_goes_leaves_its_turn_to_others() {
    let proxy = keyed();
    // With a turn of 4 KiB for each, a round is four seconds long.
    let all: Vec<_> = (0..400).map(|_| asks(&proxy, "/huge", "a")).collect();
    for stream in &all {
        stream.peek(&mut [0]).expect("its head");
    }
    // Something is there that nobody reads, by which the other side hears that they are gone.
    drop(all);
    let began = Instant::now();
    eventually("no session", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
    answer(&mut asks(&proxy, "/large", "a"), "GET");
    assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
}

#[test]
fn the_first_bytes_are_each_answers_own() {
    let proxy = server("http_limit_rate \"1/s\" key=\"all\" after=\"4B\"\nlocal { http_echo body=\"abcd\"; }").start();
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..20 {
        assert_eq!(ask(&mut stream, get("/")).text(), "abcd");
    }
}

#[test]
fn an_answer_that_waits_for_its_turn_does_not_stand_still() {
    let text = "http_body_timeout \"1s\"\nhttp_limit_rate \"1/s\" key=\"all\"\nlocal { http_echo body=\"a\"; }";
    let proxy = server(text).start();
    let began = Instant::now();
    let mut streams: Vec<_> = (0..5).map(|_| asks(&proxy, "/", "")).collect();
    for stream in &mut streams {
        assert_eq!(answer(stream, "GET").text(), "a");
    }
    // The last one waits for the others: four seconds without a byte.
    assert!(began.elapsed() >= Duration::from_millis(3900), "{:?}", began.elapsed());
}

/// 600 KiB/s for all who send the same key, and 400 KiB/s for each answer: what blocks say, outer ones too, adds up.
fn two_rates() -> Proxy {
    let text = KEYED.replace("400KiB/s", "600KiB/s").replace("local {", &format!("local {{ {RATE};"));
    keyed_by(&text)
}

/// Two answers of 300 KiB at 600 KiB/s together, of which an eighth of a second comes at once: 0.875 s, where each by itself
/// would need 0.625 s. One needs that, where those of its key would need 0.375 s.
const LEAST_OF_BOTH: Duration = Duration::from_millis(870);

#[test]
fn of_two_rates_the_slower_one_counts() {
    let proxy = two_rates();
    for (key, times, least) in [("", 1, LEAST), ("a", 1, LEAST), ("b", 2, LEAST_OF_BOTH), ("", 2, LEAST)] {
        let began = Instant::now();
        let mut streams: Vec<_> = (0..times).map(|_| asks(&proxy, "/large", key)).collect();
        for stream in &mut streams {
            assert!(answer(stream, "GET").body == body());
        }
        let took = began.elapsed();
        assert!(took >= least && took < MOST, "{times} of {key:?}: {took:?}");
    }
}

#[test]
fn of_two_rates_the_slower_one_counts_over_http_2() {
    let proxy = two_rates();
    for (key, times, least) in [("a", 1, LEAST), ("b", 2, LEAST_OF_BOTH)] {
        let Some(took) = over_http_2(&proxy, key, times) else { return skip("nghttp is not installed") };
        assert!(took >= least && took < MOST, "{times} of {key}: {took:?}");
    }
}

#[test]
fn two_rates_of_one_answer_hold_from_different_bytes_on() {
    // 200 KiB at 400 KiB/s, 0.375 s; the others at 100 KiB/s, of which 12.5 KiB come at once: 0.875 s more.
    let (a, took) = timed(&files(&format!("{RATE}\nhttp_limit_rate \"100KiB/s\" after=\"200KiB\"")));
    assert!(a.body == body() && took >= Duration::from_millis(1240) && took < MOST, "{took:?}");
}

#[test]
fn an_answer_of_several_keys_waits_for_all_of_them() {
    let text = "http_limit_rate \"1MiB/s\" key=\"all\"\nhttp_limit_rate \"400KiB/s\" key=\"${client_ip}\"";
    slow(timed(&files(&format!("{text}\nhttp_limit_rate \"800KiB/s\" key=\"${{http_request_host}}\""))));
}

#[test]
fn a_line_that_stands_twice_counts_once() {
    let line = "http_limit_rate \"400KiB/s\" key=\"${http_request_x_key}\"";
    let proxy = keyed_by(&KEYED.replace("local {", &format!("local {{ {line} after=\"1MiB\";")));
    let began = Instant::now();
    assert!(answer(&mut asks(&proxy, "/large", "a"), "GET").body == body());
    let took = began.elapsed();
    // Twice as much of the key would be 1.375 s, and the smaller `after` counts.
    assert!(took >= LEAST && took < Duration::from_millis(1300), "{took:?}");
}

#[test]
fn a_block_can_leave_outer_rates_out() {
    for own in ["http_limit_rate 0", "http_limit_rate \"1GiB/s\" inherit=#false"] {
        let text = format!("http_limit_rate \"1/s\"\nlocal {{ {own}; http_echo body=\"abcd\"; }}");
        let began = Instant::now();
        assert_eq!(ask(&mut client::connect(server(&text).start().addr(0)), get("/")).text(), "abcd");
        assert!(began.elapsed() < Duration::from_millis(2900), "{own}: {:?}", began.elapsed());
    }
}
