//! A reload adds listeners, removes others and keeps the rest with their sockets.

use std::io::ErrorKind;

use harness::client::Load;
use harness::{Origin, client};

use crate::support::{BOTH, echoes, relay, says, text};

#[test]
fn added_kept_and_removed() {
    for how in BOTH {
        let origin = Origin::echo();
        let proxy = relay(&origin, how).start();
        let kept = proxy.addr(0);
        let load = Load::echo(kept, "ping").connections(4).requests(u64::MAX).reconnect().start();
        let long = client::connect(kept);
        assert!(echoes(&long));

        proxy.reload_with(&text(&origin, how, &says("new"))).assert(0, &[]);
        let added = proxy.addr(1);
        assert_eq!(proxy.addr(0), kept, "a kept listener keeps the port that the system chose");
        assert_eq!(client::exchange(added, b""), b"new");
        load.await_more(20);

        proxy.reload_with(&text(&origin, how, "")).assert(0, &[]);
        assert_eq!(client::try_connect(added).expect_err("removed").kind(), ErrorKind::ConnectionRefused);
        load.await_more(20);
        assert!(echoes(&long), "a session of the first generation goes on");
        let report = load.stop();
        assert_eq!(report.errors, 0, "{:?}", report.samples);
    }
}

#[test]
fn an_address_in_use_by_its_own_process_may_be_widened_and_narrowed() {
    for how in BOTH {
        widened_and_narrowed(how);
    }
}

fn widened_and_narrowed(how: &str) {
    let origin = Origin::echo();
    let port = client::free_port();
    let on = |address: &str| {
        let server = format!("server {{ port_listen_tcp \"{address}:{port}\"; local {{ hello \"{address}\"; }}; }}");
        text(&origin, how, &server)
    };
    let proxy = harness::Proxy::start(&on("127.0.0.1"));
    let addr = ([127, 0, 0, 1], port).into();
    assert_eq!(client::exchange(addr, b""), b"127.0.0.1");
    proxy.reload_with(&on("0.0.0.0")).assert(0, &[]);
    assert_eq!(client::exchange(addr, b""), b"0.0.0.0");
    proxy.reload_with(&on("127.0.0.1")).assert(0, &[]);
    assert_eq!(client::exchange(addr, b""), b"127.0.0.1");
}

#[test]
fn a_unix_socket_file_goes_with_its_listener() {
    let origin = Origin::echo();
    let dir = harness::TempDir::new();
    let path = dir.join("front.sock");
    let server = &format!("server {{ port_listen_tcp \"unix:{}\"; local {{ hello \"unix\"; }}; }}", path.display());
    let proxy = harness::Proxy::start(&text(&origin, "", server));
    let word = || {
        let mut stream = std::os::unix::net::UnixStream::connect(&path)?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stream, &mut text).map(|_| text)
    };
    assert_eq!(word().expect("it listens"), "unix");
    proxy.reload().assert(0, &[]);
    assert_eq!(word().expect("it is kept"), "unix");
    proxy.reload_with(&text(&origin, "", "")).assert(0, &[]);
    assert!(word().is_err() && !path.exists());
    proxy.reload_with(&text(&origin, "", server)).assert(0, &[]);
    assert_eq!(word().expect("it is back"), "unix");
}
