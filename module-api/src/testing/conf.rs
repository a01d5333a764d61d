//! A configuration for a test, written in Rust: blocks and directives, typed by the module's own table.
//!
//! It does what the host does between the text and the module: checks names, contexts, arguments and bounds, fills in
//! types, units and defaults, inherits; a directive of `Role::Peer` opens a block of its own, behind those before it. It knows no KDL, includes or modules other than the one under test.

use super::{state::State, typed::typed};
use crate::{
    ArgDesc, Contexts, DirectiveDesc, Inherit, Kind, Node, Prop, Repeat, Role, ScopeKind, Slice, Span, Str, Value,
    abi::{
        conf::implied::{self, Literal},
        fake::interned,
    },
};
use std::time::Duration;

/// A value as a test writes it. A text is read by the directive's table: `"5s"` is a time where a time is wanted.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// Text, or anything that is written as text.
    Text(String),
    /// A whole number; the kind's own unit where it has one (bytes, nanoseconds).
    Number(i64),
    /// A switch.
    Bool(bool),
    /// A decimal number.
    Float(f64),
}

impl From<&str> for Given {
    fn from(v: &str) -> Self {
        Self::Text(v.to_owned())
    }
}
impl From<String> for Given {
    fn from(v: String) -> Self {
        Self::Text(v)
    }
}
impl From<i64> for Given {
    fn from(v: i64) -> Self {
        Self::Number(v)
    }
}
impl From<i32> for Given {
    fn from(v: i32) -> Self {
        Self::Number(v.into())
    }
}
impl From<bool> for Given {
    fn from(v: bool) -> Self {
        Self::Bool(v)
    }
}
impl From<f64> for Given {
    fn from(v: f64) -> Self {
        Self::Float(v)
    }
}
impl From<Duration> for Given {
    fn from(v: Duration) -> Self {
        Self::Number(i64::try_from(v.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// One directive: `Directive::new("proxy_pass_tcp").arg("127.0.0.1:80").prop("weight", 5)`.
#[derive(Clone, Debug)]
pub struct Directive {
    name: String,
    args: Vec<Given>,
    props: Vec<(String, Given)>,
    children: Vec<Self>,
}

impl Directive {
    /// A directive without arguments.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), args: Vec::new(), props: Vec::new(), children: Vec::new() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, value: impl Into<Given>) -> Self {
        self.args.push(value.into());
        self
    }

    /// Adds a property.
    #[must_use]
    pub fn prop(mut self, name: &str, value: impl Into<Given>) -> Self {
        self.props.push((name.to_owned(), value.into()));
        self
    }

    /// Adds a directive to its block.
    #[must_use]
    pub fn child(mut self, directive: Self) -> Self {
        self.children.push(directive);
        self
    }
}

/// One block with its directives and the blocks inside.
#[derive(Clone, Debug)]
pub struct Block {
    kind: ScopeKind,
    name: String,
    directives: Vec<Directive>,
    blocks: Vec<Self>,
}

impl Block {
    /// A block of any kind.
    pub const fn new(kind: ScopeKind) -> Self {
        Self { kind, name: String::new(), directives: Vec::new(), blocks: Vec::new() }
    }
    /// The top level with `common` and its like.
    pub const fn main() -> Self {
        Self::new(ScopeKind::Main)
    }
    /// `net`.
    pub const fn net() -> Self {
        Self::new(ScopeKind::Net)
    }
    /// `server`.
    pub const fn server() -> Self {
        Self::new(ScopeKind::Server)
    }
    /// `local`.
    pub const fn local() -> Self {
        Self::new(ScopeKind::Local)
    }
    /// A peer's own block.
    pub const fn peer() -> Self {
        Self::new(ScopeKind::Peer)
    }
    /// `upstream "name"`.
    pub fn upstream(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::new(ScopeKind::Upstream) }
    }
    /// Adds a directive.
    #[must_use]
    pub fn with(mut self, directive: Directive) -> Self {
        self.directives.push(directive);
        self
    }
    /// Adds a block inside.
    #[must_use]
    pub fn block(mut self, block: Self) -> Self {
        self.blocks.push(block);
        self
    }
}

/// A block as the module will see it.
pub(crate) struct Compiled {
    pub(crate) kind: ScopeKind,
    pub(crate) name: &'static str,
    pub(crate) nodes: Vec<Node<'static>>,
    /// Whether it says anything itself; else the parent's object serves.
    pub(crate) own: bool,
    pub(crate) parent: Option<usize>,
    pub(crate) span: Span<'static>,
}

/// Reads a configuration: the outermost block first, each before those inside it. The first is always the top level.
///
/// # Errors
/// What the host would say, one line each.
pub(crate) fn compile(config: &[Block], table: &[DirectiveDesc], state: &State) -> Result<Vec<Compiled>, Vec<String>> {
    let mut c = Compiler { table, state, line: 0, out: Vec::new(), errors: Vec::new() };
    let (main, rest): (Vec<_>, Vec<_>) = config.iter().partition(|b| b.kind == ScopeKind::Main);
    let mut top = Block::main();
    for b in main {
        top.directives.extend(b.directives.iter().cloned());
        top.blocks.extend(b.blocks.iter().cloned());
    }
    top.blocks.extend(rest.into_iter().cloned());
    c.block(&top, None);
    if c.errors.is_empty() { Ok(c.out) } else { Err(c.errors) }
}

struct Compiler<'a> {
    table: &'a [DirectiveDesc],
    state: &'a State,
    line: u32,
    out: Vec<Compiled>,
    errors: Vec<String>,
}

const fn contexts(kind: ScopeKind) -> Contexts {
    match kind {
        ScopeKind::Main => {
            Contexts::MAIN.or(Contexts::COMMON).or(Contexts::SOCKET).or(Contexts::TUNNEL).or(Contexts::EBPF)
        }
        ScopeKind::Net => Contexts::NET,
        ScopeKind::Server => Contexts::SERVER,
        ScopeKind::Local => Contexts::LOCAL,
        ScopeKind::Upstream => Contexts::UPSTREAM,
        ScopeKind::Peer => Contexts::PEER,
    }
}

impl Compiler<'_> {
    fn block(&mut self, b: &Block, parent: Option<usize>) {
        let span = self.span();
        let mut own: Vec<Node<'static>> = Vec::new();
        let mut peers = Vec::new();
        for d in &b.directives {
            let desc = self.table.iter().find(|t| t.name.as_str() == d.name);
            let Some(desc) = desc.filter(|t| t.contexts.intersects(contexts(b.kind))) else {
                self.errors.push(format!("no directive {:?} in {:?}", d.name, b.kind));
                continue;
            };
            if desc.repeat == Repeat::Error && own.iter().any(|n| n.name.as_str() == d.name) {
                self.errors.push(format!("{:?} twice in {:?}", d.name, b.kind));
            }
            if desc.role == Role::Peer {
                peers.push((d, desc));
                continue;
            }
            let node = self.node(d, desc);
            own.push(node);
        }
        let mut nodes = parent.map_or_else(Vec::new, |p| self.inherited(p, &own));
        let says = !own.is_empty() || parent.is_none();
        nodes.extend(own);
        let me = self.out.len();
        self.out.push(Compiled { kind: b.kind, name: interned(&b.name), nodes, own: says, parent, span });
        for (d, desc) in peers {
            self.peer(d, desc, me);
        }
        for inner in &b.blocks {
            self.block(inner, Some(me));
        }
    }

