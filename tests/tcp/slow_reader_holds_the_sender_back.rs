//! A client that does not read stops its server; the proxy's memory does not grow with what it could have taken.

use harness::{Origin, client};

use crate::support::{local, settled};

const SIZE: u64 = 512 << 20;

#[test]
fn in_bounded_memory() {
    for directives in ["splice #false", "splice_after 0", "download_limit_rate \"1GiB/s\""] {
        let origin = Origin::source(SIZE);
        let proxy = local(&format!("{directives}\nproxy_pass_tcp \"@ORIGIN@\"")).set("ORIGIN", origin.addr()).start();
        let addr = proxy.addr(0);
        let before = proxy.resident();
        let silent: Vec<_> = (0..8).map(|_| client::connect(addr)).collect();
        let sent = settled("the servers stand still", || origin.sent());
        // Eight connections' buffers of the system, on two hops each.
        assert!(sent < SIZE, "{directives}: {sent} bytes were taken");
        let grown = proxy.resident().saturating_sub(before);
        assert!(grown < 24 << 20, "{directives}: {grown} bytes");
        drop(silent);
        origin.await_idle();
    }
}
