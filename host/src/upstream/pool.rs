//! One upstream in one generation: its peers as they stand now, and what its configuration says.

use super::{
    eject,
    identity::peer_id,
    line::Line,
    live::{PeerLive, PeerSpec},
    registered::Points,
    shared::Shared,
    slow_start::Ramp,
    turns,
};
use crate::{
    config::tree::{ScopeId, Tree},
    process::process,
    services::balancer::Peers,
};
use anyproxy_module_api::abi::{conf::Node, module::BalancerPoint, net::Addr, upstream::health as upstream_health};
use arc_swap::ArcSwap;
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// The balancer of several lines where nothing is said.
const DEFAULT_BALANCER: &str = "weight";

/// A peer in the set.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its live state.
    pub live: Arc<PeerLive>,
    /// Index of its line.
    pub line: usize,
}

/// The peers at one time. Replaced as a whole.
#[derive(Debug, Default)]
pub struct PeerSet {
    /// Changes with every replacement.
    pub version: u64,
    /// All of them, in file order. One address by the same connector is one peer: of the first line that has it.
    pub members: Vec<Member>,
    /// The addresses of each line.
    pub addresses: Vec<Vec<Addr>>,
    /// Ordinary ones, then backups.
    pub tiers: [Tier; 2],
}

/// Peers that are chosen among together.
#[derive(Debug, Default)]
pub struct Tier {
    /// As a balancer sees them.
    pub peers: Peers,
    /// Their index in `members`.
    pub members: Vec<usize>,
}

/// One upstream in one generation.
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Its place in `Tree::upstreams`.
    pub index: usize,
    /// Its block.
    pub scope: ScopeId,
    /// The balancer's name.
    pub balancer_name: String,
    /// The balancer and its module; `None`: the host's own, for a single line.
    pub balancer: Option<(u16, BalancerPoint)>,
    /// The template of what its balancer hashes, by `balancer_key`; `None`: the client's address.
    pub key: Option<u32>,
    /// Its lines.
    pub lines: Vec<Line>,
    /// Whether the address of one is rendered for each session.
    pub has_templates: bool,
    /// The peers now.
    pub set: ArcSwap<PeerSet>,
    /// Tries in all.
    pub attempts: u32,
    /// Retries in percent of sessions.
    pub budget_percent: u32,
    /// No new try after this long.
    pub retry_timeout: Duration,
    /// Sessions at one time; 0: no limit.
    pub max_connections: u32,
    /// Sessions that may wait for a peer, and how long.
    pub queue: (usize, Duration),
    /// Passive ejection.
    pub eject: eject::Policy,
    /// Whether only connects that fail count for `eject`, as where the configuration says nothing of it.
    pub eject_by_connect: bool,
    /// Time of growth to the full share.
    pub slow_start: Duration,
    /// It goes on with the peers of a generation before: one that is added is the only cold one.
    follows: AtomicBool,
    /// What the next generation goes on with.
    pub shared: Arc<Shared>,
    /// Of the set that is there now, for whoever looks whether it has that.
    pub(super) version: AtomicU64,
    /// Who puts another set there: workers of a replaced generation do, too.
    puts: Mutex<()>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pool({})", self.name)
    }
}

