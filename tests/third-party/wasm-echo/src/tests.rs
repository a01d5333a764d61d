use super::*;
use anyproxy_module_api::testing::{Block, Directive, ModuleUnderTest};

#[test]
fn the_guest_answers_in_capitals() {
    let module = ModuleUnderTest::<WasmEcho>::start(&[Block::local().with(Directive::new("wasm_echo"))]);
    let mut run = module.handle("wasm_echo");
    run.client.send(b"good day");
    module.host().run_until_stalled();
    assert_eq!(run.client.received_text(), "GOOD DAY");
    run.client.send(&[b'a'; PIECE]);
    module.host().run_until_stalled();
    assert!(run.client.received() == [b'A'; PIECE]);
    run.client.finish();
    module.host().run_until_stalled();
    assert!(run.result().expect("it ended").is_ok());
    drop(run);
    module.stop();
}
