use super::*;
use anyproxy_module_api::testing::{Block, Directive, ModuleUnderTest};

#[test]
fn it_says_its_version_and_then_echoes() {
    let module = ModuleUnderTest::<Swap>::start(&[Block::local().with(Directive::new("swap"))]);
    let mut run = module.handle("swap");
    run.client.send(b"good day");
    run.client.finish();
    module.host().run_until_stalled();
    assert_eq!(run.client.received_text(), format!("{VERSION}\ngood day"));
    assert!(run.result().expect("it ended").is_ok());
    drop(run);
    module.stop();
}
