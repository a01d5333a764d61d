//! Peers are drained, restarted and made ready, and the configuration is reloaded, under a load of new connections on several
//! workers: no client sees an error, and limits hold across workers.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use harness::Origin;
use harness::client::Load;

use crate::support::{USER, await_condition, config, net, peer, pool as status};
use crate::{filled, with_addresses};

const TOP: &str = "common { worker_threads 3; }\nupstream \"o\" {\nretry budget=\"100%\"\n\
                   proxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\"\nproxy_pass_tcp \"@2@\"\n}";

#[test]
fn no_client_sees_an_error() {
    let mut origins = [Origin::echo(), Origin::echo(), Origin::echo()];
    let proxy = with_addresses(net(TOP, USER), &origins).start();
    let load = Load::echo(proxy.addr(0), "hello").connections(8).requests(u64::MAX).reconnect().start();
    for round in 0..9 {
        let addr = origins[round % 3].addr();
        proxy.ctl(&["peer", "drain", &addr.to_string()]).assert(0, &[]);
        await_condition(&proxy, addr, "drain");
        harness::eventually("its sessions end", || (peer(&proxy, addr)["in_flight"] == 0).then_some(()));
        load.await_more(20);
        if round % 2 == 0 {
            // Its place is taken by one that refuses, until it is back.
            let echo = |mut conn: harness::origin::Conn| {
                let mut buf = [0; 64];
                loop {
                    match conn.read(&mut buf)? {
                        0 => return Ok(()),
                        n => conn.write_all(&buf[..n])?,
                    }
                }
            };
            let old = std::mem::replace(&mut origins[round % 3], Origin::echo());
            old.stop();
            proxy.ctl(&["peer", "ready", &addr.to_string()]).assert(0, &[]);
            load.await_more(20);
            origins[round % 3] = Origin::start_on(addr, echo);
        } else {
            proxy.reload_with(&config(&filled(TOP, &origins), USER)).assert(0, &[]);
            load.await_more(20);
        }
        proxy.ctl(&["peer", "ready", &addr.to_string()]).assert(0, &[]);
    }
    let report = load.stop();
    assert_eq!(report.errors, 0, "{:?}", report.samples);
    assert!(report.done > 200);
}

#[test]
fn limits_hold_across_workers() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, seen) = (Arc::clone(&now), Arc::clone(&most));
    let origin = Origin::start(move |mut conn| {
        let mut byte = [0];
        conn.read_exact(&mut byte)?;
        seen.fetch_max(counted.fetch_add(1, SeqCst) + 1, SeqCst);
        // So that the others would come meanwhile.
        std::thread::sleep(std::time::Duration::from_millis(1));
        counted.fetch_sub(1, SeqCst);
        conn.write_all(&byte)
    });
    for limit in ["proxy_pass_tcp \"@O@\" max_connections=3", "max_connections 3\nproxy_pass_tcp \"@O@\""] {
        let top =
            format!("common {{ worker_threads 3; }}\nupstream \"o\" {{\nqueue size=100 timeout=\"15s\"\n{limit}\n}}");
        let proxy = net(&top, USER).set("O", origin.addr()).start();
        Load::echo(proxy.addr(0), "x").connections(20).requests(400).reconnect().run().assert_all(400);
        assert!(most.load(SeqCst) <= 3, "{} at a time", most.load(SeqCst));
        harness::eventually("nothing is left", || {
            let pool = status(&proxy);
            (pool["in_flight"] == 0 && pool["waiting"] == 0 && pool["peers"][0]["in_flight"] == 0).then_some(())
        });
        assert_eq!(status(&proxy)["queue_timeouts"], 0);
    }
}
