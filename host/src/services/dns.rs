//! Names to addresses: literals at once, then the hosts file, then name servers, of the system or configured.
//! Each thread has a resolver of its own, whose work is done on the process's loop.

use super::net::at_once;
use crate::services::rt;
use anyproxy_module_api::abi::{
    bytes::{Slice, Str},
    error::{Error, ErrorKind, Outcome},
    host::{Object, Resolved},
    task::{LocalFuture, guard},
};
use hickory_resolver::{
    ResolveError, ResolveErrorKind, Resolver, TokioResolver,
    config::{LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts},
    name_server::TokioConnectionProvider,
    proto::{ProtoErrorKind, xfer::Protocol},
    system_conf::read_system_conf,
};
use std::{
    cell::RefCell,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::runtime;

/// Limit of one lookup where nothing is configured.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Answers that a thread keeps for as long as their TTL says.
const KEPT: usize = 1024;
/// Longest name (RFC 1035 section 2.3.4), with its dots.
const LONGEST_NAME: usize = 253;

#[derive(Clone, Debug)]
struct Configured {
    servers: Vec<SocketAddr>,
    timeout: Duration,
}

static CONFIGURED: Mutex<Configured> = Mutex::new(Configured { servers: Vec::new(), timeout: TIMEOUT });
/// Grows with each `configure`: a thread whose resolver is older makes a new one.
static VERSION: AtomicU64 = AtomicU64::new(1);

/// Sets the name servers (none: the system's) and the limit of one lookup (zero: 5 s). The system's configuration and the
/// hosts file are read again too.
pub fn configure(servers: &[SocketAddr], timeout: Duration) {
    let timeout = if timeout.is_zero() { TIMEOUT } else { timeout };
    *CONFIGURED.lock().unwrap_or_else(PoisonError::into_inner) = Configured { servers: servers.to_vec(), timeout };
    VERSION.fetch_add(1, Relaxed);
}

/// The addresses of `host`, IPv4 first, each once, with the seconds each may be kept.
///
/// # Errors
/// `NotFound`: there is no such name, or it has no address. `TimedOut`. `Invalid`: no name at all.
pub async fn lookup(host: &str, port: u16) -> Result<Vec<Resolved>, Error> {
    resolve(host, port, false).await
}

/// As [`lookup`], and asks even when an answer is still good: for a refresh on an interval of its own.
///
/// # Errors
/// See [`lookup`].
pub async fn lookup_fresh(host: &str, port: u16) -> Result<Vec<Resolved>, Error> {
    resolve(host, port, true).await
}

async fn resolve(host: &str, port: u16, fresh: bool) -> Result<Vec<Resolved>, Error> {
    if let Ok(ip) = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        return Ok(vec![Resolved { addr: SocketAddr::new(ip, port).into(), ttl_s: u32::MAX }]);
    }
    if host.is_empty() || host.trim_end_matches('.').len() > LONGEST_NAME {
        return Err(Error::new(ErrorKind::Invalid, format!("\"{}\" is no name", host.escape_debug())));
    }
    let (resolver, limit) = resolver(fresh)?;
    let found = rt::within(limit, resolver.lookup_ip(host)).await;
    let found = found.ok_or_else(|| Error::new(ErrorKind::TimedOut, format!("{host}: no answer within {limit:?}")))?;
    let found = found.map_err(|e| failure(host, &e))?;
    let good = found.valid_until().saturating_duration_since(Instant::now()).as_millis().div_ceil(1000);
    let good = u32::try_from(good).unwrap_or(u32::MAX);
    let mut out: Vec<Resolved> = Vec::new();
    for r in found.as_lookup().record_iter() {
        let Some(ip) = r.data().ip_addr() else { continue };
        let addr = SocketAddr::new(ip, port).into();
        if !out.iter().any(|have| have.addr == addr) {
            out.push(Resolved { addr, ttl_s: r.ttl().min(good) });
        }
    }
    // Stable: the order of the answer, which may be the servers' way to share out load, stays.
    out.sort_by_key(|r| r.addr.ip().is_some_and(|ip| ip.is_ipv6()));
    if out.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, format!("{host} has no address")));
    }
    Ok(out)
}

fn failure(host: &str, e: &ResolveError) -> Error {
    let kind = match e.kind() {
        _ if e.is_nx_domain() || e.is_no_records_found() => ErrorKind::NotFound,
        ResolveErrorKind::Proto(p) if matches!(p.kind(), ProtoErrorKind::Timeout) => ErrorKind::TimedOut,
        ResolveErrorKind::Proto(p) if p.is_no_connections() || p.is_io() => ErrorKind::Unreachable,
        ResolveErrorKind::Proto(p) if matches!(p.kind(), ProtoErrorKind::LabelBytesTooLong(_)) => ErrorKind::Invalid,
        _ => ErrorKind::Other,
    };
    Error::new(kind, format!("{host}: {e}"))
}

