//! An address with variables is rendered for each session, and `peer_allow` decides where it may lead.

use harness::{Origin, client};

use crate::support::{field, local, logged};

/// The port is asked for by the client, as the authority of a PROXY header or a domain would be.
const BY_HOST: &str = "server {\ndomain \"~.*\"\ndomain_listen_tcp \"127.0.0.1:0\"\nlocal {\n@ALLOW@\n\
                       proxy_pass_tcp \"${domain}:@PORT@\"\n}\n}";

fn ask(addr: std::net::SocketAddr, host: &str) -> Vec<u8> {
    client::try_exchange(addr, format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap_or_default()
}

#[test]
fn each_session_goes_where_its_text_says_and_nowhere_else() {
    let origin = Origin::named("one");
    let port = origin.addr().port().to_string();
    let net = BY_HOST.replace("@PORT@", &port).replace("@ALLOW@", "peer_allow \"127.0.0.0/30\"");
    let proxy = crate::support::net("", &net).start();
    let addr = proxy.addr(0);
    assert_eq!(ask(addr, "127.0.0.1"), b"one\n");
    assert_eq!(field(&logged(&proxy, 0), "up"), format!("127.0.0.1:{port}"));
    assert_eq!(ask(addr, "localhost"), b"one\n", "a name of the hosts file");
    logged(&proxy, 1);
    for (n, host) in ["127.0.0.9", "192.0.2.1"].into_iter().enumerate() {
        assert_eq!(ask(addr, host), b"");
        assert_eq!(field(&logged(&proxy, 2 + n), "reason"), "proxy_connect_denied");
    }
    let line = proxy.await_log("peer_allow does not let it through", harness::LIMIT);
    assert!(line.contains("peer=127.0.0.9:") && line.contains("upstream=local@"), "{line}");
    assert_eq!(proxy.log().matches("peer_allow does not").count(), 1, "once a second");
    // Nobody's refusal takes the line out of use.
    assert_eq!(ask(addr, "127.0.0.1"), b"one\n");
}

#[test]
fn an_operators_word_holds_for_the_address_that_came_out() {
    let origin = Origin::named("one");
    let (at, port) = (origin.addr(), origin.addr().port());
    let text = format!("peer_allow \"127.0.0.1\"\nproxy_pass_tcp \"${{local_ip}}:{port}\"");
    let proxy = local(&text).start();
    assert_eq!(client::exchange(proxy.addr(0), b""), b"one\n");
    proxy.ctl(&["peer", "drain", &at.to_string()]).assert(0, &[]);
    assert_eq!(client::try_exchange(proxy.addr(0), b"").unwrap_or_default(), b"");
    assert_eq!(field(&logged(&proxy, 1), "reason"), "proxy_connect_no_peer");
    proxy.ctl(&["peer", "ready", &at.to_string()]).assert(0, &[]);
    assert_eq!(client::exchange(proxy.addr(0), b""), b"one\n");
}

#[test]
fn without_a_list_it_is_an_error_of_the_configuration() {
    local("proxy_pass_tcp \"${local_ip}:80\"").check().assert(1, &["peer_allow", "needs a list"]);
}
