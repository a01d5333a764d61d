//! Backups are used when no other peer is, and no longer.

use crate::support::{ask, await_condition};
use crate::{named, pool};

#[test]
fn only_while_nobody_else_is_there() {
    let origins = named(["a", "b", "spare"]);
    let text = "proxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\"\nproxy_pass_tcp \"@2@\" backup=#true";
    let proxy = pool(text, &origins).start();
    let addr = proxy.addr(0);
    let word = |word: &str, n: usize| {
        let peer = origins[n].addr();
        proxy.ctl(&["peer", word, &peer.to_string(), "--upstream", "o"]).assert(0, &[]);
        await_condition(&proxy, peer, word);
    };
    let asked = || (0..6).map(|_| ask(addr)).collect::<Vec<_>>().join(" ");
    assert!(!asked().contains("spare"));
    word("drain", 0);
    assert_eq!(asked(), "b b b b b b");
    word("maint", 1);
    assert_eq!(ask(addr), "spare");
    word("ready", 0);
    assert_eq!(asked(), "a a a a a a");
}

#[test]
fn a_dead_peer_is_made_good_by_a_backup() {
    let origins = named(["a", "spare"]);
    let text = "proxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\" backup=#true";
    let proxy = pool(text, &origins).start();
    assert_eq!(ask(proxy.addr(0)), "a");
    let [dead, _spare] = origins;
    dead.stop();
    for _ in 0..10 {
        assert_eq!(ask(proxy.addr(0)), "spare");
    }
}
