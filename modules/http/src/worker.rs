//! What a worker keeps between requests, and what is counted.

use crate::{
    Http,
    access::Known,
    buffer::Memory,
    exchange::{Request, Spare},
    files::Files,
    http2::client::Peers,
    upstream::Idle,
};
use anyproxy_module_api::{Action, sleep, spawn};
use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// One worker's own.
#[derive(Debug)]
pub struct Worker {
    /// Memory of requests that are over.
    pub(crate) spare: Rc<Spare>,
    /// Connections to peers without a request.
    pub(crate) idle: Rc<Idle>,
    /// Connections of HTTP/2 to peers.
    pub(crate) peers: Rc<Peers>,
    /// Files that were asked for lately.
    pub(crate) files: Rc<Files>,
    /// Memory of compressors, bytes.
    pub(crate) compressing: Rc<Cell<usize>>,
    /// Bodies that are kept on their way.
    pub(crate) buffers: Rc<Memory>,
    /// Passwords that were verified.
    pub(crate) known: Known,
}

/// A connection of HTTP/2 to a peer without a request is kept for so long.
const IDLE_MS: u64 = 60_000;
/// How often idle connections are looked at.
const SWEEP: Duration = Duration::from_secs(1);

impl Worker {
    pub(crate) fn start() -> Self {
        let idle = Rc::<Idle>::default();
        let files = Rc::<Files>::default();
        let peers = Rc::<Peers>::default();
        let swept = (Rc::clone(&idle), Rc::clone(&files), Rc::clone(&peers));
        // Ends with the generation.
        drop(spawn(async move {
            for turn in 1_u64.. {
                sleep(SWEEP).await;
                swept.0.sweep();
                swept.2.sweep(IDLE_MS);
                if turn % 20 == 0 {
                    swept.1.sweep();
                }
            }
        }));
        Self {
            spare: Rc::default(),
            idle,
            peers,
            files,
            compressing: Rc::default(),
            buffers: Rc::default(),
            known: Known::default(),
        }
    }

    /// An empty request, mostly with the memory of an earlier one.
    pub(crate) fn request(&self) -> Rc<RefCell<Request>> {
        self.spare.borrow_mut().pop().unwrap_or_default()
    }
}

/// Counted by all workers.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) requests: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) upstream_new: AtomicU64,
    pub(crate) upstream_reused: AtomicU64,
    pub(crate) upstream_retried: AtomicU64,
    /// Answers by class of status: 1xx to 5xx.
    pub(crate) answers: [AtomicU64; 5],
}

impl Stats {
    pub(crate) fn answered(&self, status: u16) {
        if let Some(n) = self.answers.get(usize::from(status / 100).wrapping_sub(1)) {
            n.fetch_add(1, Relaxed);
        }
    }
}

/// The module's entry in `anyproxy ctl status`.
pub(crate) struct Status;

impl Action<Http> for Status {
    const NAME: &'static str = "";
    const DOC: &'static str = "Requests, answers by class, and connections to peers.";

    fn run(module: &Http, _: &str) -> Result<String, String> {
        let s = &module.stats;
        let [a, b, c, d, e] = s.answers.each_ref().map(|n| n.load(Relaxed));
        Ok(format!(
            "{{\"requests\":{},\"refused\":{},\"1xx\":{a},\"2xx\":{b},\"3xx\":{c},\"4xx\":{d},\"5xx\":{e},\
             \"upstream\":{{\"new\":{},\"reused\":{},\"retried\":{}}}}}",
            s.requests.load(Relaxed),
            s.refused.load(Relaxed),
            s.upstream_new.load(Relaxed),
            s.upstream_reused.load(Relaxed),
            s.upstream_retried.load(Relaxed),
        ))
    }
}
