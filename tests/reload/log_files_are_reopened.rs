//! Log files that were moved away are made anew: when asked to, and without being asked.

use std::fs;

use harness::{LIMIT, Proxy, client, eventually};

use crate::support::says;

fn start() -> Proxy {
    let config = format!(
        "load_module \"tcp\" \"hello\"\ncommon {{ worker_threads 1; error_log \"error.log\"; }}\n\
        net {{ access_log \"access.log\" flush=\"10ms\" format=\"line ${{session_time}}\"; {} }}\n",
        says("x").replace("}; }", "}; };")
    );
    Proxy::start(&config)
}

fn lines(proxy: &Proxy, file: &str) -> usize {
    proxy.read(file).lines().count()
}

fn session(proxy: &Proxy) {
    assert_eq!(client::exchange(proxy.addr(0), b""), b"x");
}

#[test]
fn when_asked_to() {
    let proxy = start();
    session(&proxy);
    eventually("one line", || (lines(&proxy, "access.log") == 1).then_some(()));
    for name in ["access.log", "error.log"] {
        fs::rename(proxy.dir().join(name), proxy.dir().join(format!("{name}.1"))).expect("own files");
    }
    proxy.send("reopen").assert(0, &[]);
    assert!(proxy.dir().join("access.log").exists() && proxy.dir().join("error.log").exists());
    session(&proxy);
    eventually("the second line in the new file", || (lines(&proxy, "access.log") == 1).then_some(()));
    assert_eq!(lines(&proxy, "access.log.1"), 1);
}

#[test]
fn without_being_asked() {
    let proxy = start();
    session(&proxy);
    eventually("one line", || (lines(&proxy, "access.log") == 1).then_some(()));
    fs::rename(proxy.dir().join("access.log"), proxy.dir().join("access.log.1")).expect("own files");
    let mut sent = 1;
    eventually("a line in a new file", || {
        session(&proxy);
        sent += 1;
        (lines(&proxy, "access.log") > 0).then_some(())
    });
    eventually("no line is lost", || {
        (lines(&proxy, "access.log.1") + lines(&proxy, "access.log") == sent).then_some(())
    });
}

#[test]
fn a_directory_that_is_gone_is_told() {
    let mut proxy = start();
    let config = proxy.read("main.kdl").replace("access.log", "logs/access.log");
    fs::create_dir(proxy.dir().join("logs")).expect("own directory");
    proxy.reload_with(&config).assert(0, &[]);
    fs::remove_dir_all(proxy.dir().join("logs")).expect("own directory");
    proxy.send("reopen").assert(1, &["logs/access.log"]);
    session(&proxy);
    // What a restart would refuse is said by what does not open it.
    let said = ["main.kdl:3:7: warning: access log ", "logs/access.log cannot be opened"];
    proxy.reload().assert(0, &said);
    proxy.send("check").assert(0, &said);
    fs::create_dir(proxy.dir().join("logs")).expect("own directory");
    let output = proxy.reload();
    output.assert(0, &[]);
    assert!(!output.stderr.contains("warning"), "{}", output.stderr);
    proxy.send("stop").assert(0, &[]);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
}

/// Nobody would read of it in the error log itself.
#[test]
fn trouble_of_the_error_log_is_on_stderr() {
    let proxy = start();
    let config = proxy.read("main.kdl").replace("\"error.log\"", "\"logs/error.log\"");
    fs::create_dir(proxy.dir().join("logs")).expect("own directory");
    proxy.reload_with(&config).assert(0, &[]);
    fs::remove_dir_all(proxy.dir().join("logs")).expect("own directory");
    let stderr = eventually("it is told", || {
        proxy.reload().assert(0, &["warning: error_log: ", "logs/error.log"]);
        Some(proxy.log()).filter(|log| log.contains("log file trouble"))
    });
    assert!(stderr.contains("logs/error.log"), "{stderr}");
}
