//! `ip_allow` and `ip_deny`.

use super::say;
use anyproxy_module_api::{
    Addr, Str,
    testing::{Block, Directive, ModuleUnderTest},
};
use anyproxy_tcp::Tcp;
use std::net::SocketAddr;

fn allowed(m: &ModuleUnderTest<Tcp>, hook: &str, ip: &str) -> bool {
    let client: Addr = match ip {
        "unix" => Addr::unix(Str::new("/run/x")),
        ip => SocketAddr::new(ip.parse().expect("an address"), 9).into(),
    };
    let session = m.host().session_of(client, SocketAddr::from(([203, 0, 113, 1], 80)));
    m.hook(hook, &session)
}

fn routed(rules: &[(&str, &str)], ip: &str) -> bool {
    let block = rules.iter().fold(Block::local(), |b, (name, network)| b.with(say(name, *network)));
    let m = ModuleUnderTest::start(&[block]);
    let r = allowed(&m, "tcp.access_routed", ip);
    m.stop();
    r
}

#[test]
fn the_first_line_that_matches_decides_in_the_order_of_the_file() {
    let exception = [("ip_allow", "192.0.2.7"), ("ip_deny", "192.0.2.0/24")];
    assert!(routed(&exception, "192.0.2.7"));
    assert!(!routed(&exception, "192.0.2.8"));
    let reversed = [("ip_deny", "192.0.2.0/24"), ("ip_allow", "192.0.2.7")];
    assert!(!routed(&reversed, "192.0.2.7"));
}

#[test]
fn when_no_line_matches_the_last_lines_opposite_holds() {
    assert!(routed(&[], "198.51.100.1"));
    assert!(!routed(&[("ip_allow", "10.0.0.0/8")], "198.51.100.1"));
    assert!(routed(&[("ip_deny", "10.0.0.0/8")], "198.51.100.1"));
    assert!(routed(&[("ip_allow", "10.1.1.1"), ("ip_deny", "10.0.0.0/8")], "198.51.100.1"));
    assert!(!routed(&[("ip_deny", "10.1.1.1"), ("ip_allow", "10.0.0.0/8")], "2001:db8::1"));
}

#[test]
fn local_sockets_and_mapped_addresses_are_known() {
    assert!(routed(&[("ip_allow", "unix")], "unix"));
    assert!(!routed(&[("ip_deny", "all")], "unix"));
    assert!(routed(&[("ip_allow", "unix"), ("ip_deny", "all")], "unix"));
    assert!(!routed(&[("ip_deny", "192.0.2.0/24")], "::ffff:192.0.2.1"));
}

#[test]
fn a_nested_block_cannot_undo_a_denial_which_is_final_before_a_server_is_chosen() {
    let config = Block::net().with(say("ip_deny", "192.0.2.0/24")).with(say("ip_allow", "10.0.0.0/8")).block(
        Block::server()
            .with(say("ip_allow", "192.0.2.1"))
            .block(Block::local().with(Directive::new("ip_allow").arg("192.0.2.2").arg("198.51.100.7"))),
    );
    let mut m = ModuleUnderTest::start(&[config]);
    for block in [1, 2, 3] {
        m.select(block);
        for (ip, early, late) in [
            ("192.0.2.1", false, false),
            ("192.0.2.2", false, false),
            // Nobody speaks of it outside the local, so it must get there.
            ("198.51.100.7", true, block == 3),
            ("203.0.113.5", true, false),
            ("10.0.0.1", true, true),
        ] {
            assert_eq!(allowed(&m, "tcp.access", ip), early, "{ip} in block {block}");
            assert_eq!(allowed(&m, "tcp.access_routed", ip), late, "{ip} in block {block}");
        }
    }
    m.stop();
}
