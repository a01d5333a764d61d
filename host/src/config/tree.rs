//! The typed, merged, inherited configuration of one generation. Immutable; owns every text and node it hands out.
//! Knows no module's directives: a module's values are nodes, by module and scope.

use std::ops::Range;

use anyproxy_module_api::abi::{
    bytes::{Slice, Str},
    conf::{DirectiveDesc, Node, Role, ScopeKind, Span},
};
use regex::Regex;

use super::{address::Address, document::Place};
use crate::services::arena::Arena;

/// A block of the configuration, dense from 0; `ScopeView::id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeId(pub u32);

/// A whole configuration. Share it in an `Arc`: nodes are valid as long as it lives.
#[derive(Debug, Default)]
pub struct Tree {
    /// Ids of the host (`host`, first) and the modules, in the order of loading; module numbers index it.
    pub modules: Vec<String>,
    /// Named pools in file order, then the short forms and the locals with peers of their own.
    pub upstreams: Vec<UpstreamTree>,
    /// `net` blocks in file order.
    pub nets: Vec<Net>,
    /// What `load_module` names.
    pub load_modules: Vec<LoadModule>,
    /// Texts with variables, each once; `Value::num` of `Kind::Template` indexes it.
    pub templates: Vec<TemplateSource>,
    /// Upstreams that directives of modules name (`Kind::Upstream`), by the numbers of those values.
    pub named: Vec<usize>,
    /// Names of groups of the regular expressions, each once, in order.
    pub captures: Vec<String>,
    /// Every address that is listened on, with who shares it, in file order.
    pub sockets: Vec<Socket>,
    pub(super) scopes: Vec<Scope>,
    pub(super) views: Vec<View>,
    pub(super) view_descs: Vec<&'static DirectiveDesc>,
    pub(super) own: Vec<Own>,
    pub(super) arena: Arena,
}

/// One block. `Main` is scope 0.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Which block.
    pub kind: ScopeKind,
    /// The block around; `None`: `Main`. Of a named upstream it is `Main`, of a peer the upstream or local it stands in.
    pub parent: Option<ScopeId>,
    /// `upstream "name"`, `local "name"`, else empty.
    pub name: Str<'static>,
    /// Where it starts.
    pub span: Span<'static>,
    pub(super) own: Range<u32>,
}

/// What one module sees of one scope.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Effective directives: the parents' first, then the block's own, those that are never inherited last.
    /// Without listening and peer directives: those are `Listen::node` and, in the peer's own scope, the last node.
    pub nodes: Slice<'static, Node<'static>>,
    /// The nodes are the very slice of the parent scope: the module's object for the parent serves here too.
    pub same_as_parent: bool,
    /// How many of `nodes` nested blocks get.
    pub(super) passed: u32,
    /// Where the declarations of `nodes` start in `view_descs`.
    pub(super) descs: u32,
}

/// A directive as it stands in a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own {
    pub(super) module: u16,
    pub(super) alone: bool,
    pub(super) desc: &'static DirectiveDesc,
    pub(super) node: Node<'static>,
}

/// What a pool stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamKind {
    /// `upstream "name"`.
    Named,
    /// `proxy_pass_upstream "//protocol//host:port//balancer"`.
    Short,
    /// The peers that stand in a local.
    Local,
}

/// A pool of peers.
#[derive(Debug)]
pub struct UpstreamTree {
    /// Unique: the block's name, the short form as written, or `local@file:line` of the local.
    pub name: Str<'static>,
    /// What it stands for.
    pub kind: UpstreamKind,
    /// The `upstream` block, or the local that the peers stand in. Of a short form: a scope of its own.
    pub scope: ScopeId,
    /// Its peers in file order. May be empty.
    pub peers: Vec<Peer>,
    /// Where it stands.
    pub span: Span<'static>,
}

