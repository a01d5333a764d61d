//! One function for each kind of thing that status shows. Pure: whoever asks has gathered the data.

use crate::{
    cycle::{listener::LocalPlan, listener_stats::ListenerStats, local_stats::Counts},
    loader::Image,
    metrics::Snapshot,
    services::{datagram, faults::Faults, jobs},
    session::Session,
    upstream::{live::PeerLive, pool::Pool},
};
use anyproxy_module_api::abi::{net::Addr, session::CloseReason};
use serde_json::{Map, Value, json};
use std::{sync::atomic::Ordering::Relaxed, time::Duration};

/// Seconds with milliseconds.
fn seconds(time: Duration) -> Value {
    json!(time.as_millis() as f64 / 1000.0)
}

/// The quantiles of a histogram of microseconds, in seconds.
fn times(snapshot: &Snapshot) -> Value {
    let quantile = |q| snapshot.quantile(q).map(|micros| micros / 1e6);
    json!({
        "count": snapshot.count(),
        "sum": snapshot.sum as f64 / 1e6,
        "p50": quantile(0.5),
        "p90": quantile(0.9),
        "p99": quantile(0.99),
    })
}

/// Counters of a listener or a server.
pub fn traffic(stats: &ListenerStats) -> Value {
    let bytes = stats.bytes();
    let closes: Map<String, Value> = stats.closes().into_iter().map(|(name, n)| (name, n.into())).collect();
    json!({
        "sessions": stats.now(),
        "connections": stats.connections(),
        "shed": stats.shed.load(Relaxed),
        "malformed": stats.malformed.load(Relaxed),
        "accept_errors": stats.accept_errors.load(Relaxed),
        "bytes": {
            "client_received": bytes.client_received,
            "client_sent": bytes.client_sent,
            "upstream_received": bytes.upstream_received,
            "upstream_sent": bytes.upstream_sent,
        },
        "closes": closes,
        "session_time": times(&stats.session_time()),
        "connect_time": times(&stats.connect_time()),
    })
}

/// What status shows of a listener.
#[derive(Clone, Copy, Debug)]
pub struct ListenerEntry<'a> {
    /// With the port that the system chose.
    pub address: &'a str,
    /// As configured.
    pub configured: &'a str,
    /// The listening point.
    pub kind: &'a str,
    /// Takes datagrams.
    pub datagram: bool,
    /// Several servers share it by domain.
    pub by_domain: bool,
    /// Listening sockets.
    pub sockets: usize,
    /// Sessions at one time; 0: no limit.
    pub max_connections: u32,
    /// Names of its servers.
    pub servers: &'a [String],
    /// Counters.
    pub stats: &'a ListenerStats,
}

/// A listener.
pub fn listener(entry: &ListenerEntry<'_>) -> Value {
    json!({
        "address": entry.address,
        "configured": entry.configured,
        "kind": entry.kind,
        "datagram": entry.datagram,
        "by_domain": entry.by_domain,
        "sockets": entry.sockets,
        "max_connections": entry.max_connections,
        "servers": entry.servers,
        "traffic": traffic(entry.stats),
    })
}

/// A server by its name (first domain, or where it stands) with the addresses it listens on.
pub fn server(name: &str, listeners: &[String], locals: &[LocalPlan], stats: &ListenerStats) -> Value {
    let counted = locals.iter().filter_map(|l| Some(local(&l.name, &l.stats.as_ref()?.read())));
    json!({
        "name": name,
        "listeners": listeners,
        "locals": locals.len(),
        "by_local": counted.collect::<Vec<_>>(),
        "traffic": traffic(stats),
    })
}

/// A local that is counted.
fn local(name: &str, counts: &Counts) -> Value {
    let requests: Map<String, Value> =
        counts.classes.iter().map(|(name, n)| ((*name).to_owned(), (*n).into())).collect();
    json!({
        "name": name,
        "requests": requests,
        "bytes": {"client_received": counts.received, "client_sent": counts.sent},
        "time": times(&counts.total),
        "first_byte_time": times(&counts.first_byte),
    })
}

