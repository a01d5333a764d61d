//! A listener: one address, the servers that share it, and how one of them is chosen.

pub use super::{listener_stats::ListenerStats, local_stats::LocalStats};
use crate::{
    config::{
        address::Address,
        tree::{ScopeId, Socket, Tree},
    },
    matcher::{CaptureNames, CaptureValues, domain::DomainSet, rule::RuleTable},
    services::{instance::Instance, points},
};
use anyproxy_module_api::abi::{
    conf::Role,
    module::{DatagramPoint, HandlerPoint, ListenerPoint, PrereadPoint},
    net::SocketOptions,
};
use std::sync::Arc;

/// What one server is, whatever listener a session came by.
#[derive(Debug)]
pub struct ServerPlan {
    /// Its block.
    pub scope: ScopeId,
    /// For status: its first domain or where it stands.
    pub name: String,
    /// Its locals' rules.
    pub rules: RuleTable,
    /// The template behind each input of the rules.
    pub rule_inputs: Vec<u32>,
    /// Its locals.
    pub locals: Vec<LocalPlan>,
    /// Who takes all of its sessions and chooses locals itself, for each exchange.
    pub exchanges: Option<(u16, HandlerPoint)>,
    /// Counters.
    pub stats: Arc<ListenerStats>,
}

/// What one local is.
#[derive(Debug)]
pub struct LocalPlan {
    /// Its block.
    pub scope: ScopeId,
    /// Who takes its sessions.
    pub handler: Option<(u16, HandlerPoint)>,
    /// Its upstream, by number.
    pub pool: Option<usize>,
    /// For status and metrics: its name or where it stands.
    pub name: String,
    /// Counters, if it has any of its own.
    pub stats: Option<LocalStats>,
}

/// One server on a listener.
#[derive(Clone, Debug)]
pub struct User {
    /// The server.
    pub server: Arc<ServerPlan>,
    /// The listening point, with its module.
    pub point: (u16, ListenerPoint),
}

/// A listener. Each worker holds a copy of its own, so that sessions count without atomics.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Names the address across generations and processes.
    pub key: u64,
    /// The address as configured.
    pub address: Address,
    /// The same as text, with a mark for the n-th of equal ones (port 0).
    pub label: String,
    /// Who shares it.
    pub users: Vec<User>,
    /// Servers are chosen by domain.
    pub by_domain: bool,
    domains: Option<Arc<DomainSet<usize>>>,
    default: Option<usize>,
    /// The innermost block that all its servers have in common.
    pub early_scope: ScopeId,
    /// Headers in front of the stream that this listener takes.
    pub header_prereads: Vec<(u16, PrereadPoint)>,
    /// Who looks for the domain.
    pub domain_prereads: Vec<(u16, PrereadPoint)>,
    /// Socket options.
    pub options: SocketOptions,
    /// Sessions at one time on all addresses of its group; 0: no limit.
    pub max_connections: u32,
    /// Names the group: the addresses with the same servers.
    pub group: u64,
    /// Counters of the group's addresses, where there is a limit.
    pub together: Vec<Arc<ListenerStats>>,
    /// Counters, shared by all workers and passed on to the next generation.
    pub stats: Arc<ListenerStats>,
    /// A listener over datagrams.
    pub datagram: Option<(u16, DatagramPoint, ScopeId)>,
}

impl Listener {
    /// Whether headers may come in front of the stream.
    #[inline]
    pub fn prereads_headers(&self) -> bool {
        !self.header_prereads.is_empty()
    }

    /// The limit of its own that it has reached, if it has.
    #[inline]
    pub fn limit_reached(&self) -> Option<&'static str> {
        let sessions = || self.together.iter().map(|stats| u64::from(stats.now())).sum::<u64>();
        (self.max_connections != 0 && sessions() >= self.max_connections.into())
            .then_some("max_connections of the server")
    }

    /// The user for a domain: by name, else the default.
    pub fn user_of(&self, domain: &[u8], captures: &mut CaptureValues) -> Option<usize> {
        let found = self.domains.as_ref().and_then(|d| d.lookup(domain, captures)).map(|m| *m.value);
        found.or(self.default)
    }

    /// Whether the server of this domain has a handler of exchanges: it reads them itself, and each names its own server.
    pub fn reads_for(&self, domain: &[u8]) -> bool {
        self.user_of(domain, &mut CaptureValues::new()).is_some_and(|n| self.users[n].server.exchanges.is_some())
    }

    /// Whether that is so of all its servers.
    pub fn read_for_themselves(&self) -> bool {
        self.users.iter().all(|u| u.server.exchanges.is_some())
    }
}