/// One peer of a pool.
#[derive(Debug)]
pub struct Peer {
    /// The module whose directive it is.
    pub module: u16,
    /// The connector.
    pub point: Str<'static>,
    /// The directive; its block is the directive's own part (what a peer shares with others is in the scope).
    pub node: Node<'static>,
    /// The peer's own block over the one it stands in.
    pub scope: ScopeId,
    /// The first argument.
    pub address: Str<'static>,
    /// Of an address with variables.
    pub template: Option<u32>,
    /// From 1.
    pub weight: u16,
    /// 0: no limit.
    pub max_connections: u32,
    /// Taken only when no other is available.
    pub backup: bool,
    /// How its health checks ask; `None`: as its connector does.
    pub probe: Option<Point>,
}

/// A group of servers.
#[derive(Debug)]
pub struct Net {
    /// Its scope.
    pub scope: ScopeId,
    /// Its servers in file order.
    pub servers: Vec<Server>,
}

/// One service.
#[derive(Debug)]
pub struct Server {
    /// Its scope.
    pub scope: ScopeId,
    /// What it answers for, in file order.
    pub domains: Vec<Domain>,
    /// Where it listens.
    pub listens: Vec<Listen>,
    /// What happens, in file order.
    pub locals: Vec<Local>,
    /// Takes what no domain matches.
    pub default_server: bool,
    /// Sessions at one time; 0: no limit.
    pub max_connections: u32,
    /// Prereads that are switched on here or in `net`.
    pub prereads: Vec<Point>,
    /// The stream handler of sessions for which no local has another.
    pub handler: Option<Point>,
    /// Where it stands.
    pub span: Span<'static>,
}

/// A directive that names an extension point of its module.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The module.
    pub module: u16,
    /// The point.
    pub point: Str<'static>,
    /// The directive.
    pub node: Node<'static>,
}

/// A listening directive.
#[derive(Debug)]
pub struct Listen {
    /// The module.
    pub module: u16,
    /// The listening point.
    pub point: Str<'static>,
    /// `ListenPort` or `ListenDomain`.
    pub role: Role,
    /// Whether the point takes datagrams.
    pub datagram: bool,
    /// Its addresses, ranges expanded.
    pub addresses: Vec<Address>,
    /// The directive, with its properties and block.
    pub node: Node<'static>,
}

/// One name of a server, lower case, without the last dot.
#[derive(Clone, Debug)]
pub struct Domain {
    /// How it matches.
    pub name: DomainName,
    /// Where it stands.
    pub span: Span<'static>,
}

/// How a domain matches.
#[derive(Clone, Debug)]
pub enum DomainName {
    /// This name.
    Exact(Str<'static>),
    /// Any name that ends with this text, which starts with a dot: `.img.example.com`.
    Wildcard(Str<'static>),
    /// Any name that matches; written without the mark `~`.
    Regex(Regex),
}

impl std::fmt::Display for DomainName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*{suffix}"),
            Self::Regex(regex) => write!(f, "~{regex}"),
        }
    }
}

/// What happens to a session that its rules choose.
#[derive(Debug)]
pub struct Local {
    /// Its scope.
    pub scope: ScopeId,
    /// `local "name"`, else empty.
    pub name: Str<'static>,
    /// All must hold.
    pub rules: Vec<Rule>,
    /// Index into `Tree::upstreams`.
    pub upstream: Option<usize>,
    /// Its stream handler, or the server's.
    pub handler: Option<Point>,
    /// Exchanges have an answer here: a directive's, or that of peers.
    pub answered: bool,
    /// A directive that answers exchanges beside peers, whom nobody asks then.
    pub unasking: Option<Node<'static>>,
    /// Where it stands.
    pub span: Span<'static>,
}

/// A condition.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Index into `Tree::templates`: what is compared.
    pub value: u32,
    /// With what.
    pub test: RuleTest,
    /// Holds when the comparison does not.
    pub not: bool,
    /// Where it stands.
    pub span: Span<'static>,
}

