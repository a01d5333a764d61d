//! `max_connections` of a peer and of the pool, and the queue in front of them: who waits is served in turn, not too many, and
//! not for ever.

use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use harness::client::Load;
use harness::{Origin, client, eventually};

use crate::support::{USER, await_reason, config, is_cut, pool as status, traffic};
use crate::{filled, named, pool};

fn open(addr: std::net::SocketAddr) -> TcpStream {
    let mut stream = client::connect(addr);
    std::io::Write::write_all(&mut stream, b"x").expect("write");
    client::read_exact(&stream, 1);
    stream
}

#[test]
fn without_a_queue_one_too_many_is_closed() {
    for text in ["proxy_pass_tcp \"@0@\" max_connections=2", "max_connections 2\nproxy_pass_tcp \"@0@\""] {
        let origin = Origin::echo();
        let proxy = pool(text, std::slice::from_ref(&origin)).start();
        let addr = proxy.addr(0);
        let held = [open(addr), open(addr)];
        assert!(is_cut(addr, b""), "{text}");
        await_reason(&proxy, "proxy_connect_limit");
        assert_eq!(origin.accepted(), 2, "{text}");
        drop(held);
        origin.await_idle();
        eventually("places are given back", || (status(&proxy)["in_flight"] == 0).then_some(()));
        drop(open(addr));
    }
}

#[test]
fn who_waits_is_served_when_another_ends() {
    for text in ["proxy_pass_tcp \"@0@\" max_connections=1", "max_connections 1\nproxy_pass_tcp \"@0@\""] {
        let origin = Origin::echo();
        let text = format!("queue size=10 timeout=\"15s\"\n{text}");
        let proxy = pool(&text, std::slice::from_ref(&origin)).start();
        let addr = proxy.addr(0);
        let held = open(addr);
        let waiting = thread::spawn(move || client::exchange(addr, b"waited"));
        eventually("one waits", || (status(&proxy)["waiting"] == 1).then_some(()));
        assert_eq!(origin.accepted(), 1);
        drop(held);
        assert_eq!(waiting.join().expect("served"), b"waited");
        // Many more than places, all served.
        Load::echo(addr, "x").connections(8).requests(80).reconnect().run().assert_all(80);
    }
}

/// The file with another upstream.
fn upstream(lines: &str, origin: &Origin) -> String {
    config(&filled(&format!("upstream \"o\" {{\n{lines}\n}}"), std::slice::from_ref(origin)), USER)
}

#[test]
fn who_waits_keeps_its_place_over_a_reload_and_all_are_served_in_order() {
    let origin = Origin::echo();
    let lines = |size| format!("queue size={size} timeout=\"60s\"\nproxy_pass_tcp \"@0@\" max_connections=1");
    let proxy = pool(&lines(9), std::slice::from_ref(&origin)).start();
    let addr = proxy.addr(0);
    let held = open(addr);
    let order = Arc::new(Mutex::new(Vec::new()));
    let waiting: Vec<_> = (0..4)
        .map(|n| {
            let order = Arc::clone(&order);
            let waits = thread::spawn(move || {
                let stream = open(addr);
                order.lock().expect("no panic").push(n);
                drop(stream);
            });
            eventually("it waits", || (status(&proxy)["waiting"] == n + 1).then_some(()));
            waits
        })
        .collect();
    // Each of them has the first look for room, in vain; and the queue is too small for those that are there.
    for _ in 0..3 {
        proxy.reload_with(&upstream(&lines(1), &origin)).assert(0, &[]);
    }
    assert!(is_cut(addr, b"x"), "nobody is admitted");
    drop(held);
    for waits in waiting {
        waits.join().expect("served");
    }
    assert_eq!(*order.lock().expect("no panic"), [0, 1, 2, 3]);
}

