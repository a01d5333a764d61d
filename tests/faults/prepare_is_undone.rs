//! A module that fails in `prepare`, the third of five: the two before it undo theirs in reverse, the two after it never
//! began; a start ends with exit 1, a reload changes nothing. All undo theirs where the generation does not go live for another
//! reason.

use std::path::{Path, PathBuf};

use harness::{LIMIT, Proxy, TempDir, client, eventually};
use rustix::process::Signal;

use crate::support::{echo, module, patched, text, write};

/// The same module under five names: each a file whose code and header say so.
fn five(dir: &TempDir, faulty: &Path) -> Vec<PathBuf> {
    let named = |n: usize| {
        let id = format!("fault{n}");
        write(dir, &format!("libanyproxy_{id}.so"), &patched(faulty, "faulty", &id))
    };
    (1..=5).map(named).collect()
}

fn config(files: &[PathBuf], third: &str) -> String {
    let files: Vec<&Path> = files.iter().map(PathBuf::as_path).collect();
    let locals: Vec<String> =
        (1..=5).map(|n| format!("fault{n} \"{}\"", if n == 3 { third } else { "echo" })).collect();
    text(&files, &locals.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Modules that said `word`, in order.
fn said(log: &str, word: &str) -> Vec<String> {
    let lines = log.lines().filter(|l| l.contains(word));
    let ids = lines.filter_map(|l| l.find("fault").map(|at| l[at..at + 6].to_owned()));
    ids.collect()
}

#[test]
fn at_the_start() {
    let Some(faulty) = module("faulty") else { return };
    for (mode, text) in [("error_prepare", "told to fail in prepare"), ("panic_prepare", "fault3")] {
        let builder = Proxy::builder();
        let files = five(builder.dir(), &faulty);
        let failed = builder.config(&config(&files, mode)).try_start().expect_err("the third fails");
        failed.assert(1, &[text, "fault3"]);
        assert_eq!(said(&failed.stderr, "prepared"), ["fault1", "fault2"], "{mode}: {}", failed.stderr);
        assert_eq!(said(&failed.stderr, "undone"), ["fault2", "fault1"], "{mode}: {}", failed.stderr);
    }
}

#[test]
fn at_a_reload() {
    let Some(faulty) = module("faulty") else { return };
    let builder = Proxy::builder();
    let files = five(builder.dir(), &faulty);
    let mut proxy = builder.config(&config(&files, "echo")).start();
    let addrs: Vec<_> = (0..5).map(|n| proxy.addr(n)).collect();
    let streams: Vec<_> = addrs.iter().map(|a| client::connect(*a)).collect();
    for (n, mode) in ["error_prepare", "panic_prepare"].into_iter().enumerate() {
        proxy.reload_with(&config(&files, mode)).assert(1, &["fault3"]);
        // The log is written by a thread of its own.
        let log = eventually("two undo theirs", || {
            let log = proxy.log();
            (said(&log, "undone").len() > 2 * n + 1).then_some(log)
        });
        assert_eq!(said(&log, "prepared")[5 + 2 * n..], ["fault1", "fault2"], "{log}");
        assert_eq!(said(&log, "undone")[2 * n..], ["fault2", "fault1"], "{log}");
        for (n, stream) in streams.iter().enumerate() {
            echo(stream, b"x");
            assert_eq!(proxy.addr(n), addrs[n]);
            echo(&client::connect(addrs[n]), b"y");
        }
    }
    let status = proxy.status();
    assert_eq!((&status["generation"]["epoch"], &status["failed_reloads"]), (&1.into(), &2.into()), "{status}");
    assert!(proxy.alive());
    proxy.reload_with(&config(&files, "echo")).assert(0, &[]);
}

#[test]
fn at_a_check() {
    let Some(faulty) = module("faulty") else { return };
    for (mode, code, prepared, undone) in [
        (
            "echo",
            0,
            &["fault1", "fault2", "fault3", "fault4", "fault5"][..],
            &["fault5", "fault4", "fault3", "fault2", "fault1"][..],
        ),
        ("error_prepare", 1, &["fault1", "fault2"], &["fault2", "fault1"]),
        ("panic_prepare", 1, &["fault1", "fault2"], &["fault2", "fault1"]),
    ] {
        let builder = Proxy::builder();
        let files = five(builder.dir(), &faulty);
        let checked = builder.config(&config(&files, mode)).run(["-c", "main.kdl", "-t"]);
        checked.assert(code, &[]);
        assert_eq!(said(&checked.stderr, "prepared"), prepared, "{mode}: {}", checked.stderr);
        assert_eq!(said(&checked.stderr, "undone"), undone, "{mode}: {}", checked.stderr);
    }
}

#[test]
fn at_a_start_that_fails_behind_it() {
    let Some(faulty) = module("faulty") else { return };
    let config = text(&[&faulty], &["faulty \"echo\""]).replace("common {", "common { pid \"nowhere/run.pid\";");
    let failed = Proxy::builder().config(&config).try_start().expect_err("the pid file has no directory");
    failed.assert(4, &["run.pid", "prepared", "undone"]);
}

#[test]
fn where_the_process_ends_meanwhile() {
    let Some(faulty) = module("faulty") else { return };
    let config = |mode: &str| text(&[&faulty], &[&format!("faulty \"{mode}\"")]);
    let mut proxy = Proxy::start(&config("echo"));
    let socket = proxy.dir().join("new.sock");
    let listens = format!("port_listen_tcp \"unix:{}\"", socket.display());
    let next = config("slow_prepare").replace("port_listen_tcp \"127.0.0.1:0\"", &listens);
    proxy.dir().write("main.kdl", next);
    proxy.signal(Signal::HUP);
    proxy.await_log("waits in prepare", LIMIT);
    assert!(socket.exists());
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait_exit(LIMIT), Some(0));
    assert!(!socket.exists());
    assert!(proxy.log_contains("undone"));
}

/// Ended while it starts, before it says that it is ready.
#[test]
fn where_a_start_is_ended() {
    let Some(faulty) = module("faulty") else { return };
    let dir = TempDir::new();
    let socket = dir.join("s.sock");
    let config = text(&[&faulty], &["faulty \"late_worker_start\""]).replace("common {", "common { pid \"run.pid\";");
    dir.write("main.kdl", config.replace("127.0.0.1:0", &format!("unix:{}", socket.display())));
    let log = std::fs::File::create(dir.join("log")).expect("own directory");
    let mut command = std::process::Command::new(harness::binary());
    let mut process = command.args(["-c", "main.kdl"]).current_dir(dir.path()).stderr(log).spawn().expect("it runs");
    let pid = rustix::process::Pid::from_child(&process);
    let said = |word: &str| std::fs::read_to_string(dir.join("log")).is_ok_and(|log| log.contains(word)).then_some(());
    eventually("it starts", || said("waits in worker_start"));
    assert!(socket.exists() && dir.join("anyproxy.sock").exists() && dir.join("run.pid").exists());
    rustix::process::kill_process(pid, Signal::TERM).expect("ours");
    let status = eventually("it ends", || process.try_wait().expect("a child"));
    assert_eq!(status.code(), Some(0));
    assert!(!socket.exists() && !dir.join("anyproxy.sock").exists() && !dir.join("run.pid").exists());
}