/// What a listener is built from.
#[derive(Debug)]
pub struct Parts<'a> {
    /// The configuration.
    pub tree: &'a Tree,
    /// Modules by number.
    pub instances: &'a [Option<Instance>],
    /// Servers by net and number.
    pub servers: &'a [Vec<Arc<ServerPlan>>],
}

/// Builds the listener of one socket of the tree. `ordinal`: which of several equal addresses.
///
/// # Errors
/// In words.
pub fn build(
    parts: &Parts<'_>,
    socket: &Socket,
    ordinal: usize,
    stats: Arc<ListenerStats>,
    names: &mut CaptureNames,
) -> Result<Listener, String> {
    let Parts { tree, .. } = parts;
    let mut users = Vec::new();
    let mut patterns = Vec::new();
    let mut datagram = None;
    for (n, u) in socket.users.iter().enumerate() {
        let server = &tree.nets[u.net].servers[u.server];
        let listen = &server.listens[u.listen];
        let desc = parts.instances[usize::from(listen.module)].as_ref().ok_or("a listener of no module")?.desc();
        if listen.datagram {
            let point = desc.datagrams.as_slice().iter().find(|d| d.name.as_str() == listen.point.as_str());
            let point = point.ok_or_else(|| format!("there is no datagram listener \"{}\"", listen.point))?;
            datagram = Some((listen.module, *point, server.scope));
        }
        let point = desc.listeners.as_slice().iter().find(|l| l.name.as_str() == listen.point.as_str()).copied();
        let point = match point {
            Some(p) => p,
            // Sessions of a datagram listener are handed in by its module; their streams need no handshake.
            None if listen.datagram => points::plain_listener(listen.point),
            None => return Err(format!("there is no listener \"{}\"", listen.point)),
        };
        users.push(User { server: Arc::clone(&parts.servers[u.net][u.server]), point: (listen.module, point) });
        patterns.extend(server.domains.iter().map(|d| (d.name.to_string(), n)));
    }
    let first = socket.users.first().ok_or("a listener without servers")?;
    let listen = &tree.nets[first.net].servers[first.server].listens[first.listen];
    let by_domain = listen.role == Role::ListenDomain;
    let domains = DomainSet::compile(patterns.iter().map(|(p, n)| (p.as_str(), *n)), names)
        .map_err(|e| e.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let label = if ordinal == 0 { socket.address.to_string() } else { format!("{}#{}", socket.address, ordinal + 1) };
    let kind = if socket.datagram { "datagram" } else { "stream" };
    let key = crate::upstream::identity::line_id([kind, label.as_str()]);
    Ok(Listener {
        key,
        address: socket.address.clone(),
        label,
        by_domain,
        domains: (!domains.is_empty()).then(|| Arc::new(domains)),
        default: socket.default,
        early_scope: common_scope(tree, socket),
        header_prereads: Vec::new(),
        domain_prereads: Vec::new(),
        options: SocketOptions::default(),
        max_connections: limit(tree, socket),
        group: key,
        together: Vec::new(),
        stats,
        users,
        datagram,
    })
}

/// One server: its block. Several in one net: the net's. Else the outermost.
fn common_scope(tree: &Tree, socket: &Socket) -> ScopeId {
    let first = &socket.users[0];
    if socket.users.iter().all(|u| (u.net, u.server) == (first.net, first.server)) {
        return tree.nets[first.net].servers[first.server].scope;
    }
    if socket.users.iter().all(|u| u.net == first.net) {
        return tree.nets[first.net].scope;
    }
    Tree::MAIN
}

/// The servers' limits together; one without limit lifts it.
fn limit(tree: &Tree, socket: &Socket) -> u32 {
    let limits = socket.users.iter().map(|u| tree.nets[u.net].servers[u.server].max_connections);
    limits.reduce(|a, b| if a == 0 || b == 0 { 0 } else { a.saturating_add(b) }).unwrap_or(0)
}
