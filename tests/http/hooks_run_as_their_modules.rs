//! What a hook does is its module's, and not of http, which calls it: faults, and what is spawned.

use harness::eventually;

use crate::modules_of_others::with;
use crate::others::{faults, module};
use crate::support::{Scripted, once};

#[test]
fn faults_and_tasks() {
    let Some(stamp) = module("http_stamp") else { return };
    let origin = Scripted::new("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false);
    let proxy =
        with(&[&stamp], &format!("local {{ http_stamp \"x\"; proxy_pass_tcp \"{}\"; }}", origin.addr())).start();
    let asked = |fault: &str, body: &str| {
        let length = body.len();
        once(
            &proxy,
            format!("POST / HTTP/1.1\r\nHost: a\r\nX-Fault: {fault}\r\nContent-Length: {length}\r\n\r\n{body}"),
        )
    };
    assert_eq!(asked("panic", "").status, 500);
    assert_eq!(faults(&proxy, "http_stamp", "panics"), 1);
    assert_eq!(asked("body", "abc").status, 500);
    proxy.await_line("access.log", "reason=proxy_transfer_panic", harness::LIMIT);
    assert_eq!(faults(&proxy, "http_stamp", "panics"), 2);
    for _ in 0..4 {
        assert_eq!(asked("block", "").status, 200);
    }
    eventually("slow polls are counted", || (faults(&proxy, "http_stamp", "slow_polls") > 0).then_some(()));
    assert_eq!(asked("spawn", "").status, 200);
    let status = proxy.status();
    let workers = status["workers"].as_array().expect("a list").iter();
    let generations = workers.flat_map(|w| w["generations"].as_array().expect("a list"));
    let tasks: u64 = generations.filter_map(|g| g["modules"]["http_stamp"].as_u64()).sum();
    assert_eq!(tasks, 1, "{status}");
    assert_eq!((faults(&proxy, "http", "panics"), faults(&proxy, "http", "slow_polls")), (0, 0));
}
