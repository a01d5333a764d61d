//! The live state of peers: of the process, not of a generation. A peer is found again after a reload by its identity.

use super::{identity::Overrides, recover, shared::Shared, uses::Uses};
use crate::process::process;
use anyproxy_module_api::abi::{
    net::Addr,
    upstream::{PeerState, admin, health},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// One peer: one address of one line of one upstream.
#[derive(Debug)]
pub struct PeerLive {
    /// What balancers see.
    pub state: PeerState,
    /// Its upstream's name.
    pub upstream: String,
    /// As written.
    pub host: String,
    /// The address.
    pub addr: Addr,
    /// The same as text, or the peer's name where that is all it has: logs show it with every line.
    pub addr_text: Box<str>,
    /// The connector's name.
    pub connector: String,
    /// Names its line: an operator's word holds until this changes.
    pub line: AtomicU64,
    /// Since when it is usable, process clock in ms: start of `slow_start`; 0: it always was.
    pub usable_since_ms: AtomicU64,
    /// When a check of it last ended, process clock in ms; 0: never.
    pub checked_ms: AtomicU64,
    /// Results of checks in a row that speak against its health: a reload does not begin anew.
    pub against: AtomicU32,
    /// Why its last check failed; empty: it passed, or there was none.
    check_failure: Mutex<String>,
    /// Its last use failed: good ones need be told to nobody while this is false.
    pub failing: AtomicBool,
    /// When `ewma_ns` was last fed, process clock in ns.
    ewma_at: AtomicU64,
    /// Counters for status.
    pub counts: Counts,
    /// Those that change with every use.
    pub uses: Uses,
}

/// What status shows of a peer.
#[derive(Debug, Default)]
pub struct Counts {
    /// Connects that failed.
    pub connect_failures: AtomicU64,
    /// Uses that failed later.
    pub failures: AtomicU64,
    /// Times it was ejected.
    pub ejections: AtomicU64,
    /// Health checks that passed.
    pub checks_passed: AtomicU64,
    /// Health checks that failed.
    pub checks_failed: AtomicU64,
}

/// What an operator says of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Use it.
    Ready,
    /// No new connections.
    Drain,
    /// Out of use.
    Maint,
    /// Another weight.
    Weight(u32),
}

/// The operator's words.
impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ready => f.write_str("ready"),
            Self::Drain => f.write_str("drain"),
            Self::Maint => f.write_str("maint"),
            Self::Weight(n) => write!(f, "weight {n}"),
        }
    }
}

/// All peers and upstreams that some generation still names, and what operators said.
#[derive(Debug, Default)]
pub struct Peers {
    live: Mutex<HashMap<u64, Weak<PeerLive>>>,
    /// At this many entries those of peers that are gone are dropped.
    sweep_at: AtomicUsize,
    said: Mutex<Overrides>,
    pools: Mutex<HashMap<String, Weak<Shared>>>,
}

/// What makes a peer.
#[derive(Clone, Debug)]
pub struct PeerSpec<'a> {
    /// Identity.
    pub id: u64,
    /// Fingerprint of its line.
    pub line: u64,
    /// Its upstream's name.
    pub upstream: &'a str,
    /// As written.
    pub host: &'a str,
    /// The address.
    pub addr: Addr,
    /// The connector's name.
    pub connector: &'a str,
    /// Configured weight.
    pub weight: u32,
    /// Configured limit.
    pub max_connections: u32,
    /// Whether it is a backup.
    pub backup: bool,
}

impl PeerSpec<'_> {
    /// Its address, or its name where it has none.
    pub fn shown(&self) -> String {
        if self.addr.is_none() { self.host.to_owned() } else { self.addr.to_string() }
    }
}

