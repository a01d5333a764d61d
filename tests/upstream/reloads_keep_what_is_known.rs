//! A reload that removes a peer cuts none of its sessions; ejections and waiting sessions go on over one; a failed one changes
//! nothing.

use std::io::Write;

use harness::{Origin, client, eventually};

use crate::support::{USER, ask, await_condition, config, peer, peers, pool as status};
use crate::{filled, named, pool};

fn upstream(lines: &str, origins: &[Origin]) -> String {
    config(&filled(&format!("upstream \"o\" {{\n{lines}\n}}"), origins), USER)
}

#[test]
fn a_removed_peer_drains() {
    let origins = [Origin::echo(), Origin::echo()];
    let proxy = pool("balancer \"round_robin\"\nproxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\"", &origins).start();
    let addr = proxy.addr(0);
    let mut held = [client::connect(addr), client::connect(addr)];
    for stream in &mut held {
        stream.write_all(b"x").expect("write");
        client::read_exact(stream, 1);
    }
    proxy.reload_with(&upstream("proxy_pass_tcp \"@0@\"", &origins)).assert(0, &[]);
    assert_eq!(proxy.addr(0), addr);
    assert_eq!(peers(&proxy).len(), 1);
    for _ in 0..4 {
        assert_eq!(client::exchange(addr, b"new"), b"new");
    }
    assert_eq!((origins[0].accepted(), origins[1].accepted()), (5, 1));
    for stream in &mut held {
        stream.write_all(b"y").expect("write");
        assert_eq!(client::read_exact(stream, 1), b"y", "it goes on");
    }
    drop(held);
    eventually("the generation before ends", || {
        let retired = &proxy.status()["retired"];
        retired.as_array().is_some_and(Vec::is_empty).then_some(())
    });
}

#[test]
fn an_ejected_peer_stays_out_and_comes_back() {
    let origins = [Origin::resetting(1), Origin::echo()];
    let lines =
        "balancer \"round_robin\"\neject consecutive=1 time=\"3s\"\nproxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\"";
    let proxy = pool(lines, &origins).start();
    for _ in 0..2 {
        let _ = client::try_exchange(proxy.addr(0), b"x");
    }
    await_condition(&proxy, origins[0].addr(), "ejected");
    proxy.reload_with(&upstream(lines, &origins)).assert(0, &[]);
    assert_eq!(peer(&proxy, origins[0].addr())["condition"], "ejected");
    await_condition(&proxy, origins[0].addr(), "ready");
}

#[test]
fn checks_that_are_removed_hold_nobody_down() {
    let origins = named(["a"]);
    let proxy = pool("heartbeat interval=\"100ms\" fail=1\nproxy_pass_tcp \"@0@\"", &origins).start();
    let [dead] = origins;
    let dead = dead.stop();
    await_condition(&proxy, dead, "down");
    let back = [Origin::start_on(dead, |mut conn| conn.write_all(b"a\n"))];
    proxy.reload_with(&upstream("proxy_pass_tcp \"@0@\"", &back)).assert(0, &[]);
    assert_eq!(ask(proxy.addr(0)), "a");
}

#[test]
fn failures_of_checks_are_counted_on() {
    let origins = named(["a"]);
    let lines = "heartbeat interval=\"200ms\" fail=4\nproxy_pass_tcp \"127.0.0.1:1\"\nproxy_pass_tcp \"@0@\"";
    let proxy = pool(lines, &origins).start();
    let dead = "127.0.0.1:1".parse().expect("an address");
    for n in 1..=4 {
        eventually("it is asked once more", || (peer(&proxy, dead)["checks_failed"].as_u64() >= Some(n)).then_some(()));
        proxy.reload_with(&upstream(lines, &origins)).assert(0, &[]);
    }
    assert_eq!(peer(&proxy, dead)["condition"], "down");
}

#[test]
fn who_waits_for_a_session_of_the_generation_before_is_woken() {
    let origins = [Origin::echo()];
    let lines = "queue size=5 timeout=\"15s\"\nproxy_pass_tcp \"@0@\" max_connections=1";
    let proxy = pool(lines, &origins).start();
    let addr = proxy.addr(0);
    let mut held = client::connect(addr);
    held.write_all(b"x").expect("write");
    client::read_exact(&held, 1);
    proxy.reload_with(&upstream(lines, &origins)).assert(0, &[]);
    let waiting = std::thread::spawn(move || client::exchange(addr, b"waited"));
    eventually("one waits", || (status(&proxy)["waiting"] == 1).then_some(()));
    drop(held);
    assert_eq!(waiting.join().expect("served"), b"waited");
}

#[test]
fn a_failed_reload_changes_no_weight() {
    let origins = named(["a", "b"]);
    let proxy = pool("proxy_pass_tcp \"@0@\" weight=2\nproxy_pass_tcp \"@1@\"", &origins).start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let other = format!(
        "{USER}\nserver {{\nport_listen_tcp \"{}\"\nlocal {{ proxy_pass_upstream \"o\"; }}\n}}",
        taken.local_addr().expect("address")
    );
    let top = filled(
        "upstream \"o\" {\nproxy_pass_tcp \"@0@\" weight=9\nproxy_pass_tcp \"@1@\" max_connections=1\n}",
        &origins,
    );
    proxy.reload_with(&config(&top, &other)).assert(1, &[]);
    assert_eq!(peer(&proxy, origins[0].addr())["weight"], 2);
    assert_eq!(peer(&proxy, origins[1].addr())["max_connections"], 0);
}
