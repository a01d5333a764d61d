//! What can fail before a generation goes live: sockets are bound, modules prepare; what was done is undone in reverse
//! when something fails.

use super::Cycle;
use crate::{
    config::{
        address::Address,
        diagnostic::{Diagnostic, Diagnostics},
    },
    process::process,
    services::net,
};
use socket2::Socket;
use std::{collections::HashMap, io, sync::Arc};

/// The sockets of one listener.
#[derive(Debug)]
pub struct Bound {
    /// For messages and status.
    pub label: String,
    /// One a worker, or one for all.
    pub sockets: Vec<Socket>,
    /// The address with the port that the system chose.
    pub address: String,
}

/// Listening sockets of the process, by the listener's key.
pub type Sockets = HashMap<u64, Bound>;

/// Why a generation cannot go live.
#[derive(Debug)]
pub enum Failure {
    /// A socket.
    Bind(String),
    /// A module, with what it said.
    Module(Diagnostics),
}

/// Prepares the generation: binds what `have` lacks, then asks each module. The new sockets.
///
/// # Errors
/// The first failure; nothing of it remains.
pub fn prepare(cycle: &Arc<Cycle>, have: &[u64], workers: usize) -> Result<Sockets, Failure> {
    let mut new = Sockets::new();
    for l in &cycle.listeners {
        if have.contains(&l.key) {
            continue;
        }
        let count = if l.options.reuseport && matches!(l.address, Address::Ip(_)) { workers } else { 1 };
        let bound = bind(&l.address, &l.options, count)
            .map_err(|e| Failure::Bind(format!("cannot listen on {}: {}", l.label, explain(&e))))?;
        new.insert(l.key, Bound { label: l.label.clone(), address: actual(&l.address, &bound), sockets: bound });
    }
    cycle.logs.open(&process().writer, &cycle.vars).map_err(|errors| {
        let mut wrong = Diagnostics::default();
        for (s, text) in errors {
            wrong.push(Diagnostic::error("access_log", format!("{}:{}:{}: {text}", s.file, s.line, s.column)));
        }
        Failure::Module(wrong)
    })?;
    modules(cycle)?;
    Ok(new)
}

fn bind(address: &Address, options: &anyproxy_module_api::SocketOptions, count: usize) -> io::Result<Vec<Socket>> {
    let mut options = *options;
    options.reuseport = count > 1 || (options.reuseport && matches!(address, Address::Ip(_)));
    let first = net::bind_listener(address, &options)?;
    let mut sockets = vec![first];
    // The system chose a port: the others of the group must have the same.
    let fixed = match (address, sockets[0].local_addr()?.as_socket()) {
        (Address::Ip(_), Some(at)) => Address::Ip(at),
        _ => address.clone(),
    };
    for _ in 1..count {
        sockets.push(net::bind_listener(&fixed, &options)?);
    }
    Ok(sockets)
}

fn actual(address: &Address, sockets: &[Socket]) -> String {
    match (address, sockets.first().and_then(|s| s.local_addr().ok()).and_then(|a| a.as_socket())) {
        (Address::Ip(_), Some(at)) => at.to_string(),
        _ => address.to_string(),
    }
}

fn explain(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::PermissionDenied => {
            format!("{e}; a port below 1024 needs root or the capability CAP_NET_BIND_SERVICE")
        }
        io::ErrorKind::AddrInUse => format!("{e}; another process listens there"),
        io::ErrorKind::AddrNotAvailable => format!("{e}; this machine has no such address"),
        _ => e.to_string(),
    }
}

fn modules(cycle: &Arc<Cycle>) -> Result<(), Failure> {
    for (n, &module) in cycle.start_order().iter().enumerate() {
        let mut problems = Vec::new();
        if cycle.instance(module).prepare(cycle, module, &mut problems) {
            for p in problems {
                tracing::warn!(module = cycle.module_id(module), "{}", p.message);
            }
            continue;
        }
        abort_modules(cycle, n);
        let mut wrong = Diagnostics::default();
        for p in problems {
            let text = match p.span.filter(|s| s.line > 0) {
                Some(s) => format!("{}:{}:{}: {}", s.file, s.line, s.column, p.message),
                None => p.message,
            };
            let mut d = Diagnostic::error("prepare", text).module(cycle.module_id(module));
            if !p.help.is_empty() {
                d = d.help(p.help);
            }
            wrong.push(d);
        }
        return Err(Failure::Module(wrong));
    }
    Ok(())
}

/// Undoes what the first `n` modules prepared, in reverse.
pub fn abort_modules(cycle: &Arc<Cycle>, n: usize) {
    for &module in cycle.start_order()[..n].iter().rev() {
        cycle.instance(module).abort(cycle, module);
    }
}

/// The generation goes live.
pub fn commit(cycle: &Arc<Cycle>) {
    for &module in cycle.start_order() {
        cycle.instance(module).commit(cycle, module);
    }
    let lines = cycle.pools.iter().flat_map(|p| p.line_ids()).collect();
    process().peers.carry(&lines);
    process().zones.sweep();
}
