//! What status, metrics and the list of sessions show, gathered from the process and its generation. Times are in
//! seconds, sizes in bytes; what is not known is null. Knows nothing of who asks and how the answer travels.

pub mod json;
pub mod prometheus;
#[cfg(test)]
mod tests;
pub mod workers;

use crate::{
    cycle::{Cycle, listener::Listener, listener_stats::ListenerStats},
    process::process,
    services::{buffers, datagram, faults, jobs, rt},
    session::Session,
    worker::Worker,
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// What status is made of; what a worker or the process's loop alone knows was gathered there.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The generation that serves.
    pub cycle: &'a Cycle,
    /// See [`worker`].
    pub workers: Vec<Value>,
    /// See [`listener`].
    pub listeners: Vec<Value>,
    /// Generations before it that have not ended.
    pub retired: Vec<Value>,
    /// What modules say of themselves, by id.
    pub modules: Value,
    /// Reloads that went well.
    pub reloads: u64,
    /// Reloads that failed.
    pub failed_reloads: u64,
    /// Why the last one failed.
    pub last_error: Option<&'a str>,
    /// The process is ending.
    pub quitting: bool,
}

/// Everything about the process.
pub fn whole(parts: &Parts<'_>) -> Value {
    let (cycle, p) = (parts.cycle, process());
    let modules: Vec<Value> = cycle
        .modules()
        .map(|(_, i)| {
            let (facts, number) = (&i.image.facts, i.image.number);
            json::module(&facts.id, &facts.version, number, &parts.modules[&facts.id])
        })
        .collect();
    let images: Vec<Value> = p
        .images
        .all()
        .iter()
        .map(|image| {
            json::image(image, image.private_memory(), cycle.modules().any(|(_, i)| Arc::ptr_eq(&i.image, image)))
        })
        .collect();
    let zones: Vec<Value> = p.zones.list().iter().map(|(module, name, n)| json::zone(module, name, *n)).collect();
    let (in_use, refused) = buffers::usage();
    json!({
        "process": json::process(p.now(), p.sessions.load(Relaxed), rt::lingering(), p.max_sessions.load(Relaxed)),
        "generation": json::generation(cycle.epoch, cycle.hash, cycle.stats.panics.load(Relaxed)),
        "retired": parts.retired,
        "reloads": parts.reloads,
        "failed_reloads": parts.failed_reloads,
        "last_error": parts.last_error,
        "quitting": parts.quitting,
        "workers": parts.workers,
        "listeners": parts.listeners,
        "servers": servers(cycle),
        "upstreams": cycle.pools.iter().map(|pool| json::upstream(pool)).collect::<Vec<_>>(),
        "modules": modules,
        "images": images,
        "zones": zones,
        "buffers": json::buffers(in_use, cycle.settings.memory_limit, refused),
        "faults": faults::all().iter().map(|(id, f)| json::faults(id, f)).collect::<Vec<_>>(),
        "datagrams": json::datagrams(&datagram::COUNTS),
        "jobs": jobs::counts().iter().map(json::job_pool).collect::<Vec<_>>(),
        "access_logs": cycle.logs.all().iter().map(|l| json!({"target": l.target().to_string(), "lost": l.lost()})).collect::<Vec<_>>(),
    })
}

/// The servers of a generation, each once, in the order of the file, with the addresses that lead to it.
fn servers(cycle: &Cycle) -> Vec<Value> {
    let mut seen = HashSet::new();
    let users = cycle.listeners.iter().flat_map(|l| &l.users);
    users
        .filter(|u| seen.insert(Arc::as_ptr(&u.server)))
        .map(|u| {
            let leads = |l: &&Arc<Listener>| l.users.iter().any(|x| Arc::ptr_eq(&x.server, &u.server));
            let addresses: Vec<String> = cycle.listeners.iter().filter(leads).map(|l| l.label.clone()).collect();
            json::server(&u.server.name, &addresses, &u.server.locals, &u.server.stats)
        })
        .collect()
}

