//! `ip_allow` and `ip_deny`, wherever they stand: of a server of HTTP requests are judged, each by its own client, and not
//! the connection, which may be a load balancer's.

use std::io::Write;

use harness::client;

use crate::support::{ask, get, net, once, server};

const OK: &str = "local { rule \"${path}\" text=\"/\"; http_echo body=\"${client_ip}\"; }";

fn from(client: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: {client}\r\n\r\n")
}

/// The server's lines, and in which block the lists are: `net`, `server` or `local`.
fn placed(place: &str, lists: &str, more: &str) -> harness::Builder {
    let [net_, server, local] = ["net", "server", "local"].map(|block| if block == place { lists } else { "" });
    net(&format!(
        "{net_}\nserver {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\n{more}\n{server}\n\
         local {{\n{local}\nhttp_echo body=\"${{client_ip}}\"\n}}\n}}"
    ))
}

#[test]
fn the_client_is_judged_that_a_trusted_sender_names_and_not_the_sender() {
    for place in ["net", "server", "local"] {
        let proxy = placed(place, "ip_deny \"127.0.0.0/8\" \"192.0.2.0/24\"", "http_trusted \"127.0.0.1\"").start();
        let mut stream = client::connect(proxy.addr(0));
        let mut say = |request: String| {
            let a = ask(&mut stream, request);
            (a.status, a.text())
        };
        // One connection: those who are refused do not end it for the others.
        assert_eq!(say(from("198.51.100.7")), (200, "198.51.100.7".to_owned()), "{place}");
        assert_eq!(say(from("192.0.2.7")).0, 403, "{place}");
        assert_eq!(say(get("/")).0, 403, "{place}: the balancer's own");
        assert_eq!(say(from("198.51.100.8")).0, 200, "{place}");

        let proxy = placed(place, "ip_allow \"192.0.2.0/24\"", "http_trusted \"127.0.0.1\"").start();
        assert_eq!(
            [from("192.0.2.7"), from("198.51.100.7"), get("/")].map(|r| once(&proxy, r).status),
            [200, 403, 403]
        );
    }
}

#[test]
fn whoever_is_not_trusted_is_who_it_is() {
    for place in ["net", "server", "local"] {
        let proxy = placed(place, "ip_deny \"127.0.0.0/8\"", "http_trusted \"192.0.2.1\"").start();
        let mut stream = client::connect(proxy.addr(0));
        for _ in 0..2 {
            assert_eq!(ask(&mut stream, from("198.51.100.7")).status, 403, "{place}");
        }
    }
}

#[test]
fn the_client_of_a_header_before_the_stream_is_judged_too() {
    let more = "proxy_protocol_accept \"127.0.0.1\"";
    for place in ["net", "server", "local"] {
        let proxy = placed(place, "ip_deny \"127.0.0.0/8\" \"192.0.2.0/24\"", more).start();
        for (client, status) in [("198.51.100.7", 200), ("192.0.2.7", 403)] {
            let mut stream = client::connect(proxy.addr(0));
            stream.write_all(format!("PROXY TCP4 {client} 127.0.0.1 4000 80\r\n").as_bytes()).expect("write");
            assert_eq!(ask(&mut stream, get("/")).status, status, "{place} {client}");
        }
    }
}

#[test]
fn nothing_else_is_told_to_who_is_denied() {
    let proxy = server(&format!(
        "ip_deny \"127.0.0.0/8\"\nhttp_rewrite \"^/old$\" \"/new\" \"permanent\"\nhttp_trusted \"127.0.0.1\"\n{OK}"
    ))
    .start();
    let statuses = |path: &str| {
        let trusted = get(path).replace("User-Agent: t", "X-Forwarded-For: 192.0.2.1");
        [get(path), trusted].map(|request| once(&proxy, request).status)
    };
    assert_eq!(statuses("/"), [403, 200]);
    assert_eq!(statuses("/none"), [403, 404]);
    assert_eq!(statuses("/old"), [403, 301]);
}

/// The list is that of the local where the request ends, whatever stands in the one that rewrites.
#[test]
fn a_request_that_is_rewritten_within_is_judged_where_it_goes() {
    let denied = "ip_deny \"127.0.0.0/8\"";
    let statuses = |from: &str, to: &str, server_: &str, how: &str| {
        let proxy = server(&format!(
            "{server_}\nlocal {{ rule \"${{path}}\" prefix=\"/old/\"; http_rewrite \"^/old/(.*)$\" \"/new/$1\" \"{how}\"\n\
             {from}\nhttp_echo body=\"old\"; }}\n\
             local {{ rule \"${{path}}\" prefix=\"/new/\"\n{to}\nhttp_echo body=\"new\"; }}"
        ))
        .start();
        ["/old/x", "/new/x"].map(|path| once(&proxy, get(path)).status)
    };
    assert_eq!(statuses(denied, "", "", "internal"), [200, 200]);
    assert_eq!(statuses("", denied, "", "internal"), [403, 403]);
    assert_eq!(statuses("", "", denied, "internal"), [403, 403]);
    // The other ways do not leave the local.
    assert_eq!(statuses(denied, "", "", "break"), [403, 200]);
    assert_eq!(statuses(denied, "", "", "redirect"), [403, 200]);
}

#[test]
fn a_server_of_another_protocol_at_the_same_address_closes_the_connection_as_ever() {
    let port = client::free_port();
    let origin = harness::Origin::named("in");
    let servers = format!(
        "ip_deny \"127.0.0.0/8\"\n\
         server {{ domain \"a.test\"; domain_listen_tcp \"127.0.0.1:{port}\"; http; {OK}; }}\n\
         server {{ domain \"relay.test\"; domain_listen_tcp \"127.0.0.1:{port}\"; local {{ proxy_pass_tcp \"{}\"; }}; }}",
        origin.addr()
    );
    let proxy = net(&servers).start();
    assert_eq!(once(&proxy, get("/")).status, 403);
    let relayed = client::try_exchange(proxy.addr(0), b"GET / HTTP/1.1\r\nHost: relay.test\r\n\r\n");
    assert_eq!(relayed.unwrap_or_default(), b"", "a reset is one way to be closed");
    proxy.await_line("access.log", "reason=proxy_access_denied", harness::LIMIT);
}
