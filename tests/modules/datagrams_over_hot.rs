//! `--hot`: datagrams of flows that the process before began reach it through the new one, until it has ended.

use harness::{LIMIT, Proxy, client};

use crate::datagrams_find_their_owner::{ask, config, held_on_both, one_of_each};
use crate::support::module;

#[test]
fn flows_of_the_process_before_go_on() {
    let (Some(dgram), Some(swap)) = (module("datagram_echo"), module("swap")) else { return };
    let text = config(&dgram, &swap, "pid \"run.pid\"");
    let mut before = Proxy::start(&text);
    let addr = before.addr(0);
    let held = held_on_both(&before);
    let old = one_of_each(addr);
    let new = Proxy::builder()
        .config(&text)
        .arg("--control")
        .arg(before.dir().join("control.sock"))
        .arg("--hot")
        .arg(before.dir().join("run.pid"))
        .start();
    before.await_log("another process took over", LIMIT);
    let fresh = one_of_each(addr);
    assert!(fresh[0].0 > old[0].0, "epochs go on: {old:?} {fresh:?}");
    for n in 0..40 {
        let owner = [old[0], fresh[0], old[1], fresh[1]][n % 4];
        assert_eq!(ask(&client::udp(addr), owner, &format!("word {n}")), owner);
    }
    assert!(before.alive());
    // The control socket is the new one's now.
    let counts = before.status()["datagrams"].clone();
    assert!(counts["to_predecessor"].as_u64() >= Some(20), "{counts}");
    drop(held);
    assert_eq!(before.wait_exit(LIMIT), Some(0));
    assert_eq!(ask(&client::udp(addr), fresh[1], "on"), fresh[1]);
    drop(new);
}
