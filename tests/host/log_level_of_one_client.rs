//! `ctl log-level`: the level of the error log changes while the process runs, also for one client alone.

use harness::{Origin, client};

use crate::support::relay;

#[test]
fn all_and_one() {
    let origin = Origin::echo();
    let addr = origin.stop();
    let config = crate::support::RELAY.replace("@ORIGIN@", &addr.to_string()).replace("@COMMON@", "");
    let proxy = harness::Proxy::builder().config(&config).start();
    let refused = || {
        let _ = client::try_exchange(proxy.addr(0), b"x");
    };
    proxy.ctl(&["log-level"]).assert(0, &["info"]);
    proxy.ctl(&["log-level", "debug", "--client", "127.0.0.1"]).assert(0, &["127.0.0.1", "debug"]);
    refused();
    let line = proxy.await_log("[debug]", harness::LIMIT);
    assert!(!line.is_empty());
    // To ask changes nothing.
    proxy.ctl(&["log-level", "--client", "127.0.0.1"]).assert(0, &["127.0.0.1", "debug"]);
    proxy.ctl(&["log-level", "--client", "127.0.0.2"]).assert(0, &["\"clients\": []"]);
    proxy.ctl(&["log-level", "default"]).assert(1, &["level default"]);
    proxy.ctl(&["log-level", "default", "--client", "127.0.0.1"]).assert(0, &["\"clients\": []"]);
    proxy.ctl(&["log-level", "error"]).assert(0, &["error"]);
    let before = proxy.log().matches("[debug]").count();
    refused();
    proxy.ctl(&["log-level", "loud"]).assert(1, &["level loud"]);
    assert_eq!(proxy.log().matches("[debug]").count(), before);
    proxy.ctl(&["log-level", "--client", "nobody"]).assert(1, &["nobody is not an address"]);
}

#[test]
fn another_client_stays_quiet() {
    let origin = Origin::echo();
    let proxy = relay(&origin, "").start();
    proxy.ctl(&["log-level", "trace", "--client", "127.0.0.9"]).assert(0, &["127.0.0.9"]);
    assert_eq!(client::exchange(proxy.addr(0), b"x"), b"x");
    harness::eventually("the session is over", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
    let about_sessions = |log: &str| log.lines().any(|line| line.contains("[trace]") && line.contains("127.0.0.1"));
    assert!(!about_sessions(&proxy.log()), "{}", proxy.log());
}