/// A comparison.
#[derive(Clone, Debug)]
pub enum RuleTest {
    /// Equal.
    Text(Str<'static>),
    /// Begins with it.
    Prefix(Str<'static>),
    /// Matches.
    Regex(Regex),
}

/// A text with variables, to be compiled.
#[derive(Clone, Copy, Debug)]
pub struct TemplateSource {
    /// As written.
    pub text: Str<'static>,
    /// Where it stands first, for diagnostics while the document's sources are at hand.
    pub place: Place,
    /// The same for later.
    pub span: Span<'static>,
    /// The module of the directive.
    pub module: u16,
    /// The directive.
    pub directive: Str<'static>,
}

/// A module to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadModule {
    /// Id, or absolute path.
    pub name: String,
    /// Which of the two.
    pub is_path: bool,
    /// Where it stands.
    pub place: Place,
}

/// An address that is listened on. Port 0 is never shared.
#[derive(Debug)]
pub struct Socket {
    /// The address.
    pub address: Address,
    /// Datagrams, or a stream: the same address is two sockets.
    pub datagram: bool,
    /// Who listens there: more than one only by domain.
    pub users: Vec<SocketUser>,
    /// Index into `users` of the one whose server is `default_server`.
    pub default: Option<usize>,
}

/// A listening directive by indexes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketUser {
    /// Into `Tree::nets`.
    pub net: usize,
    /// Into `Net::servers`.
    pub server: usize,
    /// Into `Server::listens`.
    pub listen: usize,
}

impl Tree {
    /// The scope of `common`, `socket`, `tunnel`, `ebpf` and the top level.
    pub const MAIN: ScopeId = ScopeId(0);

    /// A block.
    pub fn scope(&self, id: ScopeId) -> &Scope {
        &self.scopes[id.0 as usize]
    }

    /// Every block, parents before their children.
    pub fn scopes(&self) -> impl ExactSizeIterator<Item = (ScopeId, &Scope)> {
        self.scopes.iter().enumerate().map(|(n, s)| (ScopeId(n as u32), s))
    }

    /// Number of blocks.
    pub fn scope_count(&self) -> usize {
        self.scopes.len()
    }

    /// What a module sees of a block.
    pub fn view(&self, scope: ScopeId, module: u16) -> &View {
        &self.views[scope.0 as usize * self.modules.len() + module as usize]
    }

    /// Effective directives of a module in a block.
    pub fn nodes(&self, scope: ScopeId, module: u16) -> &[Node<'static>] {
        self.view(scope, module).nodes.as_slice()
    }

    /// The last effective directive `name` of the host itself in a block.
    pub fn core(&self, scope: ScopeId, name: &str) -> Option<&Node<'static>> {
        self.nodes(scope, 0).iter().rev().find(|n| n.name.as_str() == name)
    }

    /// The number of a module.
    pub fn module(&self, id: &str) -> Option<u16> {
        self.modules.iter().position(|m| m == id).map(|n| n as u16)
    }

    /// Every server with the numbers of its net and itself.
    pub fn servers(&self) -> impl Iterator<Item = (usize, usize, &Server)> {
        self.nets
            .iter()
            .enumerate()
            .flat_map(|(n, net)| net.servers.iter().enumerate().map(move |(s, server)| (n, s, server)))
    }

    /// The upstream of a name.
    pub fn upstream(&self, name: &str) -> Option<&UpstreamTree> {
        self.upstreams.iter().find(|u| u.name.as_str() == name)
    }

    /// The directives as they stand in a block, without what it inherits.
    pub(super) fn own(&self, scope: ScopeId) -> &[Own] {
        let range = &self.scope(scope).own;
        &self.own[range.start as usize..range.end as usize]
    }

    /// Declarations of a view's nodes, in the same order.
    pub(super) fn descs(&self, scope: ScopeId, module: u16) -> &[&'static DirectiveDesc] {
        let view = self.view(scope, module);
        &self.view_descs[view.descs as usize..][..view.nodes.len()]
    }
}
