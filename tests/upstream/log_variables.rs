//! What the access log says of a peer and of a session's stages.

use harness::Origin;

use crate::pool;
use crate::support::{USER, ask, field, is_cut, logged};

#[test]
fn of_a_session_that_was_served() {
    let origins = [Origin::named("a")];
    let proxy = pool("proxy_pass_tcp \"@0@\"", &origins).start();
    assert_eq!(ask(proxy.addr(0)), "a");
    let line = logged(&proxy, 0);
    assert_eq!(field(&line, "up"), origins[0].addr().to_string(), "{line}");
    assert_eq!((field(&line, "tries"), field(&line, "status"), field(&line, "out")), ("1", "200", "2"), "{line}");
    let connect: f64 = field(&line, "connect").parse().unwrap_or_else(|_| panic!("{line}"));
    assert!((0.0..5.0).contains(&connect), "{line}");
    let (_, stages) = line.split_once("times=").expect("the last field");
    let stages: Vec<_> =
        stages.split(' ').map(|stage| stage.split_once('@').expect("a stage and its offset")).collect();
    let names: Vec<_> = stages.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["accept", "access", "route", "connect", "relay", "end"], "{line}");
    let offsets: Vec<f64> = stages.iter().map(|(_, at)| at.parse().expect("seconds")).collect();
    assert!(offsets.is_sorted(), "{line}");
}

#[test]
fn of_a_session_that_found_no_peer() {
    let origins = [Origin::named("a")];
    let proxy = pool("proxy_pass_tcp \"@0@\"", &origins).start();
    let [origin] = origins;
    let dead = origin.stop();
    assert!(is_cut(proxy.addr(0), b""));
    let line = logged(&proxy, 0);
    assert_eq!((field(&line, "up"), field(&line, "connect")), (dead.to_string().as_str(), "-"), "{line}");
    assert_eq!((field(&line, "status"), field(&line, "out")), ("502", "0"), "{line}");
}

#[test]
fn of_a_session_that_a_limit_refused() {
    let origin = Origin::echo();
    let log = "access_log \"more.log\" flush=0 format=\"${close_reason} ${upstream_name} ${upstream_addr}\"\n";
    let server = USER.replace("local {", &format!("{log}local {{"));
    let top = "upstream \"o\" {\nproxy_pass_tcp \"@O@\" max_connections=1\n}";
    let proxy = crate::support::net(top, &server).set("O", origin.addr()).start();
    let held = harness::client::connect(proxy.addr(0));
    std::io::Write::write_all(&mut &held, b"x").expect("write");
    harness::client::read_exact(&held, 1);
    assert!(is_cut(proxy.addr(0), b"x"));
    assert_eq!(proxy.await_line("more.log", "proxy_connect_limit", harness::LIMIT), "proxy_connect_limit o -");
}

#[test]
fn of_pool_balancer_and_host() {
    let origin = Origin::named("a");
    let log = "access_log \"more.log\" flush=0 format=\"${upstream_name} ${upstream_balancer} ${upstream_host} ${upstream_ip}:${upstream_port} ${upstream_protocol} ${upper(upstream_name)}\"\n";
    let server = USER.replace("local {", &format!("{log}local {{"));
    let top = "upstream \"o\" {\nbalancer \"random\"\nproxy_pass_tcp \"localhost:@PORT@\"\n}";
    let proxy = crate::support::net(top, &server).set("PORT", origin.addr().port()).start();
    assert_eq!(ask(proxy.addr(0)), "a");
    let line = proxy.await_line("more.log", "o random", harness::LIMIT);
    assert_eq!(line, format!("o random localhost 127.0.0.1:{} tcp O", origin.addr().port()));
}
