//! `ip_hash` gives each client its peer; `ip_hash_active` among the peers in use, and a change moves only those whose peer left.

use harness::Proxy;
use std::collections::BTreeSet;

use crate::support::{await_condition, net};
use crate::{BY_CLIENT, ask_as, named, with_addresses};

fn peers(proxy: &Proxy) -> Vec<String> {
    let addr = proxy.addr(0);
    (1..=60).map(|n| ask_as(addr, &format!("192.0.2.{n}"))).collect()
}

fn start(balancer: &str, origins: &[harness::Origin]) -> Proxy {
    start_with(balancer, "", origins)
}

/// `more` is more of the upstream's block.
fn start_with(balancer: &str, more: &str, origins: &[harness::Origin]) -> Proxy {
    let lines: String = (0..origins.len()).map(|n| format!("proxy_pass_tcp \"@{n}@\"\n")).collect();
    let top = format!("upstream \"o\" {{\nbalancer \"{balancer}\"\n{more}\n{lines}}}");
    with_addresses(net(&top, BY_CLIENT), origins).start()
}

#[test]
fn each_client_keeps_its_peer() {
    for balancer in ["ip_hash", "ip_hash_active"] {
        let origins = named(["a", "b", "c", "d"]);
        let proxy = start(balancer, &origins);
        let first = peers(&proxy);
        assert_eq!(first, peers(&proxy), "{balancer}");
        let used: BTreeSet<_> = first.iter().collect();
        // That a peer gets none of sixty clients has a probability of 10⁻⁷.
        assert_eq!(used.len(), 4, "{balancer}");
        // Another process, the same answer: it depends on addresses alone.
        assert_eq!(first, peers(&start(balancer, &origins)), "{balancer}");
    }
}

#[test]
fn a_peer_that_leaves_moves_its_own_clients_only() {
    let origins = named(["a", "b", "c", "d"]);
    let proxy = start("ip_hash_active", &origins);
    let before = peers(&proxy);
    let gone = origins[1].addr();
    proxy.ctl(&["peer", "drain", &gone.to_string()]).assert(0, &[]);
    await_condition(&proxy, gone, "drain");
    let during = peers(&proxy);
    assert!(!during.contains(&"b".to_owned()));
    for (before, during) in before.iter().zip(&during).filter(|(before, _)| *before != "b") {
        assert_eq!(before, during);
    }
    proxy.ctl(&["peer", "ready", &gone.to_string()]).assert(0, &[]);
    await_condition(&proxy, gone, "ready");
    assert_eq!(before, peers(&proxy), "and back");
}

#[test]
fn by_a_key_in_place_of_the_client() {
    for balancer in ["ip_hash", "ip_hash_active"] {
        let origins = named(["a", "b", "c", "d"]);
        let of = |key: &str| peers(&start_with(balancer, &format!("balancer_key \"{key}\""), &origins));
        // One listening address, one domain: all are one to it.
        let one: BTreeSet<_> = of("${local_ip} ${domain}").into_iter().collect();
        assert_eq!(one.len(), 1, "{balancer}");
        // A key that comes to nothing is the client's address; a text that differs as it does spreads as well.
        assert_eq!(of("${remote_domain}"), peers(&start(balancer, &origins)), "{balancer}");
        let spread: BTreeSet<_> = of("to ${client_ip}").into_iter().collect();
        assert_eq!(spread.len(), 4, "{balancer}");
    }
}
