//! A full disk under the access log: lines are lost, counted and told once a second; serving goes on.

use std::path::Path;

use harness::{LIMIT, Proxy, client, eventually, skip};

#[test]
fn lost_lines_are_counted_and_told() {
    if !Path::new("/dev/full").exists() {
        return skip("there is no /dev/full");
    }
    let config = r#"
        load_module "tcp" "hello"
        common { worker_threads 1; }
        net {
            access_log "/dev/full" flush="10ms"
            access_log "good.log" flush="10ms"
            server { port_listen_tcp "127.0.0.1:0"; local { hello "good day\n"; }; }
        }"#;
    let mut proxy = Proxy::start(config);
    for _ in 0..30 {
        assert_eq!(client::exchange(proxy.addr(0), b""), b"good day\n");
    }
    let line = proxy.await_log("lines lost", LIMIT);
    assert!(line.contains("/dev/full"), "{line}");
    let lost = |proxy: &Proxy| proxy.status()["access_logs"][0]["lost"].as_u64().unwrap_or(0);
    eventually("all thirty are counted", || (lost(&proxy) == 30).then_some(()));
    eventually("the other log has them", || (proxy.read("good.log").lines().count() == 30).then_some(()));
    assert!(proxy.log().matches("lines lost").count() <= 5, "{}", proxy.log());
    proxy.send("quit").assert(0, &[]);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
}
