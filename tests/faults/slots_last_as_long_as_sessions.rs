//! What a module keeps in a session's slot is there for as long as anybody holds the session, which may be longer than the
//! session lasts, and is given up then.

use harness::{Proxy, client, eventually};

use crate::support::{await_one_generation, echo, module, serving};

/// What the module says of its value, in order, once the session is over and the generation can end.
fn told(mode: &str) -> Option<Vec<String>> {
    let proxy: Proxy = serving(&module("faulty")?, &format!("faulty \"{mode}\"")).start();
    let stream = client::connect(proxy.addr(0));
    echo(&stream, b"x");
    drop(stream);
    eventually("it is given up", || proxy.log().contains("given up").then_some(()));
    proxy.reload().assert(0, &[]);
    await_one_generation(&proxy);
    let log = proxy.log();
    Some(log.lines().filter_map(|l| Some(l.split_once("kept: ")?.1.trim().to_owned())).collect())
}

#[test]
fn made_before_the_end() {
    let Some(told) = told("keep_slot") else { return };
    assert_eq!(told, ["early looked at", "early given up"]);
}

#[test]
fn made_after_the_end() {
    let Some(told) = told("late_slot") else { return };
    assert_eq!(told, ["late looked at", "late given up"]);
}
