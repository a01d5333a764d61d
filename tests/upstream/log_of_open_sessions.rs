//! `interval=` also logs sessions that are still open; the ordinary log waits for their end.

use std::io::Write;

use harness::{Origin, client, eventually};

use crate::support::{USER, net};

#[test]
fn every_interval_and_once_at_the_end() {
    let origin = Origin::echo();
    let log = "access_log \"open.log\" flush=0 interval=\"1s\" format=\"in=${client_bytes_received} reason=${close_reason}\"\n";
    let server = USER.replace("local {", &format!("{log}local {{"));
    let proxy = net("upstream \"o\" { proxy_pass_tcp \"@O@\"; }", &server).set("O", origin.addr()).start();
    let mut stream = client::connect(proxy.addr(0));
    stream.write_all(b"hello").expect("write");
    client::read_exact(&stream, 5);
    eventually("two lines of the open session", || {
        let text = proxy.read("open.log");
        (text.matches("in=5 reason=-\n").count() >= 2).then_some(())
    });
    drop(stream);
    proxy.await_line("open.log", "in=5 reason=client_transfer_done", harness::LIMIT);
    assert!(proxy.read("open.log").lines().filter(|line| line.contains("_done")).count() == 1);
}
