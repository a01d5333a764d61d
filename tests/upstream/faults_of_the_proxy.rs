//! What is no peer's fault is charged to none: an address to connect from that is not there, a session that is killed while it
//! connects.

use harness::{Deaf, Origin, client, eventually};

use crate::pool;
use crate::support::{USER, await_reason, is_cut, net, peer};

/// An address of no machine: whoever is to connect from it gets EADDRNOTAVAIL, as where all ports are in use.
const FAR: &str = "socket { tcp \"far\" source=\"192.0.2.1\"; }";

#[test]
fn an_address_to_connect_from_that_is_not_there() {
    let origins = [Origin::echo(), Origin::echo()];
    let lines: String = origins.iter().map(|o| format!("proxy_pass_tcp \"{}\"\n", o.addr())).collect();
    let upstream = format!(
        "upstream \"o\" {{\ntcp_config_name \"far\"\neject consecutive=1\nheartbeat interval=\"100ms\" fail=1\n{lines}}}"
    );
    let proxy = net(&format!("{FAR}\n{upstream}"), USER).start();
    proxy.await_log("peers cannot be checked", harness::LIMIT);
    for _ in 0..4 {
        assert!(is_cut(proxy.addr(0), b"x"));
    }
    for origin in &origins {
        let peer = peer(&proxy, origin.addr());
        assert_eq!(peer["condition"], "ready", "{peer}");
        for count in ["connect_failures", "failures", "checks_failed", "ejections"] {
            assert_eq!(peer[count], 0, "{count}: {peer}");
        }
    }
    assert!(proxy.log_contains("connect failed"));
}

#[test]
fn a_session_that_is_killed_while_it_connects() {
    let (deaf, origin) = (Deaf::start(), Origin::echo());
    let lines = format!(
        "connect_timeout \"30s\"\neject consecutive=1\nproxy_pass_tcp \"{}\"\nproxy_pass_tcp \"@0@\" backup=#true",
        deaf.addr()
    );
    let proxy = pool(&lines, std::slice::from_ref(&origin)).start();
    let _client = client::connect(proxy.addr(0));
    let id = eventually("it connects", || {
        let sessions = proxy.control(&serde_json::json!({"cmd": "sessions"})).expect("sessions");
        (sessions[0]["peer"] == deaf.addr().to_string()).then(|| sessions[0]["id"].to_string())
    });
    proxy.ctl(&["sessions", "kill", &id]).assert(0, &[]);
    let line = await_reason(&proxy, "proxy_connect_killed");
    assert!(line.contains(&format!("up={} ", deaf.addr())), "{line}");
    let peer = peer(&proxy, deaf.addr());
    assert_eq!(
        (&peer["condition"], &peer["connect_failures"], &peer["failures"]),
        (&"ready".into(), &0.into(), &0.into())
    );
}
