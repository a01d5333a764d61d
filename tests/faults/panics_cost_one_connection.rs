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
    assert_eq!(proxy.status()["generation"]["panics"], 4);
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
    assert_eq!(proxy.status()["generation"]["panics"], 1);
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
    assert_eq!(proxy.status()["generation"]["panics"], 3);
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
    assert_eq!(proxy.status()["generation"]["panics"], 0, "they are the replaced generation's");
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

#[test]
fn in_a_health_check() {
    let Some(file) = module("faulty") else { return };
    for (mode, why) in
        [("panic", "the module that asks panicked"), ("panic_drop", "no answer in time"), ("hold", "no answer in time")]
    {
        let origin = Origin::echo();
        let config = format!(
            "load_module \"tcp\" \"{}\"\ncommon {{ worker_threads 1; }}\nnet {{\nserver {{\nport_listen_tcp \"127.0.0.1:0\"\n\
             local {{ proxy_pass_tcp \"{}\" {{\nheartbeat interval=\"100ms\" timeout=\"50ms\" fail=2\n\
             faulty_heartbeat \"{mode}\"\n}}\n}}\n}}\n}}\n",
            file.display(),
            origin.addr()
        );
        let mut proxy = Proxy::builder().config(&config).start();
        eventually("the peer is down", || {
            let peer = &proxy.status()["upstreams"][0]["peers"][0];
            (peer["condition"] == "down" && peer["check_failure"] == why).then_some(())
        });
        // The checks go on, and so does the process.
        eventually("more of them", || {
            (proxy.status()["upstreams"][0]["peers"][0]["checks_failed"].as_u64() > Some(4)).then_some(())
        });
        let panics = faults(&proxy, "faulty", "panics");
        assert_eq!(panics > 2, mode != "hold", "{mode}: {panics}");
        assert!(proxy.alive());
    }
}

#[test]
fn in_a_connector() {
    let Some(faulty) = module("faulty") else { return };
    let origin = Origin::echo();
    let peer = format!("proxy_pass_faulty \"{}\" {{ faulty_connect \"panic\"; }}", origin.addr());
    let good = Origin::echo();
    let upstream =
        format!("upstream \"two\" {{ balancer \"round_robin\"; {peer}; proxy_pass_tcp \"{}\"; }}\nnet {{", good.addr());
    let config = crate::support::text(&[&faulty], &["proxy_pass_upstream \"two\"", &peer]);
    let config = config.replace("load_module \"tcp\"", "load_module \"tcp\" \"balancer\"").replace("net {", &upstream);
    let mut proxy = Proxy::start(&config);
    // Another peer is tried.
    for _ in 0..4 {
        echo(&client::connect(proxy.addr(0)), b"x");
    }
    let tried = faults(&proxy, "faulty", "panics");
    assert!(tried > 0, "{}", proxy.log());
    client::end(&client::connect(proxy.addr(1)));
    counted(&proxy, tried + 1);
    assert_eq!(proxy.status()["generation"]["panics"], tried + 1);
    assert_eq!(faults(&proxy, "tcp", "panics"), 0);
    assert!(proxy.alive());
}

#[test]
fn in_a_connector_of_a_health_check() {
    let Some(faulty) = module("faulty") else { return };
    let origin = Origin::echo();
    let check = "heartbeat interval=\"100ms\" timeout=\"1s\" fail=2";
    let peer = format!("proxy_pass_faulty \"{}\" {{ faulty_connect \"panic\"; {check}; }}", origin.addr());
    let proxy = Proxy::start(&crate::support::text(&[&faulty], &[&peer]));
    eventually("the peer is down", || {
        let peer = &proxy.status()["upstreams"][0]["peers"][0];
        (peer["condition"] == "down" && peer["check_failure"] == "the connector panicked").then_some(())
    });
    assert!(faults(&proxy, "faulty", "panics") > 1);
}
