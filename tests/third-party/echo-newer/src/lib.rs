//! Needs `sample.echo` 1.7, which nobody provides: no host loads it beside `echo-provider` 1.0. Does nothing else.

use anyproxy_module_api::*;

export_module!(EchoNewer, requires = ["sample.echo" 1.7]);

/// The module: it keeps nothing.
#[derive(Debug)]
pub struct EchoNewer;

impl Module for EchoNewer {
    type Conf = ();
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.require("sample.echo", 1, 7, false);
    }

    fn create() -> Self {
        Self
    }

    fn conf(&self, _: &Scope<'_, ()>, _: &mut Problems<'_>) {}

    fn worker_start(&self, _: u32) {}
}