    /// The block of a peer: what stands in its line's own, and the line itself, which the block around does not see.
    fn peer(&mut self, d: &Directive, desc: &DirectiveDesc, around: usize) {
        let span = self.span();
        let mut line = d.clone();
        let mut own = Vec::new();
        let is_its = |child: &Directive| desc.children.as_slice().iter().any(|t| t.name.as_str() == child.name);
        line.children.retain(|child| {
            let any = |t: &&DirectiveDesc| t.name.as_str() == child.name && t.contexts.intersects(Contexts::PEER);
            let Some(of_any) = self.table.iter().find(any).filter(|_| !is_its(child)) else { return true };
            own.push((child.clone(), of_any));
            false
        });
        let mut own: Vec<_> = own.into_iter().map(|(child, desc)| self.node(&child, desc)).collect();
        own.push(self.node(&line, desc));
        let mut nodes = self.inherited(around, &own);
        nodes.extend(own);
        self.out.push(Compiled { kind: ScopeKind::Peer, name: "", nodes, own: true, parent: Some(around), span });
    }

    /// What a block has of its parent's. Nothing comes down from the top level: it is the parent object's to tell.
    fn inherited(&self, parent: usize, own: &[Node<'static>]) -> Vec<Node<'static>> {
        let p = &self.out[parent];
        if p.kind == ScopeKind::Main {
            return Vec::new();
        }
        let keeps = |n: &&Node<'static>| {
            let rule =
                self.table.iter().find(|t| t.name.as_str() == n.name.as_str()).map_or(Inherit::Never, |t| t.inherit);
            let mut same = own.iter().filter(|o| o.name.as_str() == n.name.as_str());
            match rule {
                Inherit::Never => false,
                Inherit::Replace => same.next().is_none(),
                Inherit::Append => !same.any(|o| o.prop("inherit").is_some_and(|v| !v.bool())),
            }
        };
        p.nodes.iter().filter(keeps).copied().collect()
    }

    fn span(&mut self) -> Span<'static> {
        self.line += 1;
        Span { file: Str::new("test.kdl"), line: self.line, column: 1, offset: 0, len: 0 }
    }

