//! Opens scopes: what each module sees of a block, from what the block around passes on and what stands in the block.
//! Knows the three rules of inheritance, no directive by name.

use anyproxy_module_api::abi::{
    bytes::{Slice, Str},
    conf::{Contexts, DirectiveDesc, Inherit, Node, Role, ScopeKind, Span},
};

use super::tree::{Own, Scope, ScopeId, Tree, View};
use crate::services::arena::Arena;

/// A block about to become a scope.
pub(super) struct Opening {
    pub(super) kind: ScopeKind,
    pub(super) parent: Option<ScopeId>,
    pub(super) name: Str<'static>,
    pub(super) span: Span<'static>,
}

const EMPTY: View = View { nodes: Slice::EMPTY, same_as_parent: true, passed: 0, descs: 0 };

/// Directives that the host keeps elsewhere in the tree than among a module's values.
fn is_structure(own: &Own) -> bool {
    matches!(own.desc.role, Role::ListenPort | Role::ListenDomain)
        || (own.module == 0
            && matches!(own.desc.name.as_str(), "domain" | "rule" | "proxy_pass_upstream" | "load_module"))
}

/// What `Main` passes on, computed once a kind of child: most of its directives mean nothing elsewhere.
#[derive(Default)]
pub(super) struct FromMain {
    net: Vec<View>,
    upstream: Vec<View>,
}

impl FromMain {
    /// Call when `Main` is open.
    pub(super) fn new(tree: &mut Tree, arena: &mut Arena) -> Self {
        let mut of = |contexts: Contexts| {
            (0..tree.modules.len())
                .map(|m| {
                    let view = *tree.view(Tree::MAIN, m as u16);
                    let descs = tree.descs(Tree::MAIN, m as u16);
                    let kept: Vec<usize> =
                        (0..view.passed as usize).filter(|n| descs[*n].contexts.intersects(contexts)).collect();
                    let chosen: Vec<&'static DirectiveDesc> = kept.iter().map(|n| descs[*n]).collect();
                    let nodes: Vec<Node<'static>> = kept.iter().map(|n| view.nodes[*n]).collect();
                    push(tree, arena, &nodes, &chosen, nodes.len(), nodes.len() == view.nodes.len())
                })
                .collect()
        };
        Self { net: of(Contexts::MSL), upstream: of(Contexts::UPSTREAM | Contexts::PEER) }
    }
}

fn push(
    tree: &mut Tree,
    arena: &mut Arena,
    nodes: &[Node<'static>],
    descs: &[&'static DirectiveDesc],
    passed: usize,
    same_as_parent: bool,
) -> View {
    let start = tree.view_descs.len() as u32;
    tree.view_descs.extend_from_slice(descs);
    View { nodes: arena.nodes(nodes), same_as_parent, passed: passed as u32, descs: start }
}

/// Adds a scope with the directives `own` that stand in its block.
pub(super) fn open(tree: &mut Tree, arena: &mut Arena, main: &FromMain, block: Opening, own: &[Own]) -> ScopeId {
    let id = ScopeId(tree.scopes.len() as u32);
    let own_start = tree.own.len() as u32;
    tree.own.extend_from_slice(own);
    let mut nodes: Vec<Node<'static>> = Vec::new();
    let mut descs: Vec<&'static DirectiveDesc> = Vec::new();
    for module in 0..tree.modules.len() {
        let base = base(tree, main, &block, module);
        let mine = || own.iter().filter(|o| o.module as usize == module && !is_structure(o));
        if mine().next().is_none() {
            tree.views.push(base);
            continue;
        }
        nodes.clear();
        descs.clear();
        let replaced = replaced(mine());
        for n in 0..base.passed as usize {
            let desc = tree.view_descs[base.descs as usize + n];
            if !replaced.iter().any(|r| *r == desc.name.as_str()) {
                nodes.push(base.nodes[n]);
                descs.push(desc);
            }
        }
        let passes = |o: &&Own| o.desc.inherit != Inherit::Never && o.desc.role != Role::Peer;
        for o in mine().filter(passes) {
            nodes.push(o.node);
            descs.push(o.desc);
        }
        let passed = nodes.len();
        for o in mine().filter(|o| !passes(o)) {
            nodes.push(o.node);
            descs.push(o.desc);
        }
        let view = push(tree, arena, &nodes, &descs, passed, false);
        tree.views.push(view);
    }
    tree.scopes.push(Scope {
        kind: block.kind,
        parent: block.parent,
        name: block.name,
        span: block.span,
        own: own_start..tree.own.len() as u32,
    });
    id
}

/// What a block without directives of `module` would see.
fn base(tree: &Tree, main: &FromMain, block: &Opening, module: usize) -> View {
    let Some(parent) = block.parent else {
        return EMPTY;
    };
    if parent == Tree::MAIN {
        return match block.kind {
            ScopeKind::Upstream => main.upstream[module],
            _ => main.net[module],
        };
    }
    let view = *tree.view(parent, module as u16);
    View {
        nodes: Slice::new(&view.nodes.as_slice()[..view.passed as usize]),
        same_as_parent: view.passed as usize == view.nodes.len(),
        ..view
    }
}

/// Names of which the parents' directives do not hold here.
fn replaced<'a>(own: impl Iterator<Item = &'a Own>) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for o in own {
        let name = o.desc.name.as_str();
        let replaces = match o.desc.inherit {
            Inherit::Append => o.alone,
            Inherit::Replace | Inherit::Never => true,
        };
        if replaces && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

#[cfg(test)]
mod tests;
