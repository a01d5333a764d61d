//! A connection that the proxy closed first leaves its address in TIME_WAIT for a minute. A restart meanwhile listens there all the
//! same (fault 8 of the original: it ran on without the listener).

use harness::{LIMIT, Proxy, client, eventually};
use rustix::process::Signal;

use crate::support::HELLO;

/// Whether a closed connection of that port waits (`/proc/net/tcp`: local address, remote address, state 06).
fn waits(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("it is there");
    let local = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|own| own.ends_with(&local)) && fields.nth(1) == Some("06")
    })
}

#[test]
fn the_address_is_listened_at_again() {
    for reuseport in [true, false] {
        let port = client::free_port();
        let config = HELLO.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
        let start = || Proxy::builder().config(&config).set("COMMON", format!("reuseport #{reuseport}")).start();
        let mut old = start();
        // It says its word and closes; this end only hears that.
        let hear = |proxy: &Proxy| client::read_to_end(&client::connect(proxy.addr(0)));
        assert_eq!(hear(&old), b"good day\n");
        eventually("a closed connection waits", || waits(port).then_some(()));
        old.signal(Signal::QUIT);
        assert_eq!(old.wait_exit(LIMIT), Some(0));
        assert!(waits(port), "it waits still");
        let new = start();
        assert_eq!((new.addr(0).port(), hear(&new).as_slice()), (port, &b"good day\n"[..]), "reuseport #{reuseport}");
    }
}