    fn node(&mut self, d: &Directive, desc: &DirectiveDesc) -> Node<'static> {
        let span = self.span();
        let descs = desc.args.as_slice();
        let mut args = Vec::new();
        for (n, given) in d.args.iter().enumerate() {
            let arg = descs.get(n).or_else(|| descs.last().filter(|a| a.repeated));
            match arg {
                Some(arg) => args.extend(self.value(&d.name, given, arg, span)),
                None => self.errors.push(format!("{:?} takes {} arguments", d.name, descs.len())),
            }
        }
        for missing in descs.iter().skip(d.args.len()).filter(|a| a.required) {
            self.errors.push(format!("{:?} needs its argument {:?}", d.name, missing.name));
        }
        let props = self.props(d, desc, span);
        let mut children = Vec::new();
        for child in &d.children {
            match desc.children.as_slice().iter().find(|t| t.name.as_str() == child.name) {
                Some(t) => children.push(self.node(child, t)),
                None => self.errors.push(format!("no directive {:?} in the block of {:?}", child.name, d.name)),
            }
        }
        let (arg_defaults, defaults) = self.defaults(desc, span);
        // Kept for the process, as texts are: a test's configuration is small.
        Node {
            name: Str::new(interned(&d.name)),
            args: Slice::new(args.leak()),
            props: Slice::new(props.leak()),
            children: Slice::new(children.leak()),
            span,
            arg_defaults: Slice::new(arg_defaults.leak()),
            defaults: Slice::new(defaults.leak()),
        }
    }

    /// What is left out: arguments by position, one without a name has none, and properties.
    fn defaults(&mut self, desc: &DirectiveDesc, span: Span<'static>) -> (Vec<Prop<'static>>, Vec<Prop<'static>>) {
        let mut of = |arg: &ArgDesc| {
            let given = match implied::default(arg)? {
                Literal::Text(text) => Given::Text(text.to_owned()),
                Literal::Bool(on) => Given::Bool(on),
                Literal::Int(n) if matches!(arg.kind, Kind::Int | Kind::Float) => Given::Number(n),
                // A number that is to have a unit.
                Literal::Int(n) => Given::Text(n.to_string()),
                Literal::Float(n) => Given::Float(n),
            };
            let value = self.value(desc.name.as_str(), &given, arg, span)?;
            Some(Prop { name: arg.name, value })
        };
        let none = |arg: &ArgDesc| {
            let (kind, text) = (arg.kind, Str::EMPTY);
            Prop { name: Str::EMPTY, value: Value { kind, redacted: false, num: 0, text, span } }
        };
        let args = desc.args.as_slice().iter().map(|arg| of(arg).unwrap_or_else(|| none(arg))).collect();
        (args, desc.props.as_slice().iter().chain(implied::props(desc)).filter_map(of).collect())
    }

    fn props(&mut self, d: &Directive, desc: &DirectiveDesc, span: Span<'static>) -> Vec<Prop<'static>> {
        let inherit = ArgDesc::new("inherit", Kind::Bool, "Whether the parent's come first.");
        let mut props = Vec::new();
        for (name, given) in &d.props {
            let mut all = desc.props.as_slice().iter().chain(implied::props(desc));
            let known = all.find(|p| p.name.as_str() == name);
            let known = known.or_else(|| (desc.inherit == Inherit::Append && name == "inherit").then_some(&inherit));
            let Some(arg) = known else {
                self.errors.push(format!("{:?} has no property {name:?}", d.name));
                continue;
            };
            if let Some(value) = self.value(&d.name, given, arg, span) {
                let name = Str::new(interned(name));
                props.push(Prop { name, value });
            }
        }
        for missing in desc.props.as_slice().iter().filter(|p| p.required) {
            if !d.props.iter().any(|(n, _)| n == missing.name.as_str()) {
                self.errors.push(format!("{:?} needs its property {:?}", d.name, missing.name));
            }
        }
        props
    }

    fn value(&mut self, directive: &str, given: &Given, arg: &ArgDesc, span: Span<'static>) -> Option<Value<'static>> {
        let r = typed(given, arg, self.state).map(|(num, text)| Value {
            kind: arg.kind,
            redacted: arg.secret,
            num,
            text: Str::new(interned(&text)),
            span,
        });
        r.map_err(|e| self.errors.push(format!("{directive:?}: {:?}: {e}", arg.name))).ok()
    }
}
