//! A client that never says its domain is cut when `preread_timeout` has passed. No peer is asked for it meanwhile.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use harness::client::tls::ClientHello;
use harness::{Origin, client, eventually};

use crate::support::{await_reason, lines};
use crate::{server, servers};

#[test]
fn are_cut_and_hold_no_peer() {
    let origin = Origin::echo();
    let proxy = servers(&server("domain \"a.test\"", "proxy_pass_tcp \"@A@\"")).set("A", origin.addr()).start();
    let hello = ClientHello::new().server_name("a.test").record();
    // Nothing, half a ClientHello, half a head.
    let beginnings: [&[u8]; 3] = [b"", &hello[..40], b"GET / HTTP/1.1\r\nHost: a.te"];
    let streams: Vec<_> = beginnings
        .iter()
        .map(|bytes| {
            let mut stream = client::connect(proxy.addr(0));
            stream.write_all(bytes).expect("write");
            stream
        })
        .collect();
    for stream in &streams {
        client::end(stream);
    }
    await_reason(&proxy, "client_preread_timeout");
    eventually("each is logged", || (lines(&proxy).len() == 3).then_some(()));
    assert!(lines(&proxy).iter().all(|line| line.contains("reason=client_preread_timeout ")), "{:?}", lines(&proxy));
    assert_eq!(origin.accepted(), 0);
}

#[test]
fn one_that_sends_bytes_for_ever_is_cut_too() {
    let origin = Origin::echo();
    let proxy = servers(&server("domain \"a.test\"", "proxy_pass_tcp \"@A@\"")).set("A", origin.addr()).start();
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(b"GET /").expect("write");
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
    // Each byte is progress, and none is an end: the limit is one of all together.
    eventually("it is cut", || match stream.read(&mut [0]) {
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            // Cut in between: the next read says so.
            let _ = stream.write_all(b"x");
            None
        }
        _ => Some(()),
    });
    await_reason(&proxy, "client_preread_timeout");
}
