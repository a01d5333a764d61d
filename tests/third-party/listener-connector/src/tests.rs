use super::*;
use anyproxy_module_api::testing::{Block, ModuleUnderTest};
use std::net::SocketAddr;

fn xor(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|b| b ^ 0x5a).collect()
}

#[test]
fn what_the_listener_accepts_is_plain_inside_and_xored_on_the_wire() {
    let module = ModuleUnderTest::<ListenerConnector>::start(&[Block::server()]);
    let mut run = module.accept("xor");
    module.host().run_until_stalled();
    let mut inside = run.result().expect("accepted at once").expect("it cannot fail");
    run.client.fragment(3);
    run.client.send(&xor(b"good day"));
    inside.unread(b"a ".to_vec().into());
    let mut bytes = [0; 10];
    module.host().run(inside.read_exact(&mut bytes)).expect("the bytes are there");
    assert_eq!(&bytes, b"a good day");
    module.host().run(inside.write_all(b"welcome")).expect("there is room");
    assert_eq!(run.client.received(), xor(b"welcome"));
    assert_eq!(inside.info().protocol.as_str(), "xor");
}

#[test]
fn the_connector_speaks_to_the_listener() {
    let module = ModuleUnderTest::<ListenerConnector>::start(&[Block::local()]);
    let address = SocketAddr::from(([127, 0, 0, 1], 10_002));
    let server = module.host().server(address);
    let session = module.host().session();
    let mut stream = module.connect("xor", &session, address, "localhost").expect("a server is there");
    module.host().run(stream.write_all(b"hello")).expect("there is room");
    assert_eq!(server.accept().expect("it connected").received(), xor(b"hello"));
}
