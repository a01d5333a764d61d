//! A module built by another compiler, with other versions of everything, loads and serves.

use harness::{client, skip};

use crate::support::{module, serving};

#[test]
fn loads_and_serves() {
    let Some(swap) = module("swap") else { return };
    let proxy = serving(&swap, "swap").start();
    assert_eq!(client::exchange(proxy.addr(0), b"good day"), b"1\ngood day");
    let status = proxy.status();
    let images = status["images"].as_array().expect("a list");
    let rustc = |id: &str| images.iter().find(|i| i["module"] == id).map(|i| i["rustc"].to_string()).expect("listed");
    if rustc("swap") == rustc("tcp") {
        skip("tests/third-party was built with the host's compiler");
    }
}
