//! Limits of time while bytes are carried, each with its own close reason; a session that moves bytes is not cut.

use std::io::Write;

use harness::{Origin, client};

use crate::support::{await_reason, field, local};

#[test]
fn each_limit_has_its_reason() {
    let cases = [
        ("idle_timeout \"200ms\"", "proxy_transfer_timeout"),
        // The echo waits for the client too: both are silent, the client is looked at first.
        ("recv_timeout \"200ms\"", "client_transfer_timeout"),
        ("splice_after 0\nidle_timeout \"200ms\"", "proxy_transfer_timeout"),
        ("stream_delay \"1ms\"\nidle_timeout \"200ms\"", "proxy_transfer_timeout"),
    ];
    for (directives, reason) in cases {
        let origin = Origin::echo();
        let proxy = local(&format!("{directives}\nproxy_pass_tcp \"@ORIGIN@\"")).set("ORIGIN", origin.addr()).start();
        let mut stream = client::connect(proxy.addr(0));
        stream.write_all(b"x").expect("write");
        client::read_exact(&stream, 1);
        client::end(&stream);
        let line = await_reason(&proxy, reason);
        assert_eq!((field(&line, "in"), field(&line, "out")), ("1", "1"), "{line}");
        origin.await_idle();
    }
}

#[test]
fn a_client_that_takes_nothing_is_cut() {
    for directives in ["splice #false", "splice_after 0"] {
        let origin = Origin::source(1 << 30);
        let text = format!("{directives}\nsend_timeout \"300ms\"\nproxy_pass_tcp \"@ORIGIN@\"");
        let proxy = local(&text).set("ORIGIN", origin.addr()).start();
        let stream = client::connect(proxy.addr(0));
        await_reason(&proxy, "client_transfer_timeout");
        origin.await_idle();
        drop(stream);
    }
}

#[test]
fn a_side_that_ended_need_not_send() {
    let (origin, gate) = Origin::gated();
    let proxy = local("recv_timeout \"300ms\"\nproxy_pass_tcp \"@ORIGIN@\"").set("ORIGIN", origin.addr()).start();
    let stream = client::connect(proxy.addr(0));
    stream.shutdown(std::net::Shutdown::Write).expect("half-close");
    // The client's end is past its limit; the origin's is what cuts.
    await_reason(&proxy, "upstream_transfer_timeout");
    gate.open();
}

#[test]
fn traffic_keeps_a_session() {
    let origin = Origin::echo();
    let text = "idle_timeout \"600ms\"\nproxy_pass_tcp \"@ORIGIN@\"";
    let proxy = local(text).set("ORIGIN", origin.addr()).start();
    let mut stream = client::connect(proxy.addr(0));
    let began = std::time::Instant::now();
    // Three times the limit, in steps of an eighth of it: it is time that has to pass.
    while began.elapsed().as_millis() < 1800 {
        stream.write_all(b"x").expect("write");
        client::read_exact(&stream, 1);
        std::thread::sleep(std::time::Duration::from_millis(75));
    }
    drop(stream);
    await_reason(&proxy, "client_transfer_done");
}
