//! An address that is taken stops the start, and the message says by whom; also where the holder is another anyproxy,
//! with which the kernel would share the port.

use std::net::TcpListener;

use harness::{Builder, Proxy, client};

use crate::support::{HELLO, hello};

fn on(port: u16, reuseport: bool) -> Builder {
    let config = HELLO.replace("127.0.0.1:0", &format!("127.0.0.1:{port}"));
    Proxy::builder().config(&config).set("COMMON", format!("reuseport #{reuseport}"))
}

#[test]
fn any_other_process_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    for reuseport in [true, false] {
        let failed = on(port, reuseport).try_start().expect_err("taken");
        let me = format!("(process {}) listens there", std::process::id());
        failed.assert(3, &[&format!("cannot listen on 127.0.0.1:{port}"), &me]);
    }
}

#[test]
fn a_second_anyproxy_does_not_take_half_of_the_connections() {
    let first = hello("").start();
    let port = first.addr(0).port();
    let failed = on(port, true).try_start().expect_err("taken");
    failed.assert(3, &[&format!("anyproxy (process {}) listens there", first.pid())]);
    assert_eq!(client::exchange(first.addr(0), b""), b"good day\n");
}
