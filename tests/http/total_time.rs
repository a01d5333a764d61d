//! `http_total_timeout`: all that peers have to do with a request has one end.

use std::io::Write;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use harness::{Origin, Proxy, client, pattern, program, skip};

use crate::support::{Scripted, answer, get, head, once, proxy_to, server};

const LIMIT: &str = "http_total_timeout \"400ms\"";

/// Reads requests and says a head and then a byte now and then, for ever.
fn trickling(text: &'static str) -> Origin {
    Origin::start(move |mut conn| {
        while head(&mut conn).is_some() {
            conn.write_all(text.as_bytes())?;
            while conn.write_all(b"x").is_ok() {
                // A byte before any limit of silence, and few in all.
                sleep(Duration::from_millis(40));
            }
        }
        Ok(())
    })
}

fn silent() -> Origin {
    Origin::start(|mut conn| {
        while head(&mut conn).is_some() {}
        Ok(())
    })
}

fn curl2(proxy: &Proxy) -> Option<Output> {
    let url = format!("http://{}/", proxy.addr(0));
    let args = ["-s", "--http2-prior-knowledge", "--noproxy", "*", "--max-time", "20", "-w", "|%{http_code}", &url];
    Some(Command::new(program("curl")?).args(args).output().expect("curl runs"))
}

fn soon(began: Instant) {
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(390) && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn without_a_head_it_is_504() {
    let origin = silent();
    for more in ["", "http_retry \"timeout\" tries=16\nhttp_first_byte_timeout \"150ms\""] {
        let proxy = proxy_to(origin.addr(), &format!("{LIMIT}\n{more}"));
        let began = Instant::now();
        let mut stream = client::connect(proxy.addr(0));
        let a = crate::support::ask(&mut stream, get("/"));
        soon(began);
        assert_eq!(a.status, 504);
        // The client's own connection goes on.
        assert_eq!(crate::support::ask(&mut stream, get("/")).status, 504);
        proxy.await_line("access.log", "status=504", harness::LIMIT);
        proxy.await_line("access.log", "reason=upstream_transfer_timeout", harness::LIMIT);
    }
}

#[test]
fn an_answer_that_drags_on_is_cut() {
    let origin = trickling("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    let proxy = proxy_to(origin.addr(), LIMIT);
    let began = Instant::now();
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(get("/").as_bytes()).expect("write");
    let head = head(&mut stream).expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let body = client::read_to_end(&stream);
    soon(began);
    assert!(body.len() > 3 && body.len() < 1000, "{}", body.len());
    proxy.await_line("access.log", "reason=upstream_transfer_timeout", harness::LIMIT);
    // So is one whose end only the connection tells: with a reset, or a chunk that is missing.
    let origin = trickling("HTTP/1.1 200 OK\r\n\r\n");
    let proxy = proxy_to(origin.addr(), LIMIT);
    let began = Instant::now();
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(get("/").as_bytes()).expect("write");
    let all = client::read_to_end(&stream);
    soon(began);
    assert!(!all.ends_with(b"0\r\n\r\n"), "not as if it were whole");
}

#[test]
fn clients_and_peers_of_http_2_too() {
    let dragging = trickling("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
    for (origin, status) in [(silent(), "|504"), (dragging, "|200")] {
        let proxy = proxy_to(origin.addr(), LIMIT);
        let Some(out) = curl2(&proxy) else { return skip("curl is not installed") };
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(text.ends_with(status), "{text}");
        assert_eq!(out.status.success(), status == "|504", "{text}");
        // The same with HTTP/2 in between.
        let plain = proxy_to(origin.addr(), "");
        let text = format!("{LIMIT}\nlocal {{ http_proxy version=\"2\"; proxy_pass_tcp \"{}\"; }}", plain.addr(0));
        let proxy = server(&text).start();
        let began = Instant::now();
        let out = curl2(&proxy).expect("curl is there");
        soon(began);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(text.ends_with(status) && out.status.success() == (status == "|504"), "{text}");
    }
}

#[test]
fn what_the_peer_has_ended_waits_for_a_slow_client() {
    let body = pattern::bytes(3 << 20);
    let mut text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    text.extend_from_slice(&body);
    let origin = Scripted::new(text, false);
    let proxy = proxy_to(origin.addr(), "http_total_timeout \"2s\"\nhttp_response_buffering #true");
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(get("/").as_bytes()).expect("write");
    // Past the limit: nothing is to be seen of it meanwhile.
    sleep(Duration::from_millis(2500));
    assert!(answer(&mut stream, "GET").body == body);
    assert_eq!(once(&proxy, get("/")).body.len(), body.len());
}

#[test]
fn zero_is_none() {
    let origin = Origin::start(|mut conn| {
        let _ = head(&mut conn);
        // Past the server's limit: nothing is to be seen of it.
        sleep(Duration::from_millis(700));
        conn.write_all(crate::support::OK)
    });
    let text = format!("{LIMIT}\nlocal {{ http_total_timeout 0; proxy_pass_tcp \"{}\"; }}", origin.addr());
    assert_eq!(once(&server(&text).start(), get("/")).text(), "ok");
}
