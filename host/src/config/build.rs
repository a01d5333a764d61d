//! Walks a document and assembles the tree: blocks become scopes, directives of a role become what they stand for.
//! Knows the shape of the tree; checks across servers are `validate`'s.

mod answers;
mod pool;
mod server;

use std::collections::{HashMap, HashSet};

use anyproxy_module_api::abi::{
    bytes::Str,
    conf::{Contexts, Role, ScopeKind, Span},
};

use super::{
    core,
    diagnostic::{Diagnostic, Diagnostics},
    document::{Document, Place, RawNode},
    inherit::{self, FromMain, Opening},
    schema::{Entry, Schema, context_names},
    tree::{Net, Own, ScopeId, Tree},
    typed::{Flat, Seen, Typer},
};

/// What a walk leaves besides the tree.
pub(super) struct Built {
    pub(super) tree: Tree,
    pub(super) wrong: Diagnostics,
    /// Servers of which a directive was wrong: what they lack may be what was wrong.
    pub(super) broken: Vec<(usize, usize)>,
    /// File names as spans hold them, by index.
    pub(super) place: Vec<Str<'static>>,
}

/// Types, merges and inherits all of `document`.
pub(super) fn build(document: &Document, schema: &Schema) -> Built {
    let mut builder = Builder {
        t: Typer::new(schema, &document.sources),
        tree: Tree { modules: schema.modules().map(str::to_owned).collect(), ..Tree::default() },
        from_main: FromMain::default(),
        names: HashMap::new(),
        used: Vec::new(),
        broken: Vec::new(),
        probes_told: HashSet::new(),
    };
    builder.main(document);
    let Builder { t, mut tree, broken, .. } = builder;
    let place = t.file_names();
    tree.captures = t.captures();
    tree.arena = t.arena;
    tree.templates = t.templates;
    Built { tree, wrong: t.wrong, broken, place }
}

struct Builder<'a> {
    t: Typer<'a>,
    tree: Tree,
    from_main: FromMain,
    /// Upstreams by name.
    names: HashMap<&'static str, usize>,
    /// Whether something names the upstream.
    used: Vec<bool>,
    broken: Vec<(usize, usize)>,
    /// Directives of `Role::Probe` of which something was said, by file and offset.
    probes_told: HashSet<(usize, u32)>,
}

