//! Socket profiles and mistakes in the configuration.

use super::say;
use anyproxy_module_api::testing::{Block, Directive, ModuleUnderTest};
use anyproxy_tcp::Tcp;

fn main_with_edge() -> Block {
    Block::main().with(
        Directive::new("tcp")
            .arg("edge")
            .prop("nodelay", false)
            .prop("send_buffer", "64KiB")
            .prop("connect_timeout", "3s")
            .prop("keepalive", "1500ms")
            .prop("source", "192.0.2.9")
            .prop("backlog", 77)
            .prop("defer_accept", true),
    )
}

#[test]
fn a_profile_holds_for_listeners_and_peers_of_its_block() {
    let server = Block::server()
        .with(Directive::new("port_listen_tcp").arg("127.0.0.1:1-3").arg("[::1]:1"))
        .with(say("tcp_config_name", "edge"));
    let m = ModuleUnderTest::<Tcp>::start(&[main_with_edge(), Block::net().block(server)]);
    let l = m.listener_options("tcp");
    assert_eq!((l.nodelay, l.send_buffer, l.keepalive_s, l.backlog, l.defer_accept), (false, 65536, 2, 77, true));
    assert_eq!(l.connect_timeout_ms, 0);
    let c = m.connector_options("tcp");
    assert_eq!((c.nodelay, c.send_buffer, c.connect_timeout_ms, c.defer_accept), (false, 65536, 3000, false));
    assert_eq!(c.source.to_string(), "192.0.2.9:0");
    m.stop();
}

#[test]
fn without_a_profile_sockets_have_nodelay_and_the_systems_values() {
    let m = ModuleUnderTest::<Tcp>::start(&[main_with_edge(), Block::net().block(Block::server())]);
    for o in [m.listener_options("tcp"), m.connector_options("tcp")] {
        assert_eq!((o.nodelay, o.send_buffer, o.keepalive_s, o.backlog), (true, 0, 0, 0));
    }
    m.stop();
}

#[test]
fn mistakes_name_the_place_and_what_was_meant() {
    let told = |config: &[Block]| {
        let problems = ModuleUnderTest::<Tcp>::try_start(config).expect_err("it is refused");
        let p = &problems[0];
        assert!(p.line.is_some());
        (p.message.clone(), p.help.clone())
    };
    let net = |d: Directive| Block::net().with(d);
    assert_eq!(
        told(&[main_with_edge(), net(say("tcp_config_name", "egde"))]),
        ("there is no socket profile \"egde\"".into(), "did you mean \"edge\"?".into())
    );
    let (message, help) = told(&[net(say("tcp_config_name", "edge"))]);
    assert!(message.contains("no socket profile") && help.contains("socket {"), "{message} {help}");
    let twice = main_with_edge().with(say("tcp", "edge"));
    assert!(told(&[twice]).0.contains("already there"));
    let source = Block::main().with(say("tcp", "x").prop("source", "localhost"));
    assert!(told(&[source]).0.contains("not an IP address"));
    // The host's to say, which reads a network before the module does.
    let network = ModuleUnderTest::<Tcp>::try_start(&[net(say("ip_deny", "10.0.0.1/8"))]).expect_err("it is refused");
    assert!(network[0].message.contains("bits set behind the first 8; write \"10.0.0.0/8\""), "{network:?}");
    let methods = Directive::new("domain_from_http_v1").prop("methods", "GET,POST;");
    assert!(told(&[net(methods)]).0.contains("no list of HTTP methods"));
}
