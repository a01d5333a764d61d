//! Retries are bounded: in number a session, and by a share of the sessions.

use harness::client;

use crate::support::{await_reason, field, lines, pool as status};
use crate::{named, pool};

/// Forty sessions one after the other, with one of two peers dead; how many were served, and the retries.
fn served(retry: &str) -> (usize, u64, harness::Proxy) {
    let origins = named(["a", "b"]);
    // Without ejection: each second session meets the dead peer.
    let text = format!(
        "balancer \"round_robin\"\neject consecutive=0\n{retry}\nproxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\""
    );
    let proxy = pool(&text, &origins).start();
    let [dead, _alive] = origins;
    dead.stop();
    let addr = proxy.addr(0);
    let served = (0..40).filter(|_| client::try_exchange(addr, b"").is_ok_and(|answer| answer == b"b\n")).count();
    let retries = status(&proxy)["retries"].as_u64().expect("a number");
    harness::eventually("each session is logged", || (lines(&proxy).len() == 40).then_some(()));
    (served, retries, proxy)
}

#[test]
fn one_attempt_is_none() {
    let (served, retries, proxy) = served("retry attempts=1");
    assert_eq!((served, retries), (20, 0));
    let line = await_reason(&proxy, "upstream_connect_refused");
    assert_eq!(field(&line, "tries"), "1", "{line}");
}

#[test]
fn a_budget_bounds_them() {
    // Ten in ten seconds are allowed whatever the share is. A slow machine may take longer than ten.
    let (served, retries, proxy) = served("retry budget=\"0%\"");
    assert!((10..=20).contains(&retries), "{retries}");
    let refused = lines(&proxy).iter().filter(|line| field(line, "reason") == "upstream_connect_refused").count();
    assert!(refused > 0, "the others are not retried");
    assert_eq!(served + refused, 40);
}

#[test]
fn a_whole_budget_serves_everybody() {
    let (served, retries, _) = served("retry budget=\"100%\"");
    assert_eq!(served, 40);
    assert!((20..=40).contains(&retries), "{retries}");
}
