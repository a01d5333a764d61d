//! Ends of a process: quit waits for sessions up to `shutdown_timeout`, a second INT does not; TERM is at once, or as
//! quit when so configured.

use harness::{LIMIT, Origin, Proxy, client, eventually};
use rustix::process::Signal;

use crate::support::{echoes, relay};

fn with_a_session(common: &str) -> (Origin, Proxy, std::net::TcpStream) {
    let origin = Origin::echo();
    let proxy = relay(&origin, common).start();
    let stream = client::connect(proxy.addr(0));
    assert!(echoes(&stream));
    (origin, proxy, stream)
}

#[test]
fn quit_waits_for_the_last_session() {
    for signal in [Signal::QUIT, Signal::INT] {
        let (_origin, mut proxy, stream) = with_a_session("");
        proxy.signal(signal);
        proxy.await_notify(1, "STOPPING=1");
        assert!(echoes(&stream) && proxy.alive());
        assert!(proxy.status()["quitting"] == true);
        drop(stream);
        assert_eq!(proxy.wait_exit(LIMIT), Some(0));
    }
}

#[test]
fn quit_ends_at_shutdown_timeout() {
    let (_origin, mut proxy, stream) = with_a_session("shutdown_timeout \"700ms\"");
    proxy.send("quit").assert(0, &[]);
    assert!(echoes(&stream));
    client::end(&stream);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
}

#[test]
fn a_second_int_stops_now() {
    let (_origin, mut proxy, stream) = with_a_session("");
    proxy.signal(Signal::INT);
    proxy.await_notify(1, "STOPPING=1");
    assert!(echoes(&stream));
    proxy.signal(Signal::INT);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
    client::end(&stream);
}

#[test]
fn term_is_at_once() {
    let (_origin, mut proxy, stream) = with_a_session("");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
    client::end(&stream);
}

#[test]
fn term_may_be_graceful() {
    let (_origin, mut proxy, stream) = with_a_session("stop_signal \"graceful\"");
    proxy.signal(Signal::TERM);
    proxy.await_notify(1, "STOPPING=1");
    assert!(echoes(&stream) && proxy.alive());
    drop(stream);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
}

#[test]
fn no_reload_while_it_quits() {
    let (_origin, mut proxy, stream) = with_a_session("");
    proxy.send("quit").assert(0, &[]);
    proxy.reload().assert(1, &["the process is ending"]);
    drop(stream);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
}

#[test]
fn sessions_of_replaced_generations_are_waited_for_too() {
    let (_origin, mut proxy, stream) = with_a_session("");
    proxy.reload().assert(0, &[]);
    proxy.send("reinit").assert(0, &[]);
    eventually("it is on a worker that leaves", || {
        (proxy.status()["workers"].as_array().map(Vec::len) > Some(2)).then_some(())
    });
    proxy.send("quit").assert(0, &[]);
    assert!(echoes(&stream) && proxy.alive());
    drop(stream);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
}

#[test]
fn quit_ends_at_its_own_shutdown_timeout_on_workers_that_leave() {
    let (origin, mut proxy, stream) = with_a_session("shutdown_timeout \"1h\"");
    proxy.send("reinit").assert(0, &[]);
    proxy.reload_with(&crate::support::text(&origin, "shutdown_timeout \"500ms\"", "")).assert(0, &[]);
    assert!(echoes(&stream));
    proxy.send("quit").assert(0, &[]);
    client::end(&stream);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
}
