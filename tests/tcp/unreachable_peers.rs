//! A peer that refuses and one that never answers: the client is cut, and the log says which it was.

use harness::{Deaf, Origin};

use crate::support::{await_reason, field, is_cut, local, net};

#[test]
fn refused() {
    let nobody = Origin::echo().stop();
    let proxy = local("proxy_pass_tcp \"@PEER@\"").set("PEER", nobody).start();
    assert!(is_cut(proxy.addr(0), b""));
    let line = await_reason(&proxy, "upstream_connect_refused");
    assert_eq!(field(&line, "up"), nobody.to_string(), "{line}");
}

#[test]
fn a_connect_takes_no_longer_than_allowed() {
    let deaf = Deaf::start();
    let proxy = local("connect_timeout \"200ms\"\nproxy_pass_tcp \"@PEER@\"").set("PEER", deaf.addr()).start();
    assert!(is_cut(proxy.addr(0), b""));
    await_reason(&proxy, "upstream_connect_timeout");
}

#[test]
fn a_socket_profile_limits_the_connect_too() {
    let deaf = Deaf::start();
    let top = "socket { tcp \"edge\" connect_timeout=\"200ms\"; }";
    let server =
        "server {\nport_listen_tcp \"127.0.0.1:0\"\ntcp_config_name \"edge\"\nlocal { proxy_pass_tcp \"@PEER@\"; }\n}";
    let proxy = net(top, server).set("PEER", deaf.addr()).start();
    let began = std::time::Instant::now();
    assert!(is_cut(proxy.addr(0), b""));
    await_reason(&proxy, "upstream_connect_timeout");
    // Without it 10 s.
    assert!(began.elapsed().as_secs() < 8, "{:?}", began.elapsed());
}

#[test]
fn another_peer_is_tried_when_one_does_not_answer() {
    let (deaf, alive) = (Deaf::start(), Origin::named("alive"));
    let text = "connect_timeout \"200ms\"\nproxy_pass_tcp \"@DEAF@\"\nproxy_pass_tcp \"@ALIVE@\"";
    let proxy = local(text).set("DEAF", deaf.addr()).set("ALIVE", alive.addr()).start();
    for _ in 0..4 {
        assert_eq!(crate::support::ask(proxy.addr(0)), "alive");
    }
}
