//! What no domain matches goes to the default server, and so does what names no domain at all.

use harness::client::tls::ClientHello;
use harness::{Origin, client};

use crate::support::{field, logged};
use crate::{server, servers};

#[test]
fn takes_what_nobody_else_does() {
    let (named, other) = (Origin::named("named"), Origin::named("other"));
    let both =
        server("domain \"a.test\"", "proxy_pass_tcp \"@A@\"") + &server("default_server", "proxy_pass_tcp \"@B@\"");
    let proxy = servers(&both).set("A", named.addr()).set("B", other.addr()).start();
    let cases: [(Vec<u8>, &str, &str); 5] = [
        (ClientHello::new().server_name("a.test").record(), "named", "a.test"),
        (ClientHello::new().server_name("b.test").record(), "other", "b.test"),
        (ClientHello::new().record(), "other", "-"),
        (b"GET / HTTP/1.1\r\nHost: c.test\r\n\r\n".to_vec(), "other", "c.test"),
        (b"SSH-2.0-x\r\n".to_vec(), "other", "-"),
    ];
    for (n, (bytes, expected, domain)) in cases.into_iter().enumerate() {
        let answer = client::exchange(proxy.addr(0), &bytes);
        assert_eq!(String::from_utf8_lossy(&answer).trim_end(), expected, "{domain}");
        let line = logged(&proxy, n);
        assert_eq!(field(&line, "domain"), domain, "{line}");
    }
}
