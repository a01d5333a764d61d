//! What workers count, as metrics of the process. A worker counts in memory of its own, which costs a request next to
//! nothing; once a second, and at its end, what came is added to what is told.

use crate::worker::Stats;
use anyproxy_module_api::Counter;
use std::cell::Cell;

/// Names, labels, and where the number is.
type Row = (&'static str, &'static str, &'static str, fn(&Stats) -> u64);

const ANSWERS: &str = "Answers to clients, by class of status.";
const CONNECTIONS: &str = "Requests that got a new connection to a peer, and those that got one that was kept.";
const ROWS: [Row; 11] = [
    ("requests_total", "Requests of clients.", "", |s| s.requests.get()),
    ("refused_total", "Requests that this proxy said no to by itself.", "", |s| s.refused.get()),
    ("answers_total", ANSWERS, "class=1xx", |s| s.of_class(1)),
    ("answers_total", ANSWERS, "class=2xx", |s| s.of_class(2)),
    ("answers_total", ANSWERS, "class=3xx", |s| s.of_class(3)),
    ("answers_total", ANSWERS, "class=4xx", |s| s.of_class(4)),
    ("answers_total", ANSWERS, "class=5xx", |s| s.of_class(5)),
    ("spliced_bytes_total", "Bytes of answers that went from socket to socket without a copy.", "", |s| {
        s.spliced.get()
    }),
    ("upstream_connections_total", CONNECTIONS, "connection=new", |s| s.upstream_new.get()),
    ("upstream_connections_total", CONNECTIONS, "connection=kept", |s| s.upstream_reused.get()),
    ("upstream_retries_total", "Requests that were asked anew.", "", |s| s.upstream_retried.get()),
];

/// The metrics of one worker of a generation.
#[derive(Debug)]
pub(crate) struct Totals {
    /// With what was told of it before.
    told: [(Counter, Cell<u64>); ROWS.len()],
}

impl Totals {
    pub(crate) fn new() -> Self {
        Self { told: ROWS.map(|(name, help, labels, _)| (Counter::new(name, help, labels), Cell::new(0))) }
    }

    /// Tells what came since the last time. On the worker's own thread.
    pub(crate) fn tell(&self, stats: &Stats) {
        for ((counter, before), (.., of)) in self.told.iter().zip(ROWS) {
            let now = of(stats);
            let came = now - before.replace(now);
            if came > 0 {
                counter.add(came);
            }
        }
    }
}
