//! The pid file holds the number while the process runs; the control socket is beside it.

use harness::{LIMIT, Proxy};

use crate::support::HELLO;

#[test]
fn there_while_it_runs() {
    let config = HELLO.replace("@COMMON@", r#"pid "run/a.pid""#);
    let mut proxy = Proxy::builder().config(&config).file("run/old", "").start();
    assert_eq!(proxy.read("run/a.pid").trim(), proxy.pid().to_string());
    proxy.send("quit").assert(0, &[]);
    proxy.wait_exit(LIMIT);
    assert!(!proxy.dir().join("run/a.pid").exists());
    assert!(!proxy.dir().join("control.sock").exists());
}

#[test]
fn one_left_by_a_crash_is_replaced() {
    let config = HELLO.replace("@COMMON@", r#"pid "a.pid""#);
    let proxy = Proxy::builder().config(&config).file("a.pid", "1\n").start();
    assert_eq!(proxy.read("a.pid").trim(), proxy.pid().to_string());
}

#[test]
fn the_one_that_was_made_goes_whatever_a_reload_says() {
    let config = HELLO.replace("@COMMON@", r#"pid "a.pid""#);
    let mut proxy = Proxy::start(&config);
    proxy.reload_with(&config.replace("a.pid", "b.pid")).assert(0, &["pid needs restart"]);
    proxy.send("quit").assert(0, &[]);
    proxy.wait_exit(LIMIT);
    assert!(!proxy.dir().join("a.pid").exists() && !proxy.dir().join("b.pid").exists());
}

#[test]
fn a_pipe_in_its_place_is_not_waited_for() {
    let config = HELLO.replace("@COMMON@", r#"pid "a.pid""#);
    let builder = || {
        let builder = Proxy::builder().config(&config);
        let path = builder.dir().join("a.pid");
        rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR).expect("own directory");
        builder
    };
    builder().check().assert(1, &["main.kdl:", "a.pid: is a named pipe"]);
    builder().try_start().expect_err("it does not serve").assert(4, &["a.pid: is a named pipe"]);
    // One that comes later does not keep it from ending.
    let mut proxy = Proxy::start(&config);
    let path = proxy.dir().join("a.pid");
    std::fs::remove_file(&path).expect("ours");
    rustix::fs::mkfifoat(rustix::fs::CWD, path, rustix::fs::Mode::RUSR).expect("own directory");
    proxy.send("quit").assert(0, &[]);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
}
