//! What can fail before a generation goes live: sockets are bound, modules prepare; what was done is undone in reverse
//! when something fails.

use super::{
    Cycle,
    bound::{Bound, Sockets},
    check, holder,
};
use crate::{
    config::{
        address::Address,
        diagnostic::{Diagnostic, Diagnostics, Severity},
        document::{Sources, place_of},
    },
    process::process,
    services::{instance::Problem, net, socket_file},
};
use anyproxy_module_api::{SocketOptions, abi::conf::Span};
use socket2::{Domain, Socket, Type};
use std::{io, net::SocketAddr, path::Path, sync::Arc};

/// Why a generation cannot go live.
#[derive(Debug)]
pub enum Failure {
    /// A socket.
    Bind(String),
    /// A module, with what it said.
    Module(Diagnostics),
}

/// What was done for a generation before it goes live. Whoever drops it undoes that: nothing of it remains, whatever became of the
/// generation, unless it went live.
#[derive(Debug)]
pub struct Prepared {
    cycle: Arc<Cycle>,
    sockets: Sockets,
    /// Modules have prepared, and nothing was committed.
    undoes: bool,
}

impl Prepared {
    /// The sockets that are new.
    pub const fn sockets(&self) -> &Sockets {
        &self.sockets
    }

    /// The generation, which is to be committed: from now on nothing that modules prepared is undone.
    pub fn goes_live(&mut self) -> Arc<Cycle> {
        self.undoes = false;
        Arc::clone(&self.cycle)
    }

    /// The generation is live, and goes on with its sockets.
    pub fn keep(mut self) -> Sockets {
        std::mem::take(&mut self.sockets)
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if self.undoes {
            abort_modules(&self.cycle, self.cycle.start_order().len());
        }
        self.sockets.drain().for_each(|(_, bound)| bound.give_up());
    }
}

/// Prepares the generation: binds what `have` lacks, then asks each module. `sources`: the files that it was read from, for what
/// is said of them. With it what was warned of, which is in the log, too.
///
/// # Errors
/// The first failure; nothing of it remains.
pub fn prepare(
    cycle: &Arc<Cycle>,
    sources: &Sources,
    have: &[u64],
    workers: usize,
) -> Result<(Prepared, Diagnostics), Failure> {
    let mut new = Prepared { cycle: Arc::clone(cycle), sockets: Sockets::new(), undoes: false };
    let warnings = prepare_into(&mut new.sockets, cycle, sources, have, workers)?;
    new.undoes = true;
    Ok((new, warnings))
}

fn prepare_into(
    new: &mut Sockets,
    cycle: &Arc<Cycle>,
    sources: &Sources,
    have: &[u64],
    workers: usize,
) -> Result<Diagnostics, Failure> {
    let stays = |key| cycle.listeners.iter().any(|l| l.key == key);
    for l in &cycle.listeners {
        if have.contains(&l.key) {
            continue;
        }
        let count = if l.options.reuseport && matches!(l.address, Address::Ip(_)) { workers } else { 1 };
        let bound = bind(&l.address, &l.options, count, l.datagram.is_some(), &stays).map_err(|e| {
            Failure::Bind(format!("cannot listen on {}: {}", l.label, explain(&e, &l.address, l.datagram.is_some())))
        })?;
        new.insert(l.key, Bound::new(l.label.clone(), actual(&l.address, &bound), bound));
    }
    if let Err(errors) = cycle.logs.open(&process().writer, &cycle.vars) {
        let mut wrong = Diagnostics::new(sources.clone());
        wrong.extend(errors.into_iter().map(|(span, text)| said_at("access-log", text, Some(&span), sources)));
        return Err(Failure::Module(wrong));
    }
    let mut warnings = modules(cycle, sources).map_err(Failure::Module)?;
    warnings.extend(check::gone_logs(cycle, sources));
    for w in warnings.iter() {
        tracing::warn!("{}", warnings.headline(w));
    }
    Ok(warnings)
}

/// An error at a place of the configuration.
pub(super) fn said_at(code: &'static str, text: String, span: Option<&Span<'_>>, sources: &Sources) -> Diagnostic {
    let d = Diagnostic::error(code, text);
    match span.and_then(|s| place_of(sources, s)) {
        Some(place) => d.at(place),
        None => d,
    }
}

