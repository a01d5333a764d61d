//! What can fail before a generation goes live: sockets are bound, modules prepare; what was done is undone in reverse
//! when something fails.

use super::{Cycle, holder};
use crate::{
    config::{
        address::Address,
        diagnostic::{Diagnostic, Diagnostics},
    },
    process::process,
    services::{instance::Problem, net},
};
use socket2::{Domain, Socket, Type};
use std::{collections::HashMap, io, net::SocketAddr, sync::Arc};

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

impl Bound {
    /// Closes them here for good: the file of a Unix socket goes too.
    pub fn give_up(self) {
        if let Some(path) = self.address.strip_prefix("unix:") {
            // Left behind it is only stale: the next one to bind removes it.
            let _ = std::fs::remove_file(path);
        }
    }
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
        let bound = bind(&l.address, &l.options, count, l.datagram.is_some()).map_err(|e| {
            Failure::Bind(format!("cannot listen on {}: {}", l.label, explain(&e, &l.address, l.datagram.is_some())))
        })?;
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

fn bind(
    address: &Address,
    options: &anyproxy_module_api::SocketOptions,
    count: usize,
    datagram: bool,
) -> io::Result<Vec<Socket>> {
    let one = |address: &Address, options: &_| match address {
        Address::Ip(at) if datagram => net::bind_datagram(at, options),
        _ => net::bind_listener(address, options),
    };
    let mut options = *options;
    options.reuseport = count > 1 || (options.reuseport && matches!(address, Address::Ip(_)));
    if options.reuseport
        && let Address::Ip(at) = address
    {
        probe(at, options.v6_only, datagram)?;
    }
    let first = one(address, &options)?;
    let mut sockets = vec![first];
    // The system chose a port: the others of the group must have the same.
    let fixed = match (address, sockets[0].local_addr()?.as_socket()) {
        (Address::Ip(_), Some(at)) => Address::Ip(at),
        _ => address.clone(),
    };
    for _ in 1..count {
        sockets.push(one(&fixed, &options)?);
    }
    Ok(sockets)
}

/// With `SO_REUSEPORT` another process of the same user, a second anyproxy above all, would silently get half of the
/// connections: a socket without it tells. Our own sockets may be there, on an address that overlaps.
fn probe(at: &SocketAddr, v6_only: bool, datagram: bool) -> io::Result<()> {
    let kind = if datagram { Type::DGRAM } else { Type::STREAM };
    let socket = Socket::new(Domain::for_address(*at), kind, None)?;
    // For datagrams it would let us share the address with anybody.
    #[cfg(unix)]
    socket.set_reuse_address(!datagram)?;
    if at.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    match socket.bind(&(*at).into()) {
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => {
            let holders = holder::holders(*at, datagram);
            let all_ours = !holders.is_empty() && holders.iter().all(|h| h.pid == std::process::id());
            if all_ours { Ok(()) } else { Err(e) }
        }
        other => other,
    }
}

fn actual(address: &Address, sockets: &[Socket]) -> String {
    match (address, sockets.first().and_then(|s| s.local_addr().ok()).and_then(|a| a.as_socket())) {
        (Address::Ip(_), Some(at)) => at.to_string(),
        _ => address.to_string(),
    }
}

fn explain(e: &io::Error, address: &Address, datagram: bool) -> String {
    match e.kind() {
        io::ErrorKind::PermissionDenied => match address {
            Address::Ip(at) if at.port() < 1024 => {
                format!("{e}; {}a port below 1024 needs root or the capability CAP_NET_BIND_SERVICE", who_we_are())
            }
            _ => e.to_string(),
        },
        io::ErrorKind::AddrInUse => {
            let holders = if let Address::Ip(at) = address { holder::holders(*at, datagram) } else { Vec::new() };
            let named: Vec<_> = holders.iter().map(|h| format!("{} (process {})", h.name, h.pid)).collect();
            let who = if named.is_empty() { "another process".to_owned() } else { named.join(", ") };
            format!("{e}; {who} listens there")
        }
        io::ErrorKind::AddrNotAvailable => format!("{e}; this machine has no such address"),
        _ => e.to_string(),
    }
}

/// Who asks, where the system knows users.
fn who_we_are() -> String {
    #[cfg(unix)]
    return format!("this is uid {}; ", rustix::process::geteuid().as_raw());
    #[cfg(not(unix))]
    String::new()
}

fn modules(cycle: &Arc<Cycle>) -> Result<(), Failure> {
    let order = cycle.start_order();
    for (n, &module) in order.iter().enumerate() {
        let mut problems = Vec::new();
        let well = cycle.instance(module).prepare(cycle, module, &mut problems);
        said(cycle, module, well, problems).inspect_err(|_| abort_modules(cycle, n))?;
    }
    for &module in order {
        let mut problems = Vec::new();
        let well = cycle.instance(module).settle(cycle, module, &mut problems);
        said(cycle, module, well, problems).inspect_err(|_| abort_modules(cycle, order.len()))?;
    }
    Ok(())
}

/// What a module said: warnings, or why it is given up.
fn said(cycle: &Cycle, module: u16, well: bool, problems: Vec<Problem>) -> Result<(), Failure> {
    if well {
        for p in problems {
            tracing::warn!(module = cycle.module_id(module), "{}", p.message);
        }
        return Ok(());
    }
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
    Err(Failure::Module(wrong))
}

/// Undoes what the first `n` modules prepared, in reverse.
pub fn abort_modules(cycle: &Arc<Cycle>, n: usize) {
    for &module in cycle.start_order()[..n].iter().rev() {
        cycle.instance(module).abort(cycle, module);
    }
    process().zones.undo();
}

/// The generation goes live.
pub fn commit(cycle: &Arc<Cycle>) {
    for &module in cycle.start_order() {
        cycle.instance(module).commit(cycle, module);
    }
    // First: what was said of a line that changed must not be put on its peers once more.
    let lines = cycle.pools.iter().flat_map(|p| p.line_ids()).collect();
    process().peers.carry(&lines);
    for pool in &cycle.pools {
        pool.go_live();
    }
    process().zones.sweep();
}
