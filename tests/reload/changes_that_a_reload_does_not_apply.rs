//! What needs new threads or a new process stays on the list of `check` until it has them.

use harness::{Output, Proxy};

fn config(workers: u32, ipv6_only: &str, domain: &str) -> String {
    format!(
        r#"load_module "tcp" "hello"
        common {{ worker_threads {workers}; ipv6_only {ipv6_only}; }}
        net {{ server {{ domain "{domain}"; port_listen_tcp "127.0.0.1:0"; local {{ hello "x"; }}; }}; }}"#
    )
}

#[track_caller]
fn lines(output: &Output) -> Vec<&str> {
    output.assert(0, &["the configuration is well"]);
    output.stdout.lines().skip(1).collect()
}

#[test]
fn are_listed_until_reinit_or_restart() {
    let proxy = Proxy::start(&config(1, "#true", "a.example"));
    proxy.send("check").assert(0, &["nothing changed"]);
    proxy.dir().write("main.kdl", config(2, "#false", "b.example"));
    assert_eq!(
        lines(&proxy.send("check")),
        ["domain needs reload", "ipv6_only needs restart", "worker_threads needs reinit"]
    );
    let told = ["not applied: ipv6_only needs restart", "not applied: worker_threads needs reinit"];
    proxy.reload().assert(0, &told);
    proxy.reload().assert(0, &told);
    assert_eq!(lines(&proxy.send("check")), ["ipv6_only needs restart", "worker_threads needs reinit"]);
    let again = proxy.send("reinit");
    again.assert(0, &told[..1]);
    assert!(!again.stderr.contains("worker_threads needs"), "{}", again.stderr);
    assert_eq!(lines(&proxy.send("check")), ["ipv6_only needs restart"]);
    proxy.dir().write("main.kdl", config(2, "#true", "b.example"));
    assert!(!lines(&proxy.send("check")).contains(&"ipv6_only needs restart"), "it is as the process began");
}
