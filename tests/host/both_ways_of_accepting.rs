//! One socket a worker, or one for all whose connections are handed round: clients see no difference.

use harness::client::{self, Load};
use harness::{LIMIT, Origin, Proxy};

use crate::support::relay;

fn each(test: impl Fn(Proxy, &Origin)) {
    for reuseport in [true, false] {
        let origin = Origin::echo();
        let proxy = relay(&origin, &format!("reuseport #{reuseport}")).start();
        test(proxy, &origin);
    }
}

#[test]
fn bytes_are_carried_and_every_worker_takes_part() {
    each(|proxy, origin| {
        let load = Load::echo(proxy.addr(0), vec![7; 4000]).connections(40).requests(400);
        load.run().assert_all(400);
        assert_eq!(origin.accepted(), 40);
        let held: Vec<_> = (0..40).map(|_| client::connect(proxy.addr(0))).collect();
        harness::eventually("every worker has sessions", || {
            let status = proxy.status();
            let workers = status["workers"].as_array().expect("workers");
            (workers.len() == 2 && workers.iter().all(|w| w["sessions"].as_u64() > Some(3))).then_some(())
        });
        drop(held);
    });
}

#[test]
fn new_connections_in_rows_all_succeed() {
    each(|proxy, origin| {
        Load::echo(proxy.addr(0), "ping").connections(8).requests(600).reconnect().run().assert_all(600);
        assert_eq!(origin.accepted(), 600);
        let listener = &proxy.status()["listeners"][0];
        assert_eq!(listener["traffic"]["connections"], 600);
    });
}

#[test]
fn large_transfers_are_whole() {
    each(|proxy, _| {
        let data = harness::pattern::bytes(3 << 20);
        assert!(client::exchange(proxy.addr(0), &data) == data);
    });
}

#[test]
fn quitting_lets_the_last_session_end() {
    each(|mut proxy, _| {
        let addr = proxy.addr(0);
        let stream = client::connect(addr);
        std::io::Write::write_all(&mut &stream, b"a").expect("write");
        assert_eq!(client::read_exact(&stream, 1), b"a");
        proxy.send("quit").assert(0, &[]);
        assert_eq!(client::try_exchange(addr, b"x").expect_err("closed").kind(), std::io::ErrorKind::ConnectionRefused);
        std::io::Write::write_all(&mut &stream, b"b").expect("write");
        assert_eq!(client::read_exact(&stream, 1), b"b");
        assert!(proxy.alive());
        drop(stream);
        assert_eq!(proxy.wait_exit(LIMIT), Some(0));
    });
}
