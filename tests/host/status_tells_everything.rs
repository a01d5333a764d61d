//! `ctl status`: the process, its generation, workers, listeners, servers, upstreams, modules, images.

use harness::{Origin, Proxy, client, eventually};

#[test]
fn every_part_is_there() {
    let origin = Origin::echo();
    let config = r#"
        load_module "tcp" "balancer"
        common { worker_threads 2; max_connections 500; }
        upstream "pool" { balancer "weight"; proxy_pass_tcp "@ORIGIN@" weight=3; }
        net {
            access_log "access.log"
            server { domain "one.example"; port_listen_tcp "127.0.0.1:0"; local { proxy_pass_upstream "pool"; }; }
        }"#;
    let proxy = Proxy::builder().config(config).set("ORIGIN", origin.addr()).start();
    assert_eq!(client::exchange(proxy.addr(0), b"12345"), b"12345");
    let status = eventually("the session is over", || {
        let status = proxy.status();
        (status["process"]["sessions"] == 0).then_some(status)
    });
    let process = &status["process"];
    assert_eq!(process["pid"], proxy.pid());
    assert_eq!(process["max_connections"], 500);
    assert!(process["uptime"].as_f64() > Some(0.0) && process["version"].is_string());
    assert_eq!(status["generation"]["epoch"], 1);
    assert_eq!((&status["reloads"], &status["failed_reloads"]), (&0.into(), &0.into()));
    assert_eq!(status["workers"].as_array().map(Vec::len), Some(2));
    let listener = &status["listeners"][0];
    assert_eq!(listener["configured"], "127.0.0.1:0");
    assert_eq!(listener["sockets"], 2);
    assert_eq!(listener["traffic"]["connections"], 1);
    assert_eq!(listener["traffic"]["bytes"]["client_received"], 5, "{listener}");
    assert_eq!(listener["traffic"]["bytes"]["upstream_sent"], 5, "{listener}");
    assert_eq!(listener["traffic"]["session_time"]["count"], 1, "{listener}");
    let closes = listener["traffic"]["closes"].as_object().expect("by reason");
    assert_eq!(closes.values().filter_map(serde_json::Value::as_u64).sum::<u64>(), 1, "{closes:?}");
    assert_eq!(status["servers"][0]["name"], "one.example");
    assert_eq!(status["servers"][0]["traffic"]["connections"], 1);
    let upstream = &status["upstreams"][0];
    assert_eq!((&upstream["name"], &upstream["balancer"]), (&"pool".into(), &"weight".into()));
    assert_eq!(
        (&upstream["peers"][0]["picked"], &upstream["peers"][0]["weight"]),
        (&1.into(), &3.into()),
        "{upstream}"
    );
    let ids: Vec<_> = status["modules"].as_array().expect("modules").iter().map(|m| m["id"].clone()).collect();
    assert_eq!(ids, ["tcp", "balancer"]);
    assert_eq!(status["images"].as_array().map(Vec::len), Some(2));
    assert!(status["access_logs"][0]["target"].as_str().is_some_and(|t| t.ends_with("access.log")), "{status}");
    assert_eq!(status["retired"], serde_json::json!([]));
}
