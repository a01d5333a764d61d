//! What is counted: for the module's entry in the status, and as metrics.

use crate::WebSockets;
use anyproxy_module_api::{Action, Counter, Gauge, Session};
use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Close codes that have a meaning of their own: 1000 to 1015 (RFC 6455 section 7.4.1).
const CODES: usize = 16;
const REFUSALS: [u16; 3] = [400, 403, 426];

/// Counted by all workers.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    opened: AtomicU64,
    proxied: AtomicU64,
    refused: [AtomicU64; REFUSALS.len()],
    closed: [AtomicU64; CODES],
    /// Codes of applications: 3000 to 4999.
    closed_other: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
}

/// The same as metrics, of one worker. All are there from the beginning: those that a generation adds later end with it.
#[derive(Debug)]
pub struct Metrics {
    opened: Counter,
    open: Gauge,
    proxied: Counter,
    refused: [Counter; REFUSALS.len()],
    /// By code, from 1000; the last one for others.
    closed: [Counter; CODES + 1],
    received: Counter,
    sent: Counter,
}

const CLOSED: &str = "WebSockets that ended here, by close code; those of applications together.";
const MESSAGES: &str = "Messages of WebSockets that end here.";

impl Metrics {
    pub(crate) fn new() -> Self {
        let refused = |status| {
            Counter::new("refused_total", "Handshakes that were refused, by status.", &format!("status={status}"))
        };
        let closed = |n: usize| {
            let code = if n == CODES { "other".to_owned() } else { (1000 + n).to_string() };
            Counter::new("closed_total", CLOSED, &format!("code={code}"))
        };
        let messages = |way| Counter::new("messages_total", MESSAGES, way);
        Self {
            opened: Counter::new("opened_total", "WebSockets that were opened and end here.", ""),
            open: Gauge::new("open", "WebSockets that are open and end here.", ""),
            proxied: Counter::new("proxied_total", "Handshakes that were passed on to peers.", ""),
            refused: REFUSALS.map(refused),
            closed: std::array::from_fn(closed),
            received: messages("way=in"),
            sent: messages("way=out"),
        }
    }
}

/// Where what happens in one session is counted.
#[derive(Clone, Copy)]
pub(crate) struct Books<'a> {
    stats: &'a Stats,
    metrics: &'a Metrics,
}

impl<'a> Books<'a> {
    pub(crate) fn of(session: &'a Session<WebSockets>) -> Self {
        Self { stats: &session.module().stats, metrics: session.worker() }
    }

    pub(crate) fn opened(self) {
        self.stats.opened();
        self.metrics.opened.add(1);
        self.metrics.open.add(1);
    }

    pub(crate) fn proxied(self) {
        one(&self.stats.proxied);
        self.metrics.proxied.add(1);
    }

    pub(crate) fn refused(self, status: u16) {
        if let Some(n) = REFUSALS.iter().position(|s| *s == status) {
            one(&self.stats.refused[n]);
            self.metrics.refused[n].add(1);
        }
    }

    pub(crate) fn closed(self, code: u16) {
        self.metrics.open.add(-1);
        self.metrics.closed[self.stats.closed(code)].add(1);
    }

    /// Messages.
    pub(crate) fn moved(self, received: u64, sent: u64) {
        let Self { stats, metrics } = self;
        // Most turns of a connection move none.
        for (n, all, metric) in [(received, &stats.received, metrics.received), (sent, &stats.sent, metrics.sent)] {
            if n > 0 {
                all.fetch_add(n, Relaxed);
                metric.add(n);
            }
        }
    }
}

fn one(n: &AtomicU64) {
    n.fetch_add(1, Relaxed);
}

impl Stats {
    fn opened(&self) {
        one(&self.opened);
    }

    /// Where it is counted among the metrics.
    fn closed(&self, code: u16) -> usize {
        let n = usize::from(code).wrapping_sub(1000).min(CODES);
        one(self.closed.get(n).unwrap_or(&self.closed_other));
        n
    }

    /// As JSON.
    fn show(&self) -> String {
        let get = |n: &AtomicU64| n.load(Relaxed);
        let closed: Vec<_> = self.closed.iter().map(get).collect();
        let other = get(&self.closed_other);
        // Counted one after the other: a close may come in between.
        let open = get(&self.opened).saturating_sub(closed.iter().sum::<u64>() + other);
        let mut out = format!(
            "{{\"opened\":{},\"open\":{open},\"proxied\":{},\"messages_in\":{},\"messages_out\":{},\"refused\":{{",
            get(&self.opened),
            get(&self.proxied),
            get(&self.received),
            get(&self.sent)
        );
        for (n, (status, count)) in REFUSALS.iter().zip(&self.refused).enumerate() {
            let _ = write!(out, "{}\"{status}\":{}", if n == 0 { "" } else { "," }, get(count));
        }
        out.push_str("},\"closed\":{");
        for (n, count) in closed.iter().enumerate().filter(|(_, count)| **count > 0) {
            let _ = write!(out, "\"{}\":{count},", 1000 + n);
        }
        let _ = write!(out, "\"other\":{other}}}}}");
        out
    }
}

/// The module's entry in `anyproxy ctl status`.
pub(crate) struct Status;

impl Action<WebSockets> for Status {
    const NAME: &'static str = "";
    const DOC: &'static str =
        "WebSockets that were opened, refused and passed on, how they were closed, and their messages.";

    fn run(module: &WebSockets, _: &str) -> Result<String, String> {
        Ok(module.stats.show())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_counted_somewhere() {
        let stats = Stats::default();
        (0..8).for_each(|_| stats.opened());
        for code in [1000, 1000, 1006, 1015, 1016, 4999, 0] {
            stats.closed(code);
        }
        one(&stats.refused[1]);
        stats.received.store(2, Relaxed);
        stats.sent.store(3, Relaxed);
        assert_eq!(
            stats.show(),
            "{\"opened\":8,\"open\":1,\"proxied\":0,\"messages_in\":2,\"messages_out\":3,\
             \"refused\":{\"400\":0,\"403\":1,\"426\":0},\"closed\":{\"1000\":2,\"1006\":1,\"1015\":1,\"other\":3}}"
        );
    }
}
