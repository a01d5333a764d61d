use super::*;
use anyproxy_module_api::testing::{Block, Directive, ModuleUnderTest};

#[test]
fn the_table_answers_in_capitals_and_counts_its_calls() {
    let suffix = Directive::new("echo_provider_suffix").arg("!");
    let module = ModuleUnderTest::<EchoProvider>::start(&[Block::main().with(suffix)]);
    let table = SampleEcho::table(module.module());
    // SAFETY: the module's own table of that contract; it lives until `stop`.
    unsafe { module.host().provide(sample_contract::ID, sample_contract::VERSION, sample_contract::LAYOUT, table) };
    let echo = sample_contract::Echo::resolve().expect("it is offered");
    let mut answer = Vec::new();
    assert!(echo.answer("grüß 7".as_bytes(), &mut answer));
    assert_eq!(String::from_utf8_lossy(&answer), "GRüß 7!");
    assert_eq!(module.action("", "").as_deref(), Ok("{\"calls\":1}"));
    module.stop();
}
