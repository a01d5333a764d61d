//! Nothing matches: a TLS client gets the alert unrecognized_name (RFC 6066, section 3), an HTTP client 421, others are
//! closed. No peer is asked.

use harness::client::tls::ClientHello;
use harness::{Origin, client, program, skip};

use crate::openssl::{connect, text};
use crate::support::{await_reason, is_cut};
use crate::{server, servers};

fn proxy(origin: &Origin) -> harness::Proxy {
    servers(&server("domain \"a.test\"", "proxy_pass_tcp \"@A@\"")).set("A", origin.addr()).start()
}

#[test]
fn tls_by_an_alert() {
    let origin = Origin::echo();
    let proxy = proxy(&origin);
    let answer = client::exchange(proxy.addr(0), &ClientHello::new().server_name("b.test").record());
    // Alert, its version, two bytes: fatal, unrecognized_name.
    assert_eq!((answer[0], &answer[3..]), (21, &[0, 2, 2, 112][..]), "{answer:?}");
    await_reason(&proxy, "client_route_no_route");
    if program("openssl").is_none() {
        return skip("openssl is not installed");
    }
    let said = text(&connect(proxy.addr(0), "b.test", "", &[]));
    assert!(said.contains("unrecognized name"), "{said}");
    assert_eq!(origin.accepted(), 0);
}

#[test]
fn http_by_421() {
    let origin = Origin::echo();
    let proxy = proxy(&origin);
    let mut stream = client::connect(proxy.addr(0));
    let answer = client::http_get_from(&mut stream, "b.test", "/");
    assert_eq!(answer.status, 421, "{}", answer.head);
    assert_eq!(client::end(&stream), client::End::Closed);
    await_reason(&proxy, "client_route_no_route");
    assert_eq!(origin.accepted(), 0);
}

#[test]
fn others_by_nothing() {
    let origin = Origin::echo();
    let proxy = proxy(&origin);
    assert!(is_cut(proxy.addr(0), b"SSH-2.0-x\r\n"));
    await_reason(&proxy, "client_route_no_route");
    assert_eq!(origin.accepted(), 0);
}
