//! `reinit`: new threads, more of them or fewer, under a load of new connections: none is refused, none reset; long
//! sessions go on until `shutdown_timeout`.

use harness::client::Load;
use harness::{LIMIT, Origin, Proxy, client, eventually};

use crate::support::{BOTH, echoes, relay, text};

fn workers(proxy: &Proxy) -> Vec<u64> {
    let status = proxy.status();
    status["workers"].as_array().expect("workers").iter().map(|w| w["worker"].as_u64().expect("a number")).collect()
}

#[test]
fn more_and_fewer_under_load() {
    for how in BOTH {
        let origin = Origin::echo();
        let proxy = relay(&origin, how).start();
        let addr = proxy.addr(0);
        let load = Load::echo(addr, "ping").connections(8).requests(u64::MAX).reconnect().limit(3 * LIMIT).start();
        let long = client::connect(addr);
        assert!(echoes(&long));
        let config = text(&origin, how, "");
        for count in [4, 1, 3, 2, 1, 2] {
            proxy.dir().write("main.kdl", config.replace("worker_threads 2", &format!("worker_threads {count}")));
            let before = workers(&proxy);
            proxy.send("reinit").assert(0, &[]);
            load.await_more(60);
            let now = workers(&proxy);
            assert_eq!(now.iter().filter(|w| !before.contains(w)).count(), count, "{before:?} {now:?}");
            assert!(echoes(&long));
            assert_eq!(proxy.addr(0), addr);
        }
        let report = load.stop();
        assert_eq!(report.errors, 0, "{how}: {:?}", report.samples);
        drop(long);
        eventually("only the last workers are left, and nothing retired", || {
            let done = workers(&proxy).len() == 2 && proxy.status()["retired"] == serde_json::json!([]);
            done.then_some(())
        });
    }
}

#[test]
fn every_worker_gets_connections_after_more_were_made() {
    for how in BOTH {
        let origin = Origin::echo();
        let proxy = relay(&origin, how).start();
        proxy.dir().write("main.kdl", text(&origin, how, "").replace("worker_threads 2", "worker_threads 4"));
        proxy.send("reinit").assert(0, &[]);
        let mut held = Vec::new();
        eventually("all four have sessions", || {
            if held.len() < 400 {
                held.push(client::connect(proxy.addr(0)));
            }
            let status = proxy.status();
            let busy = status["workers"].as_array().expect("workers").iter().filter(|w| w["sessions"] != 0).count();
            (busy == 4).then_some(())
        });
    }
}

#[test]
fn a_reload_without_reinit_says_what_it_did_not_apply() {
    let origin = Origin::echo();
    let proxy = relay(&origin, "").start();
    let output = proxy.reload_with(&text(&origin, "", "").replace("worker_threads 2", "worker_threads 3"));
    output.assert(0, &["not applied", "worker_threads", "reinit"]);
    assert_eq!(workers(&proxy).len(), 2);
    let output = proxy.send("reinit");
    output.assert(0, &[]);
    assert_eq!(proxy.status()["workers"].as_array().map(Vec::len), Some(3));
}

#[test]
fn long_sessions_end_at_shutdown_timeout() {
    let origin = Origin::echo();
    let proxy = relay(&origin, "shutdown_timeout \"500ms\"").start();
    let long = client::connect(proxy.addr(0));
    assert!(echoes(&long));
    proxy.send("reinit").assert(0, &[]);
    client::end(&long);
    eventually("the workers before have ended", || (workers(&proxy).len() == 2).then_some(()));
    eventually("and their threads", || (proxy.status()["retired"] == serde_json::json!([])).then_some(()));
    assert!(echoes(&client::connect(proxy.addr(0))));
}

#[test]
fn threads_do_not_pile_up() {
    let origin = Origin::echo();
    let mut proxy = relay(&origin, "").start();
    proxy.send("reinit").assert(0, &[]);
    let count = |proxy: &Proxy| {
        eventually("nothing is retired", || (proxy.status()["retired"] == serde_json::json!([])).then_some(()));
        (proxy.threads(), proxy.descriptors())
    };
    let before = count(&proxy);
    for _ in 0..15 {
        proxy.send("reinit").assert(0, &[]);
        proxy.notifications();
    }
    eventually("as many threads and descriptors as before", || {
        let now = count(&proxy);
        (now.0 <= before.0 && now.1 <= before.1).then_some(())
    });
}
