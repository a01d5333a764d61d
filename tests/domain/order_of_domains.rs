//! Exact names before wildcards, the longest wildcard first, then regular expressions in the order of the file, whose named
//! groups are variables.

use harness::Origin;
use harness::client::tls::ClientHello;

use crate::{server, servers};

#[test]
fn exact_then_longest_wildcard_then_regex() {
    let names = ["regex", "wide", "narrow", "exact", "later"];
    let origins: Vec<_> = names.iter().map(|name| Origin::named(name)).collect();
    let domains = [
        r##"domain #"~^(?<shop>[a-z]+)\.shop\.cn$"#"##,
        "domain \"*.example.cn\"",
        "domain \"*.img.example.cn\"",
        "domain \"www.img.example.cn\" \"shop.shop.cn\"",
        r##"domain #"~shop\.cn$"#"##,
    ];
    let text: String = domains
        .iter()
        .enumerate()
        .map(|(n, domain)| {
            let log = if n == 0 {
                "access_log \"shop.log\" flush=0 format=\"shop=${re.shop} local=${local_domain}\"\n"
            } else {
                ""
            };
            server(&format!("{domain}\n{log}"), &format!("proxy_pass_tcp \"@O{n}@\""))
        })
        .collect();
    let mut builder = servers(&text);
    for (n, origin) in origins.iter().enumerate() {
        builder = builder.set(&format!("O{n}"), origin.addr());
    }
    let proxy = builder.start();
    let cases = [
        ("www.img.example.cn", "exact"),
        ("WWW.img.Example.cn", "exact"),
        ("a.img.example.cn", "narrow"),
        ("a.b.img.example.cn", "narrow"),
        ("img.example.cn", "wide"),
        ("a.example.cn", "wide"),
        ("shop.shop.cn", "exact"),
        ("books.shop.cn", "regex"),
        ("9.shop.cn", "later"),
    ];
    for (name, expected) in cases {
        let hello = ClientHello::new().server_name(name).record();
        let answer = harness::client::exchange(proxy.addr(0), &hello);
        assert_eq!(String::from_utf8_lossy(&answer).trim_end(), expected, "{name}");
    }
    let line = proxy.await_line("shop.log", "shop=", harness::LIMIT);
    // A log line escapes backslashes.
    assert_eq!(line, r"shop=books local=~^(?<shop>[a-z]+)\x5c.shop\x5c.cn$");
}