fn bind(
    address: &Address,
    options: &SocketOptions,
    count: usize,
    datagram: bool,
    stays: &dyn Fn(u64) -> bool,
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
    let first = match (one(address, &options), address) {
        (Err(e), Address::Ip(at)) if e.kind() == io::ErrorKind::AddrInUse && !options.reuseport => {
            beside_leaving(&crate::upgrade::offered(at.port(), |key| !stays(key)), &options, |o| one(address, o))
                .unwrap_or(Err(e))?
        }
        (first, _) => first?,
    };
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

/// Without `SO_REUSEPORT` the system refuses an address that overlaps one of ours, also one that this generation gives up
/// (`0.0.0.0:80` becomes `127.0.0.1:80`) and whose queue is served until then. For the moment of the bind all say that they
/// share. `None`: none of ours is `leaving`.
fn beside_leaving(
    leaving: &[Socket],
    options: &SocketOptions,
    bind: impl FnOnce(&SocketOptions) -> io::Result<Socket>,
) -> Option<io::Result<Socket>> {
    if leaving.is_empty() {
        return None;
    }
    let sharing = |socket: &Socket, on: bool| {
        #[cfg(unix)]
        return socket.set_reuse_port(on);
        #[cfg(not(unix))]
        {
            let _ = (socket, on);
            io::Result::Ok(())
        }
    };
    let all = |on: bool| leaving.iter().try_for_each(|s| sharing(s, on));
    let bound = all(true).and_then(|()| bind(&SocketOptions { reuseport: true, ..*options }));
    let alone = all(false);
    Some(bound.and_then(|s| alone.and_then(|()| sharing(&s, false)).map(|()| s)))
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

/// Why a socket cannot be bound, in words.
pub(super) fn explain(e: &io::Error, address: &Address, datagram: bool) -> String {
    match e.kind() {
        io::ErrorKind::PermissionDenied => match address {
            Address::Ip(at) if at.port() < 1024 => {
                format!("{e}; {}a port below 1024 needs root or the capability CAP_NET_BIND_SERVICE", who_we_are())
            }
            Address::Unix(path) => {
                let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
                format!("{e}; {}it may not make files in {}", who_we_are(), dir.display())
            }
            _ => e.to_string(),
        },
        io::ErrorKind::NotFound if matches!(address, Address::Unix(_)) => format!("{e}; its directory is not there"),
        io::ErrorKind::AddrInUse if matches!(address, Address::Unix(path) if !socket_file::is_socket(path)) => {
            format!("{e}; what is there is not a socket")
        }
        io::ErrorKind::AddrInUse => {
            let holders = if let Address::Ip(at) = address { holder::holders(*at, datagram) } else { Vec::new() };
            if !holders.is_empty() && holders.iter().all(|h| h.pid == std::process::id()) {
                return format!(
                    "{e}; this process listens there itself, and without reuseport addresses may not overlap"
                );
            }
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

/// Lets each module prepare, and then settle. What they warn of.
///
/// # Errors
/// What the first one said that failed; then everything is undone.
pub(super) fn modules(cycle: &Arc<Cycle>, sources: &Sources) -> Result<Diagnostics, Diagnostics> {
    let order = cycle.start_order();
    let mut said = Diagnostics::new(sources.clone());
    for (n, &module) in order.iter().enumerate() {
        let mut problems = Vec::new();
        let well = cycle.instance(module).prepare(cycle, module, &mut problems);
        said.extend(problems.into_iter().map(|p| problem(p, cycle.module_id(module), sources)));
        if !well {
            abort_modules(cycle, n);
            return Err(said);
        }
    }
    let mut well = true;
    for &module in order {
        let mut problems = Vec::new();
        well &= cycle.instance(module).settle(cycle, module, &mut problems);
        said.extend(problems.into_iter().map(|p| problem(p, cycle.module_id(module), sources)));
    }
    if well {
        return Ok(said);
    }
    abort_modules(cycle, order.len());
    Err(said)
}

/// What a module said.
fn problem(p: Problem, module: &str, sources: &Sources) -> Diagnostic {
    let mut d = said_at("prepare", p.message, p.span.as_ref(), sources).module(module);
    if p.warning {
        d.severity = Severity::Warning;
    }
    if p.help.is_empty() { d } else { d.help(p.help) }
}

/// Undoes what the first `n` modules prepared, in reverse.
pub fn abort_modules(cycle: &Arc<Cycle>, n: usize) {
    for &module in cycle.start_order()[..n].iter().rev() {
        cycle.instance(module).abort(cycle, module);
    }
    cycle.end_process_tasks();
    process().zones.undo();
}

/// Puts a generation into force: there may be thousands of peers.
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