/// A thread's resolvers: the ordinary one, and one that keeps nothing.
struct Mine {
    version: u64,
    runtime: runtime::Id,
    resolvers: [TokioResolver; 2],
    limit: Duration,
}

thread_local! {
    static MINE: RefCell<Option<Mine>> = const { RefCell::new(None) };
}

fn resolver(fresh: bool) -> Result<(TokioResolver, Duration), Error> {
    let runtime = runtime::Handle::try_current()
        .map_err(|_| Error::new(ErrorKind::Unsupported, "names are resolved on the host's own threads"))?
        .id();
    let version = VERSION.load(Relaxed);
    MINE.with_borrow_mut(|mine| {
        // The tasks of a resolver live on the runtime that it was made on.
        if !mine.as_ref().is_some_and(|m| m.version == version && m.runtime == runtime) {
            let configured = CONFIGURED.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let resolvers = [KEPT, 0].map(|kept| make(&configured, kept));
            *mine = Some(Mine { version, runtime, resolvers, limit: configured.timeout });
        }
        let made = mine.as_ref().ok_or(Error::bare(ErrorKind::Other))?;
        Ok((made.resolvers[usize::from(fresh)].clone(), made.limit))
    })
}

fn make(configured: &Configured, kept: usize) -> TokioResolver {
    let system = || {
        read_system_conf().unwrap_or_else(|e| {
            tracing::warn!("the system's name servers cannot be read: {e}; only the hosts file is used");
            (ResolverConfig::new(), ResolverOpts::default())
        })
    };
    let (config, mut opts) = if configured.servers.is_empty() {
        system()
    } else {
        let mut config = ResolverConfig::new();
        for at in &configured.servers {
            config.add_name_server(NameServerConfig::new(*at, Protocol::Udp));
            config.add_name_server(NameServerConfig::new(*at, Protocol::Tcp));
        }
        (config, ResolverOpts::default())
    };
    opts.cache_size = kept;
    opts.ip_strategy = families();
    // A lost packet must leave time for another try within the limit.
    opts.timeout = (configured.timeout / 3).max(Duration::from_millis(100)).min(Duration::from_secs(5));
    opts.attempts = 2;
    // What a name has not now, it may have when it is asked for again.
    opts.negative_max_ttl = Some(Duration::from_secs(5));
    let mut builder = Resolver::builder_with_config(config, TokioConnectionProvider::default());
    *builder.options_mut() = opts;
    builder.build()
}

/// Families that this machine has a route for: addresses of another one would only be peers that never answer.
fn families() -> LookupIpStrategy {
    // No packet is sent: to connect a datagram socket only asks for a route.
    let route = |from: &str, to: &str| UdpSocket::bind(from).and_then(|s| s.connect(to)).is_ok();
    let (v4, v6) = (route("0.0.0.0:0", "198.41.0.4:53"), route("[::]:0", "[2001:503:ba3e::2:30]:53"));
    match (v4, v6) {
        (true, false) => LookupIpStrategy::Ipv4Only,
        (false, true) => LookupIpStrategy::Ipv6Only,
        // Without any route there may still be names of this machine.
        _ => LookupIpStrategy::Ipv4AndIpv6,
    }
}

pub(super) unsafe extern "C" fn resolve_thunk(host: Str<'_>, port: u16) -> LocalFuture<Outcome<Object>> {
    let Some(host) = guard(|| host.as_str().to_owned()) else {
        return at_once(Err(Error::bare(ErrorKind::Panicked)));
    };
    LocalFuture::new(async move { lookup(&host, port).await.map(|list| Box::into_raw(Box::new(list)).cast()).into() })
}

pub(super) unsafe extern "C" fn resolved(list: Object) -> Slice<'static, Resolved> {
    // SAFETY: an object of `resolve_thunk`, not yet given up; the slice is valid until it is.
    Slice::new(unsafe { &*list.cast::<Vec<Resolved>>() })
}

pub(super) unsafe extern "C" fn resolved_drop(list: Object) {
    // SAFETY: given up once.
    drop(unsafe { Box::from_raw(list.cast::<Vec<Resolved>>()) });
}

#[cfg(test)]
#[path = "dns_tests.rs"]
mod tests;
