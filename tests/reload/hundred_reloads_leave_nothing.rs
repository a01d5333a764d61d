//! A hundred reloads in a row under load: no failed connection, and no descriptor, thread, task or memory is left behind.

use harness::client::Load;
use harness::{Origin, Proxy, client, eventually};

use crate::support::{BOTH, relay};

/// Reloads without load, after which nothing may have grown.
const QUIET: usize = 20;
/// With one socket for all the rest is the same: fewer will do.
const RELOADS: [usize; 2] = [100, 30];

fn tasks(proxy: &Proxy) -> u64 {
    let status = proxy.status();
    let workers = status["workers"].as_array().expect("workers").clone();
    let generations = workers.iter().flat_map(|w| w["generations"].as_array().expect("generations"));
    generations.map(|g| g["tasks"].as_u64().expect("a number")).sum()
}

/// Descriptors, threads and tasks once nothing is retired and no session is open.
fn quiet(proxy: &Proxy) -> (usize, usize, u64) {
    eventually("nothing is retired", || {
        let status = proxy.status();
        (status["retired"] == serde_json::json!([]) && status["process"]["sessions"] == 0).then_some(())
    });
    (proxy.descriptors(), proxy.threads(), tasks(proxy))
}

#[test]
fn nothing_is_left_behind() {
    for (how, reloads) in BOTH.into_iter().zip(RELOADS) {
        let origin = Origin::echo();
        let mut proxy = relay(&origin, how).start();
        let addr = proxy.addr(0);
        // What a process allocates once, it has after some reloads.
        for _ in 0..10 {
            proxy.reload().assert(0, &[]);
            proxy.notifications();
            assert_eq!(client::exchange(addr, b"x"), b"x");
        }
        let (before, memory) = (quiet(&proxy), proxy.resident());
        let load =
            Load::echo(addr, "ping").connections(4).requests(u64::MAX).reconnect().limit(3 * harness::LIMIT).start();
        for _ in 0..reloads {
            proxy.control(&serde_json::json!({"cmd": "reload"})).unwrap_or_else(|error| panic!("{error}"));
            // Read as systemd does: the kernel keeps ten.
            proxy.notifications();
        }
        load.await_more(10);
        let report = load.stop();
        assert_eq!(report.errors, 0, "{:?}", report.samples);
        assert!(report.done > 100, "{}", report.done);
        eventually("as many descriptors, threads and tasks as before", || {
            let (descriptors, threads, tasks) = quiet(&proxy);
            (descriptors <= before.0 && threads <= before.1 && tasks <= before.2).then_some(())
        });
        // Under load the allocator spreads over its arenas: only the coarse bound holds. Without it nothing may grow.
        let grown = proxy.resident().saturating_sub(memory);
        assert!(grown < 16 << 20, "{} KiB more after {reloads} reloads", grown >> 10);
        let loaded = proxy.resident();
        for _ in 0..QUIET {
            proxy.control(&serde_json::json!({"cmd": "reload"})).unwrap_or_else(|error| panic!("{error}"));
            proxy.notifications();
        }
        let grown = proxy.resident().saturating_sub(loaded);
        assert!(grown < 4 << 20, "{} KiB more after {QUIET} reloads without load", grown >> 10);
        let status = proxy.status();
        assert_eq!(status["reloads"], 10 + reloads + QUIET);
        assert_eq!(status["images"].as_array().map(Vec::len), Some(3), "an unchanged file is no new image");
    }
}
