//! nginx behind the proxy understands the PROXY header of both versions.

use std::net::SocketAddr;

use harness::{Nginx, client, skip};

use crate::support::local;

#[test]
fn nginx_learns_the_client() {
    for version in [1, 2] {
        let port = client::free_port();
        let server = format!(
            "listen 127.0.0.1:{port} proxy_protocol; location / {{ return 200 \"$proxy_protocol_addr $proxy_protocol_port\"; }}"
        );
        let Some(nginx) = Nginx::start_with(&server) else { return skip("nginx is not installed") };
        let text = format!("proxy_protocol version={version}\nproxy_pass_tcp \"127.0.0.1:{port}\"");
        let proxy = local(&text).start();
        let mut stream = client::connect(proxy.addr(0));
        let own: SocketAddr = stream.local_addr().expect("address");
        let answer = client::http_get(&mut stream, "/");
        assert_eq!(String::from_utf8_lossy(&answer.body), format!("127.0.0.1 {}", own.port()), "version {version}");
        drop(nginx);
    }
}
