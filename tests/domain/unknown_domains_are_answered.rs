//! Nothing matches: a TLS client gets the alert unrecognized_name (RFC 6066, section 3), an HTTP client 421, others are
//! closed. No peer is asked.

use harness::client::tls::ClientHello;
use harness::{Origin, client, eventually, program, skip};

use crate::openssl::{connect, text};
use crate::support::{await_reason, field, is_cut, logged, traffic};
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

/// The log and the counters say what the client got, and how much went each way.
#[test]
fn http_with_its_own_status_in_the_log() {
    let endless = [b"GET / HTTP/1.1\r\n".to_vec(), b"x: y\r\n".repeat(4000)].concat();
    let cases: [(&str, &[u8]); 3] = [
        ("421", b"GET / HTTP/1.1\r\nHost: b.test\r\n\r\n"),
        ("400", b"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\nmore"),
        ("431", &endless),
    ];
    let origin = Origin::echo();
    for (status, request) in cases {
        let proxy = proxy(&origin);
        let answer = client::exchange(proxy.addr(0), request);
        assert!(answer.starts_with(format!("HTTP/1.1 {status} ").as_bytes()), "{}", answer.escape_ascii());
        let line = logged(&proxy, 0);
        let (received, sent) = (request.len().to_string(), answer.len().to_string());
        assert_eq!([field(&line, "status"), field(&line, "in"), field(&line, "out")], [status, &received, &sent]);
        let bytes = eventually("it is counted", || {
            let bytes = traffic(&proxy, 0)["bytes"].clone();
            (bytes["client_sent"] != 0).then_some(bytes)
        });
        assert_eq!((bytes["client_received"].to_string(), bytes["client_sent"].to_string()), (received, sent));
    }
    assert_eq!(origin.accepted(), 0);
}

#[test]
fn others_by_nothing() {
    let origin = Origin::echo();
    let proxy = proxy(&origin);
    assert!(is_cut(proxy.addr(0), b"SSH-2.0-x\r\n"));
    let line = await_reason(&proxy, "client_route_no_route");
    assert_eq!((field(&line, "in"), field(&line, "out")), ("11", "0"));
    assert_eq!(origin.accepted(), 0);
}
