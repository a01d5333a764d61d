//! Names of peers: resolved at the start, again by TTL or interval, later when they did not exist; peers come and go with the
//! answers, sessions stay.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use harness::{Dns, Origin, Proxy, client, eventually};

use crate::support::{USER, ask, await_condition, await_reason, config, is_cut, net, peers};

const A: &str = "127.0.0.2";
const B: &str = "127.0.0.3";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Two origins on one port of two addresses.
fn two(handler: fn(&'static str) -> Handler) -> (Origin, Origin) {
    eventually("a port that is free on both", || {
        let first = Origin::start_on(SocketAddr::new(ip(A), 0), handler("a"));
        let second = SocketAddr::new(ip(B), first.addr().port());
        // The harness panics when it is taken: looked at first.
        drop(std::net::TcpListener::bind(second).ok()?);
        Some((first, Origin::start_on(second, handler("b"))))
    })
}

type Handler = Box<dyn Fn(harness::origin::Conn) -> std::io::Result<()> + Send + Sync>;

fn name(name: &'static str) -> Handler {
    Box::new(move |mut conn| {
        conn.write_all(name.as_bytes())?;
        conn.stream.shutdown(std::net::Shutdown::Write)?;
        std::io::copy(&mut conn, &mut std::io::sink()).map(|_| ())
    })
}

fn top(dns: &Dns, port: u16, dynamic: &str) -> String {
    format!(
        "common {{ worker_threads 1; resolver \"{}\"; resolver_timeout \"1s\"; }}\n\
         upstream \"o\" {{\nbalancer \"round_robin\"\nproxy_pass_tcp \"peers.test:{port}\" {{ {dynamic} }}\n}}",
        dns.addr()
    )
}

fn start(dns: &Dns, port: u16, dynamic: &str) -> Proxy {
    net(&top(dns, port, dynamic), USER).start()
}

fn await_peers(proxy: &Proxy, expected: &[&str]) {
    eventually(&format!("the peers are {expected:?}"), || {
        let now: Vec<_> = peers(proxy).iter().filter_map(|peer| Some(peer["address"].as_str()?.to_owned())).collect();
        (now.len() == expected.len() && now.iter().zip(expected).all(|(now, ip)| now.starts_with(ip))).then_some(())
    });
}

#[test]
fn the_first_session_waits_for_the_first_answer() {
    let (a, _b) = two(name);
    let dns = Dns::start();
    dns.set("peers.test", [ip(A)], Duration::from_secs(60));
    let proxy = start(&dns, a.addr().port(), "");
    assert_eq!(ask(proxy.addr(0)), "a");
    assert_eq!(peers(&proxy)[0]["host"], format!("peers.test:{}", a.addr().port()));
}

#[test]
fn a_session_that_waits_for_an_answer_gets_it_over_a_reload() {
    let (a, _b) = two(name);
    let dns = Dns::start();
    dns.set("peers.test", [ip(A)], Duration::from_secs(60));
    dns.silent(true);
    let top = top(&dns, a.addr().port(), "").replace("resolver_timeout \"1s\"", "resolver_timeout \"9s\"");
    let proxy = net(&top, USER).start();
    let addr = proxy.addr(0);
    let waiting = std::thread::spawn(move || ask(addr));
    eventually("it waits", || (proxy.status()["process"]["sessions"] == 1).then_some(()));
    let asked = dns.queries("peers.test");
    proxy.reload_with(&config(&top, USER)).assert(0, &[]);
    eventually("it is asked by the generation that serves", || (dns.queries("peers.test") > asked).then_some(()));
    dns.silent(false);
    assert_eq!(waiting.join().expect("served"), "a");
}

#[test]
fn an_address_of_two_names_is_one_peer_of_the_first_line() {
    let (a, b) = two(name);
    let dns = Dns::start();
    for name in ["first.test", "second.test"] {
        dns.set(name, [ip(A)], Duration::from_secs(3600));
    }
    let port = a.addr().port();
    let lines = format!(
        "proxy_pass_tcp \"first.test:{port}\" weight=3\nproxy_pass_tcp \"second.test:{port}\" weight=7 backup=#true\n\
         proxy_pass_tcp \"{}\"",
        b.addr()
    );
    let top = format!(
        "common {{ worker_threads 1; resolver \"{}\"; }}\nupstream \"o\" {{\nbalancer \"weight\"\n{lines}\n}}",
        dns.addr()
    );
    let proxy = net(&top, USER).start();
    await_peers(&proxy, &[A, B]);
    eventually("both names have their answers", || (dns.queries("second.test") > 0).then_some(()));
    await_peers(&proxy, &[A, B]);
    let peer = &peers(&proxy)[0];
    assert_eq!((&peer["weight"], &peer["backup"]), (&3.into(), &false.into()), "{peer}");
}

#[test]
fn by_ttl_peers_come_and_go_and_sessions_stay() {
    let (a, b) = two(|name| {
        Box::new(move |mut conn| {
            conn.write_all(name.as_bytes())?;
            std::io::copy(&mut conn.stream.try_clone()?, &mut conn).map(|_| ())
        })
    });
    let dns = Dns::start();
    dns.set("peers.test", [ip(A)], Duration::from_secs(1));
    let proxy = start(&dns, a.addr().port(), "dynamic_domain");
    let mut held = client::connect(proxy.addr(0));
    assert_eq!(client::read_exact(&held, 1), b"a");
    dns.set("peers.test", [ip(A), ip(B)], Duration::from_secs(1));
    await_peers(&proxy, &[A, B]);
    dns.set("peers.test", [ip(B)], Duration::from_secs(1));
    await_peers(&proxy, &[B]);
    for _ in 0..3 {
        assert_eq!(client::read_exact(&client::connect(proxy.addr(0)), 1), b"b");
    }
    held.write_all(b"still here").expect("write");
    assert_eq!(client::read_exact(&held, 10), b"still here");
    drop((held, b));
}

#[test]
fn an_address_that_comes_later_grows_where_there_is_a_slow_start() {
    let (a, _b) = two(name);
    let dns = Dns::start();
    dns.set("peers.test", [ip(A)], Duration::from_secs(3600));
    let top = top(&dns, a.addr().port(), "dynamic_domain interval=\"1s\"")
        .replace("balancer", "slow_start \"60s\"\nbalancer");
    let proxy = net(&top, USER).start();
    assert_eq!(ask(proxy.addr(0)), "a");
    assert_eq!(peers(&proxy)[0]["ramp"], 1.0, "that of a start is not spared");
    dns.set("peers.test", [ip(A), ip(B)], Duration::from_secs(3600));
    await_peers(&proxy, &[A, B]);
    let now = peers(&proxy);
    assert!(now[0]["ramp"] == 1.0 && now[1]["ramp"].as_f64() < Some(0.5), "{now:?}");
}

#[test]
fn one_that_was_ejected_when_it_went_is_ready_when_it_comes_back() {
    let (a, b) = two(name);
    b.stop();
    let dns = Dns::start();
    dns.set("peers.test", [ip(A), ip(B)], Duration::from_secs(3600));
    let top = top(&dns, a.addr().port(), "dynamic_domain interval=\"1s\"")
        .replace("balancer", "eject consecutive=1 time=\"300s\"\nbalancer");
    let proxy = net(&top, USER).start();
    await_peers(&proxy, &[A, B]);
    for _ in 0..2 {
        assert_eq!(ask(proxy.addr(0)), "a");
    }
    let at_b = SocketAddr::new(ip(B), a.addr().port());
    await_condition(&proxy, at_b, "ejected");
    // What the worker chose from last keeps it alive meanwhile.
    for addresses in [&[A][..], &[A, B]] {
        dns.set("peers.test", addresses.iter().map(|a| ip(a)), Duration::from_secs(3600));
        await_peers(&proxy, addresses);
    }
    await_condition(&proxy, at_b, "ready");
}

#[test]
fn by_interval_whatever_the_ttl() {
    let (a, _b) = two(name);
    let dns = Dns::start();
    dns.set("peers.test", [ip(A)], Duration::from_secs(3600));
    let proxy = start(&dns, a.addr().port(), "dynamic_domain interval=\"1s\"");
    assert_eq!(ask(proxy.addr(0)), "a");
    dns.set("peers.test", [ip(B)], Duration::from_secs(3600));
    await_peers(&proxy, &[B]);
    assert_eq!(ask(proxy.addr(0)), "b");
}

#[test]
fn a_name_that_does_not_exist_yet() {
    let (a, _b) = two(name);
    let dns = Dns::start();
    let proxy = start(&dns, a.addr().port(), "");
    assert!(is_cut(proxy.addr(0), b""));
    await_reason(&proxy, "proxy_connect_no_peer");
    assert_eq!(peers(&proxy)[0]["condition"], "unresolved");
    proxy.await_log("cannot be resolved", harness::LIMIT);
    dns.set("peers.test", [ip(A)], Duration::from_secs(60));
    await_condition(&proxy, a.addr(), "ready");
    assert_eq!(ask(proxy.addr(0)), "a");
}

#[test]
fn a_resolver_that_fails_takes_nobody_down() {
    let (a, _b) = two(name);
    let dns = Dns::start();
    dns.set("peers.test", [ip(A)], Duration::from_secs(1));
    let proxy = start(&dns, a.addr().port(), "dynamic_domain");
    assert_eq!(ask(proxy.addr(0)), "a");
    dns.remove("peers.test");
    proxy.await_log("cannot be resolved", harness::LIMIT);
    assert_eq!(ask(proxy.addr(0)), "a");
    dns.silent(true);
    let asked = dns.queries("peers.test");
    eventually("it was asked again", || (dns.queries("peers.test") > asked).then_some(()));
    assert_eq!(ask(proxy.addr(0)), "a");
}

#[test]
fn a_reload_goes_on_with_the_addresses_that_are_known() {
    let (a, _b) = two(name);
    let dns = Dns::start();
    dns.set("peers.test", [ip(A)], Duration::from_secs(60));
    let proxy = start(&dns, a.addr().port(), "");
    assert_eq!(ask(proxy.addr(0)), "a");
    // From now on nobody answers.
    dns.silent(true);
    let text = config(&top(&dns, a.addr().port(), "connect_timeout \"3s\""), USER);
    proxy.reload_with(&text).assert(0, &[]);
    assert_eq!(ask(proxy.addr(0)), "a");
}
