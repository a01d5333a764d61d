//! Counters that live outside the metrics registry as Prometheus text (exposition format 0.0.4): listeners, servers,
//! upstreams and peers. Rendered from the counters when somebody reads, to be appended to the registry's text; no name
//! here may be registered there, so all begin with `anyproxy_`.

use crate::{
    cycle::listener_stats::ListenerStats,
    metrics::{BUCKETS, Kind, Snapshot, upper_bound},
    services::{datagram::Counts, faults::Faults},
    upstream::{live::PeerLive, pool::Pool},
};
use anyproxy_module_api::abi::net::Addr;
use std::{
    fmt::{Display, Write},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

/// A name's text so far: every series of one name stands together under its `HELP` and `TYPE`.
#[derive(Debug)]
pub struct Family<'a> {
    name: &'a str,
    out: &'a mut String,
}

type Labels<'l> = &'l [(&'l str, &'l str)];

impl<'a> Family<'a> {
    /// Begins a name: `help` is one sentence.
    pub fn new(out: &'a mut String, name: &'a str, kind: Kind, help: &str) -> Self {
        let _ = write!(out, "# HELP {name} ");
        escaped(out, help, false);
        let _ = writeln!(out, "\n# TYPE {name} {}", kind.name());
        Self { name, out }
    }

    /// One series.
    pub fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.line("", labels, None, value);
    }

    /// One histogram of microseconds, in seconds, with the powers of two as bounds.
    pub fn times(&mut self, labels: Labels<'_>, times: &Snapshot) {
        let mut total = 0;
        for (n, count) in times.counts.iter().enumerate().take(BUCKETS - 1) {
            total += count;
            if n % 2 == 0
                && let Some(bound) = upper_bound(n)
            {
                self.line("_bucket", labels, Some(&(bound as f64 / 1e6).to_string()), total);
            }
        }
        self.line("_bucket", labels, Some("+Inf"), times.count());
        self.line("_sum", labels, None, times.sum as f64 / 1e6);
        self.line("_count", labels, None, times.count());
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, bound: Option<&str>, value: impl Display) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        let mut open = '{';
        for (name, value) in labels.iter().copied().chain(bound.map(|b| ("le", b))) {
            let _ = write!(self.out, "{open}{name}=\"");
            escaped(self.out, value, true);
            self.out.push('"');
            open = ',';
        }
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{} {value}", if open == ',' { "}" } else { "" });
    }
}

/// The format escapes backslash and line feed everywhere, the quote in label values.
fn escaped(out: &mut String, text: &str, quote: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quote => out.push_str("\\\""),
            _ => out.push(c),
        }
    }
}

/// What is counted once in the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessNumbers {
    /// Time since it began.
    pub uptime: Duration,
    /// Epoch of the serving generation.
    pub epoch: u32,
    /// Sessions now.
    pub sessions: u32,
    /// Bytes of buffers handed out.
    pub buffer_bytes: u64,
    /// Times a buffer was refused.
    pub buffers_refused: u64,
}

/// Appends the numbers of the process.
pub fn process(out: &mut String, n: &ProcessNumbers) {
    let mut one = |name, kind, help, value: f64| Family::new(out, name, kind, help).sample(&[], value);
    one("anyproxy_uptime_seconds", Kind::Gauge, "Time since the process began.", n.uptime.as_millis() as f64 / 1000.0);
    one("anyproxy_epoch", Kind::Gauge, "Number of the serving generation.", n.epoch.into());
    one("anyproxy_sessions", Kind::Gauge, "Sessions now.", n.sessions.into());
    one("anyproxy_buffer_bytes", Kind::Gauge, "Bytes of buffers handed out.", n.buffer_bytes as f64);
    one("anyproxy_buffers_refused_total", Kind::Counter, "Times a buffer was refused.", n.buffers_refused as f64);
}

