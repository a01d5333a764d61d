//! HTTP: serves requests and passes them on. Owns the protocol and what a request goes through; knows nothing of threads,
//! sockets or pools of peers.
#![deny(unsafe_code)]

use anyproxy_http_contract::HttpTable;
use anyproxy_module_api::{Module, Problems, Registry, Scope, SpanBuf, ZoneRef, zone};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

mod access;
mod buffer;
mod compress;
mod conditions;
mod conf;
mod conn;
pub mod core;
mod direct;
mod exchange;
mod fault;
mod files;
mod forward;
pub mod h1;
pub mod h2;
mod headers;
mod hooks;
mod http1;
mod http2;
mod incoming;
mod lent;
mod made;
mod max_forwards;
mod message;
mod multi_hop;
mod pace;
mod pages;
mod probe;
mod provide;
mod proxy;
mod purge;
mod redirects;
mod reply;
mod respond;
mod response_head;
mod retry;
mod rewrite;
mod spare_buf;
mod statics;
mod total;
mod totals;
mod trust;
mod upstream;
mod variables;
mod worker;

pub use conf::Conf;
use core::limit::Limiter;
use worker::{Stats, Worker};

/// The module: what its workers count together.
#[derive(Debug, Default)]
pub struct Http {
    /// Of each worker.
    stats: Mutex<Vec<Arc<Stats>>>,
    hooks: hooks::Hooks,
    /// What `http_limit_requests` counts: of the process, over reloads.
    limiter: OnceLock<ZoneRef<Limiter>>,
    /// What `http_limit_rate` counts by keys: the same. Held by answers, too.
    rates: OnceLock<Arc<ZoneRef<pace::Rates>>>,
    /// The contract's, over this object.
    table: OnceLock<HttpTable>,
    /// `http_router` and `http_purge`: names of handlers, and where they are said.
    routed: Mutex<Vec<(&'static str, SpanBuf)>>,
    /// Heads of answers, whichever block asks for them.
    response_heads: response_head::Most,
}

impl Http {
    /// What is counted; `None`: another image goes on with it.
    pub(crate) fn limiter(&self) -> Option<&Limiter> {
        self.limiter.get()?.live()
    }
}

impl Module for Http {
    type Conf = Conf;
    type Worker = Worker;

    fn register(registry: &mut Registry<Self>) {
        registry
            .provide::<provide::Table>()
            .handler::<http1::Handle>()
            .action::<worker::Status>()
            .probe::<probe::Ask>()
            .probe::<probe::grpc::Ask>();
        variables::register(registry);
    }

    fn create() -> Self {
        Self::default()
    }

    fn conf(&self, scope: &Scope<'_, Conf>, problems: &mut Problems<'_>) -> Conf {
        let conf = Conf::new(scope, problems);
        self.response_heads.note(&conf.response_head);
        let routed = match &conf.answerer {
            conf::Answerer::Module(name) => scope.node("http_router").map(|node| (*name, SpanBuf::from(node.span))),
            conf::Answerer::Purge(_) => scope.node("http_purge").map(|node| (purge::HANDLER, SpanBuf::from(node.span))),
            _ => None,
        };
        self.routed.lock().unwrap_or_else(PoisonError::into_inner).extend(routed);
        conf
    }

    fn prepare(&self, problems: &mut Problems<'_>) -> bool {
        match zone("limits").and_then(|limits| Ok((limits, zone("rates")?))) {
            Ok((limits, rates)) => self.limiter.set(limits).is_ok() && self.rates.set(Arc::new(rates)).is_ok(),
            Err(e) => {
                problems.fail(&format!("http: {e}"));
                false
            }
        }
    }

    fn settle(&self, problems: &mut Problems<'_>) -> bool {
        self.hooks.settle();
        for (name, span) in self.routed.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            if self.hooks.handler(name).is_none() {
                let known = self.hooks.handlers().join(", ");
                let help = if known.is_empty() {
                    "no module that is loaded brings any".to_owned()
                } else {
                    format!("there is: {known}")
                };
                problems.error(&span.as_span(), &format!("no module brings a handler \"{name}\""), &help);
            }
        }
        true
    }

    fn worker_start(&self, _: u32) -> Worker {
        let stats = Arc::<Stats>::default();
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&stats));
        Worker::start(stats, self.response_heads.get())
    }

    fn worker_stop(&self, worker: Worker) {
        worker.stop();
    }
}
