//! An upstream whose name does not resolve does not stop the start; it is unhealthy, and the rest serves.

use harness::{Proxy, client};

#[test]
fn the_rest_serves() {
    let config = r#"
        load_module "tcp" "hello" "balancer"
        common { worker_threads 1; resolver "127.0.0.1:1"; resolver_timeout "100ms"; }
        upstream "lost" { proxy_pass_tcp "origin.invalid:80"; }
        net {
            server { port_listen_tcp "127.0.0.1:0"; local { proxy_pass_upstream "lost"; }; }
            server { port_listen_tcp "127.0.0.1:0"; local { hello "still here"; }; }
        }"#;
    let proxy = Proxy::start(config);
    assert_eq!(client::exchange(proxy.addr(1), b""), b"still here");
    let outcome = client::try_exchange(proxy.addr(0), b"");
    assert!(outcome.is_err() || outcome.is_ok_and(|answer| answer.is_empty()));
    assert_eq!(proxy.status()["upstreams"][0]["name"], "lost");
}