impl Pool {
    /// The pool of an upstream, without peers until it goes live. What is wrong comes as text with
    /// the node it concerns.
    ///
    /// # Errors
    /// Balancer or connector unknown.
    pub fn build(
        tree: &Tree,
        index: usize,
        points: &Points<'_>,
    ) -> Result<Self, (anyproxy_module_api::Span<'static>, String, String)> {
        let up = &tree.upstreams[index];
        let node = |name: &str| tree.core(up.scope, name);
        let written = node("balancer").and_then(|n| Some((n.span, n.arg(0)?.text.as_str())));
        let (balancer_name, balancer) = match written {
            None if up.peers.len() <= 1 => (turns::NAME, None),
            _ => {
                let (span, name) = written.unwrap_or((up.span, DEFAULT_BALANCER));
                let found = points.balancer(name).ok_or_else(|| points.no_balancer(name, written.is_some()));
                (name, Some(found.map_err(|(text, help)| (span, text, help))?))
            }
        };
        let balancer_name = balancer_name.to_owned();
        let mut lines = Vec::new();
        for peer in &up.peers {
            let Some(connector) = points.connector(peer.module, peer.point.as_str()) else {
                let message = format!("there is no connector \"{}\" for {}", peer.point, peer.node.name);
                return Err((peer.node.span, message, String::new()));
            };
            let probe = peer.probe.map(|p| {
                let found = points.probe(p.module, p.point.as_str()).map(|point| (p.module, point));
                found.ok_or_else(|| {
                    (p.node.span, format!("there is no probe \"{}\" for {}", p.point, p.node.name), String::new())
                })
            });
            lines.push(Line { probe: probe.transpose()?, ..Line::build(tree, up, peer, connector) });
        }
        let eject = node("eject");
        // Without a line of its own only connects count: who cannot be connected is left out soon, and all but one may be.
        let (in_a_row, share) = if eject.is_some() { (5, 50) } else { (3, 100) };
        let policy = {
            let base = time(eject, "time").unwrap_or(Duration::from_secs(10));
            eject::Policy {
                consecutive: prop(eject, "consecutive").map_or(in_a_row, |n| n as u32),
                percent: prop(eject, "error_rate").map_or(0, percent),
                least_uses: 5,
                interval: time(eject, "interval").unwrap_or(Duration::from_secs(10)),
                base,
                most: base.saturating_mul(32).min(Duration::from_secs(3600)),
                max_share: prop(eject, "max_share").map_or(share, percent),
            }
        };
        let retry = node("retry");
        let queue = node("queue");
        let pool = Self {
            name: up.name.as_str().to_owned(),
            index,
            scope: up.scope,
            balancer_name,
            balancer,
            key: node("balancer_key").and_then(|n| n.arg(0)).map(|v| v.num as u32),
            has_templates: lines.iter().any(|l: &Line| l.template.is_some()),
            lines,
            set: ArcSwap::default(),
            attempts: prop(retry, "attempts").map_or(3, |n| n as u32),
            budget_percent: prop(retry, "budget").map_or(20, percent),
            retry_timeout: time(retry, "timeout").unwrap_or(Duration::from_secs(10)),
            max_connections: node("max_connections").and_then(|n| n.arg(0)).map_or(0, |v| v.num as u32),
            queue: (
                prop(queue, "size").map_or(0, |n| n as usize),
                time(queue, "timeout").unwrap_or(Duration::from_secs(5)),
            ),
            eject: policy,
            eject_by_connect: eject.is_none(),
            slow_start: node("slow_start").and_then(|n| n.arg(0)).map_or(Duration::ZERO, |v| v.time()),
            follows: AtomicBool::new(false),
            shared: process().peers.pool(up.name.as_str()),
            version: AtomicU64::new(0),
            puts: Mutex::default(),
        };
        Ok(pool)
    }

    /// The number of the balancer's module; 0: the host.
    pub fn balancer_module(&self) -> u16 {
        self.balancer.as_ref().map_or(0, |(module, _)| *module)
    }

    /// Its generation goes live: peers whose addresses are numbers, and those that names had in the generation before, are
    /// in place from now on. Nothing of it is to be seen in the process before.
    pub fn go_live(&self) {
        self.shared.set_limits(self.max_connections, self.queue, self.eject);
        self.follows.store(self.shared.has_peers(), Relaxed);
        self.shared.rendered.keep(|line| self.line_ids().any(|id| id == line));
        self.shared.keep(|line| self.lines.iter().any(|l| l.text == line));
        let known = |l: &Line| if l.is_name { self.shared.addresses(&l.text) } else { l.literal() };
        let addresses: Vec<_> = self.lines.iter().map(known).collect();
        let unknown = self.lines.iter().zip(&addresses).filter(|(l, a)| l.is_name && a.is_empty());
        self.shared.unanswered.store(unknown.count(), Relaxed);
        self.replace(addresses);
        if !self.eject.ejects() {
            let set = self.set.load();
            let (back, _) = self.shared.expire(set.members.iter().map(|m| &m.live.state), Duration::MAX);
            tracing::debug!(upstream = self.name, peers = back.len(), "nobody is ejected any more");
        }
        for m in &self.set.load().members {
            let state = &m.live.state;
            if self.lines[m.line].heartbeat.is_none() {
                m.live.note_check(None);
                m.live.against.store(0, Relaxed);
                // Nobody asks any more who could find it well again.
                state.health.store(upstream_health::UP, Relaxed);
            }
            self.ramp(&m.live, process().now());
        }
        // Limits may be higher, and peers more.
        self.shared.wake();
    }

    /// Names that have no address.
    pub fn unresolved(&self) -> impl Iterator<Item = &Line> {
        let set = self.set.load_full();
        let lines = self.lines.iter().enumerate();
        lines.filter(move |(n, l)| l.is_name && set.addresses.get(*n).is_none_or(Vec::is_empty)).map(|(_, l)| l)
    }

