//! `--hot`: a new process takes the listening sockets over under a load of new connections: none is refused, none reset;
//! the old one ends when its sessions have.

use harness::client::Load;
use harness::{Builder, LIMIT, Origin, Proxy, client, eventually, skip};

use crate::support::{BOTH, backlog, echoes, relay, says, text};

/// A successor of `before` with this configuration.
fn successor(before: &Proxy, config: &str) -> Builder {
    Proxy::builder()
        .config(config)
        .arg("--control")
        .arg(before.dir().join("control.sock"))
        .arg("--hot")
        .arg(before.dir().join("run.pid"))
}

#[test]
fn nobody_is_refused_or_reset() {
    for how in BOTH {
        let origin = Origin::echo();
        let common = format!("{how}\n pid \"run.pid\"");
        let mut old = relay(&origin, &common).start();
        let addr = old.addr(0);
        let long = client::connect(addr);
        assert!(echoes(&long));
        let load = Load::echo(addr, "ping").connections(8).requests(u64::MAX).reconnect().limit(3 * LIMIT).start();
        load.await_more(20);
        let mut new = successor(&old, &text(&origin, &common, "")).start();
        assert!(
            new.notifications().iter().any(|line| *line == format!("MAINPID={}", new.pid())),
            "{:?}",
            new.notifications()
        );
        load.await_more(200);
        // The socket of the control channel is the new one's now.
        let status = old.status();
        assert_eq!(status["process"]["pid"], new.pid());
        assert_eq!(status["listeners"][0]["address"], addr.to_string());
        assert!(echoes(&long), "the old process goes on with its session");
        assert!(old.alive());
        drop(long);
        assert_eq!(old.wait_exit(LIMIT), Some(0));
        load.await_more(50);
        let report = load.stop();
        assert_eq!(report.errors, 0, "{how}: {:?}", report.samples);
        assert_eq!(new.read("run.pid").trim(), new.pid().to_string());
        assert!(old.dir().join("control.sock").exists(), "the old one left it alone");
    }
}

#[test]
fn the_sockets_follow_what_the_new_one_says_of_them() {
    let origin = Origin::echo();
    let common = "pid \"run.pid\"";
    let config = |profile: &str| {
        let config = text(&origin, common, "").replace("net {", "net { tcp_config_name \"edge\"");
        format!("{config}\nsocket {{ tcp \"edge\" {profile}; }}\n")
    };
    let old = Proxy::start(&config("backlog=77"));
    let Some(before) = backlog(old.addr(0)).filter(|all| !all.is_empty()) else { return skip("there is no ss") };
    assert!(before.iter().all(|n| n == "77"), "{before:?}");
    // What it leaves out is said, too.
    let _new = successor(&old, &config("nodelay=#false")).start();
    let after = backlog(old.addr(0)).expect("ss was there");
    assert!(!after.is_empty() && after.iter().all(|n| n != "77"), "{after:?}");
}

#[test]
fn the_pid_file_that_both_name_is_the_new_ones() {
    let origin = Origin::echo();
    let dir = harness::TempDir::new();
    let common = format!("pid \"{}\"", dir.join("run.pid").display());
    let mut old = relay(&origin, &common).start();
    let new = Proxy::builder()
        .config(&text(&origin, &common, ""))
        .arg("--control")
        .arg(old.dir().join("control.sock"))
        .arg("--hot")
        .arg(dir.join("run.pid"))
        .start();
    assert_eq!(old.wait_exit(LIMIT), Some(0));
    let said = std::fs::read_to_string(dir.join("run.pid")).expect("it is there");
    assert_eq!(said.trim(), new.pid().to_string());
}

#[test]
fn a_successor_that_does_not_start_changes_nothing() {
    let origin = Origin::echo();
    let common = "pid \"run.pid\"";
    let mut old = relay(&origin, common).start();
    let failed = successor(&old, "net {").try_start().expect_err("broken");
    failed.assert(1, &["main.kdl:1:"]);
    // Fails after the sockets were handed over.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let more = says("x").replace("127.0.0.1:0", &taken.local_addr().expect("bound").to_string());
    let failed = successor(&old, &text(&origin, common, &more)).try_start().expect_err("the port is taken");
    failed.assert(3, &["listens there"]);
    assert!(old.alive() && echoes(&client::connect(old.addr(0))));
    assert_eq!(old.status()["process"]["pid"], old.pid());
    old.reload().assert(0, &[]);
}

