//! Clients that go while nobody has answered them yet: what they would have got is another's, be it a peer or a turn.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use h2::Reason;
use harness::client::End;
use harness::{Deaf, LIMIT, Origin, Proxy, client, eventually, pattern};

use crate::h2::{Call, DATA, END_HEADERS, END_STREAM, HEADERS, Peer, RST_STREAM, Raw, section};
use crate::http2_clients_that_go::{Gate, behind, lines, silent};
use crate::http2_peers::before;
use crate::support::{answer, ask, get, head, proxy_to};

const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
const BUFFERED: &str = "http_request_buffering #true";
const CANCEL: [u8; 4] = 8_u32.to_be_bytes();

#[test]
fn the_peer_of_http2_is_told() {
    let (tell, told) = mpsc::channel();
    let tell = Mutex::new(tell);
    let peer = Peer::start(move |mut call: Call| {
        let tell = tell.lock().expect("not poisoned").clone();
        async move {
            let reason = std::future::poll_fn(|cx| call.respond.poll_reset(cx)).await;
            let _ = tell.send(reason.ok());
        }
    });
    for (n, (text, request)) in [("", get("/")), ("", POST.to_owned()), (BUFFERED, POST.to_owned())].iter().enumerate()
    {
        let proxy = before(peer.addr(), text);
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(request.as_bytes()).expect("write");
        eventually("the peer has it", || (peer.requests() == n as u64 + 1).then_some(()));
        client::reset(stream);
        assert_eq!(told.recv_timeout(LIMIT), Ok(Some(Reason::CANCEL)), "{text} {request}");
        eventually("its line in the log", || (lines(&proxy, "reason=client_transfer_reset") == 1).then_some(()));
    }
}

/// It is not gone: it has only nothing more to say (fault 10 of the original: no reply).
#[test]
fn one_that_has_ended_its_side_hears_all_answers() {
    let gate = Gate::default();
    let origin = behind(&gate);
    let proxy = proxy_to(origin.addr(), "");
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(format!("{}{}", get("/one"), get("/two")).as_bytes()).expect("write");
    stream.shutdown(Shutdown::Write).expect("a socket");
    origin.await_accepted(1);
    gate.open();
    for path in ["/one", "/two"] {
        assert_eq!(answer(&mut stream, "GET").text(), "ok", "{path}");
    }
    assert_eq!(client::read_to_end(&stream), b"");
    eventually("both were done", || (lines(&proxy, "status=200") == 2).then_some(()));
}

#[test]
fn the_peer_that_has_a_body_which_is_kept_is_let_go() {
    let origin = silent();
    let proxy = proxy_to(origin.addr(), BUFFERED);
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(POST.as_bytes()).expect("write");
    origin.await_accepted(1);
    client::reset(stream);
    origin.await_idle();
    // By HTTP/2 a stream goes, or all of them.
    let mut raw = Raw::open(proxy.addr(0));
    let post = |raw: &mut Raw, id| {
        raw.send(HEADERS, END_HEADERS, id, &section(true, "/"));
        raw.send(DATA, END_STREAM, id, b"body");
        origin.await_accepted(u64::from(id / 2 + 2));
    };
    post(&mut raw, 1);
    raw.send(RST_STREAM, 0, 1, &CANCEL);
    origin.await_idle();
    post(&mut raw, 3);
    client::reset(raw.stream);
    origin.await_idle();
    eventually("their lines in the log", || (lines(&proxy, "reason=client_transfer_reset") == 3).then_some(()));
}

#[test]
fn a_connection_that_does_not_come_about_is_given_up() {
    let deaf = Deaf::start();
    let late = "connect_timeout \"600s\"";
    for proxy in [proxy_to(deaf.addr(), late), before(deaf.addr(), late)] {
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(get("/").as_bytes()).expect("write");
        at_the_peer(&proxy, 1);
        client::reset(stream);
        at_the_peer(&proxy, 0);
        eventually("its line in the log", || (lines(&proxy, "reason=client_transfer_reset") == 1).then_some(()));
        assert_eq!(proxy.status()["upstreams"][0]["peers"][0]["connect_failures"], 0, "the peer has not failed");
    }
}

