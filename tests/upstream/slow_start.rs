//! A peer that comes back grows to its share: status shows how far it is, and it is picked less meanwhile.

use harness::{Origin, eventually};

use crate::support::{ask, await_condition, peer};
use crate::{named, pool};

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
