//! Pools: named ones, the short form, and the peers that stand in a local.

use std::{
    collections::{
        HashMap,
        hash_map::Entry::{Occupied, Vacant},
    },
    net::SocketAddr,
};

use anyproxy_module_api::abi::{
    bytes::{Slice, Str},
    conf::{Contexts, Kind, Node, Role, ScopeKind, Value},
};

use super::{
    super::{
        diagnostic::{Diagnostic, did_you_mean},
        document::{Place, Raw, RawNode, RawValue},
        schema::Entry,
        tree::{Own, Peer, Point, ScopeId, Tree, UpstreamKind, UpstreamTree},
        typed::{Flat, Seen},
    },
    Builder, PEER_BLOCK, peer_block,
};

type Peers<'d> = [(Entry, &'d RawNode, Flat)];

impl Builder<'_> {
    pub(super) fn upstream(&mut self, raw: &RawNode, flat: Option<&Flat>) {
        let block = self.block(Contexts::UPSTREAM, raw.children.as_deref().unwrap_or_default(), &mut Seen::default());
        let Some(flat) = flat else { return };
        let Some(name) = flat.node.arg(0).map(|v| v.text) else { return };
        let place = raw.args.first().map_or(raw.place, |a| a.place);
        if name.is_empty() || name.starts_with("//") || name.contains("${") {
            let found = Diagnostic::error("bad-name", format!("\"{name}\" cannot be the name of an upstream"));
            self.t
                .wrong
                .push(found.at(place).help("a name is not empty, does not begin with // and holds no variables"));
            return;
        }
        if let Some(first) = self.names.get(name.as_str()) {
            let first = self.tree.upstreams[*first].span;
            let at = self.t.span(place);
            self.twice("duplicate-upstream", format!("two upstreams have the name \"{name}\""), &at, &first);
            return;
        }
        let scope = self.open_child(ScopeKind::Upstream, Tree::MAIN, name, raw.place, &block.own);
        self.add_pool(UpstreamKind::Named, name, scope, &block.peers, raw.place);
    }

    /// Adds a pool and the scopes of its peers; returns its index.
    pub(super) fn add_pool(
        &mut self,
        kind: UpstreamKind,
        name: Str<'static>,
        scope: ScopeId,
        peers: &Peers<'_>,
        place: Place,
    ) -> usize {
        let index = self.tree.upstreams.len();
        self.names.insert(name.as_str(), index);
        self.used.push(false);
        let peers: Vec<_> = peers.iter().filter_map(|(entry, raw, flat)| self.peer(*entry, raw, flat, scope)).collect();
        self.each_once(&peers);
        self.tree.upstreams.push(UpstreamTree { name, kind, scope, peers, span: self.t.span(place) });
        index
    }

    /// An address is one peer, with one weight and one limit: two lines of it would each say what holds.
    fn each_once(&mut self, peers: &[Peer]) {
        let mut seen = HashMap::new();
        for peer in peers {
            let text = peer.address.as_str();
            let address = text.parse::<SocketAddr>().map_or_else(|_| text.to_owned(), |a| a.to_string());
            match seen.entry((peer.module, peer.point.as_str(), address)) {
                Vacant(free) => _ = free.insert(peer.node.span),
                Occupied(first) => {
                    let text = format!("\"{text}\" stands twice in one upstream");
                    self.twice("duplicate-peer", text, &peer.node.span, first.get());
                }
            }
        }
    }

    fn peer(&mut self, entry: Entry, raw: &RawNode, flat: &Flat, around: ScopeId) -> Option<Peer> {
        let mut own: Vec<Own> = Vec::new();
        let mut node = flat.node;
        if let Some(nodes) = &raw.children {
            node.children = self.peer_children(entry, nodes, &mut own)?;
        }
        own.push(Own { module: entry.module, alone: false, desc: entry.desc, node });
        let scope = self.open_child(ScopeKind::Peer, around, Str::EMPTY, raw.place, &own);
        let address = node.arg(0);
        let template = address.filter(|v| v.kind == Kind::Template).map(|v| v.num as u32);
        if template.is_some() && self.tree.core(scope, "peer_allow").is_none() {
            let text =
                format!("\"{}\": an address with variables needs a list of the addresses that are allowed", raw.name);
            let found = Diagnostic::error("peer-allow-missing", text).at(raw.place);
            self.t.wrong.push(found.help("write peer_allow \"10.0.0.0/8\" in its block or around it"));
        }
        let number = |name| node.prop(name).map(|v| v.num);
        Some(Peer {
            module: entry.module,
            point: entry.desc.point,
            node,
            scope,
            address: address.map_or(Str::EMPTY, |v| v.text),
            template,
            weight: number("weight").and_then(|n| u16::try_from(n).ok()).unwrap_or(1),
            max_connections: number("max_connections").and_then(|n| u32::try_from(n).ok()).unwrap_or(0),
            backup: node.prop("backup").is_some_and(Value::bool),
            probe: self.probe(scope, around),
        })
    }

    /// How a peer is asked: as its own block says, else as the one around it. There must be somebody who asks.
    fn probe(&mut self, peer: ScopeId, around: ScopeId) -> Option<Point> {
        let of = |scope| {
            let own: Vec<Own> = self.tree.own(scope).iter().filter(|o| o.desc.role == Role::Probe).copied().collect();
            (!own.is_empty()).then_some(own)
        };
        let own = of(peer).or_else(|| of(around))?;
        let Own { module, desc, node, .. } = own[0];
        // One of the pool is met at each of its peers.
        if let Some(other) =
            own.get(1).filter(|o| self.probes_told.insert((o.node.span.file.as_ptr() as usize, o.node.span.offset)))
        {
            let text = format!("\"{}\" and \"{}\" both say how a peer is asked", node.name, other.node.name);
            self.twice("two-probes", text, &other.node.span, &node.span);
        }
        if self.tree.core(peer, "heartbeat").is_none()
            && self.probes_told.insert((node.span.file.as_ptr() as usize, node.span.offset))
        {
            let text = format!("\"{}\" says how a heartbeat asks, and there is none", node.name);
            let found = Diagnostic::error("probe-without-heartbeat", text).at(self.t.place(&node.span));
            self.t.wrong.push(found.help("write heartbeat interval=\"10s\" beside it"));
        }
        Some(Point { module, point: desc.point, node })
    }

    /// The directive's own part of its block; what any peer may have goes to `own`.
    fn peer_children(
        &mut self,
        entry: Entry,
        nodes: &[RawNode],
        own: &mut Vec<Own>,
    ) -> Option<Slice<'static, Node<'static>>> {
        let mut children = Vec::new();
        let mut seen = Seen::default();
        let mut good = true;
        let descs = entry.desc.children.as_slice();
        for raw in nodes {
            let of_directive = descs.iter().find(|d| d.name.as_str() == raw.name);
            let found = match of_directive {
                Some(desc) => Some(Entry { desc, ..entry }),
                None => self.t.schema.find(PEER_BLOCK, &raw.name).filter(|e| e.desc.role != Role::Peer),
            };
            let Some(child) = found else {
                let mut why = self.t.schema.unknown(PEER_BLOCK, raw);
                if let Some(word) = did_you_mean(&raw.name, descs.iter().map(|d| d.name.as_str())) {
                    let text = format!("unknown directive \"{}\" in {}", raw.name, peer_block(&entry.desc.name));
                    why = Diagnostic::error("unknown-directive", text).at(raw.place).suggest(Some(word));
                }
                self.t.wrong.push(why);
                good = false;
                continue;
            };
            let once = self.t.once(&mut seen, child, raw.place);
            match self.t.nested(child, raw) {
                Some(flat) if once && of_directive.is_some() => children.push(flat.node),
                Some(flat) if once => {
                    own.push(Own { module: child.module, alone: flat.alone, desc: child.desc, node: flat.node })
                }
                _ => good = false,
            }
        }
        good.then(|| self.t.arena.nodes(&children))
    }

    /// The pool that `proxy_pass_upstream`, or a module's directive, names.
    pub(super) fn pool_named(&mut self, name: Str<'static>, place: Place) -> Option<usize> {
        let text = name.as_str();
        if let Some(index) = self.names.get(text) {
            self.used[*index] = true;
            return Some(*index);
        }
        if text.starts_with("//") {
            return self.short_form(name, place);
        }
        let mut names: Vec<&str> = self
            .names
            .keys()
            .copied()
            .filter(|n| self.tree.upstreams[self.names[n]].kind == UpstreamKind::Named)
            .collect();
        names.sort_unstable();
        let found = Diagnostic::error("unknown-upstream", format!("there is no upstream \"{text}\"")).at(place);
        let found = found.suggest(did_you_mean(text, names.iter().copied()));
        self.t.wrong.push(if names.is_empty() {
            found.help(format!("write upstream \"{text}\" {{ … }} at the top level"))
        } else {
            found
        });
        None
    }

    /// `//protocol//host:port//balancer`: a pool of one peer, as if both lines had been written.
    fn short_form(&mut self, name: Str<'static>, place: Place) -> Option<usize> {
        let parts: Vec<&str> = name.as_str()[2..].split("//").collect();
        let (protocol, address, balancer) = match parts[..] {
            [protocol, address] => (protocol, address, None),
            [protocol, address, balancer] if !balancer.is_empty() => (protocol, address, Some(balancer)),
            _ => {
                let found =
                    Diagnostic::error("bad-short-form", format!("\"{name}\" is not the short form of an upstream"));
                self.t.wrong.push(found.at(place).help("write \"//protocol//host:port//balancer\""));
                return None;
            }
        };
        let Some(entry) = self.t.schema.peer_directive(protocol) else {
            let found = Diagnostic::error("unknown-protocol", format!("no module connects by \"{protocol}\""));
            self.t.wrong.push(found.at(place).help(format!("load the module that offers proxy_pass_{protocol}")));
            return None;
        };
        let line = |word: &str, arg: &str| RawNode {
            name: word.to_owned(),
            place,
            args: vec![RawValue { data: Raw::Text(arg.to_owned()), redacted: false, place }],
            props: Vec::new(),
            children: None,
        };
        let peer = line(&entry.desc.name, address);
        let flat = self.t.flat(entry, &peer)?;
        let mut own = Vec::new();
        if let Some(balancer) = balancer {
            let raw = line("balancer", balancer);
            let entry = self.t.schema.find(Contexts::UPSTREAM, "balancer")?;
            own.push(Own {
                module: entry.module,
                alone: false,
                desc: entry.desc,
                node: self.t.flat(entry, &raw)?.node,
            });
        }
        let scope = self.open_child(ScopeKind::Upstream, Tree::MAIN, name, place, &own);
        let index = self.add_pool(UpstreamKind::Short, name, scope, &[(entry, &peer, flat)], place);
        self.used[index] = true;
        Some(index)
    }
}
