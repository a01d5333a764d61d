//! A load that is bounded in count and time: so many connections, so many requests, errors and times counted. Few threads,
//! each waiting on its share of the connections by epoll.

mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use worker::Worker;

use crate::LIMIT;

/// What the clients do. Every connection has one request in flight.
#[derive(Clone, Debug)]
pub struct Load {
    addr: SocketAddr,
    connections: usize,
    requests: u64,
    reconnect: bool,
    limit: Duration,
    exchange: Exchange,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Requests answered in full.
    pub done: u64,
    /// Requests that failed: connect, write, read, an early end, a wrong answer.
    pub errors: u64,
    /// The first failures, in words; at most ten.
    pub samples: Vec<String>,
    /// Duration of each answered request, connecting included where each has its own connection; sorted.
    pub latencies: Vec<Duration>,
}

/// A load in progress.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Report>>,
}

#[derive(Clone, Debug)]
enum Exchange {
    /// The answer is what was sent.
    Echo(Vec<u8>),
    /// The answer is an HTTP one with status 200 and a Content-Length.
    Http(Vec<u8>),
}

impl Load {
    /// Sends `data` and expects it back: one connection, one request, until told otherwise.
    pub fn echo(addr: SocketAddr, data: impl Into<Vec<u8>>) -> Self {
        Self::new(addr, Exchange::Echo(data.into()))
    }

    /// Sends `GET path` and expects 200 with a Content-Length.
    pub fn http(addr: SocketAddr, path: &str) -> Self {
        Self::new(addr, Exchange::Http(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes()))
    }

    /// Connections at the same time; at most 10,000.
    pub fn connections(mut self, n: usize) -> Self {
        assert!((1..=10_000).contains(&n), "1 to 10,000 connections");
        self.connections = n;
        self
    }

    /// Requests in all, over every connection.
    pub fn requests(mut self, n: u64) -> Self {
        self.requests = n;
        self
    }

    /// Opens a new connection for every request.
    pub fn reconnect(mut self) -> Self {
        self.reconnect = true;
        self
    }

    /// Ends at this time too; requests in flight count as errors then. Default [`LIMIT`].
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs to the end.
    pub fn run(self) -> Report {
        self.start().wait()
    }

    /// Runs in the background.
    pub fn start(self) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicU64::new(0));
        let left = Arc::new(AtomicU64::new(self.requests));
        let threads = self.connections.min(2);
        let share = |n: usize| self.connections / threads + usize::from(n < self.connections % threads);
        let threads = (0..threads)
            .map(|n| {
                let worker = Worker {
                    load: self.clone(),
                    stop: Arc::clone(&stop),
                    done: Arc::clone(&done),
                    left: Arc::clone(&left),
                    report: Report::default(),
                };
                let connections = share(n);
                std::thread::spawn(move || worker.run(connections))
            })
            .collect();
        Running { stop, done, threads }
    }

    fn new(addr: SocketAddr, exchange: Exchange) -> Self {
        Self { addr, connections: 1, requests: 1, reconnect: false, limit: LIMIT, exchange }
    }
}

impl Running {
    /// Requests answered so far.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until so many more requests than now were answered. Panics at [`LIMIT`].
    #[track_caller]
    pub fn await_more(&self, n: u64) {
        let goal = self.done() + n;
        crate::eventually(&format!("{n} more requests"), || (self.done() >= goal).then_some(()));
    }

    /// Lets requests in flight finish, starts no new ones, and reports.
    pub fn stop(self) -> Report {
        self.stop.store(true, Ordering::SeqCst);
        self.wait()
    }

    /// Waits for the end.
    pub fn wait(self) -> Report {
        let mut all = Report::default();
        for thread in self.threads {
            let part = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.done += part.done;
            all.errors += part.errors;
            all.samples.extend(part.samples);
            all.latencies.extend(part.latencies);
        }
        all.samples.truncate(10);
        all.latencies.sort_unstable();
        all
    }
}

impl Report {
    /// The time within which `percent` of the requests were answered; zero when none were.
    pub fn percentile(&self, percent: f64) -> Duration {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * percent / 100.0).round() as usize;
        self.latencies.get(at).copied().unwrap_or_default()
    }

    /// Panics unless every one of `requests` was answered.
    #[track_caller]
    pub fn assert_all(&self, requests: u64) {
        assert_eq!((self.done, self.errors), (requests, 0), "{:?}", self.samples);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;

    #[test]
    fn keeps_its_connections_and_counts_every_request() {
        let origin = Origin::echo();
        let report = Load::echo(origin.addr(), vec![9; 3000]).connections(5).requests(200).run();
        report.assert_all(200);
        assert_eq!((origin.accepted(), report.latencies.len()), (5, 200));
        assert!(report.percentile(50.0) <= report.percentile(99.0));
    }

    #[test]
    fn opens_a_connection_a_request_when_told_to() {
        let origin = Origin::http("hello");
        Load::http(origin.addr(), "/").connections(4).requests(50).reconnect().run().assert_all(50);
        assert_eq!(origin.accepted(), 50);
    }

    #[test]
    fn failures_are_counted_and_end_the_load() {
        let origin = Origin::resetting(1);
        let report = Load::echo(origin.addr(), "x").connections(3).requests(20).run();
        assert_eq!((report.done, report.errors), (0, 20));
        let nobody = origin.stop();
        assert_eq!(Load::echo(nobody, "x").requests(3).run().errors, 3);
    }

    #[test]
    fn silence_ends_at_the_limit() {
        let (origin, gate) = Origin::gated();
        let report = Load::echo(origin.addr(), "x").limit(Duration::from_millis(100)).run();
        assert_eq!((report.done, report.errors), (0, 1));
        gate.open();
    }

    #[test]
    fn stops_when_told_to() {
        let origin = Origin::echo();
        let running = Load::echo(origin.addr(), "x").connections(2).requests(u64::MAX).start();
        running.await_more(10);
        let report = running.stop();
        assert!(report.done >= 10 && report.errors == 0, "{report:?}");
    }
}
