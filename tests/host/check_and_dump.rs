//! `-t` says whether the configuration is well, for people and machines, and leaves no trace; what `-T` prints can be
//! loaded again and means the same.

use harness::{Builder, Proxy, TempDir, command, skip};

use crate::support::{HELLO, is_root};

const WHOLE: &str = r#"
load_module "tcp" "balancer" "hello"
common { worker_threads 3; shutdown_timeout "90s"; error_log "error.log" level="warn"; }
upstream "pool" {
    balancer "weight"
    proxy_pass_tcp "127.0.0.1:9001" weight=5 { heartbeat interval="10s" timeout="2s" fail=3; }
    proxy_pass_tcp "127.0.0.1:9002"
}
net {
    access_log "access.log" format="${local_time} ${client_addr} \"${close_reason}\" $${kept}"
    ip_deny "192.0.2.0/24"
    include "sites/*.kdl"
    server {
        port_listen_tcp "127.0.0.1:0"
        local { rule "${client_ip}" prefix="127." ; hello "quo\"te \\ \u{e9}\n"; }
        local { proxy_pass_upstream "pool"; }
    }
}
"#;
const SITE: &str = r##"
server {
    domain "a.example" "*.b.example" #"~^(?<shop>[a-z]+)\.shop\.example$"#
    domain_listen_tcp "127.0.0.1:0"
    connect_timeout "1500ms"
    local { proxy_pass_tcp "127.0.0.1:9003" { connect_timeout "250ms"; }; }
}
"##;

fn whole() -> Builder {
    Proxy::builder().config(WHOLE).file("sites/one.kdl", SITE)
}

#[test]
fn a_good_one_is_well_and_leaves_no_trace() {
    let dir = TempDir::new();
    let path = dir.write("main.kdl", WHOLE);
    dir.write("sites/one.kdl", SITE);
    let path = path.to_str().expect("a plain name");
    command(["-c", path, "-t"]).assert(0, &["the configuration is well"]);
    let names = |dir: &TempDir| {
        let entries = std::fs::read_dir(dir.path()).expect("own directory");
        let mut names: Vec<_> = entries.map(|e| e.expect("entry").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&dir), ["main.kdl", "sites"], "no log, no socket, no pid");
}

#[test]
fn machines_get_json() {
    let well = Proxy::builder().config(&HELLO.replace("@COMMON@", "")).run(["-c", "main.kdl", "-t", "--json"]);
    well.assert(0, &[]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&well.stdout).expect("JSON"), serde_json::json!([]));
    let broken = Proxy::builder().config("net {\n    servre { }\n}\nfoo 1\n").run(["-c", "main.kdl", "-t", "--json"]);
    broken.assert(1, &[]);
    let list: serde_json::Value = serde_json::from_str(&broken.stdout).expect("JSON");
    let list = list.as_array().expect("a list");
    assert_eq!(list.len(), 2, "both mistakes at once: {list:?}");
    assert_eq!((&list[0]["line"], &list[0]["column"]), (&2.into(), &5.into()), "{list:?}");
    assert!(list[0]["message"].as_str().expect("text").contains("servre"), "{list:?}");
    assert_eq!(list[1]["line"], 4, "{list:?}");
}

#[test]
fn what_is_dumped_loads_again_and_means_the_same() {
    let first = whole().run(["-c", "main.kdl", "-T"]);
    first.assert(0, &["// main.kdl:3", "// sites/one.kdl:"]);
    let second = Proxy::builder().config(&first.stdout).run(["-c", "main.kdl", "-T"]);
    second.assert(0, &[]);
    let plain = |text: &str| -> Vec<String> {
        let bare = |line: &str| line.rsplit_once(" // ").map_or(line, |(node, _)| node).trim_end().to_owned();
        text.lines().map(bare).collect()
    };
    assert_eq!(plain(&first.stdout), plain(&second.stdout));
}

#[test]
fn secrets_are_not_dumped() {
    let config = r#"
        load_module "tcp" "hello"
        net { server { port_listen_tcp "127.0.0.1:0"; local { hello (env)"THE_WORD"; }; } }"#;
    let dump = Proxy::builder().config(config).env("THE_WORD", "open sesame").run(["-c", "main.kdl", "-T"]);
    dump.assert(0, &["hello"]);
    assert!(!dump.stdout.contains("sesame"), "{}", dump.stdout);
}

