//! A reload that takes long holds up nobody: status is answered, and the process ends when it is told to. What comes while the
//! process starts is done once it has started.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use harness::{LIMIT, Origin, Proxy, client};
use rustix::process::Signal;

use crate::support::{echoes, relay, says, text};

/// Takes long to be read.
fn large(text: &str) -> String {
    let mut config = text.to_owned();
    for n in 0..6_000 {
        let _ = writeln!(config, "upstream \"u{n}\" {{ proxy_pass_tcp \"127.0.0.1:1\"; }}");
    }
    config
}

#[test]
fn status_and_the_end() {
    let origin = Origin::echo();
    let mut proxy = relay(&origin, "").start();
    proxy.dir().write("main.kdl", large(&text(&origin, "", "")));
    proxy.signal(Signal::HUP);
    let at = proxy.await_notify(1, "RELOADING=1");
    let status = proxy.status();
    assert_eq!((&status["reloads"], &status["failed_reloads"]), (&0.into(), &0.into()));
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
    let after = proxy.notifications().split_off(at + 1);
    assert!(!after.iter().any(|line| line == "READY=1"), "it ended without the reload: {after:?}");
}

#[test]
fn a_reload_that_began_before_is_given_up_when_the_process_ends() {
    let origin = Origin::echo();
    let mut proxy = relay(&origin, "").start();
    let stream = client::connect(proxy.addr(0));
    assert!(echoes(&stream));
    proxy.dir().write("main.kdl", large(&text(&origin, "", "")));
    proxy.signal(Signal::HUP);
    proxy.await_notify(1, "RELOADING=1");
    proxy.send("quit").assert(0, &[]);
    proxy.await_log("the process is ending", LIMIT);
    assert!(echoes(&stream));
    drop(stream);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
}

#[test]
fn a_signal_that_comes_while_it_starts() {
    let origin = Origin::echo();
    // Once HUP is taken, the lowest bit of SigCgt (proc(5)), it is sent; what the process then finds is put there before.
    let script = "#!/bin/sh\n\
                  (until grep -q '^SigCgt.*[13579bdf]$' /proc/$$/status; do :; done\n\
                  mv next.kdl main.kdl; kill -HUP $$) &\nexec \"$ANYPROXY\" \"$@\"\n";
    let builder = Proxy::builder().config(&large(&text(&origin, "", "")));
    let start = builder.dir().write("start", script);
    fs::set_permissions(&start, fs::Permissions::from_mode(0o755)).expect("own file");
    let builder = builder.file("next.kdl", large(&text(&origin, "", &says("new"))));
    let mut proxy = builder.env("ANYPROXY", harness::binary()).binary(start).start();
    let at = proxy.await_notify(0, "RELOADING=1");
    proxy.await_notify(at, "READY=1");
    assert_eq!(client::exchange(proxy.addr(1), b""), b"new");
}
