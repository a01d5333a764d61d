//! Balancers of other people's making: one that names a peer that is not there is named itself, and a name that two modules
//! offer is refused, as the line of `balancer` would mean one or the other by the order of loading.

use std::fs;

use harness::{LIMIT, Origin, Proxy, client};

use crate::support::{module, patched, text, write};

#[test]
fn one_that_chooses_nobody() {
    let Some(faulty) = module("faulty") else { return };
    let origin = Origin::echo();
    let config = text(&[&faulty], &["proxy_pass_upstream \"pool\""]).replace(
        "net {",
        &format!("upstream \"pool\" {{ balancer \"faulty_far\"; proxy_pass_tcp \"{}\"; }}\nnet {{", origin.addr()),
    );
    let proxy = Proxy::start(&config);
    for _ in 0..5 {
        client::end(&client::connect(proxy.addr(0)));
    }
    let log = proxy.await_log("it chose a peer that is not there", LIMIT);
    let said: Vec<_> = log.lines().filter(|l| l.contains("it chose a peer")).collect();
    for part in ["[error]", "faulty_far", "upstream=pool", "peer=77", "peers=1"] {
        assert!(said[0].contains(part), "no {part} in {}", said[0]);
    }
    assert!(said.len() < 5, "once a second: {log}");
}

#[test]
fn two_of_one_name() {
    let Some(faulty) = module("faulty") else { return };
    let builder = Proxy::builder();
    let other = write(builder.dir(), "libanyproxy_fault2.so", &patched(&faulty, "faulty", "fault2"));
    let both = |builder: harness::Builder| builder.config(&text(&[&faulty, &other], &["faulty \"echo\""])).check();
    both(Proxy::builder()).assert(0, &[]);
    let renamed = patched(&other, "fault2_far", "faulty_far");
    fs::remove_file(&other).expect("it was written");
    write(builder.dir(), "libanyproxy_fault2.so", &renamed);
    both(Proxy::builder()).assert(1, &["modules faulty and fault2 both have the balancer \"faulty_far\""]);
}
