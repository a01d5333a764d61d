//! Behaviour of metrics.

use super::*;

const REQUESTS: Desc<'_> = Desc { name: "tcp_sessions_total", help: "Sessions accepted.", unit: Unit::None };
const OPEN: Desc<'_> = Desc { name: "tcp_sessions_open", help: "Sessions now.", unit: Unit::None };
const TIME: Desc<'_> = Desc { name: "tcp_connect_seconds", help: "Time to connect.", unit: Unit::Seconds };

#[test]
fn what_workers_count_is_summed_when_read() {
    let registry = Registry::new();
    let owner = registry.owner();
    let counter = owner.counter(&REQUESTS, &[]).expect("registered");
    let gauge = owner.gauge(&OPEN, &[]).expect("registered");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let worker = registry.worker();
            scope.spawn(move || {
                for _ in 0..10_000 {
                    worker.add(counter, 1);
                    worker.shift(gauge, 2);
                    worker.shift(gauge, -3);
                }
            });
            let shared = registry.shared();
            scope.spawn(move || (0..1000).for_each(|_| shared.add(counter, 1)));
        }
    });
    assert_eq!(registry.counter(counter), 44_000);
    assert_eq!(registry.gauge(gauge), -40_000);
}

#[test]
fn worker_that_follows_another_goes_on_with_its_values() {
    let registry = Registry::new();
    let owner = registry.owner();
    let counter = owner.counter(&REQUESTS, &[]).expect("registered");
    for _ in 0..3 {
        let (one, two) = (registry.worker(), registry.worker());
        one.add(counter, 1);
        two.add(counter, 10);
    }
    assert_eq!(registry.counter(counter), 33);
}

#[test]
fn registering_again_keeps_id_and_value_whatever_the_order_of_labels() {
    let registry = Registry::new();
    let (old, worker) = (registry.owner(), registry.worker());
    let first = old.counter(&REQUESTS, &[("listener", "a"), ("server", "x")]).expect("registered");
    worker.add(first, 5);
    let new = registry.owner();
    let again = new.counter(&REQUESTS, &[("server", "x"), ("listener", "a")]).expect("registered");
    let other = new.counter(&REQUESTS, &[("server", "x"), ("listener", "b")]).expect("late, and workers have its cell");
    worker.add(other, 7);
    drop(old);
    assert_eq!(again, first);
    assert_eq!((registry.counter(again), registry.counter(other), registry.len()), (5, 7, 2));
}

#[test]
fn series_go_with_their_last_owner_and_cells_come_back_as_zero() {
    let registry = Registry::new();
    let worker = registry.worker();
    let keeper = registry.owner();
    let kept = keeper.counter(&REQUESTS, &[("listener", "kept")]).expect("registered");
    let gone = {
        let owner = registry.owner();
        let gone = owner.counter(&REQUESTS, &[("listener", "gone")]).expect("registered");
        owner.counter(&REQUESTS, &[("listener", "gone")]).expect("twice by one owner");
        owner.histogram(&TIME, &[]).expect("registered");
        worker.add(gone, 9);
        worker.add(kept, 1);
        gone
    };
    let mut text = String::new();
    registry.prometheus(&mut text);
    assert!(text.contains("kept") && !text.contains("gone") && !text.contains("connect"), "{text}");
    let next = keeper.counter(&REQUESTS, &[("listener", "next")]).expect("registered");
    assert_eq!((next, registry.counter(next)), (gone, 0));
    assert_eq!(registry.counter(kept), 1);
}

#[test]
fn bounds_of_buckets_and_their_values_agree() {
    for index in 0..BUCKETS - 1 {
        let bound = upper_bound(index).expect("bounded");
        assert_eq!((bucket_of(bound), bucket_of(bound + 1)), (index, index + 1), "{bound}");
    }
    assert_eq!((bucket_of(0), bucket_of(u64::MAX), upper_bound(BUCKETS - 1)), (0, BUCKETS - 1, None));
    assert_eq!(upper_bound(BUCKETS - 2), Some(1 << 34));
    assert_eq!([1, 2, 3].map(upper_bound), [Some(24), Some(32), Some(48)]);
}

#[test]
fn quantiles_lie_within_a_third_of_the_truth() {
    let registry = Registry::new();
    let (owner, worker) = (registry.owner(), registry.worker());
    let histogram = owner.histogram(&TIME, &[]).expect("registered");
    assert_eq!(registry.histogram(histogram).quantile(0.5), None);
    (1..=10_000).for_each(|micros| worker.observe(histogram, micros));
    let snapshot = registry.histogram(histogram);
    assert_eq!((snapshot.count(), snapshot.sum), (10_000, 50_005_000));
    for (q, want) in [(0.5, 5_000.0), (0.9, 9_000.0), (0.99, 9_900.0)] {
        let got = snapshot.quantile(q).expect("values");
        assert!((got / want - 1.0).abs() < 0.34, "{q}: {got}");
    }
    worker.observe(histogram, u64::MAX);
    assert_eq!(registry.histogram(histogram).quantile(1.0), Some((1u64 << 34) as f64));
}