/// What stands in one block.
#[derive(Default)]
struct Block<'d> {
    own: Vec<Own>,
    /// Blocks of the tree, with what opens them; `None`: the line was wrong, the block is looked at all the same.
    blocks: Vec<(Contexts, &'d RawNode, Option<Flat>)>,
    peers: Vec<(Entry, &'d RawNode, Flat)>,
    listens: Vec<Own>,
    /// Something in it was wrong.
    broken: bool,
}

impl Builder<'_> {
    fn main(&mut self, document: &Document) {
        let mut seen = Seen::default();
        let mut main = self.block(Contexts::MAIN, &document.nodes, &mut seen);
        // In one order whatever the file's, so that a dump reads back the same.
        for context in OUTER {
            // Several `common` blocks are one.
            let mut seen = Seen::default();
            for (_, raw, _) in main.blocks.iter().filter(|(c, ..)| *c == context) {
                let inner = self.block(context, raw.children.as_deref().unwrap_or_default(), &mut seen);
                main.own.extend(inner.own);
            }
        }
        let start = document.nodes.first().map_or_else(Place::default, |n| Place { offset: 0, len: 0, ..n.place });
        let opening = Opening { kind: ScopeKind::Main, parent: None, name: Str::EMPTY, span: self.t.span(start) };
        self.open(opening, &main.own);
        self.from_main = FromMain::new(&mut self.tree, &mut self.t.arena);
        let blocks = |kind: Contexts| main.blocks.iter().filter(move |(c, ..)| *c == kind);
        for (_, raw, flat) in blocks(Contexts::UPSTREAM) {
            self.upstream(raw, flat.as_ref());
        }
        let named = self.tree.upstreams.len();
        for (_, raw, _) in blocks(Contexts::NET) {
            self.net(raw);
        }
        // By now all have their names.
        for (name, place) in std::mem::take(&mut self.t.upstreams) {
            let pool = self.pool_named(name, place);
            self.tree.named.extend(pool);
        }
        if !self.t.wrong.has_errors() {
            for n in
                (0..named).filter(|n| self.used[*n] && self.tree.upstreams[*n].peers.is_empty()).collect::<Vec<_>>()
            {
                let upstream = &self.tree.upstreams[n];
                let text =
                    format!("every session that goes to the upstream \"{}\" fails: it has no peers", upstream.name);
                let found = Diagnostic::warning("no-peers", text).at(self.t.place(&upstream.span));
                self.t.wrong.push(found.help("add a proxy_pass_… of a loaded module"));
            }
            for n in (0..named).filter(|n| !self.used[*n]).collect::<Vec<_>>() {
                let upstream = &self.tree.upstreams[n];
                let text = format!("nothing uses the upstream \"{}\"", upstream.name);
                let place = self.t.place(&upstream.span);
                self.t.wrong.push(Diagnostic::warning("unused-upstream", text).at(place));
            }
        }
    }

    fn net(&mut self, raw: &RawNode) {
        let block = self.block(Contexts::NET, raw.children.as_deref().unwrap_or_default(), &mut Seen::default());
        let scope = self.open_child(ScopeKind::Net, Tree::MAIN, Str::EMPTY, raw.place, &block.own);
        let around = self.points(&block.own, server::Points::NONE);
        let index = self.tree.nets.len();
        self.tree.nets.push(Net { scope, servers: Vec::new() });
        for (_, raw, _) in &block.blocks {
            self.server(index, scope, raw, &around);
        }
    }

    /// Reads the directives of one block.
    fn block<'d>(&mut self, context: Contexts, nodes: &'d [RawNode], seen: &mut Seen) -> Block<'d> {
        let mut block = Block::default();
        for raw in nodes {
            let Some(entry) = self.t.schema.find(context, &raw.name) else {
                let found = self.t.schema.unknown(context, raw);
                self.t.wrong.push(found);
                block.broken = true;
                continue;
            };
            if !self.t.once(seen, entry, raw.place) {
                block.broken = true;
                continue;
            }
            let opens = if entry.module == 0 { core::block_of(context, &raw.name) } else { None };
            if let Some(opens) = opens {
                if raw.children.is_none() {
                    let text = format!("\"{}\" needs a block", raw.name);
                    let found = Diagnostic::error("missing-block", text).at(raw.place);
                    self.t.wrong.push(found.help(format!("write {} {{ … }}", raw.name)));
                    block.broken = true;
                }
                let flat = self.t.flat(entry, raw);
                block.broken |= flat.is_none();
                block.blocks.push((opens, raw, flat));
                continue;
            }
            let flat = match entry.desc.role {
                Role::Peer => self.t.flat(entry, raw),
                _ => self.t.nested(entry, raw),
            };
            let Some(flat) = flat else {
                block.broken = true;
                continue;
            };
            let own = Own { module: entry.module, alone: flat.alone, desc: entry.desc, node: flat.node };
            match entry.desc.role {
                Role::Peer => block.peers.push((entry, raw, flat)),
                Role::ListenPort | Role::ListenDomain if context == Contexts::SERVER => block.listens.push(own),
                _ => block.own.push(own),
            }
        }
        block
    }

    fn open(&mut self, opening: Opening, own: &[Own]) -> ScopeId {
        inherit::open(&mut self.tree, &mut self.t.arena, &self.from_main, opening, own)
    }

    fn open_child(
        &mut self,
        kind: ScopeKind,
        parent: ScopeId,
        name: Str<'static>,
        place: Place,
        own: &[Own],
    ) -> ScopeId {
        let span: Span<'static> = self.t.span(place);
        self.open(Opening { kind, parent: Some(parent), name, span }, own)
    }

    /// Says that `what` stands twice where one is allowed.
    fn twice(&mut self, code: &'static str, text: String, at: &Span<'static>, first: &Span<'static>) {
        let found = Diagnostic::error(code, text).at(self.t.place(at)).label(self.t.place(first), "the other one");
        self.t.wrong.push(found);
    }
}

/// The blocks whose directives are the process's.
pub(super) const OUTER: [Contexts; 4] = [Contexts::COMMON, Contexts::SOCKET, Contexts::TUNNEL, Contexts::EBPF];

/// The contexts in which a directive of a block's own part is looked for when it is not the directive's.
const PEER_BLOCK: Contexts = Contexts::PEER;

/// Names for messages about the block of a peer.
fn peer_block(name: &str) -> String {
    format!("the block of \"{name}\" ({})", context_names(PEER_BLOCK))
}

#[cfg(test)]
mod tests;
