//! Reloads, operators, and the end of the process.

use harness::LIMIT;
use rustix::process::Signal;

use crate::support::*;

#[test]
fn a_reload_keeps_it_open() {
    let proxy = server("local { websocket_echo; }");
    let mut before = Client::open(proxy.addr(0));
    before.send_part(TEXT, b"one ");
    proxy.reload_with(&config("local { websocket_static \"new\"; }")).assert(0, &[]);
    let mut after = Client::open(proxy.addr(0));
    after.expect(TEXT, b"new");
    after.expect_close(1000);
    before.send(CONTINUE, b"two");
    before.expect(TEXT, b"one two");
    before.close(1000);
    harness::eventually("the old generation ends", || {
        proxy.status()["retired"].as_array().is_none_or(Vec::is_empty).then_some(())
    });
}

#[test]
fn an_operator_can_end_it() {
    let proxy = server("local { websocket_echo; }");
    let mut client = Client::open(proxy.addr(0));
    let sessions = proxy.control(&serde_json::json!({ "cmd": "sessions" })).expect("sessions");
    let id = sessions[0]["id"].as_u64().unwrap_or_else(|| panic!("no session in {sessions}"));
    proxy.ctl(&["sessions", "kill", &id.to_string()]).assert(0, &["\"killed\": 1"]);
    client.expect_end(1001);
    await_count(&proxy, "/closed/1001", 1);
    proxy.await_line("access.log", "reason=proxy_transfer_killed", LIMIT);
}

#[test]
fn the_end_of_the_process_is_told() {
    let text = config("local { websocket_echo; }")
        .replace("worker_threads 1;", "worker_threads 1; shutdown_timeout \"200ms\";");
    let mut proxy = harness::Proxy::start(&text);
    let mut client = Client::open(proxy.addr(0));
    proxy.signal(Signal::QUIT);
    // It is served while it is waited for.
    client.send(TEXT, b"still here");
    client.expect(TEXT, b"still here");
    client.expect_end(1001);
    proxy.wait_exit(LIMIT);
}
