//! Malformed and oversized first bytes: answered where their protocol has an answer, closed, counted and logged with the reason; the process lives on.

use harness::client::tls::{ClientHello, record};
use harness::{Origin, client, eventually};

use crate::support::{await_reason, is_cut, traffic};
use crate::{server, servers};

fn cut(hello: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = hello.to_vec();
    bytes[at] = byte;
    bytes
}

#[test]
fn are_closed_counted_and_logged() {
    let hello = ClientHello::new().server_name("a.test").record();
    let long_name = "a".repeat(300) + ".test";
    let endless_head = [b"GET / HTTP/1.1\r\n".to_vec(), b"x: y\r\n".repeat(4000)].concat();
    let huge = (0..64).flat_map(|_| record(&[&[1, 0xff, 0xff, 0xff][..], &[0; 8000]].concat())).collect::<Vec<_>>();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a session id longer than the message", cut(&hello, 43, 0xff)),
        ("a message longer than any", huge),
        ("a record for each byte", ClientHello::new().server_name("a.test").records(1)),
        ("a name that is none", ClientHello::new().server_name("a..test").record()),
        ("a name longer than any", ClientHello::new().server_name(&long_name).record()),
        ("a name with a zero", ClientHello::new().server_name("a\0b.test").record()),
        ("two hosts", b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n".to_vec()),
        ("a space before the colon", b"GET / HTTP/1.1\r\nHost : a.test\r\n\r\n".to_vec()),
        ("a host that is none", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_vec()),
        ("a head without end", endless_head),
        ("a folded header", b"GET / HTTP/1.1\r\nHost: a.test\r\n folded\r\n\r\n".to_vec()),
    ];
    let origin = Origin::echo();
    for (what, bytes) in cases {
        let proxy = servers(&server("domain \"a.test\"", "proxy_pass_tcp \"@A@\"")).set("A", origin.addr()).start();
        if bytes.starts_with(b"GET") {
            let answer = client::exchange(proxy.addr(0), &bytes);
            let status = if bytes.len() > 16 << 10 { "431" } else { "400" };
            assert!(answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{what}: {}", answer.escape_ascii());
        } else {
            assert!(is_cut(proxy.addr(0), &bytes), "{what}");
        }
        await_reason(&proxy, "client_preread_malformed");
        eventually("it is counted", || (traffic(&proxy, 0)["malformed"] == 1).then_some(()));
        let log = proxy.await_log("malformed first bytes", harness::LIMIT);
        assert!(log.contains("reason="), "{what}: {log}");
        assert_eq!(client::exchange(proxy.addr(0), &hello), hello, "others are served");
    }
    assert_eq!(origin.accepted(), 11);
}

/// What one listener's clients get wrong does not keep another's from being told, and no number is lost.
#[test]
fn a_flood_is_told_to_its_end_for_each_listener() {
    let own = |listen: &str| {
        let local = "local { proxy_pass_tcp \"127.0.0.1:1\"; }";
        format!("server {{\ndomain \"a.test\"\ndomain_listen_tcp \"127.0.0.1:{listen}\"\n{local}\n}}\n")
    };
    let second = client::free_port().to_string();
    let proxy = servers(&[own("@PORT@"), own(&second)].concat()).start();
    let addrs = [proxy.addr(0), proxy.addr(1)];
    let bad = b"GET / HTTP/1.1\r\nHost : a.test\r\n\r\n";
    for _ in 0..5 {
        addrs.iter().for_each(|addr| assert!(client::exchange(*addr, bad).starts_with(b"HTTP/1.1 400 ")));
    }
    for addr in addrs {
        let about = format!("about=\"preread http {addr}\"");
        eventually("the rest is told", || {
            let log = proxy.log();
            log.lines().any(|l| l.contains("held back") && l.contains(&about)).then_some(())
        });
    }
    // Each one that was turned away has its line, or is in the number of one that came later.
    let more = |line: &str| line.split(' ').find_map(|f| f.strip_prefix("more=")?.parse::<u32>().ok()).unwrap_or(0);
    let log = proxy.log();
    let lines = log.lines().filter(|l| l.contains("malformed first bytes") || l.contains("held back"));
    let told: u32 = lines.map(|l| more(l) + u32::from(l.contains("malformed first bytes"))).sum();
    assert_eq!(told, 10, "{log}");
}
