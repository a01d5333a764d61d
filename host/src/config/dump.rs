//! The effective configuration as text, as a number, and compared with another.
//! Knows values and where they came from, not what they do.

mod compare;

use std::fmt::Write as _;

use anyproxy_module_api::abi::conf::{Kind, Node, Prop, ScopeKind, Span, Value};

use super::{
    build::OUTER,
    schema::context_names,
    tree::{Own, Peer, Scope, ScopeId, Tree, UpstreamKind},
};
pub use compare::{Needs, Standing, changes, config_hash};

/// `-T`: KDL that loads again to the same effective tree (but for what is redacted). Each line ends with its origin;
/// what a block inherits stands in it as a comment. Values from `(env)` and `(file)` and secret ones are `"***"`.
pub fn dump(tree: &Tree) -> String {
    let mut d = Dump { tree, out: String::new(), depth: 0 };
    d.main();
    d.out
}

/// A directive with its block on one line, redacted as in a dump: what messages show, and what names a peer's line.
pub fn node_text(node: &Node<'_>) -> String {
    let mut out = flat(node, false);
    if !node.children.is_empty() {
        out.push_str(" { ");
        for child in node.children.iter() {
            out.push_str(&node_text(child));
            out.push_str("; ");
        }
        out.push('}');
    }
    out
}

struct Dump<'a> {
    tree: &'a Tree,
    out: String,
    depth: usize,
}

impl Dump<'_> {
    fn main(&mut self) {
        let tree = self.tree;
        let own = tree.own(Tree::MAIN);
        let outer = |o: &Own| OUTER.iter().position(|c| o.desc.contexts.intersects(*c));
        let is_top = |o: &Own| o.desc.contexts.intersects(anyproxy_module_api::abi::conf::Contexts::MAIN);
        for o in own.iter().filter(|o| is_top(o)) {
            self.own(o);
        }
        for (n, context) in OUTER.iter().enumerate() {
            let mut inner = own.iter().filter(|o| !is_top(o) && outer(o) == Some(n)).peekable();
            if inner.peek().is_none() {
                continue;
            }
            self.line(&format!("{} {{", context_names(*context)), None);
            self.depth += 1;
            inner.for_each(|o| self.own(o));
            self.close();
        }
        for upstream in tree.upstreams.iter().filter(|u| u.kind == UpstreamKind::Named) {
            self.line(&format!("upstream {} {{", quoted(&upstream.name)), Some(&upstream.span));
            self.depth += 1;
            self.scope(upstream.scope);
            upstream.peers.iter().for_each(|p| self.peer(p));
            self.close();
        }
        for net in &tree.nets {
            self.open("net", net.scope);
            for server in &net.servers {
                self.open("server", server.scope);
                for listen in &server.listens {
                    self.node(&listen.node, false);
                }
                for local in &server.locals {
                    self.open("local", local.scope);
                    let upstream = local.upstream.map(|n| &tree.upstreams[n]);
                    if let Some(upstream) = upstream.filter(|u| u.kind == UpstreamKind::Local) {
                        upstream.peers.iter().for_each(|p| self.peer(p));
                    }
                    self.close();
                }
                self.close();
            }
            self.close();
        }
    }

    fn open(&mut self, word: &str, scope: ScopeId) {
        let Scope { name, span, .. } = self.tree.scope(scope);
        let name = if name.is_empty() { String::new() } else { format!("{} ", quoted(name)) };
        self.line(&format!("{word} {name}{{"), Some(span));
        self.depth += 1;
        self.scope(scope);
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.line("}", None);
    }

    /// What the block inherits, as comments, then what stands in it.
    fn scope(&mut self, scope: ScopeId) {
        let own = self.tree.own(scope);
        for module in 0..self.tree.modules.len() {
            for node in self.tree.nodes(scope, module as u16) {
                if !own.iter().any(|o| same_place(&o.node.span, &node.span)) {
                    let text = format!("// inherited: {}", flat(node, false));
                    self.line(&text, Some(&node.span));
                }
            }
        }
        let is_peer = self.tree.scope(scope).kind == ScopeKind::Peer;
        let shown = if is_peer { own.len().saturating_sub(1) } else { own.len() };
        own[..shown].iter().for_each(|o| self.own(o));
    }

    fn own(&mut self, own: &Own) {
        self.node(&own.node, own.alone);
    }

    fn node(&mut self, node: &Node<'_>, alone: bool) {
        let text = flat(node, alone);
        if node.children.is_empty() {
            self.line(&text, Some(&node.span));
            return;
        }
        self.line(&format!("{text} {{"), Some(&node.span));
        self.depth += 1;
        node.children.iter().for_each(|c| self.node(c, false));
        self.close();
    }

    fn peer(&mut self, peer: &Peer) {
        self.line(&format!("{} {{", flat(&peer.node, false)), Some(&peer.node.span));
        self.depth += 1;
        self.scope(peer.scope);
        peer.node.children.iter().for_each(|c| self.node(c, false));
        self.close();
    }

    fn line(&mut self, text: &str, from: Option<&Span<'_>>) {
        let indent = "    ".repeat(self.depth);
        self.out.push_str(&indent);
        self.out.push_str(text);
        if let Some(span) = from.filter(|s| s.line > 0) {
            let file: String = span.file.chars().map(|c| if plain(c) { c } else { '?' }).collect();
            let _ = write!(self.out, " // {file}:{}", span.line);
        }
        self.out.push('\n');
    }
}

/// The directive without its block.
fn flat(node: &Node<'_>, alone: bool) -> String {
    let mut out = node.name.as_str().to_owned();
    for arg in node.args.as_slice() {
        out.push(' ');
        out.push_str(&value(arg));
    }
    for Prop { name, value: v } in node.props.as_slice() {
        let _ = write!(out, " {name}={}", value(v));
    }
    if alone {
        out.push_str(" inherit=#false");
    }
    out
}

fn same_place(a: &Span<'_>, b: &Span<'_>) -> bool {
    a.offset == b.offset && a.len == b.len && std::ptr::eq(a.file.as_str(), b.file.as_str())
}

/// A value as it is written.
fn value(v: &Value<'_>) -> String {
    if v.redacted {
        return "\"***\"".to_owned();
    }
    match v.kind {
        Kind::Bool => format!("#{}", v.bool()),
        // A word in place of a number.
        Kind::Int | Kind::Float if !v.text.is_empty() => quoted(&v.text),
        Kind::Int => v.num.to_string(),
        Kind::Float => format!("{:?}", v.float()),
        Kind::Size | Kind::Time | Kind::Rate | Kind::Percent if v.text.is_empty() => v.num.to_string(),
        Kind::Regex => quoted(&format!("~{}", v.text)),
        _ => quoted(&v.text),
    }
}

/// A KDL string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if plain(c) => out.push(c),
            c => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    out.push('"');
    out
}

/// Whether KDL takes the character as it is: no control character, no mark that changes the direction of text, no line break.
fn plain(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests;
