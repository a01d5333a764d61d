//! 0 well, 1 configuration or refused request, 2 command line, 3 a socket cannot be bound, 4 failed while running.

use harness::{LIMIT, Proxy, check, command};
use rustix::process::Signal;

use crate::support::{HELLO, hello};

#[test]
fn zero_after_each_way_to_end() {
    for signal in [Signal::QUIT, Signal::INT, Signal::TERM] {
        let mut proxy = hello("").start();
        proxy.signal(signal);
        assert_eq!(proxy.wait_exit(LIMIT), Some(0), "{signal:?}");
    }
    for name in ["quit", "stop"] {
        let mut proxy = hello("").start();
        proxy.send(name).assert(0, &[]);
        assert_eq!(proxy.wait_exit(LIMIT), Some(0), "{name}");
    }
}

#[test]
fn one_for_the_configuration() {
    check("net {").assert(1, &["main.kdl:1:"]);
    let failed = Proxy::builder().config("nett { }").try_start().expect_err("unknown block");
    failed.assert(1, &["nett", "net"]);
    command(["-c", "no-such-file.kdl", "-t"]).assert(1, &["no-such-file.kdl"]);
    command(["-c", "no-such-file.kdl"]).assert(1, &["no-such-file.kdl"]);
}

#[test]
fn two_for_the_command_line() {
    command(["--no-such-option"]).assert(2, &["--no-such-option", "--help"]);
    command(["-s", "sotp"]).assert(2, &["sotp", "reload", "stop"]);
    command(["serve"]).assert(2, &["serve"]);
    command(["-c"]).assert(2, &[]);
    command(["ctl"]).assert(2, &["ctl"]);
    command(["ctl", "sessions", "kill", "x"]).assert(2, &["number"]);
    command(["ctl", "status", "extra"]).assert(2, &["\"extra\" is one word too many; usage: anyproxy ctl status\n"]);
    command(["ctl", "sessions", "show"]).assert(2, &["not understood; usage: anyproxy ctl sessions [show|kill ID]"]);
    command(["--help"]).assert(0, &["anyproxy -c FILE", "Exit codes"]);
}

#[test]
fn three_for_an_address_that_is_not_ours() {
    // TEST-NET-1 of RFC 5737: no machine has it.
    let failed =
        Proxy::builder().config(&HELLO.replace("127.0.0.1:0", "192.0.2.1:80").replace("@COMMON@", "")).try_start();
    failed.expect_err("no such address").assert(3, &["192.0.2.1:80", "no such address"]);
}

#[test]
fn four_where_running_is_impossible() {
    let failed = hello(r#"pid "no/such/directory/a.pid""#).try_start().expect_err("no directory");
    failed.assert(4, &["no/such/directory/a.pid"]);
    let first = hello("").start();
    let path = first.dir().join("control.sock");
    let second = hello("").arg("--control").arg(&path).try_start().expect_err("the socket is taken");
    second.assert(4, &["control socket", "another anyproxy answers there"]);
    first.status();
}
