//! `ctl peer`: a peer is drained, put into maintenance, weighted and made ready again while the process runs.

use harness::{Origin, Proxy, client};
use serde_json::Value;

fn peer(proxy: &Proxy, address: &str) -> Value {
    let status = proxy.status();
    let peers = status["upstreams"][0]["peers"].as_array().expect("peers").clone();
    peers.into_iter().find(|p| p["address"] == address).unwrap_or_else(|| panic!("{address} in {status}"))
}

fn answers(proxy: &Proxy, n: usize) -> Vec<String> {
    let mut all: Vec<_> = (0..n)
        .map(|_| String::from_utf8(client::exchange(proxy.addr(0), b"")).expect("text").trim().to_owned())
        .collect();
    all.sort();
    all
}

#[test]
fn drained_weighted_and_ready_again() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let config = r#"
        load_module "tcp" "balancer"
        common { worker_threads 1; }
        upstream "pool" { balancer "round_robin"; proxy_pass_tcp "@ONE@"; proxy_pass_tcp "@TWO@"; }
        net { server { port_listen_tcp "127.0.0.1:0"; local { proxy_pass_upstream "pool"; }; } }"#;
    let proxy = Proxy::builder().config(config).set("ONE", one.addr()).set("TWO", two.addr()).start();
    let address = one.addr().to_string();
    assert_eq!(answers(&proxy, 4), ["one", "one", "two", "two"]);
    for word in ["drain", "maint"] {
        proxy.ctl(&["peer", word, &address]).assert(0, &["\"peers\": 1"]);
        assert_eq!(answers(&proxy, 4), ["two"; 4], "{word}");
        proxy.ctl(&["peer", "ready", &address, "--upstream", "pool"]).assert(0, &["\"peers\": 1"]);
        assert_eq!(answers(&proxy, 4), ["one", "one", "two", "two"]);
    }
    proxy.ctl(&["peer", "weight", &address, "7"]).assert(0, &[]);
    assert_eq!(peer(&proxy, &address)["weight"], 7);
    let line = proxy.await_log("an operator says weight 7", harness::LIMIT);
    assert!(!line.contains("upstream="), "{line}");
    proxy.ctl(&["peer", "drain", "192.0.2.9:1"]).assert(1, &["there is no peer 192.0.2.9:1"]);
    proxy.ctl(&["peer", "drain", &address, "--upstream", "nix"]).assert(1, &["nix"]);
    proxy.ctl(&["peer", "weight", &address, "many"]).assert(2, &["number"]);
    proxy.ctl(&["peer", "weight", &address, "70000"]).assert(1, &["65535"]);
    proxy.ctl(&["peer", "dance", &address]).assert(1, &["ready, drain, maint and weight"]);
}
