//! `metrics_per_local`: what ended in each local, by class of status, with bytes and times, over all workers and reloads.

use std::collections::HashMap;

use harness::{Origin, Proxy, client, eventually};
use serde_json::{Value, json};

/// Two workers and one server of HTTP with these locals.
fn config(common: &str, locals: &str) -> String {
    format!(
        "load_module \"tcp\" \"http\" \"balancer\"\ncommon {{\nworker_threads 2\n{common}\n}}\nnet {{\nserver {{\n\
         port_listen_tcp \"127.0.0.1:0\"\nhttp\n{locals}\n}}\n}}\n"
    )
}

fn get(proxy: &Proxy, path: &str) -> u16 {
    client::http_get(&mut client::connect(proxy.addr(0)), path).status
}

/// The samples of a family, by `local` and the label that is named, or `""`.
#[track_caller]
fn samples(proxy: &Proxy, name: &str, label: &str) -> HashMap<(String, String), f64> {
    let output = proxy.ctl(&["metrics"]);
    output.assert(0, &[]);
    let value = |labels: &str, name: &str| {
        if name.is_empty() {
            return None;
        }
        let at = labels.split_once(&format!("{name}=\""))?.1;
        Some(at.split_once('"')?.0.to_owned())
    };
    let lines = output.stdout.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once("} "));
    lines
        .map(|(labels, n)| {
            let key = (value(labels, "local").expect("a local"), value(labels, label).unwrap_or_default());
            (key, n.parse().expect("a number"))
        })
        .collect()
}

/// One of them.
#[track_caller]
fn sample(proxy: &Proxy, name: &str, local: &str, label: (&str, &str)) -> f64 {
    let all = samples(proxy, name, label.0);
    let key = (local.to_owned(), label.1.to_owned());
    *all.get(&key).unwrap_or_else(|| panic!("no {key:?} in {all:?}"))
}

fn requests(proxy: &Proxy, local: &str, class: &str) -> f64 {
    sample(proxy, "anyproxy_local_requests_total", local, ("class", class))
}

/// Waits until so many requests of a local have ended.
#[track_caller]
fn await_requests(proxy: &Proxy, local: &str, class: &str, n: f64) {
    eventually(&format!("{n} {class} of {local}"), || (requests(proxy, local, class) >= n).then_some(()));
    assert!((requests(proxy, local, class) - n).abs() < 0.5, "no more than that");
}

const TWO: &str = "local \"shop\" { rule \"${path}\" prefix=\"/shop\"; http_echo body=\"welcome\"; }\n\
                   local \"gone\" { return 404 \"no\"; }";

#[test]
fn what_ends_in_a_local_is_counted_there_over_all_workers() {
    let proxy = Proxy::builder().config(&config("metrics_per_local", TWO)).start();
    // The kernel shares the connections out: that one worker gets none of so many does not happen.
    for n in 0..40 {
        assert_eq!(get(&proxy, &format!("/shop/{n}")), 200);
    }
    for _ in 0..7 {
        assert_eq!(get(&proxy, "/"), 404);
    }
    await_requests(&proxy, "shop", "2xx", 40.0);
    await_requests(&proxy, "gone", "4xx", 7.0);
    assert!(requests(&proxy, "shop", "4xx").abs() < 0.5 && requests(&proxy, "gone", "2xx").abs() < 0.5);
    let sent = sample(&proxy, "anyproxy_local_bytes_total", "shop", ("direction", "sent"));
    assert!(sent > 40.0 * 7.0 && sample(&proxy, "anyproxy_local_bytes_total", "shop", ("direction", "received")) > 0.0);
    let count = |local| sample(&proxy, "anyproxy_local_seconds_count", local, ("", ""));
    assert!((count("shop") - 40.0).abs() < 0.5 && (count("gone") - 7.0).abs() < 0.5);
    let buckets = samples(&proxy, "anyproxy_local_seconds_bucket", "le");
    assert!((buckets[&("shop".to_owned(), "+Inf".to_owned())] - 40.0).abs() < 0.5, "cumulative: {buckets:?}");
    assert!(
        sample(&proxy, "anyproxy_local_first_byte_seconds_count", "shop", ("", "")).abs() < 0.5,
        "no peer answered"
    );

    let status = proxy.status();
    let locals = status["servers"][0]["by_local"].as_array().expect("a list");
    let shop = locals.iter().find(|l| l["name"] == "shop").expect("listed");
    assert_eq!((&shop["requests"]["2xx"], &shop["time"]["count"]), (&json!(40), &json!(40)), "{shop}");
    assert_eq!(shop["bytes"]["client_sent"].as_f64(), Some(sent));
}