/// A peer.
pub fn peer(peer: &PeerLive) -> Value {
    let (state, counts, used) = (&peer.state, &peer.counts, peer.uses.read());
    let ewma = state.ewma_ns.load(Relaxed);
    json!({
        // As text: the number has more digits than a JSON number keeps.
        "id": format!("{:016x}", state.id),
        // What stands in for a line with variables has none. One that its connector finds by name is that name.
        "address": (peer.addr != Addr::NONE || !peer.host.contains("${")).then_some(&peer.addr_text),
        "host": peer.host,
        "protocol": peer.connector,
        "condition": peer.condition(),
        "backup": state.backup.load(Relaxed) == 1,
        "weight": state.weight.load(Relaxed),
        "ramp": f64::from(state.ramp.load(Relaxed)) / 1000.0,
        "in_flight": state.in_flight.load(Relaxed),
        "max_connections": state.max_connections.load(Relaxed),
        "response_time": (ewma > 0).then(|| ewma as f64 / 1e9),
        "picked": used.begun,
        "connect_failures": counts.connect_failures.load(Relaxed),
        "failures": counts.failures.load(Relaxed),
        "sent": used.sent,
        "received": used.received,
        "ejections": counts.ejections.load(Relaxed),
        "checks_passed": counts.checks_passed.load(Relaxed),
        "checks_failed": counts.checks_failed.load(Relaxed),
        "check_failure": peer.check_failure(),
    })
}

/// An upstream with its peers.
pub fn upstream(pool: &Pool) -> Value {
    let set = pool.set.load();
    let mut peers: Vec<Value> = set.members.iter().map(|m| peer(&m.live)).collect();
    for line in pool.unresolved() {
        let protocol = line.connector.name.as_str();
        peers.push(json!({"address": null, "host": line.text, "protocol": protocol, "condition": "unresolved"}));
    }
    json!({
        "name": pool.name,
        "balancer": pool.balancer_name,
        "in_flight": pool.shared.in_flight(),
        "max_connections": pool.max_connections,
        "waiting": pool.shared.waiting.load(Relaxed),
        "retries": pool.shared.retries.load(Relaxed),
        "no_peer": pool.shared.no_peer.load(Relaxed),
        "queue_timeouts": pool.shared.queue_timeouts.load(Relaxed),
        "peers": peers,
    })
}

/// A module of a generation, with what it says of itself.
pub fn module(id: &str, version: &str, image: usize, own: &Value) -> Value {
    json!({"id": id, "version": version, "image": image, "status": own})
}

/// The generation that serves.
pub fn generation(epoch: u32, hash: u64, panics: u64) -> Value {
    json!({"epoch": epoch, "hash": format!("{hash:016x}"), "panics": panics})
}

/// An image. `memory`: its private memory, where the system tells; `serving`: the serving generation runs it.
pub fn image(image: &Image, memory: Option<u64>, serving: bool) -> Value {
    json!({
        "module": image.facts.id,
        "number": image.number,
        "version": image.facts.version,
        "abi": format!("{}.{}", image.facts.abi.0, image.facts.abi.1),
        "rustc": image.facts.rustc,
        "file": image.path.display().to_string(),
        "hash": format!("{:016x}", image.hash),
        "size": image.size,
        "memory": memory,
        "serving": serving,
    })
}

/// A zone.
pub fn zone(module: &str, name: &str, holders: usize) -> Value {
    json!({"module": module, "name": name, "holders": holders})
}

/// What a module did wrong and the process survived.
pub fn faults(module: &str, faults: &Faults) -> Value {
    json!({"module": module, "panics": faults.panics, "slow_polls": faults.slow_polls})
}

/// What became of the datagrams that were read.
pub fn datagrams(counts: &datagram::Counts) -> Value {
    json!({
        "delivered": counts.delivered.load(Relaxed),
        "passed": counts.passed.load(Relaxed),
        "to_predecessor": counts.to_predecessor.load(Relaxed),
        "from_successor": counts.from_successor.load(Relaxed),
        "refused": counts.refused.load(Relaxed),
        "no_owner": counts.no_owner.load(Relaxed),
        "full": counts.full.load(Relaxed),
        "errors": counts.errors.load(Relaxed),
    })
}

/// The buffer pools: bytes handed out, the limit (0: none), and how often a buffer was refused.
pub fn buffers(in_use: usize, limit: usize, refused: usize) -> Value {
    json!({"in_use": in_use, "limit": limit, "refused": refused})
}

