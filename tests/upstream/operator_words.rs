//! `ctl peer`: drain, maint, ready and weight hold at once, let open sessions go on, survive a reload, and end with the peer's
//! line.

use std::io::Write;

use harness::{Origin, client};

use crate::support::{USER, ask, await_condition, config, is_cut, peer};
use crate::{filled, named, pool};

#[test]
fn a_drained_peer_keeps_its_sessions() {
    let origins = [Origin::echo(), Origin::echo()];
    let text = "balancer \"round_robin\"\nproxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\"";
    let proxy = pool(text, &origins).start();
    let addr = proxy.addr(0);
    let mut held = [client::connect(addr), client::connect(addr)];
    for stream in &mut held {
        stream.write_all(b"x").expect("write");
        client::read_exact(stream, 1);
    }
    assert_eq!((origins[0].open(), origins[1].open()), (1, 1));
    let drained = origins[0].addr();
    proxy.ctl(&["peer", "drain", &drained.to_string()]).assert(0, &[]);
    await_condition(&proxy, drained, "drain");
    for _ in 0..4 {
        assert_eq!(client::exchange(addr, b"new"), b"new");
    }
    assert_eq!(origins[0].accepted(), 1);
    for stream in &mut held {
        stream.write_all(b"y").expect("write");
        assert_eq!(client::read_exact(stream, 1), b"y", "it goes on");
    }
}

#[test]
fn words_hold_over_a_reload_until_the_line_changes() {
    let origins = named(["a", "b"]);
    let text = "balancer \"weight\"\nproxy_pass_tcp \"@0@\" weight=4\nproxy_pass_tcp \"@1@\"";
    let proxy = pool(text, &origins).start();
    let (a, b) = (origins[0].addr(), origins[1].addr());
    proxy.ctl(&["peer", "maint", &a.to_string()]).assert(0, &[]);
    proxy.ctl(&["peer", "weight", &b.to_string(), "7"]).assert(0, &[]);
    await_condition(&proxy, a, "maint");
    let reload = |text: &str| {
        let top = filled(&format!("upstream \"o\" {{\n{text}\n}}"), &origins);
        proxy.reload_with(&config(&top, USER)).assert(0, &[]);
    };
    // Another line changes, and where they stand.
    reload("balancer \"round_robin\"\nproxy_pass_tcp \"@1@\"\nproxy_pass_tcp \"@0@\" weight=4");
    assert_eq!(peer(&proxy, a)["condition"], "maint");
    assert_eq!(peer(&proxy, b)["weight"], 7);
    assert_eq!(ask(proxy.addr(0)), "b");
    // Its own.
    reload("balancer \"round_robin\"\nproxy_pass_tcp \"@1@\"\nproxy_pass_tcp \"@0@\" weight=5");
    assert_eq!(peer(&proxy, a)["condition"], "ready");
    assert_eq!(peer(&proxy, a)["weight"], 5);
    assert_eq!(peer(&proxy, b)["weight"], 7);
}

#[test]
fn weights_change_the_turns() {
    let origins = named(["a", "b"]);
    let proxy = pool("proxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\"", &origins).start();
    proxy.ctl(&["peer", "weight", &origins[0].addr().to_string(), "3"]).assert(0, &[]);
    let all: String = (0..40).map(|_| ask(proxy.addr(0))).collect();
    let first = all.chars().filter(|name| *name == 'a').count();
    assert!((29..=31).contains(&first), "{all}");
    proxy.ctl(&["peer", "weight", &origins[0].addr().to_string(), "0"]).assert(0, &[]);
    let all: Vec<_> = (0..6).map(|_| ask(proxy.addr(0))).collect();
    assert!(all.iter().all(|name| name == "b"), "{all:?}");
}

#[test]
fn with_everybody_in_maintenance_nobody_serves() {
    let origins = named(["a"]);
    let proxy = pool("proxy_pass_tcp \"@0@\"", &origins).start();
    proxy.ctl(&["peer", "maint", &origins[0].addr().to_string()]).assert(0, &[]);
    assert!(is_cut(proxy.addr(0), b""));
    crate::support::await_reason(&proxy, "proxy_connect_no_peer");
    proxy.ctl(&["peer", "maint", "127.0.0.1:9"]).assert(1, &["no peer 127.0.0.1:9"]);
}
