//! What the module counts: metrics, its worker's object, and its entry in status.

use crate::Tcp;
use anyproxy_module_api::{Action, Counter, pipe::Pipes};
use std::{
    fmt,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

/// Pipes of a worker that have bytes at one time: two descriptors each, which connections need, too.
const PIPES: usize = 1024;

/// What the workers of a generation have in common, for status.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// Sessions in a relay: copy, splice, shaped.
    pub(crate) relays: [AtomicI64; 3],
    /// Temporary files open.
    pub(crate) files: AtomicI64,
    /// Temporary files that failed.
    pub(crate) file_errors: AtomicU64,
}

/// The module's object on one worker.
pub struct Worker {
    /// Pipes for splicing.
    pub(crate) pipes: Pipes,
    /// Bytes moved by copying.
    pub(crate) copied: Counter,
    /// Bytes moved by the kernel.
    pub(crate) spliced: Counter,
    /// Bytes moved under a rate limit, a delay or by a temporary file.
    pub(crate) shaped: Counter,
    /// Bytes written to temporary files.
    pub(crate) spilled: Counter,
    /// Temporary files that could not be made, written or read.
    pub(crate) spill_errors: Counter,
    /// Directions for which a pipe was set up.
    pub(crate) splices: Counter,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Worker")
    }
}

impl Worker {
    pub(crate) fn new() -> Self {
        let bytes = |relay| Counter::new("relayed_bytes", "Bytes carried between clients and peers.", relay);
        Self {
            pipes: Pipes::new(PIPES),
            copied: bytes("relay=copy"),
            spliced: bytes("relay=splice"),
            shaped: bytes("relay=shaped"),
            spilled: Counter::new("spilled_bytes", "Bytes written to temporary files.", ""),
            spill_errors: Counter::new("spill_errors", "Temporary files that could not be made, written or read.", ""),
            splices: Counter::new("splices", "Directions of sessions that changed to splicing.", ""),
        }
    }
}

/// Counts a preread that was refused.
pub(crate) fn malformed(preread: &str, reason: &str) {
    // Reasons are texts of this module, so there is a bound on how many counters come to be.
    let labels = format!("preread={preread},reason={}", reason.replace([',', '='], ";"));
    Counter::new("preread_malformed", "Connections refused for what stands in front of them.", &labels).add(1);
}

/// The module's entry in status.
pub(crate) struct Status;

impl Action<Tcp> for Status {
    const NAME: &'static str = "";
    const DOC: &'static str = "Sessions by relay, and temporary files.";

    fn run(module: &Tcp, _: &str) -> Result<String, String> {
        let s = &module.stats;
        let [copy, splice, shaped] = s.relays.each_ref().map(|n| n.load(Relaxed));
        let (files, errors) = (s.files.load(Relaxed), s.file_errors.load(Relaxed));
        Ok(format!(
            "{{\"relays\":{{\"copy\":{copy},\"splice\":{splice},\"shaped\":{shaped}}},\
             \"tmp_files\":{files},\"tmp_file_errors\":{errors}}}"
        ))
    }
}
