//! What the module counts, as Prometheus reads it.

use harness::{Proxy, eventually};

use crate::support::*;

#[track_caller]
fn counted(proxy: &Proxy, name: &str, count: u64) {
    let line = format!("anyproxy_websocket_{name} {count}");
    eventually(&line, || proxy.ctl(&["metrics"]).stdout.lines().any(|l| l == line).then_some(()));
}

#[test]
fn opened_open_closed_refused_and_messages() {
    let proxy = server("local { websocket_echo; }");
    counted(&proxy, "refused_total{status=\"426\"}", 0);
    let (mut one, two) = (Client::open(proxy.addr(0)), Client::open(proxy.addr(0)));
    one.send(TEXT, b"a");
    one.expect(TEXT, b"a");
    counted(&proxy, "opened_total", 2);
    counted(&proxy, "open", 2);
    counted(&proxy, "messages_total{way=\"in\"}", 1);
    counted(&proxy, "messages_total{way=\"out\"}", 1);
    // What is open goes on to be counted by the generation that it began with.
    assert!(proxy.reload().ok());
    one.close(1000);
    two.close(4321);
    counted(&proxy, "open", 0);
    counted(&proxy, "closed_total{code=\"1000\"}", 1);
    counted(&proxy, "closed_total{code=\"other\"}", 1);
    let head = ask(&mut harness::client::connect(proxy.addr(0)), "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 426 "), "{head}");
    counted(&proxy, "refused_total{status=\"426\"}", 1);
    counted(&proxy, "opened_total", 2);
    assert_eq!(status(&proxy)["proxied"], 0);
}
