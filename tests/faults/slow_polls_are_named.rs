//! A poll that holds up its worker is named: module and version in the log once a second, counted in status and metrics.

use harness::{LIMIT, client, eventually};

use crate::support::{echo, faults, module, serving};

#[test]
fn in_log_status_and_metrics() {
    let Some(faulty) = module("faulty") else { return };
    let proxy = serving(&faulty, "faulty \"block\"").start();
    let stream = client::connect(proxy.addr(0));
    // Each piece blocks for 50 ms, five times what is looked for.
    for _ in 0..20 {
        echo(&stream, b"x");
    }
    let line = proxy.await_log("a poll runs for more than 10 ms", LIMIT);
    assert!(line.contains("faulty") && line.contains("0.1.0"), "{line}");
    let n = faults(&proxy, "faulty", "slow_polls");
    assert!((10..=20).contains(&n), "{n} of 20");
    let said = proxy.log().matches("a poll runs for more than").count();
    assert!(said < 10, "once a second, not {said} times");
    let metrics = proxy.control(&serde_json::json!({"cmd": "metrics"})).expect("text").to_string();
    assert!(metrics.contains("anyproxy_module_slow_polls_total{module=\\\"faulty\\\"}"), "{metrics}");
}

#[test]
fn of_a_generation_that_was_replaced() {
    let (Some(faulty), Some(swap)) = (module("faulty"), module("swap")) else { return };
    let proxy = serving(&faulty, "faulty \"block\"").start();
    let stream = client::connect(proxy.addr(0));
    echo(&stream, b"x");
    let before = eventually("it is counted", || Some(faults(&proxy, "faulty", "slow_polls")).filter(|n| *n > 0));
    // Modules have other numbers now: the number alone would name another.
    proxy.reload_with(&crate::support::text(&[&swap], &["swap"])).assert(0, &[]);
    for _ in 0..4 {
        echo(&stream, b"y");
    }
    eventually("it is counted on", || (faults(&proxy, "faulty", "slow_polls") > before).then_some(()));
    assert_eq!(faults(&proxy, "swap", "slow_polls"), 0);
}

#[test]
fn of_a_connector_and_not_of_who_connects() {
    let Some(faulty) = module("faulty") else { return };
    let origin = harness::Origin::echo();
    let peer = format!("proxy_pass_faulty \"{}\" {{ faulty_connect \"block\"; }}", origin.addr());
    let proxy = harness::Proxy::start(&crate::support::text(&[&faulty], &[&peer]));
    for _ in 0..4 {
        echo(&client::connect(proxy.addr(0)), b"x");
    }
    eventually("it is counted", || (faults(&proxy, "faulty", "slow_polls") > 0).then_some(()));
    assert_eq!(faults(&proxy, "tcp", "slow_polls"), 0);
}

#[test]
fn not_when_it_is_off() {
    let Some(faulty) = module("faulty") else { return };
    let text = crate::support::text(&[&faulty], &["faulty \"block\""]);
    let proxy = harness::Proxy::start(&text.replace("worker_threads 2;", "worker_threads 2; watchdog 0;"));
    let stream = client::connect(proxy.addr(0));
    for _ in 0..4 {
        echo(&stream, b"x");
    }
    assert_eq!(faults(&proxy, "faulty", "slow_polls"), 0);
}

#[test]
fn and_an_idle_process_is_idle() {
    let Some(faulty) = module("faulty") else { return };
    let proxy = serving(&faulty, "faulty \"echo\"").start();
    echo(&client::connect(proxy.addr(0)), b"x");
    let switches = || {
        let status = std::fs::read_dir(format!("/proc/{}/task", proxy.pid())).expect("it runs").flatten();
        let of = |task: std::fs::DirEntry| {
            let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
            let status = std::fs::read_to_string(task.path().join("status")).ok()?;
            let line = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?;
            (name.trim() == "watchdog").then(|| line.trim().parse::<u64>().ok())?
        };
        status.filter_map(of).sum::<u64>()
    };
    let (before, began) = (switches(), std::time::Instant::now());
    // Time itself is what is measured here: the process does nothing.
    while began.elapsed() < std::time::Duration::from_secs(1) {
        std::thread::park_timeout(std::time::Duration::from_millis(100));
    }
    let rate = (switches() - before) as f64 / began.elapsed().as_secs_f64();
    // A look every 10 ms would be 100 a second.
    assert!(rate < 75.0, "{rate} a second");
}
