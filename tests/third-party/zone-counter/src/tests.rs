use super::*;
use anyproxy_module_api::testing::{Block, Directive, ModuleUnderTest};

#[test]
fn it_counts() {
    let module = ModuleUnderTest::<ZoneCounter>::start(&[Block::local().with(Directive::new("zone_counter"))]);
    for n in 1..=2 {
        let run = module.handle("zone_counter");
        run.client.finish();
        module.host().run_until_stalled();
        assert_eq!(run.client.received_text(), format!("{n} {VERSION}\n"));
    }
    module.stop();
}

#[test]
fn what_is_not_understood_is_not_imported() {
    let count = Count::of(7);
    assert_eq!(Count::import(1, &count.export()).map(|c| c.0.into_inner()), Some(7));
    assert!(Count::import(2, &count.export()).is_none());
    assert!(Count::import(1, b"7").is_none());
}
