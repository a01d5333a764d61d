//! TCP at layer 4: listeners, the connector, the handler that joins a client with a peer, and the headers in front of
//! streams. Owns how bytes are carried; knows nothing of threads, sockets, pools of peers or of what the bytes mean.
#![forbid(unsafe_code)]

use anyproxy_module_api::{Module, Problems, Registry, Scope};

mod access;
mod conf;
pub mod core;
mod endpoint;
mod greeting;
mod preread;
mod relay;
mod session;
mod stats;
mod variables;

pub use conf::Conf;
use stats::{Stats, Worker};

/// The module: what its workers count together.
#[derive(Debug, Default)]
pub struct Tcp {
    stats: Stats,
}

impl Module for Tcp {
    type Conf = Conf;
    type Worker = Worker;

    fn register(registry: &mut Registry<Self>) {
        registry
            .plain_listener::<endpoint::Tcp>()
            .plain_connector::<endpoint::Tcp>()
            .handler::<relay::Handle>()
            .relay::<relay::Copy>()
            .relay::<relay::Splice>()
            .relay::<relay::Shaped>()
            .preread::<preread::Hello>()
            .preread::<preread::ProxyProtocol>()
            .preread::<preread::Tls>()
            .preread::<preread::Http>()
            .greeting::<greeting::Hello>()
            .greeting::<greeting::ProxyProtocol>()
            .hook::<access::Before>()
            .hook::<access::Routed>()
            .action::<stats::Status>();
        variables::register(registry);
    }

    fn create() -> Self {
        Self::default()
    }

    fn conf(&self, scope: &Scope<'_, Conf>, problems: &mut Problems<'_>) -> Conf {
        Conf::new(scope, problems)
    }

    fn worker_start(&self, _: u32) -> Worker {
        Worker::new()
    }
}
