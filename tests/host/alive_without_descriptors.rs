//! EMFILE: accepting pauses and says so, without a busy loop; the process answers, and serves again when there is room.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::{Origin, client, eventually};

use crate::support::{by_shell, cpu_ticks, relay};

fn echoes(mut stream: &TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut byte).is_ok()
}

#[test]
fn serves_again_when_there_is_room() {
    for reuseport in [true, false] {
        let origin = Origin::echo();
        // More sessions are allowed than the system has descriptors for.
        let builder = relay(&origin, &format!("max_connections 1000; reuseport #{reuseport}"));
        let proxy = by_shell(builder, "/bin/sh", "ulimit -n 64; exec \"$ANYPROXY\" \"$@\"").start();
        let addr = proxy.addr(0);
        let mut held = Vec::new();
        eventually("descriptors run out", || {
            if held.len() < 80 {
                held.push(client::connect(addr));
            }
            proxy.log_contains("accept: ").then_some(())
        });
        let (before, began) = (cpu_ticks(proxy.pid()), Instant::now());
        eventually("a second and a half", || (began.elapsed() > Duration::from_millis(1500)).then_some(()));
        let used = cpu_ticks(proxy.pid()) - before;
        assert!(used < 40, "{used} ticks while paused");
        let said = proxy.log().matches("accepting pauses").count();
        assert!((1..=6).contains(&said), "said {said} times");
        drop(held);
        eventually("served again", || echoes(&client::connect(addr)).then_some(()));
        proxy.status();
    }
}

#[test]
fn by_default_the_limit_leaves_enough_for_both_sides() {
    let origin = Origin::echo();
    let proxy = by_shell(relay(&origin, ""), "/bin/sh", "ulimit -n 160; exec \"$ANYPROXY\" \"$@\"").start();
    assert_eq!(proxy.status()["process"]["max_connections"], (160 - 64) / 2);
    let addr = proxy.addr(0);
    let held: Vec<_> = (0..60).map(|_| client::connect(addr)).collect();
    assert!(
        held.iter()
            .take(48)
            .filter(|s| { s.set_read_timeout(Some(Duration::from_millis(300))).is_ok() && echoes(s) })
            .count()
            >= 40
    );
    assert!(!proxy.log_contains("Too many open files"));
    assert_eq!(proxy.status()["process"]["sessions"], 48, "the control socket answers");
}

#[test]
fn the_limit_is_what_is_written_be_it_lower() {
    let origin = Origin::echo();
    let config = |limit: &str| {
        let text = crate::support::RELAY.replace("@ORIGIN@", &origin.addr().to_string());
        text.replace("@COMMON@", limit)
    };
    let proxy = relay(&origin, "max_open_file_limit 300").start();
    let limit = || {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", proxy.pid())).expect("it runs");
        let line = limits.lines().find(|l| l.starts_with("Max open files")).expect("a line");
        line.split_whitespace().nth(3).expect("the soft limit").to_owned()
    };
    assert_eq!(limit(), "300");
    let output = proxy.reload_with(&config("max_open_file_limit 280"));
    output.assert(0, &[]);
    assert!(!output.stderr.contains("not applied"), "{}", output.stderr);
    assert_eq!(limit(), "280");
    assert!(echoes(&client::connect(proxy.addr(0))));
}
