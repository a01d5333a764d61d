//! Counters of one address or one server: sessions, bytes, why sessions ended, how long they took. Kept a worker, summed
//! when they are read, and passed on from generation to generation. Knows how to count; how it is shown is
//! [`crate::status`]'s.

use crate::{
    metrics::{BUCKETS, Snapshot, bucket_of},
    session::Session,
};
use anyproxy_module_api::abi::session::{Cause, CloseReason, Stage, Who};
use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

const WHO: usize = Who::Proxy as usize;
const STAGES: usize = Stage::Transfer as usize;
const CAUSES: usize = Cause::Protocol as usize;

/// Workers that count apart; further ones share.
const STRIPES: usize = 16;

thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(0) };
}

/// Which worker this thread is, by its number among those at work.
pub fn count_as(worker: u32) {
    STRIPE.set(worker as usize);
}

/// What is counted of the sessions of a listener or a server.
#[derive(Debug, Default)]
pub struct ListenerStats {
    /// Connections closed at once, or idle sessions ended, because of a limit.
    pub shed: AtomicU64,
    /// Sessions whose first bytes were malformed.
    pub malformed: AtomicU64,
    /// Failures of accept.
    pub accept_errors: AtomicU64,
    /// One for each worker, as far as there are as many; made with its first session.
    stripes: [OnceLock<Box<Stripe>>; STRIPES],
}

/// What one worker counts: on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    begun: AtomicU64,
    ended: AtomicU64,
    client_received: AtomicU64,
    client_sent: AtomicU64,
    upstream_received: AtomicU64,
    upstream_sent: AtomicU64,
    /// By who, stage and cause; the last one: a code that is none. Made with the first session: many are never used.
    closes: OnceLock<Box<[AtomicU64]>>,
    session_time: Times,
    connect_time: Times,
}

/// Bytes of the sessions that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// From clients.
    pub client_received: u64,
    /// To clients.
    pub client_sent: u64,
    /// From upstreams.
    pub upstream_received: u64,
    /// To upstreams.
    pub upstream_sent: u64,
}

/// What one session adds at its end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ended {
    /// What it carried.
    pub bytes: Bytes,
    /// Code of its close reason.
    pub close: u32,
    /// How long it lasted.
    pub time: Duration,
    /// How long its connect took.
    pub connect: Option<Duration>,
}

impl ListenerStats {
    fn mine(&self) -> &Stripe {
        self.stripes[STRIPE.get() % STRIPES].get_or_init(Box::default)
    }

    fn used(&self) -> impl Iterator<Item = &Stripe> {
        self.stripes.iter().filter_map(|s| s.get().map(|s| &**s))
    }

    fn sum(&self, of: impl Fn(&Stripe) -> &AtomicU64) -> u64 {
        self.used().map(|s| of(s).load(Relaxed)).sum()
    }

    /// A session begins, on this worker.
    pub fn begin(&self) {
        self.mine().begun.fetch_add(1, Relaxed);
    }

    /// A session is gone, on the worker where it began.
    pub fn end(&self) {
        self.mine().ended.fetch_add(1, Relaxed);
    }

    /// Sessions now.
    pub fn now(&self) -> u32 {
        // Each worker's own difference: one may end a session between two loads.
        let now = |s: &Stripe| {
            let ended = s.ended.load(Relaxed);
            s.begun.load(Relaxed).saturating_sub(ended)
        };
        u32::try_from(self.used().map(now).sum::<u64>()).unwrap_or(u32::MAX)
    }

    /// Sessions since the process began.
    pub fn connections(&self) -> u64 {
        self.sum(|s| &s.begun)
    }

    /// Adds a session that is over: once each.
    pub fn count(&self, session: &Session) {
        let shared = &session.shared;
        self.add(&Ended {
            bytes: Bytes {
                client_received: shared.client_received.get(),
                client_sent: shared.client_sent.get(),
                upstream_received: shared.upstream_received.get(),
                upstream_sent: shared.upstream_sent.get(),
            },
            close: shared.close_reason.get(),
            time: session.age(),
            connect: session.lease.borrow().connect,
        });
    }

    /// Adds what a session was.
    pub fn add(&self, ended: &Ended) {
        let Bytes { client_received, client_sent, upstream_received, upstream_sent } = ended.bytes;
        let mine = self.mine();
        for (to, n) in [
            (&mine.client_received, client_received),
            (&mine.client_sent, client_sent),
            (&mine.upstream_received, upstream_received),
            (&mine.upstream_sent, upstream_sent),
        ] {
            if n > 0 {
                to.fetch_add(n, Relaxed);
            }
        }
        let closes = mine.closes.get_or_init(|| (0..=WHO * STAGES * CAUSES).map(|_| AtomicU64::new(0)).collect());
        closes[index(ended.close)].fetch_add(1, Relaxed);
        mine.session_time.add(ended.time);
        if let Some(t) = ended.connect {
            mine.connect_time.add(t);
        }
    }

    /// Bytes of the sessions that ended.
    pub fn bytes(&self) -> Bytes {
        Bytes {
            client_received: self.sum(|s| &s.client_received),
            client_sent: self.sum(|s| &s.client_sent),
            upstream_received: self.sum(|s| &s.upstream_received),
            upstream_sent: self.sum(|s| &s.upstream_sent),
        }
    }