impl Peers {
    /// The peer of `spec`: the one that lives, with the configuration's values and what an operator said of this very
    /// line, or a new one.
    pub fn get(&self, spec: &PeerSpec<'_>) -> Arc<PeerLive> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let peer = live.get(&spec.id).and_then(Weak::upgrade).unwrap_or_else(|| {
            let peer = Arc::new(PeerLive {
                state: PeerState::new(spec.id, spec.weight),
                upstream: spec.upstream.to_owned(),
                host: spec.host.to_owned(),
                addr: spec.addr,
                addr_text: spec.shown().into(),
                connector: spec.connector.to_owned(),
                line: AtomicU64::new(spec.line),
                usable_since_ms: AtomicU64::new(0),
                checked_ms: AtomicU64::new(0),
                against: AtomicU32::new(0),
                check_failure: Mutex::default(),
                failing: AtomicBool::new(false),
                ewma_at: AtomicU64::new(0),
                counts: Counts::default(),
                uses: Uses::default(),
            });
            live.insert(spec.id, Arc::downgrade(&peer));
            // Addresses that clients choose come and go between reloads too.
            if live.len() >= self.sweep_at.load(Relaxed) {
                live.retain(|_, p| p.strong_count() > 0);
                self.sweep_at.store((live.len() * 2).max(1024), Relaxed);
            }
            peer
        });
        drop(live);
        peer.line.store(spec.line, Relaxed);
        peer.state.max_connections.store(spec.max_connections, Relaxed);
        peer.state.backup.store(u8::from(spec.backup), Relaxed);
        peer.state.removed.store(0, Relaxed);
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner).of(spec.id);
        peer.state.weight.store(said.weight.unwrap_or(spec.weight), Relaxed);
        peer.set_admin(said.admin.unwrap_or(admin::READY));
        peer
    }

    /// The peer with this id, as it is.
    pub fn find(&self, id: u64) -> Option<Arc<PeerLive>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner).get(&id).and_then(Weak::upgrade)
    }

    /// What outlives generations of the upstream called `name`.
    pub fn pool(&self, name: &str) -> Arc<Shared> {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = pools.get(name).and_then(Weak::upgrade) {
            return shared;
        }
        let shared = Arc::<Shared>::default();
        pools.insert(name.to_owned(), Arc::downgrade(&shared));
        shared
    }

    /// An operator's word about a peer.
    pub fn say(&self, peer: &PeerLive, word: Said) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = said.of(peer.state.id);
        match word {
            Said::Ready => now.admin = Some(admin::READY),
            Said::Drain => now.admin = Some(admin::DRAIN),
            Said::Maint => now.admin = Some(admin::MAINT),
            Said::Weight(w) => now.weight = Some(w),
        }
        said.set(peer.state.id, peer.line.load(Relaxed), now);
        if let Some(a) = now.admin {
            peer.set_admin(a);
        }
        if let Some(w) = now.weight {
            peer.state.weight.store(w, Relaxed);
        }
        drop(said);
        let pool = self.pool(&peer.upstream);
        if word == Said::Ready {
            recover::release(&pool, peer, "an operator says so");
        }
        // It may be usable now.
        pool.wake();
    }

    /// Forgets what was said of lines that are not among `lines` any more, and peers that nobody names.
    pub fn carry(&self, lines: &std::collections::HashSet<u64>) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).carry(lines);
        self.live.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, p| p.strong_count() > 0);
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, p| p.strong_count() > 0);
    }

    /// What operators said, for another process.
    pub fn said(&self) -> Vec<super::identity::Entry> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).entries()
    }

    /// Takes over what was said in the process before.
    pub fn import_said(&self, entries: Vec<super::identity::Entry>) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).import(entries);
    }
}

impl PeerLive {
    /// Takes in one sample of its response time.
    pub fn observe(&self, now: Duration, sample_ns: u64) {
        const TAU: Duration = Duration::from_secs(10);
        let now_ns = now.as_nanos() as u64;
        // Two workers may race; the average forgives a lost sample.
        let elapsed = Duration::from_nanos(now_ns.saturating_sub(self.ewma_at.load(Relaxed)));
        self.ewma_at.store(now_ns, Relaxed);
        let next = super::ewma::next(self.state.ewma_ns.load(Relaxed), sample_ns.max(1), elapsed, TAU);
        self.state.ewma_ns.store(next, Relaxed);
    }

    /// It becomes usable: its share grows from now on, where its pool has a slow start ([`Pool::ramp`](super::pool::Pool::ramp)).
    pub fn begins(&self, now: Duration) {
        self.usable_since_ms.store((now.as_millis() as u64).max(1), Relaxed);
    }

    /// Health checks or resolution changed their mind.
    pub fn set_health(&self, now: Duration, to: u8) {
        let before = self.state.health.swap(to, Relaxed);
        if before != to && to == health::UP {
            self.begins(now);
        }
    }

    /// An operator changed theirs, or what they said ended with its line.
    fn set_admin(&self, to: u8) {
        let before = self.state.admin.swap(to, Relaxed);
        if before != to && to == admin::READY {
            self.begins(process().now());
        }
    }

    /// A check ended: why it failed.
    pub fn note_check(&self, failure: Option<&str>) {
        let mut text = self.check_failure.lock().unwrap_or_else(PoisonError::into_inner);
        text.clear();
        // A module's text: as much as a line of status bears.
        text.extend(failure.unwrap_or_default().chars().take(256));
    }

    /// Why its last check failed.
    pub fn check_failure(&self) -> Option<String> {
        Some(self.check_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()).filter(|t| !t.is_empty())
    }

    /// For status: one word for what it is now.
    pub fn condition(&self) -> &'static str {
        let s = &self.state;
        match (s.removed.load(Relaxed), s.admin.load(Relaxed), s.health.load(Relaxed), s.ejected.load(Relaxed)) {
            (1, ..) => "removed",
            (_, admin::DRAIN, ..) => "drain",
            (_, admin::MAINT, ..) => "maint",
            (_, _, health::DOWN, _) => "down",
            (_, _, health::UNRESOLVED, _) => "unresolved",
            (_, _, _, 1) => "ejected",
            _ => "ready",
        }
    }
}
