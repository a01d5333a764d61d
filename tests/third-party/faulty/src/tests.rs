use super::*;
use anyproxy_module_api::testing::{Block, Directive, FakeHost, ModuleUnderTest};

fn start(mode: &str) -> ModuleUnderTest<Faulty> {
    let host = FakeHost::new();
    // A job that does not end would keep this thread.
    host.hold_jobs(true);
    ModuleUnderTest::start_on(host, &[Block::local().with(Directive::new("faulty").arg(mode))])
}

#[test]
fn a_panic_in_the_handler_is_its_result() {
    let module = start("panic");
    let mut run = module.handle("faulty");
    run.client.send(b"x");
    module.host().run_until_stalled();
    assert_eq!(run.result().expect("it ended").expect_err("it failed").kind, ErrorKind::Panicked);
}

#[test]
fn a_panic_in_drop_or_in_a_waker_harms_nobody_else() {
    let module = start("panic_drop");
    let run = module.handle("faulty");
    module.host().run_until_stalled();
    run.abort();
    module.host().run_until_stalled();
    drop(run);
    module.stop();

    let module = start("panic_waker");
    let run = module.handle("faulty");
    run.client.send(b"x");
    module.host().advance(Duration::from_secs(1));
    assert_eq!(run.client.received(), b"x");
    drop(run);
    module.stop();
}

#[test]
fn prepare_and_worker_stop_fail_as_told() {
    for mode in ["panic_prepare", "error_prepare"] {
        let block = Block::local().with(Directive::new("faulty").arg(mode));
        assert!(ModuleUnderTest::<Faulty>::try_start(&[block]).is_err(), "{mode}");
    }
    start("panic_worker_stop").stop();
}

#[test]
fn what_is_held_without_end_is_given_up_with_its_owner() {
    let module = start("hold");
    // Jobs stay in the queue: here nobody takes them out.
    let held = || module.host().held().replace("2 job", "1 job");
    let before = held();
    assert!(before.contains("task") && before.contains("timer") && before.contains("job"), "{before}");
    let run = module.handle("faulty");
    module.host().run_until_stalled();
    assert_ne!(held(), before);
    run.abort();
    drop(run);
    module.host().run_until_stalled();
    // The session's task is let go, not ended: that is left to the generation.
    assert_eq!(held().replace("2 task", "1 task"), before);
}
