//! Two configurations compared, directive by directive.

use std::collections::BTreeMap;

use anyproxy_module_api::abi::conf::{DirectiveDesc, Kind, Node, Value};

use super::super::tree::{ScopeId, Tree};

/// What a change needs to take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needs {
    /// A reload.
    Reload,
    /// New worker threads.
    Reinit,
    /// A new process.
    Restart,
}

impl std::fmt::Display for Needs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Reload => "reload",
            Self::Reinit => "reinit",
            Self::Restart => "restart",
        })
    }
}

/// Names a configuration in logs: equal for equal effective trees wherever they stand. Redacted values do not count,
/// since the number is shown: do not use it to tell whether a reload is needed.
pub fn config_hash(tree: &Tree) -> u64 {
    let mut hash = Fnv::new(false);
    hash.tree(tree);
    hash.0
}

/// The directives by which `new` differs from `old`, with what each needs, sorted by name. A different order of the same
/// lines is `(order)`.
pub fn changes(old: &Tree, new: &Tree) -> Vec<(String, Needs)> {
    let (before, after) = (by_directive(old), by_directive(new));
    let mut all: Vec<(String, Needs)> = Vec::new();
    for (key, (hash, needs)) in before.iter().chain(&after) {
        let differs = |other: &BTreeMap<_, (u64, Needs)>| other.get(key).is_none_or(|(h, _)| h != hash);
        let name: &str = key.1;
        if (differs(&before) || differs(&after)) && !all.iter().any(|(n, _)| n == name) {
            all.push((name.to_owned(), *needs));
        }
    }
    if all.is_empty() {
        let whole = |tree| {
            let mut hash = Fnv::new(true);
            hash.tree(tree);
            hash.0
        };
        if whole(old) != whole(new) {
            all.push(("(order)".to_owned(), Needs::Reload));
        }
    }
    all.sort();
    all
}

/// Directives whose change needs more than a reload, as they stood when threads or the process began. Holds no tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing(BTreeMap<(String, String), (u64, Needs)>);

impl Standing {
    /// What stands in `tree`.
    pub fn of(tree: &Tree) -> Self {
        let more = by_directive(tree).into_iter().filter(|(_, (_, needs))| *needs != Needs::Reload);
        Self(more.map(|((module, name), value)| ((module.to_owned(), name.to_owned()), value)).collect())
    }

    /// Takes over what new worker threads put into force.
    pub fn reinit(&mut self, Self(new): Self) {
        self.0.retain(|_, (_, needs)| *needs == Needs::Restart);
        self.0.extend(new.into_iter().filter(|(_, (_, needs))| *needs == Needs::Reinit));
    }

    /// The directives by which `new` differs from what is in force, with what each needs, sorted by name.
    pub fn pending(&self, new: &Self) -> Vec<(String, Needs)> {
        let differing = |a: &Self, b: &BTreeMap<_, (u64, Needs)>| {
            let differs = |(key, value): (&(String, String), &(u64, Needs))| {
                let other = b.get(key).is_none_or(|(hash, _)| *hash != value.0);
                other.then(|| (key.1.clone(), value.1))
            };
            a.0.iter().filter_map(differs).collect::<Vec<_>>()
        };
        let mut all = differing(self, &new.0);
        all.extend(differing(new, &self.0));
        all.sort();
        all.dedup();
        all
    }
}

type Key<'a> = (&'a str, &'static str);

/// Every directive that is used, with all of its occurrences in order and the most that a change of it needs.
fn by_directive(tree: &Tree) -> BTreeMap<Key<'_>, (u64, Needs)> {
    let mut map: BTreeMap<Key<'_>, (Fnv, Needs)> = BTreeMap::new();
    let mut add = |module: u16, desc: Option<&DirectiveDesc>, node: &Node<'static>, alone: bool| {
        let key = (tree.modules[module as usize].as_str(), node.name.as_str());
        let needs = match desc.map_or(0, |d| d.change) {
            0 => Needs::Reload,
            1 => Needs::Reinit,
            _ => Needs::Restart,
        };
        let entry = map.entry(key).or_insert_with(|| (Fnv::new(true), needs));
        entry.0.node(node);
        entry.0.number(u64::from(alone));
        entry.1 = entry.1.max(needs);
    };
    for o in &tree.own {
        add(o.module, Some(o.desc), &o.node, o.alone);
    }
    for (_, _, server) in tree.servers() {
        for listen in &server.listens {
            add(listen.module, None, &listen.node, false);
        }
    }
    map.into_iter().map(|(key, (hash, needs))| (key, (hash.0, needs))).collect()
}

/// FNV-1a, 64 bits: the same number from every build.
struct Fnv(u64, bool);

impl Fnv {
    /// `secrets`: whether redacted values count.
    fn new(secrets: bool) -> Self {
        Self(0xcbf2_9ce4_8422_2325, secrets)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for b in bytes {
            self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn number(&mut self, n: u64) {
        self.bytes(&n.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    fn value(&mut self, v: &Value<'_>) {
        self.number(v.kind as u64);
        if v.redacted && !self.1 {
            return;
        }
        match v.kind {
            // The number names the template or the upstream; the text is it.
            Kind::Template | Kind::Upstream => self.text(&v.text),
            // The text is how the number was written.
            Kind::Size | Kind::Time | Kind::Rate | Kind::Percent => self.number(v.num as u64),
            _ => {
                self.number(v.num as u64);
                self.text(&v.text);
            }
        }
    }

    fn node(&mut self, node: &Node<'_>) {
        self.text(&node.name);
        self.number(node.args.len() as u64);
        node.args.iter().for_each(|a| self.value(a));
        self.number(node.props.len() as u64);
        for prop in node.props.iter() {
            self.text(&prop.name);
            self.value(&prop.value);
        }
        self.number(node.children.len() as u64);
        node.children.iter().for_each(|c| self.node(c));
    }

    fn scope(&mut self, tree: &Tree, scope: ScopeId) {
        let s = tree.scope(scope);
        self.number(s.kind as u64);
        self.text(&s.name);
        for module in 0..tree.modules.len() as u16 {
            let view = tree.view(scope, module);
            // What is the parent's was counted there.
            let nodes = if view.same_as_parent { &[] } else { view.nodes.as_slice() };
            self.number(nodes.len() as u64);
            nodes.iter().for_each(|n| self.node(n));
        }
        // Rules, domains and targets are in no view.
        for o in tree.own(scope) {
            self.node(&o.node);
        }
    }

    fn tree(&mut self, tree: &Tree) {
        tree.modules.iter().for_each(|m| self.text(m));
        self.scope(tree, Tree::MAIN);
        for upstream in &tree.upstreams {
            self.scope(tree, upstream.scope);
            self.number(upstream.peers.len() as u64);
            upstream.peers.iter().for_each(|p| self.scope(tree, p.scope));
        }
        for net in &tree.nets {
            self.scope(tree, net.scope);
            self.number(net.servers.len() as u64);
            for server in &net.servers {
                self.scope(tree, server.scope);
                self.number(server.listens.len() as u64);
                server.listens.iter().for_each(|l| self.node(&l.node));
                self.number(server.locals.len() as u64);
                server.locals.iter().for_each(|l| self.scope(tree, l.scope));
            }
        }
    }
}
