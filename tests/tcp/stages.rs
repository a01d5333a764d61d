//! `${stream_work_times}` of sessions.

use harness::{Origin, client};

use crate::support::{field, local, logged, net};

/// Of a session's line in the log; their times never go back.
fn stages(line: &str) -> Vec<&str> {
    let all: Vec<_> = line[line.find("times=").expect("stages") + 6..].trim_end().split(' ').collect();
    let all: Vec<_> = all.iter().map(|s| s.split_once('@').unwrap_or_else(|| panic!("{line}"))).collect();
    let times: Vec<f64> = all.iter().map(|(_, at)| at.parse().expect("seconds")).collect();
    assert!(times.is_sorted(), "{line}");
    all.into_iter().map(|(name, _)| name).collect()
}

#[test]
fn of_a_port_of_a_domain_and_of_one_who_is_turned_away() {
    let origin = Origin::named("o");
    let proxy = local("proxy_pass_tcp \"@ORIGIN@\"").set("ORIGIN", origin.addr()).start();
    client::exchange(proxy.addr(0), b"");
    assert_eq!(stages(&logged(&proxy, 0)), ["accept", "access", "route", "connect", "relay", "end"]);

    let text =
        "server {\ndomain \"a.test\"\ndomain_listen_tcp \"127.0.0.1:0\"\nlocal { proxy_pass_tcp \"@ORIGIN@\"; }\n}";
    let proxy = net("", text).set("ORIGIN", origin.addr()).start();
    client::exchange(proxy.addr(0), b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(stages(&logged(&proxy, 0)), ["accept", "access", "preread", "route", "connect", "relay", "end"]);

    let proxy = local("ip_deny \"all\"\nproxy_pass_tcp \"@ORIGIN@\"").set("ORIGIN", origin.addr()).start();
    let _ = client::try_exchange(proxy.addr(0), b"");
    let line = logged(&proxy, 0);
    assert_eq!((stages(&line), field(&line, "reason")), (vec!["accept", "access"], "proxy_access_denied"));
}
