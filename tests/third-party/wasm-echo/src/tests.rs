use super::*;
use anyproxy_module_api::testing::{Block, Directive, ModuleUnderTest};
use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

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

#[test]
fn a_guest_without_end_yields_and_is_ended() {
    let module = ModuleUnderTest::<WasmEcho>::start(&[Block::local().with(Directive::new("wasm_echo"))]);
    let (mut endless, mut other) = (module.handle("wasm_echo"), module.handle("wasm_echo"));
    let over = AtomicBool::new(false);
    thread::scope(|threads| {
        // The host's process loop goes on beside the workers; the fake one has this thread only.
        threads.spawn(|| {
            while !over.load(Relaxed) {
                engine().expect("made in prepare").increment_epoch();
                thread::sleep(Duration::from_millis(1));
            }
        });
        endless.client.send(b"\0");
        other.client.send(b"good day");
        // The endless one gives way and goes on until its turns are used up.
        module.host().run_until_stalled();
        assert_eq!(other.client.received_text(), "GOOD DAY");
        over.store(true, Relaxed);
    });
    assert!(other.result().is_none());
    let error = endless.result().expect("it ended").expect_err("it failed");
    assert!(error.to_string().contains("took too long"), "{error}");
}
