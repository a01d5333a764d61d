//! Offers the contract `sample.echo` to other modules: capitals for small letters.
//! Owns the table and a count of its calls; knows nothing of who calls.

use anyproxy_module_api::*;
use sample_contract::{EchoTable, Provider};
use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

directive! {
    /// Ends each answer of the contract with this text.
    /// Absent: with nothing.
    "echo_provider_suffix", Contexts::MAIN,
    .args(&[ArgDesc::new("text", Kind::Text, "What each answer ends with.").required()])
    .example("echo_provider_suffix \"!\"")
}

export_module!(EchoProvider, provides = ["sample.echo" 1.0]);

/// The module of one generation: the provider behind its table.
#[derive(Debug, Default)]
pub struct EchoProvider {
    table: OnceLock<EchoTable>,
    suffix: OnceLock<String>,
    calls: AtomicU64,
}

impl Module for EchoProvider {
    type Conf = ();
    type Worker = ();

    fn register(registry: &mut Registry<Self>) {
        registry.provide::<SampleEcho>().action::<Status>();
    }

    fn create() -> Self {
        Self::default()
    }

    fn conf(&self, scope: &Scope<'_, ()>, _: &mut Problems<'_>) {
        if let Some(text) = scope.node("echo_provider_suffix").and_then(|node| node.arg(0)) {
            self.suffix.get_or_init(|| text.text.as_str().to_owned());
        }
    }

    fn worker_start(&self, _: u32) {}
}

impl Provider for EchoProvider {
    fn answer(&self, bytes: &[u8], to: &mut Sink<'_>) {
        self.calls.fetch_add(1, Relaxed);
        to.push(&bytes.to_ascii_uppercase());
        to.push(self.suffix.get().map_or(&[], |suffix| suffix.as_bytes()));
    }
}

struct SampleEcho;

impl ContractTable<EchoProvider> for SampleEcho {
    const ID: &'static str = sample_contract::ID;
    const VERSION: (u16, u16) = sample_contract::VERSION;
    const LAYOUT: u64 = sample_contract::LAYOUT;

    fn table(module: &EchoProvider) -> *const () {
        std::ptr::from_ref(module.table.get_or_init(|| EchoTable::new(module))).cast()
    }
}

struct Status;

impl Action<EchoProvider> for Status {
    const NAME: &'static str = "";
    const DOC: &'static str = "Calls of the contract in this generation.";

    fn run(module: &EchoProvider, _: &str) -> Result<String, String> {
        Ok(format!("{{\"calls\":{}}}", module.calls.load(Relaxed)))
    }
}

#[cfg(test)]
mod tests;
