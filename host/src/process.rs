//! What the process has once: images, metrics, logs, the live state of peers, the count of sessions.

use crate::{
    cycle::listener::ListenerStats,
    loader::Images,
    log,
    metrics::{self, Registry},
    services::zones::Zones,
    upstream::live::Peers,
};
use std::{
    cell::Cell,
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant, SystemTime},
};

/// The process.
pub struct Process {
    /// Modules' code.
    pub images: Images,
    /// Metrics.
    pub metrics: Registry,
    /// Cells for threads that are no workers.
    pub cells: metrics::Shared,
    /// Owner of the metrics that live as long as the process.
    pub owner: metrics::Owner,
    /// Writes log files.
    pub writer: Arc<log::Writer>,
    /// The error log.
    pub error_log: log::ErrorLog,
    /// Live state of peers.
    pub peers: Peers,
    /// What outlives generations.
    pub zones: Zones,
    /// Sessions now.
    pub sessions: &'static AtomicU32,
    /// `max_connections`; 0: none.
    pub max_sessions: AtomicU32,
    /// Generations begun; the next one's epoch.
    pub epochs: AtomicU32,
    /// Counters that every listener shares with its successor.
    pub listeners: Mutex<HashMap<String, Arc<ListenerStats>>>,
    /// Sessions of each client, kept only under `max_connections_per_client`.
    pub clients: Clients,
    started: Instant,
    started_at: SystemTime,
    next_session: AtomicU64,
}

static PROCESS: OnceLock<Process> = OnceLock::new();

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Process")
    }
}

/// The process.
///
/// # Panics
/// Before `start`.
pub fn process() -> &'static Process {
    PROCESS.get().expect("the process is set up before anything else")
}

/// Sets the process up. Once.
///
/// # Errors
/// When the log writer's thread cannot be started.
pub fn start() -> std::io::Result<&'static Process> {
    crate::services::platform::keep_no_large_memory();
    let writer = log::Writer::start()?;
    let error_log = log::ErrorLog::new(&writer, &[(log::Target::Stderr, log::Level::Info)])?;
    let metrics = Registry::new();
    let made = Process {
        images: Images::new(crate::services::table::host_table()),
        cells: metrics.shared(),
        owner: metrics.owner(),
        metrics,
        writer,
        error_log,
        peers: Peers::default(),
        zones: Zones::default(),
        sessions: &crate::services::table::SESSIONS,
        max_sessions: AtomicU32::new(0),
        epochs: AtomicU32::new(1),
        listeners: Mutex::default(),
        clients: Clients::default(),
        started: Instant::now(),
        started_at: SystemTime::now(),
        next_session: AtomicU64::new(0),
    };
    // A second call keeps the first process.
    Ok(PROCESS.get_or_init(|| made))
}

impl Process {
    /// Time since the process began: the clock of everything that waits.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// A moment of that clock.
    pub fn instant(&self, now: Duration) -> Instant {
        self.started + now
    }

    /// When it began.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// A number for a new session. Each thread takes a few at a time: what all count together goes from core to core.
    pub fn session_id(&self) -> u64 {
        const FEW: u64 = 64;
        thread_local! {
            static NEXT: Cell<u64> = const { Cell::new(0) };
        }
        let id = match NEXT.get() {
            n if n % FEW == 0 => self.next_session.fetch_add(1, Relaxed) * FEW + 1,
            n => n + 1,
        };
        NEXT.set(id);
        id
    }
}

/// Sessions of each client address, in shards.
#[derive(Debug, Default)]
pub struct Clients {
    shards: [Mutex<HashMap<IpAddr, u32>>; 32],
}

impl Clients {
    fn shard(&self, ip: &IpAddr) -> &Mutex<HashMap<IpAddr, u32>> {
        let last = match ip {
            IpAddr::V4(v) => v.octets()[3],
            // The interface part changes within one customer's network, the subnet part between customers.
            IpAddr::V6(v) => v.octets()[7] ^ v.octets()[15],
        };
        &self.shards[usize::from(last) % self.shards.len()]
    }

    /// Counts one more session of `ip`, unless it has `limit` already.
    pub fn enter(&self, ip: IpAddr, limit: u32) -> bool {
        let mut shard = self.shard(&ip).lock().unwrap_or_else(PoisonError::into_inner);
        let n = shard.entry(ip).or_insert(0);
        let room = *n < limit;
        if room {
            *n += 1;
        }
        room
    }

    /// One session of `ip` ended.
    pub fn leave(&self, ip: IpAddr) {
        let mut shard = self.shard(&ip).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = shard.get_mut(&ip) {
            *n -= 1;
            if *n == 0 {
                shard.remove(&ip);
            }
        }
    }
}
