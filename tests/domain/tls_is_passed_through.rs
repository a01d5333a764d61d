//! TLS passes through untouched to the server that its SNI names: handshake and data are between the two ends.

use harness::skip;

use crate::openssl::{Server, connect, text};
use crate::support::{field, logged};
use crate::{server, servers};

#[test]
fn to_the_server_of_the_name() {
    let (Some(a), Some(b)) = (Server::start("a.example.cn"), Server::start("b.example.cn")) else {
        return skip("openssl is not installed");
    };
    let both = server("domain \"a.example.cn\"", "proxy_pass_tcp \"@A@\"")
        + &server("domain \"b.example.cn\"", "proxy_pass_tcp \"@B@\"");
    let proxy = servers(&both).set("A", a.addr()).set("B", b.addr()).start();
    let mut n = 0;
    for version in ["-tls1_2", "-tls1_3"] {
        for name in ["a.example.cn", "b.example.cn", "A.EXAMPLE.CN"] {
            let output = text(&connect(proxy.addr(0), name, "hello", &[version]));
            assert!(
                output.contains(&format!("CN = {}", name.to_lowercase()))
                    || output.contains(&format!("CN={}", name.to_lowercase())),
                "{output}"
            );
            // `-rev` answers each line backwards.
            assert!(output.contains("olleh"), "{output}");
            let line = logged(&proxy, n);
            assert_eq!(field(&line, "domain"), name.to_lowercase(), "{line}");
            n += 1;
        }
    }
}