#[test]
fn prometheus_text_follows_the_format_and_escapes() {
    let registry = Registry::new();
    let (owner, worker) = (registry.owner(), registry.worker());
    let desc = Desc { help: "Line one\nand \\ \"two\".", ..REQUESTS };
    let counter = owner.counter(&desc, &[("peer", "a\"b\\c\nd"), ("by", "x")]).expect("registered");
    let gauge = owner.gauge(&OPEN, &[]).expect("registered");
    let histogram = owner.histogram(&TIME, &[("peer", "p")]).expect("registered");
    worker.add(counter, 3);
    worker.set(gauge, -2);
    [10, 1_000, 2_500_000].into_iter().for_each(|micros| worker.observe(histogram, micros));
    let mut text = String::new();
    registry.prometheus(&mut text);
    for line in [
        r#"# HELP tcp_sessions_total Line one\nand \\ "two"."#,
        "# TYPE tcp_sessions_total counter",
        r#"tcp_sessions_total{by="x",peer="a\"b\\c\nd"} 3"#,
        "tcp_sessions_open -2",
        "# TYPE tcp_connect_seconds histogram",
        r#"tcp_connect_seconds_bucket{peer="p",le="0.000016"} 1"#,
        r#"tcp_connect_seconds_bucket{peer="p",le="0.001024"} 2"#,
        r#"tcp_connect_seconds_bucket{peer="p",le="4.194304"} 3"#,
        r#"tcp_connect_seconds_bucket{peer="p",le="+Inf"} 3"#,
        r#"tcp_connect_seconds_sum{peer="p"} 2.50101"#,
        r#"tcp_connect_seconds_count{peer="p"} 3"#,
    ] {
        assert!(text.lines().any(|have| have == line), "{line}\n{text}");
    }
    assert!(text.ends_with('\n'));
}

#[test]
fn json_has_kinds_labels_values_and_quantiles() {
    let registry = Registry::new();
    let (owner, worker) = (registry.owner(), registry.worker());
    let counter = owner.counter(&REQUESTS, &[("listener", "a")]).expect("registered");
    let histogram = owner.histogram(&TIME, &[]).expect("registered");
    worker.add(counter, 3);
    worker.observe(histogram, 2_000_000);
    let json = registry.json();
    assert_eq!(json["tcp_sessions_total"]["type"], "counter");
    assert_eq!(json["tcp_sessions_total"]["series"][0], serde_json::json!({"labels": {"listener": "a"}, "value": 3}));
    let series = &json["tcp_connect_seconds"]["series"][0];
    assert_eq!((&series["count"], &series["sum"]), (&1.into(), &2.0.into()));
    assert_eq!(series["buckets"], serde_json::json!([[2.097152, 1]]));
    assert!(series["p99"].as_f64().is_some_and(|p99| p99 > 1.5 && p99 <= 2.1), "{series}");
}

#[test]
fn bad_names_labels_and_conflicts_are_refused() {
    let registry = Registry::new();
    let owner = registry.owner();
    for name in ["", "1a", "a-b", "é"] {
        let result = owner.counter(&Desc { name, ..REQUESTS }, &[]);
        assert_eq!(result, Err(RegisterError::Name(name.to_owned())));
    }
    for labels in [&[("a:b", "")][..], &[("__x", "")], &[("a", "1"), ("a", "2")], &[("", "")]] {
        assert!(matches!(owner.counter(&REQUESTS, labels), Err(RegisterError::Label(_))), "{labels:?}");
    }
    assert!(matches!(owner.histogram(&TIME, &[("le", "1")]), Err(RegisterError::Label(_))));
    owner.counter(&REQUESTS, &[]).expect("registered");
    assert!(matches!(owner.gauge(&REQUESTS, &[]), Err(RegisterError::Conflict(_))));
    assert!(matches!(owner.counter(&Desc { unit: Unit::Bytes, ..REQUESTS }, &[]), Err(RegisterError::Conflict(_))));
    assert_eq!(registry.len(), 1);
}

#[test]
fn number_of_series_is_bounded_and_room_comes_back() {
    let registry = Registry::new();
    let (owner, other) = (registry.owner(), registry.owner());
    other.counter(&REQUESTS, &[]).expect("registered");
    for n in 1..MAX_SERIES {
        owner.counter(&REQUESTS, &[("n", &n.to_string())]).expect("within the bound");
    }
    assert_eq!(owner.counter(&REQUESTS, &[("n", "more")]), Err(RegisterError::Full));
    assert!(owner.counter(&REQUESTS, &[]).is_ok(), "one that exists");
    drop(owner);
    assert_eq!(registry.len(), 1);
    assert!(other.counter(&REQUESTS, &[("n", "more")]).is_ok());
}

#[test]
fn memory_of_histograms_is_bounded_too() {
    let registry = Registry::new();
    let owner = registry.owner();
    let bound = cells::MAX_CELLS / histogram::CELLS as usize;
    assert!(bound < MAX_SERIES);
    for n in 0..bound {
        owner.histogram(&TIME, &[("n", &n.to_string())]).expect("within the bound");
    }
    assert_eq!(owner.histogram(&TIME, &[("n", "more")]), Err(RegisterError::Full));
}
