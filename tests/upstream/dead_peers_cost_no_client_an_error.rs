//! With one of two peers dead every client is served by the other one (fault 9 of the original: half of them got an error).

use harness::Origin;
use harness::client::Load;

use crate::pool;
use crate::support::{field, lines, peer, pool as status};

#[test]
fn one_of_two_refuses() {
    for balancer in ["weight", "round_robin", "random", "ip_hash", "ip_hash_active", "fair"] {
        let origins = [Origin::echo(), Origin::echo()];
        let proxy = pool(&format!("balancer \"{balancer}\"\nproxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\""), &origins);
        let proxy = proxy.start();
        let [dead, alive] = origins;
        let dead = dead.stop();
        let report = Load::echo(proxy.addr(0), "x").connections(4).requests(400).reconnect().run();
        report.assert_all(400);
        assert_eq!(alive.accepted(), 400, "{balancer}");
        let failures = peer(&proxy, dead)["connect_failures"].as_u64().expect("a number");
        let retries = status(&proxy)["retries"].as_u64().expect("a number");
        assert_eq!(failures, retries, "{balancer}: each failure was made good");
        // Left out after a few failures, not asked by every second client.
        assert!(failures < 20, "{balancer}: {failures} failures");
    }
}

#[test]
fn all_but_one_refuse() {
    let origins = [Origin::echo(), Origin::echo(), Origin::echo(), Origin::echo()];
    let lines_of: String = (0..4).map(|n| format!("proxy_pass_tcp \"@{n}@\"\n")).collect();
    let proxy = pool(&format!("retry attempts=4 budget=\"100%\"\n{lines_of}"), &origins).start();
    let [a, b, c, alive] = origins;
    for origin in [a, b, c] {
        origin.stop();
    }
    Load::echo(proxy.addr(0), "x").connections(2).requests(100).reconnect().run().assert_all(100);
    assert_eq!(alive.accepted(), 100);
    harness::eventually("every session is logged", || (lines(&proxy).len() == 100).then_some(()));
    let most = lines(&proxy).iter().map(|line| field(line, "tries").parse::<u32>().expect("a number")).max();
    assert!(most >= Some(2), "{most:?}");
}

#[test]
fn a_dead_peer_is_used_again_when_it_is_back() {
    let origins = [Origin::echo(), Origin::echo()];
    let text = "eject consecutive=1 time=\"1s\"\nproxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\"";
    let proxy = pool(text, &origins).start();
    let [dead, _alive] = origins;
    let dead = dead.stop();
    Load::echo(proxy.addr(0), "x").requests(10).reconnect().run().assert_all(10);
    assert_eq!(peer(&proxy, dead)["condition"], "ejected");
    let back = Origin::start_on(dead, |mut conn| {
        std::io::copy(&mut conn.stream.try_clone()?, &mut conn)?;
        conn.stream.shutdown(std::net::Shutdown::Write)
    });
    harness::eventually("it is used", || {
        Load::echo(proxy.addr(0), "x").requests(4).reconnect().run().assert_all(4);
        (back.accepted() > 0).then_some(())
    });
}
