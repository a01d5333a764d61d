//! The handler: connecting, reasons, and what the upstream is told.

use super::local;
use anyproxy_module_api::{ErrorKind, testing::Attempt};
use std::time::Duration;

#[test]
fn a_session_is_joined_with_a_peer_and_the_lease_given_back() {
    let m = local([]);
    m.host().upstream_script(&[Attempt::Accept]);
    let mut run = m.handle("relay");
    m.host().run_until_stalled();
    let upstream = m.host().upstream().expect("it connected");
    m.host().advance(Duration::from_millis(700));
    run.client.send(b"ping");
    run.client.finish();
    m.host().run_until_stalled();
    assert_eq!(upstream.received(), b"ping");
    m.host().advance(Duration::from_millis(5));
    upstream.finish();
    m.host().run_until_stalled();
    assert!(run.result().expect("it ended").is_ok());
    assert_eq!(run.session.stages(), ["connect", "relay", "end"]);
    let outcomes = m.host().outcomes();
    assert_eq!((outcomes.len(), outcomes[0].failure), (1, 0));
    assert_eq!(outcomes[0].total_ns, 705_000_000);
    drop((run, upstream));
    m.stop();
}

#[test]
fn a_connect_that_fails_says_whose_fault_it_was() {
    for (kind, reason) in [
        (ErrorKind::Refused, "upstream_connect_refused"),
        (ErrorKind::TimedOut, "upstream_connect_timeout"),
        (ErrorKind::NotFound, "upstream_connect_unreachable"),
        (ErrorKind::NoPeer, "proxy_connect_no_peer"),
        (ErrorKind::Limit, "proxy_connect_limit"),
        (ErrorKind::Other, "proxy_connect_internal"),
    ] {
        let m = local([]);
        m.host().upstream_script(&[Attempt::Fail(kind)]);
        let mut run = m.handle("relay");
        m.host().run_until_stalled();
        assert_eq!(run.result().expect("it ended").unwrap_err().kind, kind);
        assert_eq!(run.session.closed(), reason);
        assert!(run.client.is_closed());
        drop(run);
        m.stop();
    }
}

#[test]
fn a_session_killed_while_it_connects_ends_at_once() {
    let m = local([]);
    m.host().upstream_script(&[Attempt::Stall]);
    let mut run = m.handle("relay");
    m.host().advance(Duration::from_secs(1));
    assert!(run.result().is_none());
    run.session.kill_now();
    m.host().run_until_stalled();
    assert!(run.result().expect("it ended").is_err());
    assert_eq!(run.session.closed(), "proxy_connect_killed");
    drop(run);
    m.stop();
}
