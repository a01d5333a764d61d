//! `reload_timeout`: sessions of a configuration that was replaced end after it; without it a reload cuts nothing.

use harness::{Origin, client, eventually};

use crate::support::{echoes, relay, sessions};

#[test]
fn old_sessions_are_closed_and_new_ones_are_not() {
    let origin = Origin::echo();
    let proxy = relay(&origin, "reload_timeout \"1s\"").start();
    let old = client::connect(proxy.addr(0));
    assert!(echoes(&old));
    proxy.reload().assert(0, &[]);
    let new = client::connect(proxy.addr(0));
    assert!(echoes(&new) && echoes(&old), "not at once");
    // Waits for its end.
    client::end(&old);
    assert!(echoes(&new));
    eventually("the old generation is gone", || (proxy.status()["retired"] == serde_json::json!([])).then_some(()));
    assert_eq!(sessions(&proxy), 1);
}

#[test]
fn it_holds_on_workers_that_a_reinit_replaced() {
    let origin = Origin::echo();
    let proxy = relay(&origin, "reload_timeout \"1s\"\n shutdown_timeout \"1h\"").start();
    let old = client::connect(proxy.addr(0));
    assert!(echoes(&old));
    proxy.reload().assert(0, &[]);
    proxy.send("reinit").assert(0, &[]);
    client::end(&old);
}
