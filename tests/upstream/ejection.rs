//! Peers whose sessions fail are left out for a while: by failures in a row, by their share, and never too many at once.

use harness::client::Load;
use harness::{Origin, client, eventually};

use crate::pool;
use crate::support::{await_condition, peer, peers};

/// Sends `count` sessions, whose ends do not matter.
fn spend(proxy: &harness::Proxy, count: usize) {
    let addr = proxy.addr(0);
    for _ in 0..count {
        let _ = client::try_exchange(addr, b"x");
    }
}

fn ejected(proxy: &harness::Proxy) -> usize {
    peers(proxy).iter().filter(|peer| peer["condition"] == "ejected").count()
}

#[test]
fn by_failures_in_a_row_and_back_after_its_time() {
    let origins = [Origin::resetting(1), Origin::echo()];
    let text =
        "balancer \"round_robin\"\neject consecutive=3 time=\"2s\"\nproxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\"";
    let proxy = pool(text, &origins).start();
    spend(&proxy, 6);
    await_condition(&proxy, origins[0].addr(), "ejected");
    proxy.await_log("peer ejected: 3 failures in a row", harness::LIMIT);
    let before = origins[0].accepted();
    Load::echo(proxy.addr(0), "x").requests(10).reconnect().run().assert_all(10);
    assert_eq!(origins[0].accepted(), before, "nobody is sent there");
    await_condition(&proxy, origins[0].addr(), "ready");
    proxy.await_log("peer is back after ejection", harness::LIMIT);
    assert_eq!(peer(&proxy, origins[0].addr())["ejections"], 1);
}

#[test]
fn by_their_share() {
    // Each second session of the first peer fails: never two in a row.
    let turn = std::sync::atomic::AtomicU64::new(0);
    let half = Origin::start(move |mut conn| {
        use std::io::{Read, Write};
        conn.read_exact(&mut [0])?;
        if turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) & 1 == 0 {
            return rustix::net::sockopt::set_socket_linger(&conn.stream, Some(std::time::Duration::ZERO))
                .map_err(Into::into);
        }
        conn.write_all(b"x")?;
        conn.stream.shutdown(std::net::Shutdown::Write)
    });
    let origins = [half, Origin::echo()];
    let text = "balancer \"round_robin\"\neject consecutive=0 error_rate=\"40%\" interval=\"30s\" time=\"30s\"\n\
                proxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\"";
    let proxy = pool(text, &origins).start();
    eventually("it is ejected", || {
        spend(&proxy, 2);
        (peer(&proxy, origins[0].addr())["condition"] == "ejected").then_some(())
    });
    let log = proxy.await_log("of its uses failed", harness::LIMIT);
    assert!(log.contains('%'), "{log}");
    assert_eq!(peer(&proxy, origins[1].addr())["condition"], "ready");
}

#[test]
fn never_more_than_the_maximum_share() {
    let origins = [(); 4].map(|()| Origin::resetting(1));
    let lines: String = (0..4).map(|n| format!("proxy_pass_tcp \"@{n}@\"\n")).collect();
    let text = format!("balancer \"round_robin\"\neject consecutive=1 time=\"60s\" max_share=\"50%\"\n{lines}");
    let proxy = pool(&text, &origins).start();
    spend(&proxy, 24);
    eventually("two are ejected", || (ejected(&proxy) == 2).then_some(()));
    spend(&proxy, 12);
    assert_eq!(ejected(&proxy), 2);
}

#[test]
fn never_the_last_one() {
    let origins = [Origin::resetting(1)];
    let proxy = pool("eject consecutive=1 max_share=\"100%\"\nproxy_pass_tcp \"@0@\"", &origins).start();
    spend(&proxy, 5);
    eventually("all have failed", || (peer(&proxy, origins[0].addr())["failures"] == 5).then_some(()));
    assert_eq!(ejected(&proxy), 0);
}