/// Appends the series of listeners (`what` = `listener`, named by address) or servers (`server`, named by their name).
/// Entries with the same name count as one name's series only if they are the same counters: give each once.
pub fn traffic(out: &mut String, what: &str, entries: &[(&str, &ListenerStats)]) {
    if entries.is_empty() {
        return;
    }
    let name = |tail: &str| format!("anyproxy_{what}_{tail}");
    let mut each = |tail: &str, kind, help: &str, value: &dyn Fn(&ListenerStats) -> u64| {
        let name = name(tail);
        let mut family = Family::new(out, &name, kind, help);
        for (of, stats) in entries {
            family.sample(&[(what, of)], value(stats));
        }
    };
    each("sessions", Kind::Gauge, "Sessions now.", &|s| s.now().into());
    each("connections_total", Kind::Counter, "Connections accepted.", &ListenerStats::connections);
    each("shed_total", Kind::Counter, "Sessions ended or refused by a limit.", &|s| s.shed.load(Relaxed));
    each("malformed_total", Kind::Counter, "Sessions with malformed first bytes.", &|s| s.malformed.load(Relaxed));
    each("accept_errors_total", Kind::Counter, "Failures of accept.", &|s| s.accept_errors.load(Relaxed));

    let bytes = name("bytes_total");
    let mut family = Family::new(out, &bytes, Kind::Counter, "Bytes of sessions that ended.");
    for (of, stats) in entries {
        let b = stats.bytes();
        for (side, direction, n) in [
            ("client", "received", b.client_received),
            ("client", "sent", b.client_sent),
            ("upstream", "received", b.upstream_received),
            ("upstream", "sent", b.upstream_sent),
        ] {
            family.sample(&[(what, of), ("side", side), ("direction", direction)], n);
        }
    }
    let closes = name("closes_total");
    let mut family = Family::new(out, &closes, Kind::Counter, "Sessions that ended, by who, stage and cause.");
    for (of, stats) in entries {
        for (reason, n) in stats.closes() {
            family.sample(&[(what, of), ("reason", &reason)], n);
        }
    }
    let session = name("session_seconds");
    let mut family = Family::new(out, &session, Kind::Histogram, "How long sessions lasted.");
    for (of, stats) in entries {
        family.times(&[(what, of)], &stats.session_time());
    }
    let connect = name("connect_seconds");
    let mut family = Family::new(out, &connect, Kind::Histogram, "How long connects to peers took.");
    for (of, stats) in entries {
        family.times(&[(what, of)], &stats.connect_time());
    }
}

/// Appends the series of upstreams and their peers.
pub fn upstreams(out: &mut String, pools: &[&Pool]) {
    if pools.is_empty() {
        return;
    }
    let mut each = |name: &str, kind, help: &str, value: &dyn Fn(&Pool) -> u64| {
        let mut family = Family::new(out, name, kind, help);
        for pool in pools {
            family.sample(&[("upstream", &pool.name)], value(pool));
        }
    };
    each("anyproxy_upstream_in_flight", Kind::Gauge, "Uses now.", &|p| p.shared.in_flight());
    each("anyproxy_upstream_waiting", Kind::Gauge, "Sessions that wait for a peer.", &|p| {
        p.shared.waiting.load(Relaxed) as u64
    });
    each("anyproxy_upstream_retries_total", Kind::Counter, "Tries after the first.", &|p| {
        p.shared.retries.load(Relaxed)
    });
    each("anyproxy_upstream_no_peer_total", Kind::Counter, "Sessions that found no usable peer.", &|p| {
        p.shared.no_peer.load(Relaxed)
    });
    each("anyproxy_upstream_queue_timeouts_total", Kind::Counter, "Sessions that waited too long.", &|p| {
        p.shared.queue_timeouts.load(Relaxed)
    });
    let sets: Vec<_> = pools.iter().map(|p| p.set.load()).collect();
    peers(out, sets.iter().flat_map(|set| set.members.iter().map(|m| &*m.live)));
}

/// Appends what modules did wrong, one series a module; a module that did nothing wrong has none.
pub fn faults(out: &mut String, faults: &[(String, Faults)]) {
    let mut family =
        Family::new(out, "anyproxy_module_panics_total", Kind::Counter, "Panics of modules that were stopped.");
    for (module, f) in faults {
        family.sample(&[("module", module)], f.panics);
    }
    let mut family = Family::new(
        out,
        "anyproxy_module_slow_polls_total",
        Kind::Counter,
        "Polls of 10 ms or more that the watchdog saw.",
    );
    for (module, f) in faults {
        family.sample(&[("module", module)], f.slow_polls);
    }
}

