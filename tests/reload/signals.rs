//! HUP reloads, USR1 makes new workers, USR2 only checks.

use harness::{LIMIT, Origin, client, eventually};
use rustix::process::Signal;

use crate::support::{relay, says, text};

#[test]
fn hup_reloads() {
    let origin = Origin::echo();
    let mut proxy = relay(&origin, "").start();
    proxy.dir().write("main.kdl", text(&origin, "", &says("new")));
    proxy.reload_by_signal();
    assert_eq!(client::exchange(proxy.addr(1), b""), b"new");
    assert!(proxy.notifications().iter().any(|line| line.starts_with("MONOTONIC_USEC=")));
    proxy.dir().write("main.kdl", "net {");
    proxy.reload_by_signal();
    let line = proxy.await_log("reload failed", LIMIT);
    assert!(line.contains("main.kdl:1:"), "{line}");
    assert_eq!(client::exchange(proxy.addr(1), b""), b"new");
}

#[test]
fn usr1_makes_new_workers() {
    let origin = Origin::echo();
    let mut proxy = relay(&origin, "").start();
    proxy.signal(Signal::USR1);
    let at = proxy.await_notify(1, "RELOADING=1");
    proxy.await_notify(at, "READY=1");
    let numbers = eventually("two workers", || {
        let status = proxy.status();
        let numbers: Vec<_> = status["workers"].as_array()?.iter().map(|w| w["worker"].as_u64()).collect();
        (numbers.len() == 2).then_some(numbers)
    });
    assert_eq!(numbers, [Some(2), Some(3)]);
}

#[test]
fn usr2_only_checks() {
    let origin = Origin::echo();
    let proxy = relay(&origin, "").start();
    proxy.signal(Signal::USR2);
    proxy.await_log("the configuration is well", LIMIT);
    proxy.dir().write("main.kdl", "nett { }");
    proxy.signal(Signal::USR2);
    proxy.await_log("nett", LIMIT);
    let status = proxy.status();
    assert_eq!((&status["reloads"], &status["failed_reloads"]), (&0.into(), &0.into()));
}

#[test]
fn many_at_once_do_no_harm() {
    let origin = Origin::echo();
    let mut proxy = relay(&origin, "").start();
    for _ in 0..50 {
        for signal in [Signal::HUP, Signal::USR1, Signal::USR2] {
            proxy.signal(signal);
        }
    }
    assert_eq!(client::exchange(proxy.addr(0), b"x"), b"x");
    proxy.send("quit").assert(0, &[]);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
}
