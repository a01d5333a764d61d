//! Bytes a second are held to the limit in each direction, and what is free before it begins is.

use std::time::{Duration, Instant};

use harness::origin::tcp::sink_answer;
use harness::{Origin, client, pattern};

use crate::support::{field, local, logged};

const MIB: u64 = 1 << 20;

#[test]
fn a_download_takes_its_time() {
    let origin = Origin::source(3 * MIB);
    let text = "download_limit_rate \"1MiB/s\"\nproxy_pass_tcp \"@ORIGIN@\"";
    let proxy = local(text).set("ORIGIN", origin.addr()).start();
    let began = Instant::now();
    let stream = client::connect(proxy.addr(0));
    assert_eq!(client::receive_pattern(stream), 3 * MIB);
    // Three seconds by the limit; half of it would be twice the rate.
    assert!(began.elapsed() > Duration::from_millis(1500), "{:?}", began.elapsed());
    let line = logged(&proxy, 0);
    assert_eq!(field(&line, "splice"), "none", "{line}");
}

#[test]
fn an_upload_takes_its_time() {
    let origin = Origin::sink();
    let text = "upload_limit_rate \"1MiB/s\"\nproxy_pass_tcp \"@ORIGIN@\"";
    let proxy = local(text).set("ORIGIN", origin.addr()).start();
    let began = Instant::now();
    let data = pattern::bytes(3 << 20);
    assert_eq!(client::exchange(proxy.addr(0), &data), sink_answer(&data).as_bytes());
    assert!(began.elapsed() > Duration::from_millis(1500), "{:?}", began.elapsed());
}

#[test]
fn what_comes_before_the_threshold_is_free() {
    let origin = Origin::source(8 * MIB);
    // Limited from the first byte this would take two minutes.
    let text = "download_limit_rate \"64KiB/s\"\ndownload_limit_rate_after \"8MiB\"\nproxy_pass_tcp \"@ORIGIN@\"";
    let proxy = local(text).set("ORIGIN", origin.addr()).start();
    let began = Instant::now();
    assert_eq!(client::receive_pattern(client::connect(proxy.addr(0))), 8 * MIB);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}
