//! What `common` says, with defaults filled in.

use crate::{config::tree::Tree, log::Level};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// `common`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Workers; never 0.
    pub worker_threads: usize,
    /// Threads that wait for files.
    pub worker_threads_blocking: usize,
    /// Threads that compute.
    pub worker_threads_compute: usize,
    /// One core a worker.
    pub cpu_affinity: bool,
    /// One socket a worker.
    pub reuseport: bool,
    /// Workers use io_uring.
    pub io_uring: bool,
    /// Sessions of the process; 0: no limit.
    pub max_connections: u32,
    /// Sessions of one client address; 0: no limit.
    pub max_connections_per_client: u32,
    /// Bytes of the buffer pools; 0: no limit.
    pub memory_limit: usize,
    /// How long sessions may go on after quit and reinit.
    pub shutdown_timeout: Duration,
    /// How long sessions may go on after a reload.
    pub reload_timeout: Option<Duration>,
    /// How long the first bytes may take.
    pub preread_timeout: Duration,
    /// Open files to ask for; 0: the hard limit.
    pub max_open_file_limit: u64,
    /// Locked memory to ask for.
    pub memlock_rlimit: Option<u64>,
    /// IPv6 addresses take IPv6 clients only.
    pub ipv6_only: bool,
    /// File with the process's number.
    pub pid: Option<PathBuf>,
    /// Control socket, if said.
    pub control: Option<PathBuf>,
    /// Error logs.
    pub error_log: Vec<(String, Level)>,
    /// Levels of modules, and of the host, of their own.
    pub log_level: Vec<(String, Level)>,
    /// User to become.
    pub user: Option<String>,
    /// Group to become.
    pub group: Option<String>,
    /// SIGTERM is graceful.
    pub stop_graceful: bool,
    /// Name servers; empty: the system's.
    pub resolver: Vec<SocketAddr>,
    /// How long one resolution may take.
    pub resolver_timeout: Duration,
    /// Locals have counters of their own.
    pub metrics_per_local: bool,
    /// When a worker that does not return is reported; zero: never.
    pub watchdog: Duration,
}

/// Cores that this process may use: the affinity mask, cut by the control group's quota.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Settings {
    /// Of a configuration.
    pub fn of(tree: &Tree) -> Self {
        let node = |name: &str| tree.core(Tree::MAIN, name);
        let arg = |name: &str| node(name).and_then(|n| n.arg(0));
        let num = |name: &str, default: i64| arg(name).map_or(default, |v| v.num);
        let text = |name: &str| arg(name).map(|v| v.text.as_str().to_owned());
        // A switch without an argument is on.
        let on = |name: &str, default: bool| node(name).map_or(default, |n| n.arg(0).is_none_or(|v| v.bool()));
        let time = |name: &str, default: Duration| arg(name).map_or(default, |v| v.time());
        let some = |n: i64, default: usize| if n == 0 { default } else { n as usize };
        Self {
            worker_threads: some(num("worker_threads", 0), cores()),
            worker_threads_blocking: some(num("worker_threads_blocking", 64), 64),
            worker_threads_compute: some(num("worker_threads_compute", 0), cores()),
            cpu_affinity: on("cpu_affinity", false),
            reuseport: on("reuseport", cfg!(target_os = "linux")),
            io_uring: on("io_uring", cfg!(target_os = "linux")),
            max_connections: num("max_connections", 0) as u32,
            max_connections_per_client: num("max_connections_per_client", 0) as u32,
            memory_limit: num("memory_limit", 0) as usize,
            shutdown_timeout: time("shutdown_timeout", Duration::from_secs(30)),
            reload_timeout: arg("reload_timeout").map(|v| v.time()),
            preread_timeout: time("preread_timeout", Duration::from_secs(10)),
            max_open_file_limit: num("max_open_file_limit", 0).unsigned_abs(),
            memlock_rlimit: arg("memlock_rlimit").map(|v| v.size()),
            ipv6_only: on("ipv6_only", true),
            pid: text("pid").map(Into::into),
            control: text("control").map(Into::into),
            error_log: error_log(tree),
            log_level: log_level(tree),
            user: text("user"),
            group: text("group"),
            stop_graceful: text("stop_signal").map_or_else(|| std::process::id() == 1, |how| how == "graceful"),
            resolver: node("resolver").map_or_else(Vec::new, |n| {
                n.args.as_slice().iter().filter_map(|v| v.text.as_str().parse().ok()).collect()
            }),
            resolver_timeout: time("resolver_timeout", Duration::from_secs(5)),
            metrics_per_local: on("metrics_per_local", false),
            watchdog: time("watchdog", Duration::from_secs(10)),
        }
    }
}

fn error_log(tree: &Tree) -> Vec<(String, Level)> {
    let nodes = tree.nodes(Tree::MAIN, 0).iter().filter(|n| n.name.as_str() == "error_log");
    let logs: Vec<_> = nodes
        .filter_map(|n| {
            let level = n.prop("level").map_or("info", |v| v.text.as_str());
            Some((n.arg(0)?.text.as_str().to_owned(), level_of(level)))
        })
        .collect();
    if logs.is_empty() { vec![("stderr".to_owned(), Level::Info)] } else { logs }
}

fn log_level(tree: &Tree) -> Vec<(String, Level)> {
    let nodes = tree.nodes(Tree::MAIN, 0).iter().filter(|n| n.name.as_str() == "log_level");
    nodes.filter_map(|n| Some((n.arg(0)?.text.as_str().to_owned(), level_of(n.arg(1)?.text.as_str())))).collect()
}

/// A level by its word.
pub fn level_of(word: &str) -> Level {
    match word {
        "error" => Level::Error,
        "warn" => Level::Warn,
        "debug" => Level::Debug,
        "trace" => Level::Trace,
        _ => Level::Info,
    }
}
