//! A peer that comes back grows to its share: status shows how far it is, and it is picked less meanwhile.

use harness::{Origin, Proxy, eventually};

use crate::support::{USER, ask, await_condition, config, peer};
use crate::{filled, named, pool};

#[test]
fn is_visible_and_holds_picks_back() {
    let origins = named(["a", "b"]);
    let text = "slow_start \"60s\"\nheartbeat interval=\"100ms\" fail=1\nproxy_pass_tcp \"@0@\" weight=10\nproxy_pass_tcp \"@1@\" weight=10";
    let proxy = pool(text, &origins).start();
    let [first, second] = origins;
    assert_eq!(peer(&proxy, first.addr())["ramp"], 1.0, "at the start nobody is spared");
    let addr = first.stop();
    await_condition(&proxy, addr, "down");
    let back = Origin::start_on(addr, |mut conn| std::io::Write::write_all(&mut conn, b"a\n"));
    await_condition(&proxy, addr, "ready");
    let ramp = eventually("it grows", || peer(&proxy, addr)["ramp"].as_f64().filter(|ramp| *ramp < 0.9));
    let all: String = (0..40).map(|_| ask(proxy.addr(0))).collect();
    let picked = all.chars().filter(|name| *name == 'a').count();
    // Even shares would be 20.
    assert!(picked <= 15, "{picked} at {ramp}: {all}");
    eventually("it grows on", || (peer(&proxy, addr)["ramp"].as_f64() > Some(ramp)).then_some(()));
    assert_eq!(peer(&proxy, second.addr())["ramp"], 1.0);
    drop(back);
}

const EVEN: &str = "balancer \"weight\"\nslow_start \"60s\"\n";

fn ramp(proxy: &Proxy, addr: std::net::SocketAddr) -> f64 {
    peer(proxy, addr)["ramp"].as_f64().expect("a number")
}

#[test]
fn one_that_an_operator_brings_back_grows() {
    let origins = named(["a", "b"]);
    let proxy =
        pool(&format!("{EVEN}proxy_pass_tcp \"@0@\" weight=10\nproxy_pass_tcp \"@1@\" weight=10"), &origins).start();
    let back = origins[1].addr();
    for word in ["maint", "drain"] {
        proxy.ctl(&["peer", word, &back.to_string()]).assert(0, &[]);
        proxy.ctl(&["peer", "ready", &back.to_string()]).assert(0, &[]);
        // From the very first session on.
        let all: String = (0..20).map(|_| ask(proxy.addr(0))).collect();
        assert!(all.matches('b').count() <= 4, "{word}: {all}");
        assert!(ramp(&proxy, back) < 0.5, "{word}");
    }
    assert_eq!(ramp(&proxy, origins[0].addr()), 1.0);
    // Who says it once more begins nothing.
    let before = ramp(&proxy, back);
    proxy.ctl(&["peer", "ready", &back.to_string()]).assert(0, &[]);
    assert!(ramp(&proxy, back) >= before);
}

#[test]
fn one_that_a_reload_adds_grows() {
    let origins = named(["a", "b", "c"]);
    let two = "proxy_pass_tcp \"@0@\" weight=10\nproxy_pass_tcp \"@1@\" weight=10";
    let proxy = pool(&format!("{EVEN}{two}"), &origins).start();
    let [a, b, c] = origins.each_ref().map(Origin::addr);
    assert_eq!((ramp(&proxy, a), ramp(&proxy, b)), (1.0, 1.0), "all are cold at the start");
    let reload = |lines: &str, more: &str| {
        let top = filled(&format!("upstream \"o\" {{\n{EVEN}{lines}\n}}\n{more}"), &origins);
        proxy.reload_with(&config(&top, USER)).assert(0, &[]);
    };
    reload(&format!("{two}\nproxy_pass_tcp \"@2@\" weight=10"), "");
    assert_eq!((ramp(&proxy, a), ramp(&proxy, b)), (1.0, 1.0), "these were there");
    assert!(ramp(&proxy, c) < 0.5);
    let all: String = (0..30).map(|_| ask(proxy.addr(0))).collect();
    assert!(all.matches('c').count() <= 4, "{all}");
    // What has grown so far is kept by another reload, and a pool that is new has nobody to spare.
    let before = ramp(&proxy, c);
    reload(
        &format!("{two}\nproxy_pass_tcp \"@2@\" weight=10"),
        &format!("upstream \"n\" {{\n{EVEN}proxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\"\n}}"),
    );
    assert!((before..0.5).contains(&ramp(&proxy, c)));
    let status = proxy.status();
    let new = status["upstreams"].as_array().expect("pools").iter().find(|u| u["name"] == "n").expect("the new one");
    assert!(new["peers"].as_array().expect("peers").iter().all(|p| p["ramp"] == 1.0), "{new}");
}
