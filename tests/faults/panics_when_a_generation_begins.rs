//! A panic of a module while its generation is made or started refuses the start or the reload, by the module's name; the
//! generation before goes on as if nothing had been.

use std::io::Write;

use harness::{LIMIT, Proxy, client, eventually};

use crate::support::{echo, faults, module, patched, serving, text, write};

/// The worker that had started it lets go of it, tasks and jobs included, while what was prepared for them is there.
#[track_caller]
fn ends_before_it_is_undone(log: &str) {
    let at = |text| log.find(text).unwrap_or_else(|| panic!("no \"{text}\" in {log}"));
    assert!(at("stopped on a worker") < at("undone"), "{log}");
}

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
    ends_before_it_is_undone(&failed.stderr);

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
    proxy.await_log("undone", LIMIT);
    ends_before_it_is_undone(&proxy.log());
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

#[test]
fn in_a_worker_start_that_nobody_waits_for_any_more() {
    let Some(faulty) = module("faulty") else { return };
    let builder = Proxy::builder();
    let files = ["fault1", "fault2"].map(|id| {
        let file = format!("libanyproxy_{id}.so");
        write(builder.dir(), &file, &patched(&faulty, "faulty", id))
    });
    let files = [files[0].as_path(), files[1].as_path()];
    let config = |mode: &str| text(&files, &[&format!("fault1 \"{mode}\""), "fault2 \"echo\""]);
    let mut proxy = builder.config(&config("echo")).start();
    std::thread::scope(|scope| {
        let reloaded = scope.spawn(|| proxy.reload_with(&config("late_worker_start")));
        proxy.await_log("waits in worker_start", LIMIT);
        proxy.control(&serde_json::json!({"cmd": "dump"})).expect("the loop hears meanwhile");
        assert!(!proxy.log_contains("told to panic"), "before the worker goes on");
        reloaded.join().expect("reloads").assert(0, &[]);
    });
    let log = proxy.await_log("is in force there without it", LIMIT);
    assert!(log.contains("module fault1 panicked in worker_start of worker 1"), "{log}");
    proxy.send("quit").assert(0, &[]);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
    // The other module was started on both workers, in both generations.
    let log = proxy.log();
    let ends = log.lines().filter(|line| line.contains("stopped on a worker"));
    assert_eq!(ends.filter(|line| line.contains("fault2")).count(), 4, "{log}");
}
