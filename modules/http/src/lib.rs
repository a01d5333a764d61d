//! HTTP: serves requests and passes them on. Owns the protocol and what a request goes through; knows nothing of threads,
//! sockets or pools of peers.
#![forbid(unsafe_code)]

use anyproxy_module_api::{Module, Problems, Registry, Scope};

mod conf;
mod conn;
pub mod core;
mod exchange;
mod files;
pub mod h1;
mod headers;
mod http1;
mod incoming;
mod message;
mod proxy;
mod reply;
mod respond;
mod segment;
mod statics;
mod trust;
mod upstream;
mod variables;
mod worker;

pub use conf::Conf;
use worker::{Stats, Worker};

/// The module: what its workers count together.
#[derive(Debug, Default)]
pub struct Http {
    stats: Stats,
}

impl Module for Http {
    type Conf = Conf;
    type Worker = Worker;

    fn register(registry: &mut Registry<Self>) {
        registry.handler::<http1::Handle>().action::<worker::Status>();
        variables::register(registry);
    }

    fn create() -> Self {
        Self::default()
    }

    fn conf(&self, scope: &Scope<'_, Conf>, problems: &mut Problems<'_>) -> Conf {
        Conf::new(scope, problems)
    }

    fn worker_start(&self, _: u32) -> Worker {
        Worker::start()
    }
}
