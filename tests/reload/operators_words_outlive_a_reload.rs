//! What an operator said about a peer holds across reloads, until the peer's line changes.

use harness::{Origin, Proxy, client};
use serde_json::Value;

fn config(one: &Origin, two: &Origin, options: &str) -> String {
    format!(
        r#"load_module "tcp" "balancer"
        common {{ worker_threads 1; }}
        upstream "pool" {{ balancer "round_robin"; proxy_pass_tcp "{}" {options}; proxy_pass_tcp "{}"; }}
        net {{ server {{ port_listen_tcp "127.0.0.1:0"; local {{ proxy_pass_upstream "pool"; }}; }}; }}"#,
        one.addr(),
        two.addr()
    )
}

fn peer(proxy: &Proxy, n: usize) -> Value {
    proxy.status()["upstreams"][0]["peers"][n].clone()
}

fn answers(proxy: &Proxy) -> Vec<String> {
    let mut all: Vec<_> =
        (0..4).map(|_| String::from_utf8(client::exchange(proxy.addr(0), b"")).expect("text")).collect();
    all.sort();
    all
}

#[test]
fn until_the_line_changes() {
    let (one, two) = (Origin::named("one"), Origin::named("two"));
    let proxy = Proxy::start(&config(&one, &two, ""));
    let address = one.addr().to_string();
    proxy.ctl(&["peer", "drain", &address]).assert(0, &[]);
    proxy.ctl(&["peer", "weight", &two.addr().to_string(), "9"]).assert(0, &[]);
    proxy.reload().assert(0, &[]);
    assert_eq!(answers(&proxy), ["two\n"; 4]);
    assert_eq!(peer(&proxy, 1)["weight"], 9);
    // Another line of the same pool changes nothing for them.
    proxy
        .reload_with(&format!(
            "{}\n",
            config(&one, &two, "").replace("worker_threads 1", "worker_threads 1; max_connections 99")
        ))
        .assert(0, &[]);
    assert_eq!(answers(&proxy), ["two\n"; 4]);
    proxy.reload_with(&config(&one, &two, "weight=2")).assert(0, &[]);
    assert!(answers(&proxy).contains(&"one\n".to_owned()), "its line changed");
    assert_eq!(peer(&proxy, 1)["weight"], 9, "the other's did not");
}