    /// Puts these addresses of each line in place. Peers that stay keep their state; those that go are marked and drain.
    pub fn replace(&self, addresses: Vec<Vec<Addr>>) {
        let (mut members, mut ids) = (Vec::new(), HashSet::new());
        for (n, (line, list)) in self.lines.iter().zip(&addresses).enumerate() {
            for addr in list {
                let id = self.peer_id(line, addr);
                if !ids.insert(id) {
                    continue;
                }
                let live = process().peers.get(&PeerSpec {
                    id,
                    line: line.id,
                    upstream: &self.name,
                    host: &line.text,
                    addr: *addr,
                    connector: line.connector.name.as_str(),
                    weight: line.weight,
                    // With variables each address has its own limit.
                    max_connections: if line.template.is_some() { 0 } else { line.max_connections },
                    backup: line.backup,
                });
                members.push(Member { live, line: n });
            }
        }
        let before = self.set.load_full();
        let known = self.shared.set_peers(members.iter().map(|m| &m.live.state));
        let now = process().now();
        for (m, _) in members.iter().zip(known).filter(|(_, known)| !known) {
            // A first answer about a name brings peers of a start, where all are cold and none can be spared.
            if self.follows.load(Relaxed) || before.members.iter().any(|b| b.line == m.line) {
                m.live.begins(now);
            }
            self.ramp(&m.live, now);
        }
        let before = self.put(members, addresses);
        let now = self.set.load();
        for gone in before.members.iter().filter(|b| !now.members.iter().any(|m| Arc::ptr_eq(&m.live, &b.live))) {
            gone.live.state.removed.store(1, Relaxed);
        }
    }

    /// A generation before goes on with the addresses that the one that serves has found for names without any: whoever waits
    /// for them waits for its own peers. What they are is the other's to say. False: there are none.
    pub fn follow(&self) -> bool {
        let set = self.set.load_full();
        let (mut members, mut addresses) = (set.members.clone(), set.addresses.clone());
        for (n, line) in self.lines.iter().enumerate().filter(|(_, l)| l.is_name) {
            let Some(list) = addresses.get_mut(n).filter(|list| list.is_empty()) else { continue };
            *list = self.shared.addresses(&line.text);
            for addr in &*list {
                let found = process().peers.find(self.peer_id(line, addr));
                let new = found.filter(|live| !members.iter().any(|m| Arc::ptr_eq(&m.live, live)));
                members.extend(new.map(|live| Member { live, line: n }));
            }
        }
        if members.len() == set.members.len() {
            return false;
        }
        members.sort_by_key(|m| m.line);
        self.put(members, addresses);
        true
    }

    /// Puts these peers in the place of others, which it returns.
    fn put(&self, members: Vec<Member>, addresses: Vec<Vec<Addr>>) -> Arc<PeerSet> {
        let mut tiers = [Tier::default(), Tier::default()];
        for (i, m) in members.iter().enumerate() {
            let tier = &mut tiers[usize::from(self.lines[m.line].backup)];
            tier.peers.push(Arc::clone(&m.live));
            tier.members.push(i);
        }
        // A set under another one's version would be read anew by every pick.
        let _alone = self.puts.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.set.load().version + 1;
        let before = self.set.swap(Arc::new(PeerSet { version, members, addresses, tiers }));
        self.version.store(version, Relaxed);
        before
    }

    fn peer_id(&self, line: &Line, addr: &Addr) -> u64 {
        let connector = line.connector.name.as_str();
        match addr.is_none() {
            true => peer_id(&self.name, connector, &line.text),
            false => peer_id(&self.name, connector, &addr.to_string()),
        }
    }

    /// Sets the share that a peer has now on its way to the whole; whether it is on its way.
    pub fn ramp(&self, live: &PeerLive, now: Duration) -> bool {
        let since = live.usable_since_ms.load(Relaxed);
        let mut ramp = Ramp::full();
        if since > 0 {
            ramp.begin(Duration::from_millis(since));
        }
        live.state.ramp.store(ramp.thousandths(now, self.slow_start), Relaxed);
        ramp.next_change(now, self.slow_start).is_some()
    }

    /// Fingerprints of its lines.
    pub fn line_ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.lines.iter().map(|l| l.id)
    }
}

pub(super) fn prop(node: Option<&Node<'_>>, name: &str) -> Option<i64> {
    node.and_then(|n| n.prop(name)).map(|v| v.num)
}

pub(super) fn time(node: Option<&Node<'_>>, name: &str) -> Option<Duration> {
    prop(node, name).map(|n| Duration::from_nanos(n.unsigned_abs()))
}

/// Parts in a million as whole percent, rounded up.
fn percent(millionths: i64) -> u32 {
    u32::try_from((millionths + 9_999) / 10_000).unwrap_or(u32::MAX)
}
