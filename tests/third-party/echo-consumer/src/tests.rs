use super::*;
use anyproxy_module_api::testing::{Block, Directive, FakeHost, ModuleUnderTest};
use sample_contract::{EchoTable, Provider};

struct Twice;
impl Provider for Twice {
    fn answer(&self, bytes: &[u8], to: &mut Sink<'_>) {
        assert_ne!(bytes, b"panic", "told to");
        to.push(bytes);
        to.push(bytes);
    }
}
static TABLE: EchoTable = EchoTable::new(&Twice);

fn config() -> [Block; 1] {
    [Block::local().with(Directive::new("consumer_echo"))]
}

fn host() -> FakeHost {
    let host = FakeHost::new();
    let table = (&raw const TABLE).cast();
    // SAFETY: a table of that contract, in a static.
    unsafe { host.provide(sample_contract::ID, sample_contract::VERSION, sample_contract::LAYOUT, table) };
    host
}

#[test]
fn it_answers_with_what_the_provider_says() {
    let module = ModuleUnderTest::<EchoConsumer>::start_on(host(), &config());
    let mut run = module.handle("consumer_echo");
    run.client.send(b"ab");
    run.client.finish();
    module.host().run_until_stalled();
    assert_eq!(run.client.received_text(), "abab");
    assert!(run.result().expect("it ended").is_ok());
}

#[test]
fn a_panic_of_the_provider_ends_the_session_only() {
    let module = ModuleUnderTest::<EchoConsumer>::start_on(host(), &config());
    let mut run = module.handle("consumer_echo");
    run.client.send(b"panic");
    module.host().run_until_stalled();
    let error = run.result().expect("it ended").expect_err("it failed");
    assert_eq!(error.kind, ErrorKind::Panicked);
}

#[test]
fn without_a_provider_the_generation_is_given_up() {
    let problems = ModuleUnderTest::<EchoConsumer>::try_start(&config()).expect_err("nobody provides it");
    assert!(problems[0].message.contains("nobody provides sample.echo"), "{problems:?}");
}
