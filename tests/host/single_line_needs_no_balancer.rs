//! A pool of one line has nothing to choose: no balancer need be loaded. Several lines want one, and the error says which.

use harness::{Origin, Proxy, check, client};

const ONE: &str = r#"
load_module "tcp"
common { worker_threads 1; }
net { server { port_listen_tcp "127.0.0.1:0"; local { proxy_pass_tcp "@ORIGIN@" @OPTIONS@; }; }; }
"#;

#[test]
fn one_line_serves_without_the_module() {
    let origin = Origin::echo();
    let config = ONE.replace("@OPTIONS@", "max_connections=5");
    let proxy = Proxy::builder().config(&config).set("ORIGIN", origin.addr()).start();
    assert_eq!(client::exchange(proxy.addr(0), b"12345"), b"12345");
    let upstream = &proxy.status()["upstreams"][0];
    assert_eq!(upstream["balancer"], "single");
    assert_eq!(upstream["peers"][0]["picked"], 1);
}

#[test]
fn several_lines_without_a_word_are_shared_out_by_weight() {
    let lines = r#"proxy_pass_tcp "127.0.0.1:1"; proxy_pass_tcp "127.0.0.1:2""#;
    let config = ONE.replace(r#"proxy_pass_tcp "@ORIGIN@" @OPTIONS@"#, lines);
    check(&config).assert(1, &["\"weight\"", "load_module \"balancer\""]);
    check(&config.replace("\"tcp\"\n", "\"tcp\" \"balancer\"\n")).assert(0, &[]);
}

#[test]
fn a_balancer_that_is_named_must_be_there() {
    let config =
        ONE.replace("proxy_pass_tcp \"@ORIGIN@\" @OPTIONS@", "proxy_pass_upstream \"//tcp//127.0.0.1:1//fair\"");
    check(&config).assert(1, &["unknown balancer \"fair\"", "load_module \"balancer\""]);
}
