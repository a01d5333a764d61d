//! WebSocket (RFC 6455) on the contract `http`: who may open one, and what answers it. Owns the handshake and the frames of
//! connections that end here; knows nothing of heads, connections and peers, which are http's.
#![forbid(unsafe_code)]

use anyproxy_http_contract::{Http, ID, VERSION};
use anyproxy_module_api::{Module, Problems, Registry, Scope};

mod check;
mod conf;
mod handshake;
mod hook;
mod io;
mod origin;
mod scan;
mod serve;
mod stats;
mod talk;

pub use check::check;
pub use conf::Conf;

/// The module: what its workers count together.
#[derive(Debug, Default)]
pub struct WebSockets {
    stats: stats::Stats,
}

impl Module for WebSockets {
    type Conf = Conf;
    type Worker = stats::Metrics;

    fn register(registry: &mut Registry<Self>) {
        registry.require(ID, VERSION.0, VERSION.1, false).handler::<hook::WithoutHttp>().action::<stats::Status>();
    }

    fn create() -> Self {
        Self::default()
    }

    fn conf(&self, scope: &Scope<'_, Conf>, problems: &mut Problems<'_>) -> Conf {
        Conf::new(scope, problems)
    }

    fn prepare(&self, problems: &mut Problems<'_>) -> bool {
        let Some(http) = Http::resolve(self) else {
            problems.fail("websocket: no module provides \"http\"; write load_module \"http\"");
            return false;
        };
        http.hook::<hook::Open>()
    }

    fn worker_start(&self, _: u32) -> stats::Metrics {
        stats::Metrics::new()
    }
}
