//! Connections to peers are kept, and what became of them meanwhile is no client's problem.

use std::io::Write;
use std::sync::{Mutex, mpsc};

use harness::{Origin, client, eventually};

use crate::support::{OK, Scripted, ask, get, head, once, proxy_to, server};

#[test]
fn one_connection_carries_the_requests_of_many_clients() {
    let origin = Scripted::new(OK, false);
    let proxy = proxy_to(origin.addr(), "");
    for _ in 0..20 {
        assert_eq!(once(&proxy, get("/")).text(), "ok");
    }
    assert_eq!(origin.origin.accepted(), 1);
    // Whether its connection was new or kept, each line of the log names the peer.
    eventually("their lines", || (proxy.read("access.log").lines().count() == 20).then_some(()));
    let log = proxy.read("access.log");
    assert!(log.lines().all(|line| line.contains(&format!(" up={} ", origin.addr()))), "{log}");
}

#[test]
fn one_that_says_close_is_not_used_again() {
    let origin = Scripted::new(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok", true);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..3 {
        let a = ask(&mut stream, get("/"));
        assert_eq!((a.text().as_str(), a.header("connection")), ("ok", None), "the client's own goes on");
    }
    assert_eq!(origin.origin.accepted(), 3);
}

#[test]
fn one_that_the_peer_keeps_for_ever_is_kept() {
    // In milliseconds it is a little more than 64 bits hold.
    let seconds = u64::MAX / 1000 + 1;
    let says = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout={seconds}\r\n\r\nok");
    let origin = Scripted::new(says, false);
    let proxy = proxy_to(origin.addr(), "");
    for _ in 0..3 {
        assert_eq!(once(&proxy, get("/")).text(), "ok");
    }
    assert_eq!(origin.origin.accepted(), 1);
}

#[test]
fn one_that_the_peer_closed_meanwhile_is_seen_before_it_is_used() {
    let origin = Scripted::new(OK, true);
    let proxy = proxy_to(origin.addr(), "");
    for n in 1..=10 {
        assert_eq!(once(&proxy, get("/")).text(), "ok", "{n}");
        eventually("the peer has ended it", || (origin.origin.open() == 0).then_some(()));
    }
}

#[test]
fn what_one_says_unasked_is_nobodys_answer() {
    // A second answer, once the first has arrived.
    let (arrived, more) = mpsc::channel::<()>();
    let (sent, wait) = mpsc::channel();
    let (more, sent) = (Mutex::new(more), Mutex::new(sent));
    let origin = Origin::start(move |mut conn| {
        while head(&mut conn).is_some() {
            conn.write_all(OK)?;
            if more.lock().expect("not poisoned").recv().is_err() {
                break;
            }
            conn.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")?;
            let _ = sent.lock().expect("not poisoned").send(());
        }
        Ok(())
    });
    let proxy = proxy_to(origin.addr(), "");
    for n in 1..=10 {
        assert_eq!(once(&proxy, get("/")).text(), "ok", "{n}");
        arrived.send(()).expect("the peer waits");
        wait.recv_timeout(harness::LIMIT).expect("it is sent");
    }
    assert_eq!(origin.accepted(), 10);
}

#[test]
fn one_that_ends_under_a_request_is_tried_again_on_another() {
    // The first request of each connection is answered; the second finds it closed once it was read.
    let origin = Origin::start(|mut conn| {
        let _ = head(&mut conn);
        conn.write_all(OK)?;
        let _ = head(&mut conn);
        Ok(())
    });
    let proxy = proxy_to(origin.addr(), "");
    for _ in 0..6 {
        assert_eq!(once(&proxy, get("/")).text(), "ok");
    }
    // Not one that may have had an effect.
    let mut stream = client::connect(proxy.addr(0));
    assert_eq!(ask(&mut stream, get("/")).text(), "ok");
    let a = ask(&mut stream, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert!(a.status == 502 || a.status == 200, "{a:?}");
}

#[test]
fn none_is_kept_where_none_is_wanted() {
    let origin = Scripted::new(OK, false);
    let proxy =
        server(&format!("http_upstream_keepalive 0\nlocal {{ proxy_pass_tcp \"{}\"; }}", origin.addr())).start();
    for _ in 0..3 {
        assert_eq!(once(&proxy, get("/")).text(), "ok");
    }
    assert_eq!(origin.origin.accepted(), 3);
}
