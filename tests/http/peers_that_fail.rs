//! Peers that are not there, say nothing, or end too early.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use harness::{Origin, client, eventually};

use crate::support::{OK, Scripted, get, head, once, server};

#[test]
fn answers_before_the_one_that_counts_are_few() {
    for (number, status) in [(32, 200), (33, 502)] {
        let early = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(number);
        let origin = Scripted::new(format!("{early}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), false);
        let proxy = server(&format!("local {{ proxy_pass_tcp \"{}\"; }}", origin.addr())).start();
        // A client of 1.0 gets none of them.
        let a = once(&proxy, "GET / HTTP/1.0\r\nHost: a\r\n\r\n");
        assert_eq!(a.status, status, "{number}");
    }
}

#[test]
fn another_peer_is_tried_when_one_refuses() {
    let origin = Scripted::new(OK, false);
    let dead = Origin::echo().stop();
    let proxy =
        server(&format!("local {{ proxy_pass_tcp \"{dead}\"; proxy_pass_tcp \"{}\"; }}", origin.addr())).start();
    for _ in 0..10 {
        assert_eq!(once(&proxy, get("/")).text(), "ok");
    }
}

#[test]
fn without_a_peer_it_is_502_and_the_connection_goes_on() {
    let dead = Origin::echo().stop();
    let proxy = server(&format!("local {{ proxy_pass_tcp \"{dead}\"; }}")).start();
    let mut stream = client::connect(proxy.addr(0));
    for _ in 0..2 {
        let a = crate::support::ask(&mut stream, get("/"));
        assert_eq!(a.status, 502);
    }
    eventually("why is logged", || proxy.read("access.log").contains("status=502").then_some(()));
}

#[test]
fn a_peer_that_says_nothing_is_504() {
    let origin = Origin::start(|mut conn| {
        while head(&mut conn).is_some() {}
        Ok(())
    });
    let proxy =
        server(&format!("http_first_byte_timeout \"300ms\"\nlocal {{ proxy_pass_tcp \"{}\"; }}", origin.addr()))
            .start();
    assert_eq!(once(&proxy, get("/")).status, 504);
}

#[test]
fn what_a_client_sends_meanwhile_gives_a_silent_peer_no_more_time() {
    let origin = Origin::start(|mut conn| {
        while head(&mut conn).is_some() {}
        Ok(())
    });
    let proxy =
        server(&format!("http_first_byte_timeout \"300ms\"\nlocal {{ proxy_pass_tcp \"{}\"; }}", origin.addr()))
            .start();
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(get("/").as_bytes()).expect("write");
    stream.set_read_timeout(Some(std::time::Duration::from_millis(40))).expect("a limit above zero");
    let mut byte = [0];
    // The next request comes in small pieces, each of which wakes the session.
    let next = b"GET /".iter().chain(std::iter::repeat(&b'x')).take(200);
    let answered = next.into_iter().any(|b| {
        stream.write_all(&[*b]).expect("write");
        std::io::Read::read(&mut stream, &mut byte).is_ok()
    });
    assert!(answered && byte == *b"H", "no answer in {} pieces", 200);
}

#[test]
fn a_peer_that_answers_before_the_body_is_heard() {
    let origin = Origin::start(|mut conn| {
        let _ = head(&mut conn);
        conn.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
    });
    let proxy = server(&format!("local {{ proxy_pass_tcp \"{}\"; }}", origin.addr())).start();
    let mut stream = client::connect(proxy.addr(0));
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("write");
    let a = crate::support::answer(&mut stream, "POST");
    assert_eq!((a.status, a.text().as_str()), (403, "no"));
}

#[test]
fn clients_that_give_up_do_not_eject_it() {
    // Silent to what it is asked at `/slow`; ends without an answer otherwise.
    let (asked, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (count, over) = (Arc::clone(&asked), Arc::clone(&seen));
    let origin = Origin::start(move |mut conn| {
        let head = head(&mut conn).unwrap_or_default();
        count.fetch_add(1, Relaxed);
        if head.starts_with("GET /slow ") {
            // Up to the end of the connection.
            let _ = std::io::Read::read(&mut conn, &mut [0]);
            over.fetch_add(1, Relaxed);
        }
        Ok(())
    });
    let other = Origin::echo();
    let proxy = harness::Proxy::start(&format!(
        "load_module \"tcp\" \"balancer\" \"http\"\ncommon {{ worker_threads 1; }}\n\
         upstream \"u\" {{\neject consecutive=3 time=\"60s\"\nproxy_pass_tcp \"{}\"\nproxy_pass_tcp \"{}\" backup=#true\n}}\n\
         net {{ server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\nlocal {{ proxy_pass_upstream \"u\"; }}\n}} }}\n",
        origin.addr(),
        other.addr()
    ));
    let ejected = || proxy.status()["upstreams"].to_string().contains("\"ejected\"");
    for n in 1..=6 {
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(get("/slow").as_bytes()).expect("write");
        eventually("the peer was asked", || (asked.load(Relaxed) == n).then_some(()));
        client::reset(stream);
        eventually("the peer's connection is given up", || (seen.load(Relaxed) == n).then_some(()));
    }
    assert!(!ejected(), "{}", proxy.status()["upstreams"]);
    for _ in 0..3 {
        assert_eq!(once(&proxy, get("/")).status, 502);
    }
    eventually("it is ejected", || ejected().then_some(()));
}

/// Where a rule may answer, a peer may be missing for the others: nothing else says so.
#[test]
fn a_local_without_peers_is_told_of() {
    let proxy = server("local { http_rewrite \"^/old$\" \"/new\" \"permanent\"; }").start();
    assert_eq!(once(&proxy, get("/old")).status, 301);
    assert_eq!(once(&proxy, get("/")).status, 502);
    proxy.await_log("no peer: this place of the configuration names no upstream", harness::LIMIT);
}
