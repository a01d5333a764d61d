//! A configuration of 1,000 servers is reloaded under load: no connection is refused or cut.

use harness::client::Load;
use harness::{LIMIT, Origin, Proxy, client, eventually};

#[test]
fn nobody_notices() {
    let origin = Origin::http("hello");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/many.kdl");
    let port = client::free_port();
    let many = std::fs::read_to_string(path).expect("the committed file");
    let server = format!(
        "server {{ domain \"localhost\"; domain_listen_tcp \"127.0.0.1:{port}\"; local {{ proxy_pass_tcp \"{}\"; }}; }}\n",
        origin.addr()
    );
    let config = many
        .replace("127.0.0.1:18100", &format!("127.0.0.1:{port}"))
        .replace("127.0.0.1:19000", &origin.addr().to_string())
        // Two thousand health checks would be the load, not the clients.
        .replace(
            "{ heartbeat interval=\"10s\" timeout=\"2s\" fail=3; }",
            "{ heartbeat interval=\"1h\" timeout=\"2s\" fail=3; }",
        )
        .replacen("net {", &format!("net {{\n{server}"), 1);
    assert_eq!(config.matches("server {").count(), 1001);
    let proxy = Proxy::builder().config(&config).limit(3 * LIMIT).start();
    let addr = ([127, 0, 0, 1], port).into();
    let resident = proxy.resident();
    let new = Load::http(addr, "/").connections(4).requests(u64::MAX).reconnect().limit(3 * LIMIT).start();
    let kept = Load::http(addr, "/").connections(4).requests(u64::MAX).limit(3 * LIMIT).start();
    for n in 0..3 {
        proxy.dir().write("main.kdl", config.replace("prefix=\"api.s7.\"", &format!("prefix=\"api{n}.s7.\"")));
        proxy.reload().assert(0, &[]);
        new.await_more(5);
        kept.await_more(5);
    }
    for report in [new.stop(), kept.stop()] {
        assert_eq!(report.errors, 0, "{:?}", report.samples);
        assert!(report.done >= 15);
    }
    assert_eq!(proxy.status()["reloads"], 3);
    // Each reload takes tens of megabytes for a moment, and leaves them until no other follows.
    eventually("memory goes back", || (proxy.resident() < resident + (40 << 20)).then_some(()));
}
