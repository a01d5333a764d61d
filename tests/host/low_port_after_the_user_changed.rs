//! `user`: sockets are bound, then the process becomes somebody else; a reload still binds a port below 1024.

use harness::{Proxy, client, skip};

use crate::support::{HELLO, hello, is_root};

fn uid(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    status
        .lines()
        .find_map(|l| l.strip_prefix("Uid:"))
        .expect("a line")
        .split_whitespace()
        .next()
        .expect("an id")
        .to_owned()
}

/// A port below 1024 that nobody has.
fn low_port() -> Option<u16> {
    (900..1000).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
}

#[test]
fn a_reload_binds_a_low_port() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let Some(port) = low_port() else { return skip("no port below 1024 can be bound") };
    let mut proxy = hello("user \"nobody\"").start();
    assert_ne!(uid(proxy.pid()), "0");
    assert_eq!(client::exchange(proxy.addr(0), b""), b"good day\n");
    // The file must be readable by who it is now.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(proxy.dir().path(), std::fs::Permissions::from_mode(0o755)).expect("own directory");
    let more = HELLO.replace("@COMMON@", "user \"nobody\"").replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    proxy.reload_with(&more).assert(0, &[]);
    assert_eq!(client::exchange(([127, 0, 0, 1], port).into(), b""), b"good day\n");
    proxy.send("quit").assert(0, &[]);
    assert_eq!(proxy.wait_exit(harness::LIMIT), Some(0));
}

#[test]
fn a_user_that_is_not_there_stops_the_start() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let failed = hello("user \"no-such-user\"").try_start().expect_err("no such user");
    failed.assert(4, &["no-such-user"]);
    let proxy = Proxy::builder().config(&HELLO.replace("@COMMON@", "")).start();
    assert_eq!(uid(proxy.pid()), "0");
}

/// In a directory that is not the new user's nothing can be removed; what stays misleads nobody.
#[test]
fn files_in_a_directory_of_another_user_stay_behind() {
    if !is_root() {
        return skip("only root can become another user");
    }
    use std::os::unix::fs::PermissionsExt;
    let builder = Proxy::builder();
    let dir = builder.dir().path().to_owned();
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o755)).expect("own directory");
    let unix = format!("unix:{}", dir.join("s.sock").display());
    let config = HELLO.replace("@COMMON@", "user \"nobody\"; pid \"a.pid\"").replace("127.0.0.1:0", &unix);
    let mut proxy = builder.config(&config).start();
    harness::eventually("all three are named", || {
        let log = proxy.log();
        let named = |name: &str| log.lines().any(|l| l.contains("it stays behind at the end") && l.ends_with(name));
        ["s.sock", "control.sock", "a.pid"].into_iter().all(named).then_some(())
    });
    let more = config.replace("s.sock", "t.sock");
    proxy.reload_with(&more).assert(1, &["t.sock", "Permission denied", "this is uid ", "may not make files in"]);
    proxy.send("quit").assert(0, &[]);
    assert_eq!(proxy.wait_exit(harness::LIMIT), Some(0));
    assert_eq!(proxy.read("a.pid"), "", "a number would be another process's one day");
    assert!(proxy.log_contains("it stays, empty"), "{}", proxy.log());
}
