//! The first local whose rules all hold: by domain and by client, as text, prefix, regular expression, and negated. None: closed.

use harness::client::tls::ClientHello;
use harness::{Origin, client};

use crate::servers;
use crate::support::{await_reason, is_cut, net};

#[test]
fn by_domain() {
    let names = ["text", "prefix", "regex", "both", "not"];
    let origins: Vec<_> = names.iter().map(|name| Origin::named(name)).collect();
    let rules = [
        "rule \"${domain}\" text=\"a.test\"",
        "rule \"${domain}\" prefix=\"api.\"",
        r##"rule "${domain}" regex=#"^(?<user>[a-z]+)[0-9]\.test$"#"##,
        "rule \"${domain}\" prefix=\"x\"\nrule \"${lower(domain)}\" text=\"xy.test\"",
        "rule \"${domain}\" prefix=\"x\" not=#true",
    ];
    let locals: String = rules
        .iter()
        .enumerate()
        .map(|(n, rule)| format!("local {{\n{rule}\nproxy_pass_tcp \"@O{n}@\"\n}}\n"))
        .collect();
    let text = format!(
        "server {{\ndomain \"*.test\"\ndomain_listen_tcp \"127.0.0.1:@PORT@\"\n\
         access_log \"access.log\" flush=0 format=\"reason=${{close_reason}} user=${{re.user}} up=${{upstream_addr}}\"\n{locals}}}\n"
    );
    let mut builder = servers(&text);
    for (n, origin) in origins.iter().enumerate() {
        builder = builder.set(&format!("O{n}"), origin.addr());
    }
    let proxy = builder.start();
    let cases = [
        ("a.test", "text"),
        ("A.test", "text"),
        ("api.x.test", "prefix"),
        ("joe7.test", "regex"),
        ("xy.test", "both"),
        ("b.test", "not"),
    ];
    for (name, expected) in cases {
        let hello = ClientHello::new().server_name(name).record();
        let answer = client::exchange(proxy.addr(0), &hello);
        assert_eq!(String::from_utf8_lossy(&answer).trim_end(), expected, "{name}");
    }
    proxy.await_line("access.log", "user=joe ", harness::LIMIT);
    assert!(is_cut(proxy.addr(0), &ClientHello::new().server_name("xz.test").record()));
    await_reason(&proxy, "proxy_route_no_route");
}

#[test]
fn by_client() {
    let origins: Vec<_> = ["one", "net", "other"].iter().map(|name| Origin::named(name)).collect();
    let text = "server {\nport_listen_tcp \"127.0.0.1:0\"\nproxy_protocol_accept \"127.0.0.1\"\n\
                local {\nrule \"${client_addr}\" text=\"192.0.2.7:4000\"\nproxy_pass_tcp \"@O0@\"\n}\n\
                local {\nrule \"${client_addr}\" prefix=\"192.0.2.\"\nproxy_pass_tcp \"@O1@\"\n}\n\
                local {\nrule \"${client_ip}\" regex=#\"^10\\.\"# not=#true\nproxy_pass_tcp \"@O2@\"\n}\n}\n";
    let mut builder = net("", text);
    for (n, origin) in origins.iter().enumerate() {
        builder = builder.set(&format!("O{n}"), origin.addr());
    }
    let proxy = builder.start();
    let header = |client: &str| format!("PROXY TCP4 {client} 127.0.0.1 4000 80\r\n").into_bytes();
    for (name, expected) in [("192.0.2.7", "one"), ("192.0.2.8", "net"), ("198.51.100.1", "other")] {
        let answer = client::exchange(proxy.addr(0), &header(name));
        assert_eq!(String::from_utf8_lossy(&answer).trim_end(), expected, "{name}");
    }
    assert!(is_cut(proxy.addr(0), &header("10.0.0.1")));
    await_reason(&proxy, "proxy_route_no_route");
}
