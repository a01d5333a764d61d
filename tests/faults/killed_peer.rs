//! A peer behind a module's own connector is killed (kill -9) in mid-transfer: its clients see an end, the others nothing.

use std::io::Write;

use harness::{LIMIT, Proxy, client, eventually};
use rustix::process::Signal;

use crate::support::{echo, module, text};

#[test]
fn in_mid_transfer() {
    let (Some(xor), Some(faulty)) = (module("listener_connector"), module("faulty")) else { return };
    let behind = text(&[&xor, &faulty], &["faulty \"echo\""]).replace("port_listen_tcp", "port_listen_xor");
    let (mut victim, other) = (Proxy::start(&behind), Proxy::start(&behind));
    let pass = |to: &Proxy| format!("proxy_pass_xor \"{}\"", to.addr(0));
    let mut proxy = Proxy::start(&text(&[&xor], &[&pass(&victim), &pass(&other)]));
    let streams: Vec<_> = (0..8).map(|_| client::connect(proxy.addr(0))).collect();
    let safe = client::connect(proxy.addr(1));
    echo(&safe, b"x");
    for stream in &streams {
        echo(stream, b"x");
        // Nobody reads the echo: the transfer stands in the middle when the peer dies.
        stream.set_nonblocking(true).expect("a socket");
        while (&mut &*stream).write(&[7; 64 << 10]).is_ok() {}
        stream.set_nonblocking(false).expect("a socket");
    }
    victim.signal(Signal::KILL);
    assert_eq!(victim.wait_exit(LIMIT), None);
    for stream in &streams {
        client::end(stream);
    }
    // A peer that had read everything ends with a FIN, also when it is killed: that way only has ended.
    drop(streams);
    eventually("one session is left", || (proxy.status()["process"]["sessions"] == 1).then_some(()));
    echo(&safe, b"still here");
    // Refused now, and no more than that.
    client::end(&client::connect(proxy.addr(0)));
    assert!(proxy.alive());
    assert_eq!(proxy.status()["generation"]["panics"], 0);
}
