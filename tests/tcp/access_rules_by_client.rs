//! `ip_allow` and `ip_deny`: one list in the order of the file, the block around first, so that a child cannot undo what its
//! parent denies. Clients are named by a trusted PROXY header.

use harness::{Origin, Proxy, client};

use crate::support::{field, is_cut, lines, net};

fn proxy(net_lines: &str, server: &str, local: &str, origin: &Origin) -> Proxy {
    let text = format!(
        "{net_lines}\nserver {{\nport_listen_tcp \"127.0.0.1:0\"\nproxy_protocol_accept \"127.0.0.1\"\n{server}\n\
         local {{\n{local}\nproxy_pass_tcp \"@ORIGIN@\"\n}}\n}}"
    );
    net("", &text).set("ORIGIN", origin.addr()).start()
}

/// Clients with whether they are let in.
type Clients = &'static [(&'static str, bool)];

fn header(client: &str) -> Vec<u8> {
    let family = if client.contains(':') { "TCP6" } else { "TCP4" };
    let own = if client.contains(':') { "::1" } else { "127.0.0.1" };
    format!("PROXY {family} {client} {own} 4000 80\r\n").into_bytes()
}

#[test]
fn first_match_decides_and_parents_come_first() {
    let origin = Origin::named("o");
    // net, server, local; then clients with whether they are let in.
    let cases: [(&str, &str, &str, Clients); 6] = [
        ("ip_deny \"192.0.2.0/24\"", "ip_allow \"192.0.2.7\"", "", &[("192.0.2.7", false), ("198.51.100.1", false)]),
        (
            "",
            "ip_allow \"192.0.2.7\"\nip_deny \"192.0.2.0/24\"",
            "",
            &[("192.0.2.7", true), ("192.0.2.8", false), ("198.51.100.1", true)],
        ),
        ("", "ip_allow \"10.0.0.0/8\"", "", &[("10.1.2.3", true), ("11.0.0.1", false), ("2001:db8::1", false)]),
        ("", "ip_deny \"2001:db8::/32\"", "", &[("2001:db8::1", false), ("2001:db9::1", true), ("10.0.0.1", true)]),
        ("", "ip_deny \"192.0.2.1\"", "ip_allow \"all\"", &[("192.0.2.1", false), ("192.0.2.2", true)]),
        (
            "ip_allow \"192.0.2.1\"\nip_deny \"all\"",
            "ip_allow \"all\"",
            "ip_allow \"all\"",
            &[("192.0.2.1", true), ("192.0.2.2", false)],
        ),
    ];
    for (outer, server, inner, clients) in cases {
        let proxy = proxy(outer, server, inner, &origin);
        for (name, allowed) in clients {
            let head = header(name);
            if *allowed {
                assert_eq!(client::exchange(proxy.addr(0), &head), b"o\n", "{outer} {server} {inner}: {name}");
            } else {
                assert!(is_cut(proxy.addr(0), &head), "{outer} {server} {inner}: {name}");
            }
        }
        let denied = clients.iter().filter(|(_, allowed)| !allowed).count();
        harness::eventually("every session is logged", || (lines(&proxy).len() == clients.len()).then_some(()));
        let logged = lines(&proxy);
        let cut = logged.iter().filter(|line| field(line, "reason") == "proxy_access_denied").count();
        assert_eq!(cut, denied, "{logged:?}");
    }
}
