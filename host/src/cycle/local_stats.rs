//! Counters of one local, where `metrics_per_local` asks for them: what ended there by class of status, bytes, and how long it
//! took. They are series of the registry: each worker counts in cells of its own, and a generation that has the same local goes on
//! with them.

use crate::{
    cycle::vars::outcome,
    metrics::{Counter, Desc, Histogram, Owner, RegisterError, Snapshot, Unit},
    process::process,
    session::Session,
};

/// By the first digit of the status.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted of one local.
#[derive(Debug)]
pub struct LocalStats {
    classes: [Counter; CLASSES.len()],
    received: Counter,
    sent: Counter,
    total: Histogram,
    first_byte: Histogram,
}

/// The counts at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// What ended, by class of status.
    pub classes: [(&'static str, u64); CLASSES.len()],
    /// Bytes from clients.
    pub received: u64,
    /// Bytes to clients.
    pub sent: u64,
    /// From the beginning to the end, in microseconds.
    pub total: Snapshot,
    /// From asking a peer to its answer, in microseconds; of those that a peer answered.
    pub first_byte: Snapshot,
}

impl LocalStats {
    /// The series of a local, which `owner` keeps.
    ///
    /// # Errors
    /// There are too many series.
    pub fn new(owner: &Owner, server: &str, local: &str) -> Result<Self, RegisterError> {
        let labels = |more: Option<(&'static str, &'static str)>| {
            [Some(("server", server)), Some(("local", local)), more].into_iter().flatten().collect::<Vec<_>>()
        };
        let desc = |name, help, unit| Desc { name, help, unit };
        let requests = desc(
            "anyproxy_local_requests_total",
            "Requests, or sessions of layer 4, that ended in a local, by class of status.",
            Unit::None,
        );
        let bytes = desc(
            "anyproxy_local_bytes_total",
            "Bytes between clients and a local: of requests, or sessions, that ended.",
            Unit::Bytes,
        );
        let total = desc("anyproxy_local_seconds", "How long requests, or sessions, of a local took.", Unit::Seconds);
        let first = desc(
            "anyproxy_local_first_byte_seconds",
            "From asking a peer to the beginning of its answer, by local.",
            Unit::Seconds,
        );
        let class = |n: usize| owner.counter(&requests, &labels(Some(("class", CLASSES[n]))));
        Ok(Self {
            classes: [class(0)?, class(1)?, class(2)?, class(3)?, class(4)?],
            received: owner.counter(&bytes, &labels(Some(("direction", "received"))))?,
            sent: owner.counter(&bytes, &labels(Some(("direction", "sent"))))?,
            total: owner.histogram(&total, &labels(None))?,
            first_byte: owner.histogram(&first, &labels(None))?,
        })
    }

    /// Adds a session or an exchange that is over: once each, on its worker.
    pub fn count(&self, session: &Session) {
        let shared = &session.shared;
        let status = outcome::status(shared.status.get(), shared.close_reason.get()).unwrap_or(200);
        let (class, total) = (self.classes[class(status)], session.age_ns() / 1000);
        let (received, sent) = (shared.client_received.get(), shared.client_sent.get());
        let first_byte_ns = session.lease.borrow().first_byte_ns;
        // Cells of a worker's own: no locked instruction.
        let mut cells = session.worker.books.cells.near(class);
        cells.add(class, 1);
        cells.add(self.received, received);
        cells.add(self.sent, sent);
        cells.observe(self.total, total);
        if first_byte_ns > 0 {
            cells.observe(self.first_byte, first_byte_ns / 1000);
        }
    }

    /// The sums over all workers.
    pub fn read(&self) -> Counts {
        let all = &process().metrics;
        let mut classes = CLASSES.map(|name| (name, 0));
        for (to, counter) in classes.iter_mut().zip(self.classes) {
            to.1 = all.counter(counter);
        }
        Counts {
            classes,
            received: all.counter(self.received),
            sent: all.counter(self.sent),
            total: all.histogram(self.total),
            first_byte: all.histogram(self.first_byte),
        }
    }
}

/// Where a status is counted. A number that is no status counts as the nearest class.
fn class(status: u32) -> usize {
    (status as usize / 100).clamp(1, CLASSES.len()) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_a_class() {
        let of = |status| CLASSES[class(status)];
        let all = [101, 200, 299, 304, 404, 499, 500, 599].map(of);
        assert_eq!(all, ["1xx", "2xx", "2xx", "3xx", "4xx", "4xx", "5xx", "5xx"]);
        assert_eq!([0, 99, 600, u32::MAX].map(of), ["1xx", "1xx", "5xx", "5xx"]);
    }

    #[test]
    fn series_of_one_local_are_found_again_and_end_with_their_last_owner() {
        let registry = crate::metrics::Registry::new();
        let (old, new) = (registry.owner(), registry.owner());
        let first = LocalStats::new(&old, "a.test", "shop").expect("there is room");
        registry.worker().add(first.received, 7);
        let again = LocalStats::new(&new, "a.test", "shop").expect("there is room");
        let other = LocalStats::new(&new, "a.test", "other").expect("there is room");
        drop(old);
        assert_eq!((registry.counter(again.received), registry.counter(other.received)), (7, 0));
        assert_eq!(registry.len(), 2 * (CLASSES.len() + 4));
        drop(new);
        assert!(registry.is_empty());
    }
}