#[test]
fn a_limit_that_is_raised_lets_in_all_at_once() {
    for (before, after) in [
        ("proxy_pass_tcp \"@0@\" max_connections=1", "proxy_pass_tcp \"@0@\" max_connections=100"),
        ("max_connections 1\nproxy_pass_tcp \"@0@\"", "max_connections 100\nproxy_pass_tcp \"@0@\""),
        ("max_connections 1\nproxy_pass_tcp \"@0@\"", "proxy_pass_tcp \"@0@\""),
    ] {
        let origin = Origin::echo();
        let lines = |limit| format!("queue size=50 timeout=\"60s\"\n{limit}");
        let proxy = pool(&lines(before), std::slice::from_ref(&origin)).start();
        let addr = proxy.addr(0);
        let held = open(addr);
        let waiting: Vec<_> = (0..30).map(|_| thread::spawn(move || open(addr))).collect();
        eventually("all wait", || (status(&proxy)["waiting"] == 30).then_some(()));
        proxy.reload_with(&upstream(&lines(after), &origin)).assert(0, &[]);
        let began = Instant::now();
        let served: Vec<_> = waiting.into_iter().map(|waits| waits.join().expect("served")).collect();
        // One a second would be half a minute.
        assert!(began.elapsed() < Duration::from_secs(10), "{after}: {:?}", began.elapsed());
        drop((held, served));
    }
}

#[test]
fn waiting_ends_at_its_limit_and_the_queue_has_a_size() {
    let origin = Origin::echo();
    let text = "queue size=1 timeout=\"1s\"\nproxy_pass_tcp \"@0@\" max_connections=1";
    let proxy = pool(text, std::slice::from_ref(&origin)).start();
    let addr = proxy.addr(0);
    let held = open(addr);
    let waiting = thread::spawn(move || is_cut(addr, b"x"));
    eventually("one waits", || (status(&proxy)["waiting"] == 1).then_some(()));
    assert!(is_cut(addr, b"x"), "the queue is full");
    assert!(waiting.join().expect("ended"), "its time is over");
    let after = status(&proxy);
    assert_eq!((&after["waiting"], &after["queue_timeouts"]), (&0.into(), &1.into()));
    eventually("both are counted", || (traffic(&proxy, 0)["closes"]["proxy_connect_limit"] == 2).then_some(()));
    drop(held);
}

#[test]
fn a_full_peer_is_passed_over() {
    let origins = [Origin::echo(), Origin::echo()];
    let text = "proxy_pass_tcp \"@0@\" max_connections=1 weight=100\nproxy_pass_tcp \"@1@\"";
    let proxy = pool(text, &origins).start();
    let held: Vec<_> = (0..5).map(|_| open(proxy.addr(0))).collect();
    assert_eq!((origins[0].open(), origins[1].open()), (1, 4));
    drop(held);
}

#[test]
fn a_busy_peer_is_waited_for_and_no_backup_taken() {
    let origins = named(["a", "spare"]);
    let text =
        "queue size=4 timeout=\"15s\"\nproxy_pass_tcp \"@0@\" max_connections=1\nproxy_pass_tcp \"@1@\" backup=#true";
    let proxy = pool(text, &origins).start();
    let addr = proxy.addr(0);
    let held = client::connect(addr);
    assert_eq!(client::read_exact(&held, 2), b"a\n");
    let waiting = thread::spawn(move || client::exchange(addr, b""));
    eventually("one waits", || (status(&proxy)["waiting"] == 1).then_some(()));
    drop(held);
    assert_eq!(waiting.join().expect("served"), b"a\n");
}

#[test]
fn a_session_killed_while_it_waits_leaves_its_place() {
    let origin = Origin::echo();
    let text = "queue size=1 timeout=\"15s\"\nproxy_pass_tcp \"@0@\" max_connections=1";
    let proxy = pool(text, std::slice::from_ref(&origin)).start();
    let addr = proxy.addr(0);
    let held = open(addr);
    let killed = thread::spawn(move || is_cut(addr, b"x"));
    eventually("one waits", || (status(&proxy)["waiting"] == 1).then_some(()));
    let sessions = proxy.control(&serde_json::json!({"cmd": "sessions"})).expect("sessions");
    let ids = sessions.as_array().expect("a list").iter().filter_map(|session| session["id"].as_u64());
    proxy.ctl(&["sessions", "kill", &ids.max().expect("one").to_string()]).assert(0, &[]);
    assert!(killed.join().expect("ended"));
    eventually("its place is free", || (status(&proxy)["waiting"] == 0).then_some(()));
    let waiting = thread::spawn(move || client::exchange(addr, b"next"));
    eventually("another one waits", || (status(&proxy)["waiting"] == 1).then_some(()));
    drop(held);
    assert_eq!(waiting.join().expect("served"), b"next");
}
