//! Active checks take a peer out when it does not answer and bring it back when it does, without a client's help.

use harness::Origin;

use crate::support::{ask, await_condition, peer};
use crate::{named, pool};

#[test]
fn down_and_up_again() {
    let origins = named(["a", "b"]);
    let text =
        "heartbeat interval=\"100ms\" timeout=\"1s\" fail=2 pass=2\nproxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\"";
    let proxy = pool(text, &origins).start();
    let [dead, alive] = origins;
    harness::eventually("checks pass", || {
        (peer(&proxy, alive.addr())["checks_passed"].as_u64() > Some(1)).then_some(())
    });
    let dead = dead.stop();
    await_condition(&proxy, dead, "down");
    proxy.await_log("peer is down", harness::LIMIT);
    assert!(peer(&proxy, dead)["checks_failed"].as_u64() >= Some(2));
    for _ in 0..6 {
        assert_eq!(ask(proxy.addr(0)), "b");
    }
    assert_eq!(peer(&proxy, dead)["connect_failures"], 0, "no client met it");
    let _back = Origin::start_on(dead, |mut conn| std::io::Write::write_all(&mut conn, b"a\n"));
    await_condition(&proxy, dead, "ready");
    proxy.await_log("peer is up", harness::LIMIT);
    let all: Vec<_> = (0..4).map(|_| ask(proxy.addr(0))).collect();
    assert!(all.contains(&"a".to_owned()), "{all:?}");
}

#[test]
fn a_peer_may_have_checks_of_its_own() {
    let origins = named(["a", "b"]);
    let text = "proxy_pass_tcp \"@0@\" { heartbeat interval=\"100ms\" fail=1; }\nproxy_pass_tcp \"@1@\"";
    let proxy = pool(text, &origins).start();
    let [checked, other] = origins;
    let (checked, other) = (checked.stop(), other.stop());
    await_condition(&proxy, checked, "down");
    assert_eq!(peer(&proxy, other)["condition"], "ready");
}

#[test]
fn with_every_peer_down_nobody_is_asked() {
    let origins = named(["a"]);
    let proxy = pool("heartbeat interval=\"100ms\" fail=1\nproxy_pass_tcp \"@0@\"", &origins).start();
    let [dead] = origins;
    let dead = dead.stop();
    await_condition(&proxy, dead, "down");
    assert!(crate::support::is_cut(proxy.addr(0), b""));
    crate::support::await_reason(&proxy, "proxy_connect_no_peer");
}
