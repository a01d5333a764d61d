//! `weight` gives smooth turns, exactly so on one worker; `round_robin` equal ones; `random` draws.

use crate::support::ask;
use crate::{named, pool};

fn sequence(balancer: &str, weights: [u32; 3], count: usize) -> String {
    let origins = named(["a", "b", "c"]);
    let peers: String =
        weights.iter().enumerate().map(|(n, weight)| format!("proxy_pass_tcp \"@{n}@\" weight={weight}\n")).collect();
    let proxy = pool(&format!("balancer \"{balancer}\"\n{peers}"), &origins).start();
    let addr = proxy.addr(0);
    (0..count).map(|_| ask(addr)).collect()
}

/// Whether `all` is this turn over and over, from wherever it begins.
fn turns(all: &str, turn: &str) -> bool {
    (0..turn.len()).any(|from| turn.chars().cycle().skip(from).take(all.len()).eq(all.chars()))
}

#[test]
fn weights_are_spread_smoothly() {
    let all = sequence("weight", [5, 1, 1], 21);
    // Of five, one and one: as nginx has it. Where a worker begins decides which of the two light ones comes first.
    assert!(turns(&all, "aabacaa") || turns(&all, "aacabaa"), "{all}");
}

#[test]
fn weight_is_the_default() {
    let origins = named(["a", "b"]);
    let proxy = pool("proxy_pass_tcp \"@0@\" weight=2\nproxy_pass_tcp \"@1@\"", &origins).start();
    let all: String = (0..9).map(|_| ask(proxy.addr(0))).collect();
    assert!(turns(&all, "aba"), "{all}");
}

#[test]
fn round_robin_has_equal_turns() {
    let all = sequence("round_robin", [5, 1, 1], 12);
    assert!(turns(&all, "abc"), "{all}");
}

#[test]
fn random_draws_by_weight() {
    let all = sequence("random", [8, 1, 1], 100);
    let count = |name| all.chars().filter(|c| *c == name).count();
    // 80 expected; fewer than half has a probability under 10⁻¹⁸.
    assert!(count('a') > 40 && count('b') + count('c') > 0, "{all}");
}