#[test]
fn a_peers_first_byte_is_timed_and_sessions_of_layer_4_count_too() {
    let origin = Origin::http("hello");
    let text = format!(
        "load_module \"tcp\" \"http\" \"balancer\"\ncommon {{ worker_threads 2; metrics_per_local #true; }}\nnet {{\n\
         server {{\nport_listen_tcp \"127.0.0.1:0\"\nhttp\nlocal \"seven\" {{ proxy_pass_tcp \"{0}\"; }}\n}}\n\
         server {{\nport_listen_tcp \"127.0.0.1:0\"\nlocal {{ proxy_pass_tcp \"{0}\"; }}\n}}\n}}\n",
        origin.addr()
    );
    let proxy = Proxy::builder().config(&text).start();
    for _ in 0..5 {
        assert_eq!(get(&proxy, "/"), 200);
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        assert!(client::exchange(proxy.addr(1), request).ends_with(b"hello"));
    }
    await_requests(&proxy, "seven", "2xx", 5.0);
    let all = samples(&proxy, "anyproxy_local_requests_total", "class");
    let four = all.keys().map(|(local, _)| local).find(|l| *l != "seven").expect("the other").clone();
    assert!(four.contains("main.kdl:"), "without a name it is where it stands: {four}");
    await_requests(&proxy, &four, "2xx", 5.0);
    for local in ["seven", &four] {
        let count = sample(&proxy, "anyproxy_local_first_byte_seconds_count", local, ("", ""));
        assert!((count - 5.0).abs() < 0.5, "{local}: {count}");
    }
    let times = &proxy.status()["upstreams"][0]["peers"][0]["response_time"];
    assert!(times.as_f64() > Some(0.0), "a peer of HTTP has a response time: {times}");
}

#[test]
fn a_reload_goes_on_counting_in_what_stays() {
    let proxy = Proxy::builder().config(&config("metrics_per_local", TWO)).start();
    for _ in 0..6 {
        get(&proxy, "/shop");
        get(&proxy, "/");
    }
    await_requests(&proxy, "shop", "2xx", 6.0);
    await_requests(&proxy, "gone", "4xx", 6.0);
    // It moves to another line, and one goes and one comes.
    let other = "\n\nlocal \"new\" { rule \"${path}\" prefix=\"/new\"; http_echo body=\"n\"; }\n\
                 local \"shop\" { http_echo body=\"changed\"; }";
    proxy.reload_with(&config("metrics_per_local", other)).assert(0, &[]);
    assert!(requests(&proxy, "shop", "2xx") >= 6.0, "it does not go backwards");
    get(&proxy, "/shop");
    get(&proxy, "/new");
    await_requests(&proxy, "shop", "2xx", 7.0);
    await_requests(&proxy, "new", "2xx", 1.0);
    eventually("what is gone is not shown when its generation has ended", || {
        let all = samples(&proxy, "anyproxy_local_requests_total", "class");
        (!all.keys().any(|(local, _)| local == "gone")).then_some(())
    });
    // Switched off and on again it begins anew.
    proxy.reload_with(&config("", other)).assert(0, &[]);
    eventually("nothing is counted", || {
        samples(&proxy, "anyproxy_local_requests_total", "class").is_empty().then_some(())
    });
    assert_eq!(proxy.status()["servers"][0]["by_local"], Value::Array(Vec::new()));
    assert_eq!(get(&proxy, "/shop"), 200);
}

#[test]
fn without_the_directive_locals_have_no_series() {
    let proxy = Proxy::builder().config(&config("", TWO)).start();
    assert_eq!(get(&proxy, "/shop"), 200);
    assert!(samples(&proxy, "anyproxy_local_requests_total", "class").is_empty());
}
