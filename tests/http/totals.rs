//! What the module counts, as Prometheus reads it.

use harness::{Proxy, client, eventually};

use crate::support::{OK, Scripted, ask, get, server};

/// The value of a metric with its labels.
fn metric(proxy: &Proxy, name: &str) -> Option<u64> {
    let text = proxy.ctl(&["metrics"]).stdout;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    Some(value.parse().expect("a number"))
}

#[test]
fn requests_answers_and_connections_are_counted_over_reloads() {
    let origin = Scripted::new(OK, false);
    let text = format!(
        "local {{ rule \"${{path}}\" text=\"/none\"; return 404; }}\nlocal {{ proxy_pass_tcp \"{}\"; }}",
        origin.addr()
    );
    let proxy = server(&text).start();
    let rounds = |proxy: &Proxy| {
        let mut stream = client::connect(proxy.addr(0));
        for path in ["/a", "/b", "/none"] {
            ask(&mut stream, get(path));
        }
    };
    let counted = |name: &str, count| {
        eventually(&format!("{name} is {count}"), || (metric(&proxy, name)? == count).then_some(()));
    };
    rounds(&proxy);
    counted("anyproxy_http_requests_total", 3);
    counted("anyproxy_http_answers_total{class=\"2xx\"}", 2);
    counted("anyproxy_http_answers_total{class=\"4xx\"}", 1);
    counted("anyproxy_http_upstream_connections_total{connection=\"new\"}", 1);
    counted("anyproxy_http_upstream_connections_total{connection=\"kept\"}", 1);
    rounds(&proxy);
    assert!(proxy.reload().ok());
    rounds(&proxy);
    counted("anyproxy_http_requests_total", 9);
    counted("anyproxy_http_answers_total{class=\"2xx\"}", 6);
    counted("anyproxy_http_answers_total{class=\"5xx\"}", 0);
}