    /// Sessions that ended, by reason; only reasons that occurred.
    pub fn closes(&self) -> Vec<(String, u64)> {
        let mut counts = vec![0; WHO * STAGES * CAUSES + 1];
        for closes in self.used().filter_map(|s| s.closes.get()) {
            counts.iter_mut().zip(closes).for_each(|(sum, n)| *sum += n.load(Relaxed));
        }
        let occurred = counts.into_iter().enumerate().filter(|(_, count)| *count > 0);
        occurred.map(|(n, count)| (name(n), count)).collect()
    }

    /// How long sessions lasted, in microseconds.
    pub fn session_time(&self) -> Snapshot {
        snapshot(self.used().map(|s| &s.session_time))
    }

    /// How long connects took, in microseconds.
    pub fn connect_time(&self) -> Snapshot {
        snapshot(self.used().map(|s| &s.connect_time))
    }
}

/// Where a close reason is counted.
fn index(code: u32) -> usize {
    let part = |shift: u32, count: usize| ((code >> shift & 255) as usize).checked_sub(1).filter(|n| *n < count);
    match (part(16, WHO), part(8, STAGES), part(0, CAUSES)) {
        (Some(who), Some(stage), Some(cause)) => (who * STAGES + stage) * CAUSES + cause,
        _ => WHO * STAGES * CAUSES,
    }
}

/// The name of what is counted there.
fn name(index: usize) -> String {
    if index >= WHO * STAGES * CAUSES {
        return "unknown".to_owned();
    }
    let (who, stage, cause) = (index / (STAGES * CAUSES), index / CAUSES % STAGES, index % CAUSES);
    CloseReason::name(((who + 1) << 16 | (stage + 1) << 8 | (cause + 1)) as u32)
}

/// A histogram of times, in the buckets of [`crate::metrics`].
#[derive(Debug, Default)]
struct Times(OnceLock<Box<Cells>>);

#[derive(Debug)]
struct Cells {
    counts: [AtomicU64; BUCKETS],
    sum: AtomicU64,
}

impl Times {
    fn add(&self, time: Duration) {
        let cells = self
            .0
            .get_or_init(|| Box::new(Cells { counts: [const { AtomicU64::new(0) }; BUCKETS], sum: AtomicU64::new(0) }));
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        cells.counts[bucket_of(micros)].fetch_add(1, Relaxed);
        cells.sum.fetch_add(micros, Relaxed);
    }
}

fn snapshot<'a>(all: impl Iterator<Item = &'a Times>) -> Snapshot {
    let mut snapshot = Snapshot { counts: [0; BUCKETS], sum: 0 };
    for cells in all.filter_map(|t| t.0.get()) {
        for (to, from) in snapshot.counts.iter_mut().zip(&cells.counts) {
            *to += from.load(Relaxed);
        }
        snapshot.sum = snapshot.sum.wrapping_add(cells.sum.load(Relaxed));
    }
    snapshot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_reason_is_counted_under_its_own_name() {
        let stats = ListenerStats::default();
        for index in 0..WHO * STAGES * CAUSES {
            let (who, rest) = (index / (STAGES * CAUSES), index % (STAGES * CAUSES));
            let code = ((who + 1) << 16 | (rest / CAUSES + 1) << 8 | (rest % CAUSES + 1)) as u32;
            stats.add(&Ended { close: code, ..Ended::default() });
            assert_eq!(name(super::index(code)), CloseReason::name(code));
        }
        let closes = stats.closes();
        assert_eq!(closes.len(), WHO * STAGES * CAUSES, "no two share a name or a place");
        assert!(closes.iter().all(|(name, n)| *n == 1 && name != "-"));
        let names: std::collections::HashSet<_> = closes.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), closes.len());
    }

    #[test]
    fn code_that_is_no_reason_is_counted_as_unknown() {
        let stats = ListenerStats::default();
        for close in [0, u32::MAX, 0x0004_0101, 0x0001_0801, 0x0001_0111, 1] {
            stats.add(&Ended { close, ..Ended::default() });
        }
        assert_eq!(stats.closes(), [("unknown".to_owned(), 6)]);
    }

    #[test]
    fn sessions_bytes_and_times_add_up() {
        let stats = ListenerStats::default();
        assert!(stats.closes().is_empty() && stats.session_time().count() == 0);
        stats.begin();
        // Others count apart.
        std::thread::scope(|s| {
            s.spawn(|| {
                count_as(1);
                stats.begin();
                stats.end();
            });
        });
        assert_eq!((stats.now(), stats.connections()), (1, 2));
        let bytes = Bytes { client_received: 1, client_sent: 2, upstream_received: 3, upstream_sent: 4 };
        let close = CloseReason::new(Who::Client, Stage::Transfer, Cause::Done).code();
        for connect in [None, Some(Duration::from_millis(2))] {
            stats.add(&Ended { bytes, close, time: Duration::from_secs(1), connect });
        }
        assert_eq!(stats.bytes(), Bytes { client_received: 2, client_sent: 4, upstream_received: 6, upstream_sent: 8 });
        assert_eq!(stats.closes(), [("client_transfer_done".to_owned(), 2)]);
        assert_eq!((stats.session_time().count(), stats.session_time().sum), (2, 2_000_000));
        assert_eq!((stats.connect_time().count(), stats.connect_time().sum), (1, 2_000));
        stats.add(&Ended { time: Duration::MAX, ..Ended::default() });
        assert_eq!(stats.session_time().count(), 3);
    }
}
