//! `ctl metrics` is Prometheus text that a strict reader takes (exposition format 0.0.4): every sample has its type before
//! it, families are not scattered, labels are quoted, no series comes twice, histograms are cumulative.

use std::collections::{HashMap, HashSet};

use harness::{Origin, client, eventually};

use crate::support::relay;

/// The samples of a text, by series; panics at the first violation.
fn parse(text: &str) -> HashMap<String, f64> {
    assert!(text.is_empty() || text.ends_with('\n'), "the last line ends");
    let mut types: HashMap<String, String> = HashMap::new();
    let (mut helps, mut closed, mut family) = (HashSet::new(), HashSet::new(), String::new());
    let mut samples = HashMap::new();
    for line in text.lines() {
        let fail = |why: &str| -> ! { panic!("{why}: {line}") };
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (kind, name, value) =
                (words.next().unwrap_or(""), words.next().unwrap_or(""), words.next().unwrap_or(""));
            if !is_name(name) || value.is_empty() {
                fail("malformed comment");
            }
            match kind {
                "HELP" if !helps.insert(name.to_owned()) => fail("second HELP"),
                "TYPE" if types.insert(name.to_owned(), value.to_owned()).is_some() => fail("second TYPE"),
                "TYPE" if !["counter", "gauge", "histogram", "summary", "untyped"].contains(&value) => fail("type"),
                "HELP" | "TYPE" => {}
                _ => fail("neither HELP nor TYPE"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| fail("no value"));
        let value: f64 = match value {
            "+Inf" => f64::INFINITY,
            "-Inf" => f64::NEG_INFINITY,
            "NaN" => f64::NAN,
            other => other.parse().unwrap_or_else(|_| fail("no number")),
        };
        let name = series.split('{').next().unwrap_or("");
        if !is_name(name) {
            fail("name");
        }
        if let Some(labels) = series.strip_prefix(name).filter(|l| !l.is_empty()) {
            check_labels(labels);
        }
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| {
            let base = name.strip_suffix(end)?;
            types.get(base).is_some_and(|kind| kind == "histogram").then_some(base)
        });
        let base = base.unwrap_or(name);
        let Some(kind) = types.get(base) else { fail("a sample without TYPE") };
        if kind == "counter" && (value.is_nan() || value < 0.0) {
            fail("a negative counter");
        }
        if base != family {
            if !closed.insert(base.to_owned()) {
                fail("a family in two places");
            }
            base.clone_into(&mut family);
        }
        if samples.insert(series.to_owned(), value).is_some() {
            fail("a series twice");
        }
    }
    check_histograms(text, &types, &samples);
    samples
}

fn is_name(name: &str) -> bool {
    let ok = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    name.starts_with(|c: char| !c.is_ascii_digit()) && !name.is_empty() && name.chars().all(ok)
}

fn check_labels(text: &str) {
    let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or_else(|| panic!("braces: {text}"));
    let (mut rest, mut names) = (inner, HashSet::new());
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("label: {text}"));
        assert!(is_name(name) && !name.contains(':') && names.insert(name), "label name {name:?}: {text}");
        let mut escaped = false;
        let end = after.char_indices().find(|(_, c)| match (escaped, *c) {
            (true, c) => {
                assert!(['\\', '"', 'n'].contains(&c), "escape: {text}");
                escaped = false;
                false
            }
            (false, '\\') => {
                escaped = true;
                false
            }
            (false, c) => c == '"',
        });
        let (end, _) = end.unwrap_or_else(|| panic!("open quote: {text}"));
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or_else(|| {
            assert!(rest.is_empty(), "no comma: {text}");
            rest
        });
    }
}

fn check_histograms(text: &str, types: &HashMap<String, String>, samples: &HashMap<String, f64>) {
    for (name, _) in types.iter().filter(|(_, kind)| *kind == "histogram") {
        let mut last: HashMap<String, (f64, f64)> = HashMap::new();
        for line in text.lines().filter(|l| l.starts_with(&format!("{name}_bucket{{"))) {
            let (series, value) = line.rsplit_once(' ').expect("checked");
            let value: f64 = value.parse().expect("checked");
            let le = series
                .split("le=\"")
                .nth(1)
                .and_then(|t| t.split('"').next())
                .unwrap_or_else(|| panic!("no le: {line}"));
            let bound = if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap_or_else(|_| panic!("le: {line}")) };
            let others = series.replace(&format!("le=\"{le}\""), "").replace("_bucket", "");
            let others = others.replace(",}", "}").replace("{,", "{").replace("{}", "");
            let before = last.insert(others, (bound, value)).unwrap_or((f64::NEG_INFINITY, 0.0));
            assert!(before.0 < bound && before.1 <= value, "not cumulative: {line}");
        }
        for (others, (bound, value)) in last {
            assert!(bound.is_infinite(), "{others}: no +Inf bucket");
            let count = others.replacen(name, &format!("{name}_count"), 1);
            assert_eq!(samples.get(&count), Some(&value), "{count}");
            assert!(samples.contains_key(&others.replacen(name, &format!("{name}_sum"), 1)), "{others}: no sum");
        }
    }
}

#[test]
fn a_strict_reader_takes_it() {
    let origin = Origin::echo();
    let proxy = relay(&origin, "").start();
    for _ in 0..7 {
        assert_eq!(client::exchange(proxy.addr(0), b"12345"), b"12345");
    }
    eventually("sessions are over", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
    let output = proxy.ctl(&["metrics"]);
    output.assert(0, &[]);
    let samples = parse(&output.stdout);
    let named = |text: &str| {
        let found: Vec<_> = samples.iter().filter(|(series, _)| series.starts_with(text)).collect();
        assert!(!found.is_empty(), "{text} in\n{}", output.stdout);
        found.iter().map(|(_, value)| **value).sum::<f64>()
    };
    assert_eq!(named("anyproxy_listener_connections_total{"), 7.0);
    assert_eq!(named("anyproxy_sessions"), 0.0);
    assert!(samples.iter().any(|(series, value)| series.contains("bytes") && *value == 35.0), "{}", output.stdout);
}

#[test]
fn names_of_locals_are_quoted() {
    let config = "load_module \"tcp\" \"hello\"\ncommon {\nworker_threads 1\nmetrics_per_local\n}\nnet { server {\n\
                  port_listen_tcp \"127.0.0.1:0\"\nlocal #\"a\"b\\c, le=1\"# { hello \"hi\"; }\n} }\n";
    let proxy = harness::Proxy::builder().config(config).start();
    assert_eq!(client::exchange(proxy.addr(0), b""), b"hi");
    eventually("it is counted", || {
        let samples = parse(&proxy.ctl(&["metrics"]).stdout);
        let mut of = samples.iter().filter(|(s, _)| s.contains("local=\"a\\\"b\\\\c, le=1\"") && s.contains("2xx"));
        of.any(|(_, n)| *n == 1.0).then_some(())
    });
}

#[test]
fn as_json_it_says_the_same() {
    let proxy = crate::support::hello("").start();
    let output = proxy.ctl(&["metrics", "--json"]);
    output.assert(0, &[]);
    let value: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert!(value["metrics"].is_object() || value["metrics"].is_array(), "{value}");
    assert!(value["listeners"].is_object(), "{value}");
}
