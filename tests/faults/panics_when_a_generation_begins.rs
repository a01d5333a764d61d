//! A panic of a module while its generation is made or started refuses the start or the reload, by the module's name; the
//! generation before goes on as if nothing had been.

use std::io::Write;

use harness::{Proxy, client, eventually};

use crate::support::{echo, faults, module, serving, text};

#[test]
fn in_create() {
    let Some(faulty) = module("faulty") else { return };
    let mut proxy = serving(&faulty, "faulty \"panic_create\"").start();
    let stream = client::connect(proxy.addr(0));
    echo(&stream, b"x");
    proxy.reload().assert(1, &["panicked in create", "faulty"]);
    echo(&stream, b"y");
    assert!(proxy.alive());
    assert_eq!(proxy.status()["generation"]["epoch"], 1);
    proxy.reload().assert(0, &[]);
    echo(&stream, b"z");
}

#[test]
fn in_worker_start() {
    let Some(faulty) = module("faulty") else { return };
    let config = |mode: &str| text(&[&faulty], &[&format!("faulty \"{mode}\"")]);
    let failed = Proxy::builder().config(&config("panic_worker_start")).try_start().expect_err("it cannot start");
    failed.assert(4, &["module faulty panicked in worker_start of worker 1"]);

    let mut proxy = Proxy::start(&config("echo"));
    let stream = client::connect(proxy.addr(0));
    for again in [false, true] {
        let refused = if again { proxy.send("reinit") } else { proxy.reload_with(&config("panic_worker_start")) };
        refused.assert(1, &["module faulty panicked in worker_start of worker 1"]);
        echo(&stream, b"x");
        for _ in 0..8 {
            echo(&client::connect(proxy.addr(0)), b"y");
        }
    }
    assert!(proxy.alive());
    assert_eq!(faults(&proxy, "faulty", "panics"), 2);
    // What had been started of it is ended, on the worker that had it too.
    eventually("only one generation is left", || {
        let status = proxy.status();
        let mut workers = status["workers"].as_array()?.iter();
        workers.all(|w| w["generations"].as_array().is_some_and(|g| g.len() == 1)).then_some(())
    });
    proxy.reload_with(&config("hold")).assert(0, &[]);
    (&stream).write_all(b"z").expect("write");
    assert_eq!(client::read_exact(&stream, 1), b"z");
}