/// So many requests have the only peer, or wait for a connection to it.
fn at_the_peer(proxy: &Proxy, n: usize) {
    eventually(&format!("{n} at the peer"), || {
        (proxy.status()["upstreams"][0]["peers"][0]["in_flight"] == n).then_some(())
    });
}

#[test]
fn a_turn_to_connect_that_is_given_up_is_the_next_ones() {
    let deaf = Deaf::start();
    let proxy = before(deaf.addr(), "connect_timeout \"600s\"");
    let clients: Vec<_> = (1..=6)
        .map(|n| {
            let mut stream = client::connect(proxy.addr(0));
            stream.write_all(get("/").as_bytes()).expect("write");
            at_the_peer(&proxy, n);
            stream
        })
        .collect();
    // Each has the turn when it goes, and those behind it stay.
    for (n, stream) in clients.into_iter().enumerate() {
        client::reset(stream);
        at_the_peer(&proxy, 5 - n);
    }
    eventually("all have gone by themselves", || (lines(&proxy, "reason=client_transfer_reset") == 6).then_some(()));
}

#[test]
fn a_place_in_the_queue_is_given_up() {
    let gate = Gate::default();
    let origin = behind(&gate);
    let proxy = Proxy::start(&format!(
        "load_module \"tcp\" \"balancer\" \"http\"\ncommon {{ worker_threads 1; }}\n\
         upstream \"u\" {{ queue size=10 timeout=\"60s\"; proxy_pass_tcp \"{}\" max_connections=1; }}\n\
         net {{ server {{ port_listen_tcp \"127.0.0.1:0\"; http; local {{ proxy_pass_upstream \"u\"; }} }} }}\n",
        origin.addr()
    ));
    let waiting = |n: usize| {
        eventually(&format!("{n} wait"), || (proxy.status()["upstreams"][0]["waiting"] == n).then_some(()));
    };
    let with = |request: &[u8]| {
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(request).expect("write");
        stream
    };
    let begin = || with(get("/").as_bytes());
    // More than is read at once: nothing says that there is no more, and nobody waits for that.
    let upload = [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", &[b'x'; 64 << 10][..]].concat();
    let mut held = begin();
    origin.await_accepted(1);
    let dead = [begin(), with(&upload), begin(), with(&upload)];
    waiting(4);
    dead.into_iter().for_each(client::reset);
    waiting(0);
    let mut raw = Raw::open(proxy.addr(0));
    [1, 3, 5].into_iter().for_each(|id| raw.get(id, "/"));
    waiting(3);
    raw.send(RST_STREAM, 0, 1, &CANCEL);
    waiting(2);
    client::reset(raw.stream);
    waiting(0);
    gate.open();
    assert_eq!(answer(&mut held, "GET").text(), "ok");
    assert_eq!(ask(&mut client::connect(proxy.addr(0)), get("/")).text(), "ok");
    assert_eq!(origin.accepted(), 1);
}

/// It may listen yet, though nginx takes it for gone: all that it has asked is answered, however
/// long that takes and however much it is.
#[test]
fn one_that_has_only_ended_its_side_has_its_answers() {
    let origin = Origin::start(|mut conn| {
        while let Some(request) = head(&mut conn) {
            if request.starts_with("POST") {
                let mut body = [0; 4];
                conn.read_exact(&mut body)?;
                assert_eq!(&body, b"body");
            }
            // Longer than one that is gone is waited for.
            std::thread::sleep(Duration::from_millis(700));
            conn.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1 << 20).as_bytes())?;
            conn.write_all(&pattern::bytes(1 << 20))?;
        }
        Ok(())
    });
    for text in ["", BUFFERED] {
        let proxy = proxy_to(origin.addr(), text);
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(format!("{POST}{}", get("/next")).as_bytes()).expect("write");
        stream.shutdown(Shutdown::Write).expect("shutdown");
        for method in ["POST", "GET"] {
            let a = answer(&mut stream, method);
            assert!(a.status == 200 && a.body == pattern::bytes(1 << 20), "{text} {method}: {}", a.head);
        }
        assert_eq!(client::end(&stream), End::Closed, "{text}");
        eventually("two lines in the log", || (lines(&proxy, "reason=client_transfer_done") == 2).then_some(()));
    }
}
