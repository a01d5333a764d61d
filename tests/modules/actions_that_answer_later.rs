//! `ctl MODULE ACTION` waits for an action that asks a worker first; other requests are answered meanwhile.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use harness::{LIMIT, Proxy};

use crate::support::{module, text};

#[test]
fn while_others_are_answered() {
    let Some(faulty) = module("faulty") else { return };
    let proxy = Proxy::start(&text(&[&faulty], &["faulty \"echo\""]));
    let mut never = UnixStream::connect(proxy.dir().join("control.sock")).expect("it listens");
    never.set_read_timeout(Some(LIMIT)).expect("a limit above zero");
    never
        .write_all(b"{\"cmd\":\"module\",\"module\":\"faulty\",\"action\":\"worker\",\"args\":\"never\"}\n")
        .expect("it reads");
    proxy.ctl(&["faulty", "worker"]).assert(0, &["0"]);
    proxy.status();
    proxy.ctl(&["faulty", "worker", "panic"]).assert(1, &["the module panicked"]);
    proxy.ctl(&["faulty", "worker", "process"]).assert(0, &["true 3 0"]);
    proxy.ctl(&["faulty", "worker", "spawn"]).assert(0, &["false"]);
    proxy.await_log("spawn where there is no worker", LIMIT);
    // It ends with its generation.
    proxy.send("reload").assert(0, &[]);
    let mut answer = String::new();
    BufReader::new(never).read_line(&mut answer).expect("an answer");
    assert!(answer.contains("\"ok\":false"), "{answer}");
}
