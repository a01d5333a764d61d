//! `max_connections`: at the limit accepting pauses, without a busy loop; waiting clients are served as soon as there is
//! room; it is said, and not more than once a second.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use harness::{Origin, Proxy, client, eventually};

use crate::support::{RELAY, cpu_ticks, relay};

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
        // At most four of them at a time: each goes when it was served, in whatever order the two workers take them.
        std::thread::scope(|scope| {
            for stream in waiting {
                scope.spawn(move || assert!(echoes(&stream)));
            }
        });
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

#[test]
fn a_session_that_carries_nothing_makes_room_and_one_that_does_is_left() {
    // Whoever's worker it is on; side by side, as each waits for its seconds.
    std::thread::scope(|scope| {
        for (workers, reuseport) in [(1, true), (2, true), (2, false)] {
            scope.spawn(move || a_quiet_one_makes_room(workers, reuseport));
        }
    });
}

fn a_quiet_one_makes_room(workers: u32, reuseport: bool) {
    let origin = Origin::echo();
    let common = format!("max_connections 4; reuseport #{reuseport}");
    let config = RELAY.replace("worker_threads 2", &format!("worker_threads {workers}"));
    let proxy = Proxy::builder().config(&config).set("ORIGIN", origin.addr()).set("COMMON", common).start();
    let busy: Vec<_> = (0..3).map(|_| client::connect(proxy.addr(0))).collect();
    let quiet = client::connect(proxy.addr(0));
    assert!(echoes(&quiet) && busy.iter().all(echoes));
    let began = Instant::now();
    eventually("six seconds", || {
        assert!(busy.iter().all(echoes));
        (began.elapsed() > Duration::from_secs(6)).then_some(())
    });
    assert!(echoes(&quiet), "nobody waited for its place");
    let waiting = client::connect(proxy.addr(0));
    let served = std::thread::spawn(move || echoes(&waiting));
    eventually("one waits no longer", || {
        assert!(busy.iter().all(echoes));
        served.is_finished().then_some(())
    });
    assert!(served.join().expect("served"));
    assert_eq!(client::end(&quiet), client::End::Reset);
    let traffic = proxy.status()["listeners"][0]["traffic"].clone();
    assert_eq!((&traffic["shed"], &traffic["closes"]["proxy_transfer_limit"]), (&1.into(), &1.into()), "{traffic}");
}