/// A listener: `address` with the port that the system chose, and how many sockets it has.
pub fn listener(listener: &Listener, address: &str, sockets: usize) -> Value {
    let servers: Vec<String> = listener.users.iter().map(|u| u.server.name.clone()).collect();
    json::listener(&json::ListenerEntry {
        address,
        configured: &listener.label,
        kind: listener.users.first().map_or("", |u| u.point.1.name.as_str()),
        datagram: listener.datagram.is_some(),
        by_domain: listener.by_domain,
        sockets,
        max_connections: listener.max_connections,
        servers: &servers,
        stats: &listener.stats,
    })
}

/// A worker, on its own thread.
pub fn worker(worker: &Worker) -> Value {
    let generations: Vec<_> = worker
        .generations()
        .iter()
        .map(|g| {
            let (sessions, tasks, jobs) = g.held_by();
            let named = |(module, n): (u16, usize)| (g.cycle.module_id(module).to_owned(), n);
            let mut by_module = BTreeMap::new();
            for (id, n) in g.tasks.by_module().into_iter().chain(g.jobs.by_module()).map(named) {
                *by_module.entry(id).or_insert(0) += n;
            }
            let by_module = by_module.into_iter().collect();
            (g.cycle.epoch, g.retired.get(), workers::Holding { sessions, tasks, jobs, by_module })
        })
        .collect();
    let row = workers::Row {
        id: worker.id,
        index: worker.index,
        ringed: rt::is_ringed(),
        sessions: worker.session_count(),
        paused: worker.paused.get(),
    };
    workers::worker(&row, &generations)
}

/// A session with its stages, on its worker.
pub fn session(session: &Session) -> Value {
    json::SessionRow::of(session).json(true)
}

/// All metrics as Prometheus text: what is registered, then listeners, servers, upstreams and peers.
pub fn prometheus(cycle: &Cycle) -> String {
    let mut out = String::new();
    process().metrics.prometheus(&mut out);
    prometheus::process(&mut out, &process_numbers(cycle));
    prometheus::faults(&mut out, &faults::all());
    prometheus::datagrams(&mut out, &datagram::COUNTS);
    let names: Vec<String> = cycle.listeners.iter().map(|l| listener_name(l)).collect();
    let listeners: Vec<(&str, &ListenerStats)> =
        names.iter().zip(&cycle.listeners).map(|(name, l)| (name.as_str(), &*l.stats)).collect();
    prometheus::traffic(&mut out, "listener", &listeners);
    // Servers with one name share their counters: each once.
    let mut seen = HashSet::new();
    let users = cycle.listeners.iter().flat_map(|l| &l.users).filter(|u| seen.insert(u.server.name.as_str()));
    let servers: Vec<(&str, &ListenerStats)> = users.map(|u| (u.server.name.as_str(), &*u.server.stats)).collect();
    prometheus::traffic(&mut out, "server", &servers);
    let pools: Vec<_> = cycle.pools.iter().map(|p| &**p).collect();
    prometheus::upstreams(&mut out, &pools);
    out
}

/// A datagram listener may have the address of a stream listener.
fn listener_name(l: &Listener) -> String {
    if l.datagram.is_some() { format!("{}/datagram", l.label) } else { l.label.clone() }
}

fn process_numbers(cycle: &Cycle) -> prometheus::ProcessNumbers {
    let p = process();
    let (in_use, refused) = buffers::usage();
    prometheus::ProcessNumbers {
        uptime: p.now(),
        epoch: cycle.epoch,
        sessions: p.sessions.load(Relaxed),
        buffer_bytes: in_use as u64,
        buffers_refused: refused as u64,
    }
}

/// The same as JSON: what is registered by name, and listeners, servers and upstreams under keys of their own.
pub fn metrics_json(cycle: &Cycle) -> Value {
    let listeners = cycle.listeners.iter().map(|l| (listener_name(l), json::traffic(&l.stats)));
    json!({
        "metrics": process().metrics.json(),
        "listeners": listeners.collect::<serde_json::Map<_, _>>(),
        "servers": servers(cycle),
        "upstreams": cycle.pools.iter().map(|pool| json::upstream(pool)).collect::<Vec<_>>(),
    })
}
