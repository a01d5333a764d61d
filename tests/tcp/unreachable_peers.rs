//! A peer that refuses and one that never answers: the client is cut, and the log says which it was.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;

use harness::Origin;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, listen, socket};

use crate::support::{await_reason, field, is_cut, local, net};

#[test]
fn refused() {
    let nobody = Origin::echo().stop();
    let proxy = local("proxy_pass_tcp \"@PEER@\"").set("PEER", nobody).start();
    assert!(is_cut(proxy.addr(0), b""));
    let line = await_reason(&proxy, "upstream_connect_refused");
    assert_eq!(field(&line, "up"), nobody.to_string(), "{line}");
}

/// A listener whose queue is full: the kernel drops what else wants to connect.
struct Deaf {
    _listener: OwnedFd,
    _waiting: Vec<TcpStream>,
    addr: SocketAddr,
}

impl Deaf {
    fn start() -> Self {
        let listener = socket(AddressFamily::INET, SocketType::STREAM, None).expect("socket");
        bind(&listener, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("bind");
        listen(&listener, 0).expect("listen");
        let addr = SocketAddr::try_from(getsockname(&listener).expect("name")).expect("an IP address");
        let mut waiting = Vec::new();
        let brief = std::time::Duration::from_millis(300);
        while let Ok(stream) = TcpStream::connect_timeout(&addr, brief) {
            waiting.push(stream);
        }
        Self { _listener: listener, _waiting: waiting, addr }
    }
}

#[test]
fn a_connect_takes_no_longer_than_allowed() {
    let deaf = Deaf::start();
    let proxy = local("connect_timeout \"200ms\"\nproxy_pass_tcp \"@PEER@\"").set("PEER", deaf.addr).start();
    assert!(is_cut(proxy.addr(0), b""));
    await_reason(&proxy, "upstream_connect_timeout");
}

#[test]
fn a_socket_profile_limits_the_connect_too() {
    let deaf = Deaf::start();
    let top = "socket { tcp \"edge\" connect_timeout=\"200ms\"; }";
    let server =
        "server {\nport_listen_tcp \"127.0.0.1:0\"\ntcp_config_name \"edge\"\nlocal { proxy_pass_tcp \"@PEER@\"; }\n}";
    let proxy = net(top, server).set("PEER", deaf.addr).start();
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
    let proxy = local(text).set("DEAF", deaf.addr).set("ALIVE", alive.addr()).start();
    for _ in 0..4 {
        assert_eq!(crate::support::ask(proxy.addr(0)), "alive");
    }
}