/// A pool of threads for jobs.
pub fn job_pool(pool: &jobs::Counts) -> Value {
    json!({
        "name": pool.name,
        "most": pool.most,
        "threads": pool.threads,
        "busy": pool.busy,
        "waiting": pool.waiting,
        "done": pool.done,
        "panicked": pool.panicked,
        "refused": pool.refused,
    })
}

/// The process itself. `lingering`: connections that are over but for the last bytes, which their peers do not take.
pub fn process(uptime: Duration, sessions: u32, lingering: u32, max_sessions: u32) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "uptime": seconds(uptime),
        "sessions": sessions,
        "lingering": lingering,
        "max_connections": max_sessions,
    })
}

/// A session as the list of sessions shows it: copied on its worker, shown elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionRow {
    /// Its number.
    pub id: u64,
    /// The connection's, where it is an exchange.
    pub connection: Option<u64>,
    /// Its worker.
    pub worker: u32,
    /// Epoch of its generation.
    pub epoch: u32,
    /// The client.
    pub client: String,
    /// The connection's other end.
    pub remote: String,
    /// The listener's address.
    pub listener: String,
    /// Its server, once chosen.
    pub server: Option<String>,
    /// The domain asked for.
    pub domain: String,
    /// Its upstream and peer, once chosen.
    pub upstream: Option<(String, String)>,
    /// Its age.
    pub age: Duration,
    /// From and to the client, from and to the upstream.
    pub bytes: [u64; 4],
    /// Stages with their offsets in microseconds.
    pub stages: Vec<(String, u32)>,
    /// Its generation is retired.
    pub draining: bool,
    /// Told to end, with the code why.
    pub closing: Option<u32>,
    /// Follows it through a chain of hosts; empty: not asked for yet.
    pub request_id: String,
}

impl SessionRow {
    /// Of a session, on its worker.
    pub fn of(session: &Session) -> Self {
        let shared = &session.shared;
        let note = session.lease.borrow();
        let peer = session.worker.cycle.pools.get(note.pool).zip(note.member.as_ref());
        let code = shared.close_reason.get();
        Self {
            id: shared.id,
            connection: session.connection().map(|of| of.shared.id),
            worker: session.worker.worker,
            epoch: session.worker.cycle.epoch,
            client: shared.client.get().to_string(),
            remote: shared.remote.to_string(),
            listener: session.listener.label.clone(),
            server: session.user().map(|u| u.server.name.clone()),
            domain: session.peek(|t| t.domain.borrow().clone()),
            upstream: peer.map(|(pool, member)| (pool.name.clone(), member.live.addr_text.to_string())),
            age: session.age(),
            bytes: [
                shared.client_received.get(),
                shared.client_sent.get(),
                shared.upstream_received.get(),
                shared.upstream_sent.get(),
            ],
            stages: session.peek(|t| t.stages.borrow().iter().map(|(name, at)| (name.to_string(), *at)).collect()),
            draining: shared.draining.get() != 0,
            closing: (code != 0).then_some(code),
            request_id: session.peek(|t| t.request_id.borrow().clone()),
        }
    }

    /// As JSON. `whole`: with its stages.
    pub fn json(&self, whole: bool) -> Value {
        let mut row = json!({
            "id": self.id,
            "connection": self.connection,
            "worker": self.worker,
            "epoch": self.epoch,
            "client": self.client,
            "remote": self.remote,
            "listener": self.listener,
            "server": self.server,
            "domain": self.domain,
            "upstream": self.upstream.as_ref().map(|(name, _)| name),
            "peer": self.upstream.as_ref().map(|(_, peer)| peer),
            "age": seconds(self.age),
            "client_received": self.bytes[0],
            "client_sent": self.bytes[1],
            "upstream_received": self.bytes[2],
            "upstream_sent": self.bytes[3],
            "draining": self.draining,
            "close_reason": self.closing.map(CloseReason::name),
            "request_id": self.request_id,
        });
        if whole {
            let stages = self.stages.iter().map(|(name, at)| json!({"stage": name, "at": f64::from(*at) / 1e6}));
            row["stages"] = stages.collect();
        }
        row
    }
}
