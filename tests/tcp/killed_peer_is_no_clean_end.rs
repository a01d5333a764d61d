//! A peer killed in mid-transfer (kill -9): its client sees a reset and not the end of a whole answer, and the proxy goes
//! on.

use std::io::Write;
use std::process::{Command, Stdio};

use harness::{client, eventually, program, skip};

use crate::support::{field, local, logged};

#[test]
fn while_it_receives() {
    let Some(socat) = program("socat") else { return skip("socat is not installed") };
    let port = client::free_port();
    let mut peer = Command::new(socat)
        .args(["-u", &format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork"), "OPEN:/dev/null"])
        .stderr(Stdio::null())
        .spawn()
        .expect("socat");
    eventually("socat listens", || client::try_connect(([127, 0, 0, 1], port).into()).ok());
    let proxy = local("proxy_pass_tcp \"@PEER@\"").set("PEER", format!("127.0.0.1:{port}")).start();
    let stream = client::connect(proxy.addr(0));
    let part = vec![7_u8; 64 << 10];
    for _ in 0..64 {
        (&stream).write_all(&part).expect("write");
    }
    // The child that serves the connection: with unread bytes its end is a reset.
    let children = Command::new("pgrep").args(["-P", &peer.id().to_string()]).output().expect("pgrep");
    let children: Vec<i32> =
        String::from_utf8_lossy(&children.stdout).split_whitespace().filter_map(|id| id.parse().ok()).collect();
    let signal = |signal| {
        for child in children.iter().filter_map(|id| rustix::process::Pid::from_raw(*id)) {
            let _ = rustix::process::kill_process(child, signal);
        }
    };
    signal(rustix::process::Signal::STOP);
    stream.set_nonblocking(true).expect("flag");
    while (&stream).write(&part).is_ok() {}
    stream.set_nonblocking(false).expect("flag");
    signal(rustix::process::Signal::KILL);
    assert_eq!(client::end(&stream), client::End::Reset);
    let line = logged(&proxy, 0);
    assert_eq!(field(&line, "reason"), "upstream_transfer_reset", "{line}");
    let _ = peer.kill();
    let _ = peer.wait();
    // Nobody listens now: refused, not hung.
    assert!(crate::support::is_cut(proxy.addr(0), b""));
}
