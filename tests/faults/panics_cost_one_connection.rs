//! A panic in a module costs one connection at most, wherever it happens; it is counted and logged with the module's name
//! and version.

use std::io::Write;

use harness::{LIMIT, Origin, Proxy, client, eventually};

use crate::support::{await_one_generation, echo, faults, module, serving};

fn start(mode: &str) -> Option<Proxy> {
    Some(serving(&module("faulty")?, &format!("faulty \"{mode}\"")).start())
}

/// That many panics are counted, and one is logged with who it was.
#[track_caller]
fn counted(proxy: &Proxy, n: u64) {
    eventually("the panics are counted", || (faults(proxy, "faulty", "panics") >= n).then_some(()));
    assert_eq!(faults(proxy, "faulty", "panics"), n, "{}", proxy.log());
    let log = proxy.log();
    assert!(log.lines().any(|l| l.contains("panic") && l.contains("faulty") && l.contains("0.1.0")), "{log}");
    let metrics = proxy.control(&serde_json::json!({"cmd": "metrics"})).expect("text").to_string();
    assert!(metrics.contains(&format!("anyproxy_module_panics_total{{module=\\\"faulty\\\"}} {n}")), "{metrics}");
}

#[test]
fn in_a_handler() {
    let Some(mut proxy) = start("panic") else { return };
    let addr = proxy.addr(0);
    let idle = client::connect(addr);
    for _ in 0..3 {
        let mut victim = client::connect(addr);
        victim.write_all(b"x").expect("write");
        client::end(&victim);
    }
    counted(&proxy, 3);
    assert!(proxy.alive());
    // The other one is still there, and panics by itself.
    eventually("three of four ended", || (proxy.status()["process"]["sessions"] == 1).then_some(()));
    (&idle).write_all(b"x").expect("write");
    client::end(&idle);
    counted(&proxy, 4);
    eventually("nothing is left", || (proxy.status()["process"]["sessions"] == 0).then_some(()));
}

#[test]
fn in_drop() {
    let Some(mut proxy) = start("panic_drop") else { return };
    let addr = proxy.addr(0);
    let other = client::connect(addr);
    echo(&other, b"x");
    let victim = client::connect(addr);
    echo(&victim, b"x");
    drop(victim);
    eventually("it ended", || (proxy.status()["process"]["sessions"] == 1).then_some(()));
    counted(&proxy, 1);
    echo(&other, b"still here");
    assert!(proxy.alive());
}

#[test]
fn in_a_waker() {
    let Some(mut proxy) = start("panic_waker") else { return };
    let stream = client::connect(proxy.addr(0));
    for _ in 0..3 {
        echo(&stream, b"x");
    }
    counted(&proxy, 3);
    assert!(proxy.alive());
}

#[test]
fn in_worker_stop() {
    let Some(proxy) = start("panic_worker_stop") else { return };
    let stream = client::connect(proxy.addr(0));
    echo(&stream, b"x");
    proxy.reload().assert(0, &[]);
    echo(&stream, b"y");
    drop(stream);
    await_one_generation(&proxy);
    // One a worker.
    counted(&proxy, 2);
    echo(&client::connect(proxy.addr(0)), b"z");
}

#[test]
fn beside_a_module_that_does_nothing_wrong() {
    let Some(faulty) = module("faulty") else { return };
    let origin = Origin::echo();
    let pass = format!("proxy_pass_tcp \"{}\"", origin.addr());
    let proxy = Proxy::start(&crate::support::text(&[&faulty], &["faulty \"panic\"", &pass]));
    let good = client::Load::echo(proxy.addr(1), "ping").connections(4).requests(u64::MAX).limit(3 * LIMIT).start();
    good.await_more(100);
    for _ in 0..20 {
        let mut victim = client::connect(proxy.addr(0));
        victim.write_all(b"x").expect("write");
        client::end(&victim);
    }
    good.await_more(100);
    let report = good.stop();
    assert_eq!(report.errors, 0, "{:?}", report.samples);
    counted(&proxy, 20);
}
