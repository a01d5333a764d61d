//! A reader that has seen enough (`| head -1`) and a closed output are no faults: no trace, no panic.

use std::process::{Command, Stdio};

use harness::{Proxy, binary};

use crate::support::{HELLO, by_shell, hello};

#[track_caller]
fn quiet(script: &str, dir: &std::path::Path) -> String {
    let output = Command::new("/bin/sh")
        .args(["-c", script])
        .env("ANYPROXY", binary())
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!complaint.contains("panic") && !complaint.contains("backtrace"), "{script}: {complaint}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn only_the_first_line_is_wanted() {
    let proxy = hello("").start();
    let dir = proxy.dir().path();
    // `:` reads nothing at all; the subshell's exit code is what the command's is.
    assert_eq!(quiet("\"$ANYPROXY\" ctl status --control control.sock | head -1", dir), "{\n");
    for command in [
        "ctl status --control control.sock",
        "ctl metrics --control control.sock",
        "directives",
        "-c main.kdl -T",
        "--help",
        "-V",
    ] {
        let script =
            format!("{{ sleep 0.05; \"$ANYPROXY\" {command}; echo \"code $?\" >&2; }} 2>code.$$ | :; cat code.$$");
        let said = quiet(&script, dir);
        assert!(said.contains("code 0") && !said.contains("panic"), "{command}: {said}");
    }
}

#[test]
fn outputs_may_be_closed() {
    let builder = Proxy::builder().config(&HELLO.replace("@COMMON@", "error_log \"error.log\""));
    let proxy = by_shell(builder, "/bin/sh", "exec \"$ANYPROXY\" \"$@\" >&- 2>&- <&-").start();
    assert_eq!(harness::client::exchange(proxy.addr(0), b""), b"good day\n");
    assert!(proxy.read("error.log").contains("listening on"));
    for command in ["-t", "-T", "-V", "directives", "ctl status --control control.sock"] {
        let said = quiet(&format!("\"$ANYPROXY\" -c main.kdl {command} >&- 2>&-; echo $?"), proxy.dir().path());
        assert_eq!(said, "0\n", "{command}");
    }
}

#[test]
fn a_full_output_is_told() {
    let proxy = hello("").start();
    let said = quiet("\"$ANYPROXY\" -c main.kdl -T 2>&1 >/dev/full", proxy.dir().path());
    assert!(said.contains("standard output"), "{said}");
}