/// Appends what became of the datagrams that were read.
pub fn datagrams(out: &mut String, counts: &Counts) {
    let name = "anyproxy_datagrams_total";
    let mut family = Family::new(out, name, Kind::Counter, "Datagrams of datagram listeners, by what became of them.");
    for (outcome, count) in [
        ("delivered", &counts.delivered),
        ("passed", &counts.passed),
        ("to_predecessor", &counts.to_predecessor),
        ("from_successor", &counts.from_successor),
        ("refused", &counts.refused),
        ("no_owner", &counts.no_owner),
        ("full", &counts.full),
        ("error", &counts.errors),
    ] {
        family.sample(&[("outcome", outcome)], count.load(Relaxed));
    }
}

/// Appends the series of peers. One that is named several times is shown once: a series may stand only once.
pub fn peers<'p>(out: &mut String, peers: impl IntoIterator<Item = &'p PeerLive>) {
    let mut seen = std::collections::HashSet::new();
    let peers: Vec<_> = peers.into_iter().filter(|p| seen.insert(p.state.id)).collect();
    if peers.is_empty() {
        return;
    }
    // What stands in for a line with variables has its text alone.
    let address = |n: usize| if peers[n].addr == Addr::NONE { &*peers[n].host } else { &*peers[n].addr_text };
    let labels =
        |n: usize| [("upstream", &*peers[n].upstream), ("peer", address(n)), ("protocol", &*peers[n].connector)];
    let mut each = |name: &str, kind, help: &str, value: &dyn Fn(&PeerLive) -> u64| {
        let mut family = Family::new(out, name, kind, help);
        for (n, peer) in peers.iter().enumerate() {
            family.sample(&labels(n), value(peer));
        }
    };
    each("anyproxy_peer_usable", Kind::Gauge, "1 while the peer may get new connections.", &|p| {
        p.state.is_usable().into()
    });
    each("anyproxy_peer_in_flight", Kind::Gauge, "Uses now.", &|p| p.state.in_flight.load(Relaxed).into());
    each("anyproxy_peer_weight", Kind::Gauge, "Weight.", &|p| p.state.weight.load(Relaxed).into());
    each("anyproxy_peer_picked_total", Kind::Counter, "Uses begun.", &|p| p.uses.read().begun);
    each("anyproxy_peer_connect_failures_total", Kind::Counter, "Connects that failed.", &|p| {
        p.counts.connect_failures.load(Relaxed)
    });
    each("anyproxy_peer_failures_total", Kind::Counter, "Uses that failed later.", &|p| {
        p.counts.failures.load(Relaxed)
    });
    each("anyproxy_peer_ejections_total", Kind::Counter, "Times it was ejected.", &|p| {
        p.counts.ejections.load(Relaxed)
    });
    let mut family = Family::new(out, "anyproxy_peer_bytes_total", Kind::Counter, "Bytes of uses that ended.");
    for (n, peer) in peers.iter().enumerate() {
        let used = peer.uses.read();
        for (direction, count) in [("sent", used.sent), ("received", used.received)] {
            let [a, b, c] = labels(n);
            family.sample(&[a, b, c, ("direction", direction)], count);
        }
    }
    let mut family = Family::new(out, "anyproxy_peer_checks_total", Kind::Counter, "Health checks, by result.");
    for (n, peer) in peers.iter().enumerate() {
        for (result, count) in [("passed", &peer.counts.checks_passed), ("failed", &peer.counts.checks_failed)] {
            let [a, b, c] = labels(n);
            family.sample(&[a, b, c, ("result", result)], count.load(Relaxed));
        }
    }
    let mut family =
        Family::new(out, "anyproxy_peer_response_seconds", Kind::Gauge, "Moving average of the response time.");
    for (n, peer) in peers.iter().enumerate() {
        family.sample(&labels(n), peer.state.ewma_ns.load(Relaxed) as f64 / 1e9);
    }
}
