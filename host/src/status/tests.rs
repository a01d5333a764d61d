//! Shape of the answers: what a reader of status and metrics relies on.

use super::{json, prometheus, workers};
use crate::{
    cycle::listener_stats::{Bytes, Ended, ListenerStats},
    metrics::Kind,
};
use anyproxy_module_api::abi::session::{Cause, CloseReason, Stage, Who};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

fn used() -> ListenerStats {
    let stats = ListenerStats::default();
    stats.begin();
    stats.begin();
    stats.end();
    stats.shed.fetch_add(3, Relaxed);
    stats.add(&Ended {
        bytes: Bytes { client_received: 10, client_sent: 20, upstream_received: 30, upstream_sent: 40 },
        close: CloseReason::new(Who::Client, Stage::Transfer, Cause::Done).code(),
        time: Duration::from_millis(1500),
        connect: None,
    });
    stats
}

#[test]
fn traffic_shows_counts_reasons_and_times() {
    let value = json::traffic(&used());
    assert_eq!(value["sessions"], 1);
    assert_eq!(value["connections"], 2);
    assert_eq!(value["shed"], 3);
    assert_eq!(value["bytes"]["upstream_sent"], 40);
    assert_eq!(value["closes"], serde_json::json!({"client_transfer_done": 1}));
    assert_eq!((&value["session_time"]["count"], &value["session_time"]["sum"]), (&1.into(), &1.5.into()));
    assert!(value["session_time"]["p50"].as_f64().is_some_and(|p| (1.0..2.0).contains(&p)));
    assert!(value["connect_time"]["p99"].is_null(), "no values, no quantile");
}

#[test]
fn session_row_names_what_is_known_and_leaves_the_rest_null() {
    let mut row = json::SessionRow {
        connection: None,
        id: 7,
        worker: 1,
        epoch: 2,
        client: "192.0.2.1:5".into(),
        remote: "10.0.0.1:6".into(),
        listener: "0.0.0.0:80".into(),
        server: None,
        domain: String::new(),
        upstream: None,
        age: Duration::from_millis(2345),
        bytes: [1, 2, 3, 4],
        stages: vec![("connect".into(), 1500)],
        draining: false,
        closing: None,
        request_id: String::new(),
    };
    let value = row.json(true);
    assert!(value["server"].is_null() && value["peer"].is_null() && value["close_reason"].is_null());
    assert_eq!((&value["age"], &value["client_sent"]), (&2.345.into(), &2.into()));
    assert_eq!(value["stages"], serde_json::json!([{"stage": "connect", "at": 0.0015}]));
    row.upstream = Some(("origin".into(), "10.0.0.9:80".into()));
    row.closing = Some(CloseReason::new(Who::Proxy, Stage::Transfer, Cause::Killed).code());
    let value = row.json(false);
    assert_eq!((value["upstream"].as_str(), value["peer"].as_str()), (Some("origin"), Some("10.0.0.9:80")));
    assert_eq!(value["close_reason"], "proxy_transfer_killed");
    assert!(value.get("stages").is_none());
}

#[test]
fn worker_names_the_modules_that_hold_a_retired_generation() {
    let holding = workers::Holding { sessions: 1, tasks: 2, jobs: 0, by_module: vec![("cache".into(), 2)] };
    let row = workers::Row { id: 5, index: 0, ringed: true, sessions: 1, paused: true };
    let value = workers::worker(&row, &[(3, true, holding)]);
    assert_eq!((&value["worker"], &value["accepting_paused"]), (&5.into(), &true.into()));
    assert_eq!(value["generations"][0]["modules"]["cache"], 2);
    assert_eq!(value["generations"][0]["retired"], true);
}

#[test]
fn labels_and_help_are_escaped() {
    let mut out = String::new();
    let mut family = prometheus::Family::new(&mut out, "x_total", Kind::Counter, "back\\slash \"quote\"\nline");
    family.sample(&[("a", "q\"\\\nz"), ("b", "")], 5);
    family.sample(&[], 6);
    let expected = "# HELP x_total back\\\\slash \"quote\"\\nline\n# TYPE x_total counter\n\
                    x_total{a=\"q\\\"\\\\\\nz\",b=\"\"} 5\nx_total 6\n";
    assert_eq!(out, expected);
}

#[test]
fn text_has_every_family_once_and_every_series_once() {
    let (a, b) = (used(), ListenerStats::default());
    let mut out = String::new();
    prometheus::process(
        &mut out,
        &prometheus::ProcessNumbers { uptime: Duration::from_millis(1500), ..Default::default() },
    );
    prometheus::traffic(&mut out, "listener", &[("0.0.0.0:80", &a), ("[::]:80", &b)]);
    prometheus::traffic(&mut out, "server", &[("www.example.cn", &a)]);
    prometheus::traffic(&mut out, "nothing", &[]);
    let mut seen = std::collections::HashSet::new();
    let mut family = String::new();
    for line in out.lines() {
        let key = line.rsplit_once(' ').map_or(line, |(key, _)| key).to_owned();
        assert!(seen.insert(key.clone()), "twice: {key}");
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap_or_default().to_owned();
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&family), "{line} stands under {family}");
            let value = line.rsplit(' ').next().unwrap_or_default();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    for line in [
        "anyproxy_uptime_seconds 1.5",
        "anyproxy_listener_sessions{listener=\"0.0.0.0:80\"} 1",
        "anyproxy_listener_shed_total{listener=\"0.0.0.0:80\"} 3",
        "anyproxy_listener_bytes_total{listener=\"0.0.0.0:80\",side=\"upstream\",direction=\"sent\"} 40",
        "anyproxy_server_closes_total{server=\"www.example.cn\",reason=\"client_transfer_done\"} 1",
        "anyproxy_listener_session_seconds_bucket{listener=\"0.0.0.0:80\",le=\"2.097152\"} 1",
        "anyproxy_listener_session_seconds_bucket{listener=\"0.0.0.0:80\",le=\"1.048576\"} 0",
        "anyproxy_listener_session_seconds_bucket{listener=\"0.0.0.0:80\",le=\"+Inf\"} 1",
        "anyproxy_listener_session_seconds_sum{listener=\"0.0.0.0:80\"} 1.5",
        "anyproxy_listener_connect_seconds_count{listener=\"[::]:80\"} 0",
    ] {
        assert!(out.lines().any(|l| l == line), "{line} is not in\n{out}");
    }
}
