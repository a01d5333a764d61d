//! `max_connections`: at the limit accepting pauses, without a busy loop; waiting clients are served as soon as there is
//! room; it is said, and not more than once a second.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::{Origin, Proxy, client, eventually};

use crate::support::{cpu_ticks, relay};

fn echoes(mut stream: &TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut byte).is_ok()
}

fn sessions(proxy: &Proxy) -> u64 {
    proxy.status()["process"]["sessions"].as_u64().expect("a number")
}

#[test]
fn the_rest_waits_and_is_served() {
    for reuseport in [true, false] {
        let origin = Origin::echo();
        let proxy = relay(&origin, &format!("max_connections 4; reuseport #{reuseport}")).start();
        let first: Vec<_> = (0..4).map(|_| client::connect(proxy.addr(0))).collect();
        assert!(first.iter().all(echoes));
        let waiting: Vec<_> = (0..6).map(|_| client::connect(proxy.addr(0))).collect();
        let line = proxy.await_log("accepting pauses", harness::LIMIT);
        assert!(line.contains("max_connections"), "{line}");
        assert!(sessions(&proxy) <= 4);
        assert_eq!(origin.accepted(), 4);
        // While it waits it does next to nothing: a busy loop of one worker would take 100 ticks a second.
        let (before, began) = (cpu_ticks(proxy.pid()), Instant::now());
        eventually("a second and a half", || (began.elapsed() > Duration::from_millis(1500)).then_some(()));
        let used = cpu_ticks(proxy.pid()) - before;
        assert!(used < 30, "{used} ticks while paused");
        let said = proxy.log().matches("accepting pauses").count();
        assert!((1..=4).contains(&said), "said {said} times");
        drop(first);
        // At most four of them at a time: each goes when it was served.
        for stream in waiting {
            assert!(echoes(&stream));
            drop(stream);
        }
        assert_eq!(origin.accepted(), 10);
        eventually("no session is left", || (sessions(&proxy) == 0).then_some(()));
    }
}

#[test]
fn the_limit_is_never_passed() {
    let origin = Origin::echo();
    let proxy = relay(&origin, "max_connections 3").start();
    let load = client::Load::echo(proxy.addr(0), "ping").connections(12).requests(150).reconnect().start();
    let mut most = 0;
    while load.done() < 100 {
        most = most.max(sessions(&proxy));
    }
    load.wait().assert_all(150);
    assert!(most <= 3, "{most} sessions at a time");
}