/// What only a start showed: modules prepare, logs are opened.
#[test]
fn what_a_start_would_find_is_found() {
    let config = r#"
load_module "tcp" "balancer" "http"
common { pid "nowhere/run.pid"; error_log "nowhere/error.log"; control "nowhere/a.sock"; }
net {
    access_log "nowhere/access.log"
    server {
        port_listen_tcp "127.0.0.1:0"
        http
        local { rule "${path}" prefix="/a"; http_router "nope"; }
        local { rule "${path}" prefix="/b"; http_purge; }
        local { return 200; }
    }
}
"#;
    let found = [
        "main.kdl:3:14: error: pid: ",
        "main.kdl:3:43: error: error_log: ",
        "main.kdl:3:72: error: control: ",
        "main.kdl:5:5: error: access log ",
        "main.kdl:9:45: error: no module brings a handler \"nope\" (module http)",
        "main.kdl:10:45: error: no module brings a handler \"purge\" (module http)",
        "No such file or directory",
    ];
    Proxy::builder().config(config).run(["-c", "main.kdl", "-t"]).assert(1, &found);
    let json = Proxy::builder().config(config).run(["-c", "main.kdl", "-t", "--json"]);
    json.assert(1, &[]);
    let list: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    let list = list.as_array().expect("a list");
    let lines: Vec<_> = list.iter().map(|d| d["line"].as_u64()).collect();
    assert_eq!(lines, [Some(3), Some(3), Some(3), Some(5), Some(9), Some(10)], "{list:?}");
    // A start says the same of the same place.
    let routed: String = config.lines().filter(|l| !l.starts_with("common")).map(|l| format!("{l}\n")).collect();
    let routed = routed.replace("net {", "\nnet {").replace("nowhere/", "");
    let failed = Proxy::builder().config(&routed).try_start().expect_err("no handler");
    failed.assert(1, &found[4..6]);
}

#[test]
fn a_running_process_checks_what_a_reload_would_find() {
    let good = HELLO.replace("@COMMON@", "");
    let proxy = Proxy::start(&good);
    let write = |text: &str| std::fs::write(proxy.dir().join("main.kdl"), text).expect("own directory");
    write(&good.replace("net {", "net { access_log \"nowhere/access.log\";"));
    proxy.send("check").assert(1, &["access log ", "No such file or directory"]);
    write(&good.replace("net {", "net { access_log \"access.log\";"));
    proxy.send("check").assert(0, &["access_log needs reload"]);
    assert!(!proxy.dir().join("access.log").exists(), "a check makes no file");
}

/// What only a start makes, and what is open, is not asked for again: who it is now may not make it.
#[test]
fn a_running_process_that_became_somebody_else_finds_itself_well() {
    if !is_root() {
        return skip("only root can become another user");
    }
    let common = "user \"nobody\"; pid \"run.pid\"; error_log \"error.log\"; error_log \"stderr\";";
    let config = HELLO.replace("@COMMON@", common).replace("net {", "net { access_log \"access.log\";");
    let proxy = Proxy::start(&config);
    // What it reads must be readable by who it is now.
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(proxy.dir().path(), std::fs::Permissions::from_mode(0o755)).expect("own directory");
    proxy.send("check").assert(0, &["nothing changed"]);
    proxy.send("reload").assert(0, &[]);
}

#[test]
fn the_place_of_the_control_socket_is_looked_at() {
    let config = |common: &str| HELLO.replace("@COMMON@", common);
    let check = |text: &str| Proxy::builder().config(text).run(["-c", "main.kdl", "-t"]);
    let long = format!("control \"{}.sock\"", "x".repeat(120));
    check(&config(&long)).assert(1, &["error: control: ", "SUN_LEN"]);
    check(&config("control \"main.kdl\"")).assert(1, &["error: control: ", "what is there is not a socket"]);
    let started = Proxy::builder().config(&config("control \"main.kdl\"")).run(["-c", "main.kdl"]);
    started.assert(4, &["what is there is not a socket"]);
    // Without a word of it, it is beside the pid file.
    check(&config("pid \"nowhere/run.pid\"")).assert(1, &["error: pid: ", "error: control: "]);
    let said = Proxy::builder().config(&config("")).run(["-c", "main.kdl", "-t", "--control", "nowhere/a.sock"]);
    said.assert(1, &["error: control: nowhere/a.sock: "]);
}
