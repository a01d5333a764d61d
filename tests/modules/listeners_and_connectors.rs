//! A listener and a connector of a module's own, one behind the other: client → connector → listener → echo.

use std::io::Write;

use harness::{Proxy, client, pattern};

use crate::support::{module, text};

#[test]
fn a_chain_of_both() {
    let Some(xor) = module("listener_connector") else { return };
    let Some(swap) = module("faulty") else { return };
    let inner = text(&[&xor, &swap], &["faulty \"echo\""]).replace("port_listen_tcp", "port_listen_xor");
    let inner = Proxy::start(&inner);
    // On the wire each byte is XORed.
    let mut wire = client::connect(inner.addr(0));
    wire.write_all(&[b'x' ^ 0x5a]).expect("write");
    assert_eq!(client::read_exact(&wire, 1), [b'x' ^ 0x5a]);
    drop(wire);
    for pass in [
        format!("proxy_pass_xor \"{}\"", inner.addr(0)),
        // Plain to plain: both ends of the wire see XORed bytes.
        format!("proxy_pass_tcp \"{}\"", inner.addr(0)),
    ] {
        let listen = if pass.contains("xor") { "port_listen_tcp" } else { "port_listen_xor" };
        let outer = text(&[&xor], &[&pass]).replace("port_listen_tcp", listen);
        let outer = Proxy::start(&outer);
        let sent = pattern::bytes(1 << 20);
        let back = client::exchange(outer.addr(0), &sent);
        if pass.contains("xor") {
            assert!(back == sent, "{} bytes came back", back.len());
        } else {
            // Undone at the outer listener, done again towards nobody: the inner one undoes plain bytes.
            assert_eq!(back.len(), sent.len());
        }
    }
}
