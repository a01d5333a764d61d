use super::*;
use anyproxy_module_api::testing::{Block, ModuleUnderTest};
use std::net::SocketAddr;

fn addr(port: u16) -> Addr {
    SocketAddr::from(([127, 0, 0, 1], port)).into()
}

#[test]
fn a_datagram_names_its_owner() {
    let module = ModuleUnderTest::<DatagramEcho>::start(&[Block::server()]);
    assert_eq!(module.route("dgram", b"1234567"), Route::DROP);
    assert_eq!(module.route("dgram", &[0; 8]), Route::NEW);
    assert_eq!(module.route("dgram", &[0, 0, 1, 0, 0, 0, 0, 3, 9]), Route::owner(256, 3));
    module.stop();
}

#[test]
fn each_datagram_of_a_run_is_answered_by_the_owner() {
    let module = ModuleUnderTest::<DatagramEcho>::start(&[Block::server()]);
    let endpoint = module.datagrams("dgram", 7, addr(10_003));
    let run = [&[0; 8][..], b"one", &[0; 8], b"tw"].concat();
    let meta = Received { from: addr(40_000), to: addr(10_003), len: run.len(), segment: 11, ecn: 0 };
    endpoint.deliver(&meta, &run);
    let sent = module.host().sent();
    let head = [epoch().to_be_bytes(), 0_u32.to_be_bytes()].concat();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].bytes, [&head[..], b"one"].concat());
    assert_eq!(sent[1].bytes, [&head[..], b"tw"].concat());
    assert!(sent.iter().all(|s| s.to == addr(40_000) && s.from == addr(10_003) && s.listener == Some(7)));
    drop(endpoint);
    module.stop();
}
