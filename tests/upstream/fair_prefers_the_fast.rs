//! `fair` prefers the peer that answers first, and still uses others when it is busy.

use std::io::{Read, Write};
use std::time::Duration;

use harness::client::Load;
use harness::{Origin, client};

use crate::pool;
use crate::support::peer;

fn answering_after(time: Duration, name: &'static str) -> Origin {
    Origin::start(move |mut conn| {
        conn.read_exact(&mut [0])?;
        // Is what the balancer measures.
        std::thread::sleep(time);
        conn.write_all(name.as_bytes())?;
        conn.stream.shutdown(std::net::Shutdown::Write)
    })
}

#[test]
fn by_response_time() {
    let origins = [answering_after(Duration::from_millis(60), "s"), answering_after(Duration::ZERO, "f")];
    let proxy = pool("balancer \"fair\"\nproxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\"", &origins).start();
    let addr = proxy.addr(0);
    // A machine under load may make the fast one seem slow for a while: then once more.
    harness::eventually("nearly all go to the fast one", || {
        let all: Vec<u8> = (0..30).flat_map(|_| client::exchange(addr, b"x")).collect();
        (all.iter().filter(|name| **name == b'f').count() >= 25).then_some(())
    });
    let time = |n: usize| peer(&proxy, origins[n].addr())["response_time"].as_f64().unwrap_or(0.0);
    assert!(time(0) > 0.05, "measured: {}", time(0));
}

#[test]
fn by_what_is_under_way() {
    // Equal peers: ten sessions at a time must not all go to the first one.
    let time = Duration::from_millis(5);
    let origins = [answering_after(time, "x"), answering_after(time, "x")];
    let proxy = pool("balancer \"fair\"\nproxy_pass_tcp \"@0@\"\nproxy_pass_tcp \"@1@\"", &origins).start();
    Load::echo(proxy.addr(0), "x").connections(10).requests(200).reconnect().run().assert_all(200);
    for origin in &origins {
        assert!(origin.accepted() > 20, "{} and {}", origins[0].accepted(), origins[1].accepted());
    }
}
