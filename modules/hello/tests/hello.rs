//! The hello module on the fake host: how a module is tested without a proxy.

use anyproxy_hello::Hello;
use anyproxy_module_api::testing::{Block, Directive, FakeHost, ModuleUnderTest};

/// `net { server { local { hello "…"; }; }; }`
fn saying(text: &str) -> Vec<Block> {
    let local = Block::local().with(Directive::new("hello").arg(text));
    vec![Block::net().block(Block::server().block(local))]
}

#[test]
fn a_client_is_told_the_text_and_the_end() {
    let module = ModuleUnderTest::<Hello>::start(&saying("good day\n"));
    let mut run = module.handle("hello");
    module.host().run_until_stalled();

    assert_eq!(run.client.received_text(), "good day\n");
    assert!(run.client.is_finished());
    assert!(run.result().expect("the handler ended").is_ok());
    assert_eq!(run.session.client_sent.get(), 9);

    drop(run);
    module.stop();
}

#[test]
fn variables_in_the_text_have_the_sessions_values() {
    let host = FakeHost::new();
    host.variable("shop", "books");
    let module = ModuleUnderTest::<Hello>::start_on(host, &saying("${client_addr} ${shop} $${shop}"));
    let run = module.handle("hello");
    module.host().run_until_stalled();
    assert_eq!(run.client.received_text(), "192.0.2.1:40000 books ${shop}");
    drop(run);
    module.stop();
}

#[test]
fn a_client_that_takes_one_byte_at_a_time_gets_all() {
    let module = ModuleUnderTest::<Hello>::start(&saying("good day"));
    let mut run = module.handle("hello");
    run.client.fragment(3);
    run.client.window(1);
    run.client.stutter(true);
    let mut got = Vec::new();
    while got.len() < 8 {
        module.host().run_until_stalled();
        assert_eq!(run.client.waiting(), 1, "the window is never exceeded");
        got.extend(run.client.received());
    }
    module.host().run_until_stalled();
    assert_eq!(got, b"good day");
    assert!(run.result().expect("the handler ended").is_ok());
    drop(run);
    module.stop();
}

#[test]
fn a_client_that_resets_is_an_error_and_leaves_nothing_behind() {
    let module = ModuleUnderTest::<Hello>::start(&saying("good day"));
    let mut run = module.handle("hello");
    run.client.reset();
    module.host().run_until_stalled();
    assert!(run.result().expect("the handler ended").is_err());
    drop(run);
    module.stop();
}

#[test]
fn a_session_cut_short_gives_everything_back() {
    let module = ModuleUnderTest::<Hello>::start(&saying("good day"));
    let run = module.handle("hello");
    run.client.window(0);
    module.host().run_until_stalled();
    run.abort();
    assert!(run.client.is_closed());
    drop(run);
    module.stop();
}

#[test]
fn the_text_is_required_and_belongs_into_a_local() {
    let without = [Block::local().with(Directive::new("hello"))];
    let problems = ModuleUnderTest::<Hello>::try_start(&without).expect_err("the text is required");
    assert!(problems[0].message.contains("\"text\""), "{problems:?}");

    let outside = [Block::net().with(Directive::new("hello").arg("good day"))];
    let problems = ModuleUnderTest::<Hello>::try_start(&outside).expect_err("only a local has a handler");
    assert!(problems[0].message.contains("no directive \"hello\" in Net"), "{problems:?}");
}

#[test]
fn a_local_without_the_directive_says_nothing() {
    let module = ModuleUnderTest::<Hello>::start(&[Block::local()]);
    assert!(module.conf().is_none());
    let mut run = module.handle("hello");
    module.host().run_until_stalled();
    assert_eq!(run.client.received(), b"");
    assert!(run.result().expect("the handler ended").is_ok());
    drop(run);
    module.stop();
}