#[test]
fn nobody_to_take_over_from() {
    let origin = Origin::echo();
    let failed = relay(&origin, "").arg("--hot").arg("no.pid").try_start().expect_err("nobody");
    failed.assert(4, &["--hot", "no.pid"]);
    // Another one than meant, and a file that is no pid file.
    let mut other = relay(&origin, "pid \"run.pid\"").start();
    let stale = format!("{}\n", std::process::id());
    for (text, said) in [(stale.as_str(), "is meant, but"), ("server {\n", "it holds no process's number")] {
        other.dir().write("stale.pid", text);
        let control = other.dir().join("control.sock");
        let hot = relay(&origin, "").arg("--control").arg(&control).arg("--hot").arg(other.dir().join("stale.pid"));
        hot.try_start().expect_err("another one").assert(4, &["--hot", "stale.pid", said]);
        assert!(control.exists() && other.alive());
        assert!(echoes(&client::connect(other.addr(0))));
    }
}

#[test]
fn sessions_of_the_old_process_end_at_shutdown_timeout() {
    let origin = Origin::echo();
    let common = "pid \"run.pid\"\n shutdown_timeout \"500ms\"";
    let mut old = relay(&origin, common).start();
    let long = client::connect(old.addr(0));
    assert!(echoes(&long));
    let _new = successor(&old, &text(&origin, common, "")).start();
    client::end(&long);
    assert_eq!(old.wait_exit(LIMIT), Some(0));
}

#[test]
fn what_an_operator_said_is_handed_over() {
    let origin = Origin::named("one");
    let config = format!(
        r#"load_module "tcp" "balancer"
        common {{ worker_threads 1; pid "run.pid"; }}
        upstream "pool" {{ balancer "weight"; proxy_pass_tcp "{}"; }}
        net {{ server {{ port_listen_tcp "127.0.0.1:0"; local {{ proxy_pass_upstream "pool"; }}; }}; }}"#,
        origin.addr()
    );
    let mut old = Proxy::start(&config);
    old.ctl(&["peer", "weight", &origin.addr().to_string(), "42"]).assert(0, &[]);
    let _new = successor(&old, &config).start();
    old.wait_exit(LIMIT);
    eventually("the weight is there", || (old.status()["upstreams"][0]["peers"][0]["weight"] == 42).then_some(()));
}

#[test]
fn a_successor_that_fails_late_leaves_the_names() {
    let origin = Origin::echo();
    let mut old = relay(&origin, "pid \"run.pid\"").start();
    let mut cases = vec!["pid \"nodir/run.pid\"".to_owned()];
    if rustix::process::geteuid().is_root() {
        let pid = old.dir().join("run.pid");
        cases.push(format!("pid \"{}\"\n user \"0\"\n group \"no such group\"", pid.display()));
    }
    for common in cases {
        let failed = successor(&old, &text(&origin, &common, "")).try_start().expect_err("it cannot");
        failed.assert(4, &[]);
        assert!(old.alive() && echoes(&client::connect(old.addr(0))));
        assert_eq!(old.status()["process"]["pid"], old.pid());
        assert_eq!(old.read("run.pid").trim(), old.pid().to_string());
        old.reload().assert(0, &[]);
    }
}

/// Takes everything over as a new process does, and goes away.
#[test]
fn what_a_successor_took_is_made_again_when_it_dies_and_only_one_takes_over_at_a_time() {
    use std::io::{BufRead, BufReader, Write};
    let origin = Origin::echo();
    let old = relay(&origin, "pid \"run.pid\"").start();
    let ask = || {
        let mut stream = std::os::unix::net::UnixStream::connect(old.dir().join("control.sock")).expect("it listens");
        stream.write_all(b"{\"cmd\":\"hot\"}\n").expect("written");
        let mut line = String::new();
        let mut reader = BufReader::new(stream);
        // Batches of descriptors come with lines of their own.
        while line.trim() == "+" || line.is_empty() {
            line.clear();
            assert!(reader.read_line(&mut line).expect("an answer") > 0, "no answer");
        }
        (reader, line)
    };
    let (first, offer) = ask();
    assert!(offer.contains("\"sockets\""), "{offer}");
    let (_second, refusal) = ask();
    assert!(refusal.contains("another process is taking over"), "{refusal}");
    old.dir().write("run.pid", "1\n");
    std::fs::remove_file(old.dir().join("control.sock")).expect("it is there");
    drop(first);
    eventually("it is found again", || {
        let named = old.read("run.pid").trim() == old.pid().to_string();
        (named && old.dir().join("control.sock").exists()).then_some(())
    });
    assert_eq!(old.status()["process"]["pid"], old.pid());
    let (_third, offer) = ask();
    assert!(offer.contains("\"sockets\""), "{offer}");
}
