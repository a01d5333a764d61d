//! A ClientHello in single bytes, over many records, and larger than a segment is read as one that comes at once, and
//! passed on unchanged.

use std::io::Write;

use harness::client::tls::ClientHello;
use harness::{Origin, client};

use crate::support::{field, logged};
use crate::{server, servers};

#[test]
fn of_any_size() {
    let origin = Origin::echo();
    let proxy = servers(&server("domain \"a.test\"", "proxy_pass_tcp \"@A@\"")).set("A", origin.addr()).start();
    let hello = ClientHello::new().server_name("a.test").alpn("h2");
    let large = hello.clone().padding(9000);
    let cases = [
        (hello.record(), 1),
        (hello.records(4), 6),
        (hello.records(7), 1),
        (large.record(), 1000),
        (large.records(1000), 17),
    ];
    for (n, (bytes, piece)) in cases.into_iter().enumerate() {
        let mut stream = client::connect(proxy.addr(0));
        for part in bytes.chunks(piece) {
            stream.write_all(part).expect("write");
        }
        assert!(client::read_exact(&stream, bytes.len()) == bytes, "case {n}");
        drop(stream);
        let line = logged(&proxy, n);
        assert_eq!(field(&line, "domain"), "a.test", "{line}");
    }
}
