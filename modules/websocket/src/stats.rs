//! What is counted, and the module's entry in the status.

use crate::WebSockets;
use anyproxy_module_api::Action;
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

fn one(n: &AtomicU64) {
    n.fetch_add(1, Relaxed);
}

impl Stats {
    pub(crate) fn opened(&self) {
        one(&self.opened);
    }

    pub(crate) fn proxied(&self) {
        one(&self.proxied);
    }

    pub(crate) fn refused(&self, status: u16) {
        if let Some(n) = REFUSALS.iter().position(|s| *s == status) {
            one(&self.refused[n]);
        }
    }

    pub(crate) fn closed(&self, code: u16) {
        one(self.closed.get(usize::from(code).wrapping_sub(1000)).unwrap_or(&self.closed_other));
    }

    /// Messages.
    pub(crate) fn moved(&self, received: u64, sent: u64) {
        // Most turns of a connection move none.
        if received > 0 {
            self.received.fetch_add(received, Relaxed);
        }
        if sent > 0 {
            self.sent.fetch_add(sent, Relaxed);
        }
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
        stats.refused(403);
        stats.moved(2, 3);
        assert_eq!(
            stats.show(),
            "{\"opened\":8,\"open\":1,\"proxied\":0,\"messages_in\":2,\"messages_out\":3,\
             \"refused\":{\"400\":0,\"403\":1,\"426\":0},\"closed\":{\"1000\":2,\"1006\":1,\"1015\":1,\"other\":3}}"
        );
    }
}
