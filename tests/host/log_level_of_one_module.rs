//! `log_level` in the configuration: one module, or the host, logs more or less than the error log's own level.

use harness::{Origin, Proxy, client};

use crate::support::relay;

#[test]
fn the_host_alone_is_quiet_or_talkative() {
    let addr = Origin::echo().stop();
    let config = |level: &str| {
        let text = crate::support::RELAY.replace("@ORIGIN@", &addr.to_string());
        text.replace("@COMMON@", &format!("log_level \"host\" \"{level}\""))
    };
    let proxy = Proxy::start(&config("error"));
    let _ = client::try_exchange(proxy.addr(0), b"x");
    assert!(!proxy.log_contains("[info] [host]") && !proxy.log_contains("[warn] [host]"), "{}", proxy.log());
    proxy.reload_with(&config("debug")).assert(0, &[]);
    let _ = client::try_exchange(proxy.addr(0), b"x");
    proxy.await_log("[debug] [host]", harness::LIMIT);
    let seen = proxy.log().len();
    let plain = config("error").lines().filter(|line| !line.contains("log_level")).collect::<Vec<_>>().join("\n");
    proxy.reload_with(&plain).assert(0, &[]);
    let _ = client::try_exchange(proxy.addr(0), b"x");
    harness::eventually("the reload is told", || proxy.log()[seen..].contains("[info] [host]").then_some(()));
    assert!(!proxy.log()[seen..].contains("[debug]"), "{}", proxy.log());
}

#[test]
fn a_name_that_no_module_has_is_warned_of() {
    let output = relay(&Origin::echo(), "log_level \"tpc\" \"debug\"").check();
    output.assert(0, &["no loaded module is called \"tpc\"", "did you mean \"tcp\""]);
}
