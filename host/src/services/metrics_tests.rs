use super::*;
use anyproxy_module_api::abi::bytes::Str;
use std::sync::atomic::Ordering::Relaxed;

fn desc<'a>(name: &'a str, labels: &'a str, unit: &'a str, kind: MetricKind) -> MetricDesc<'a> {
    MetricDesc {
        name: Str::new(name),
        help: Str::new("Of a test."),
        labels: Str::new(labels),
        unit: Str::new(unit),
        kind,
    }
}

fn register(owner: &Owner, d: &MetricDesc<'_>) -> u32 {
    // SAFETY: the description is lent for the call.
    creating(owner, "t-est", || unsafe { metric(d) })
}

#[test]
fn counts_of_every_thread_come_together_under_the_modules_name() {
    let p = crate::process::start().unwrap();
    let owner = p.metrics.owner();
    let id = register(&owner, &desc("hits", "kind=a,where=b", "", MetricKind::Counter));
    // SAFETY: cells live as long as the process.
    let count = move || unsafe { &*metric_cell(id) }.fetch_add(3, Relaxed);
    std::thread::spawn(count).join().unwrap();
    count();
    let d = Desc { name: "anyproxy_t_est_hits", help: "Of a test.", unit: Unit::None };
    let same = owner.counter(&d, &[("kind", "a"), ("where", "b")]).unwrap();
    assert_eq!(p.metrics.counter(same), 6);
}

#[test]
fn times_are_observed_in_nanoseconds_and_counted_in_microseconds() {
    let p = crate::process::start().unwrap();
    let owner = p.metrics.owner();
    let id = register(&owner, &desc("wait", "", "seconds", MetricKind::Histogram));
    // SAFETY: plain arguments.
    unsafe { metric_observe(id, 5_000_000) };
    let d = Desc { name: "anyproxy_t_est_wait", help: "Of a test.", unit: Unit::Seconds };
    let same = owner.histogram(&d, &[]).unwrap();
    assert_eq!(p.metrics.histogram(same).sum, 5_000);
}

#[test]
fn what_is_refused_counts_nothing_and_harms_nothing() {
    let p = crate::process::start().unwrap();
    let owner = p.metrics.owner();
    for d in [
        desc("bad name", "", "", MetricKind::Counter),
        desc("fine", "novalue", "", MetricKind::Counter),
        desc("fine", "le=1", "", MetricKind::Histogram),
    ] {
        assert_eq!(register(&owner, &d), NOTHING);
    }
    // SAFETY: plain arguments.
    unsafe {
        // Outside of a generation nobody owns it.
        assert_eq!(metric(&desc("x", "", "", MetricKind::Counter)), NOTHING);
        (*metric_cell(NOTHING)).fetch_add(1, Relaxed);
        metric_observe(NOTHING, 1);
        // An id that was never handed out.
        (*metric_cell(HISTOGRAM - 1)).fetch_add(1, Relaxed);
    }
}
