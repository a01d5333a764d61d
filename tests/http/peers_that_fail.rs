//! Peers that are not there, say nothing, or end too early.

use std::io::Write;

use harness::{Origin, client};

use crate::support::{OK, Scripted, get, head, once, server};

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
    harness::eventually("why is logged", || proxy.read("access.log").contains("status=502").then_some(()));
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
