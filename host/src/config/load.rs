//! The two steps by which the host takes a configuration: what to load, then everything.

use std::path::{Path, PathBuf};

use anyproxy_module_api::abi::conf::Span;

use super::{
    build,
    diagnostic::{Diagnostic, Diagnostics, Severity},
    document::{Document, Place, Raw, RawNode},
    schema::{ModuleDirectives, Schema},
    tree::{LoadModule, Tree},
    typed::directory,
    validate,
};

/// Findings that do not refuse the configuration; none of them is an error.
pub type Warnings = Diagnostics;

/// The modules that `document` loads, in order. What is not text is left for `load` to complain about.
pub fn pre_parse(document: &Document) -> Vec<LoadModule> {
    let lines = document.nodes.iter().filter(|n| n.name == "load_module");
    lines
        .flat_map(|n| &n.args)
        .filter_map(|value| match &value.data {
            Raw::Text(text) => {
                let is_path = text.contains('/');
                Some(LoadModule {
                    name: if is_path { beside(document, value.place, text) } else { text.clone() },
                    is_path,
                    place: value.place,
                })
            }
            _ => None,
        })
        .collect()
}

/// The directories of `modules_path`, needed before there is a schema.
pub fn modules_path(document: &Document) -> Vec<PathBuf> {
    let common = document.nodes.iter().filter(|n| n.name == "common").filter_map(|n| n.children.as_ref());
    let lines = common.flatten().filter(|n: &&RawNode| n.name == "modules_path");
    lines
        .flat_map(|n| &n.args)
        .filter_map(|value| match &value.data {
            Raw::Text(text) => Some(beside(document, value.place, text).into()),
            _ => None,
        })
        .collect()
}

/// The directives `names` of the document's `common` alone. Without those of modules, which only their tables explain, and
/// without what is wrong with others.
pub fn common_only(document: &Document, names: &[&str]) -> Document {
    let common = document.nodes.iter().filter(|n| n.name == "common").cloned();
    let wanted = |mut node: RawNode| {
        if let Some(inside) = &mut node.children {
            inside.retain(|n| names.contains(&n.name.as_str()));
        }
        node
    };
    let nodes = common.map(wanted).collect();
    Document { sources: document.sources.clone(), nodes, warnings: Diagnostics::default() }
}

fn beside(document: &Document, place: Place, path: &str) -> String {
    let Some(source) = document.sources.get(place.file as usize) else {
        return path.to_owned();
    };
    let joined: PathBuf = directory(&source.path).join(Path::new(path)).components().collect();
    joined.to_string_lossy().into_owned()
}

/// Types, merges, inherits and validates `document` with the directives of the host and of `modules`.
/// All errors come at once; without one, the warnings come with the tree.
pub fn load(document: &Document, modules: &[ModuleDirectives]) -> Result<(Tree, Warnings), Diagnostics> {
    let schema = Schema::new(modules).map_err(|mut e| {
        e.set_sources(document.sources.clone());
        e
    })?;
    load_with(document, &schema)
}

/// `load` with a schema at hand.
pub fn load_with(document: &Document, schema: &Schema) -> Result<(Tree, Warnings), Diagnostics> {
    let build::Built { mut tree, mut wrong, broken, place } = build::build(document, schema);
    tree.load_modules = pre_parse(document);
    repeated_modules(&tree.load_modules, &mut wrong);
    let names: Vec<usize> = place.iter().map(|n| n.as_ptr() as usize).collect();
    let place = |span: &Span<'_>| Place {
        file: names.iter().position(|n| *n == span.file.as_ptr() as usize).unwrap_or(0) as u32,
        offset: span.offset,
        len: span.len,
    };
    let found = validate::validate(&mut tree, &broken, &place);
    wrong.append(found);
    debug_assert!(wrong.iter().all(|d| d.place.is_none_or(|p| (p.file as usize) < document.sources.len().max(1))));
    if wrong.iter().any(|d| d.severity == Severity::Error) { Err(wrong) } else { Ok((tree, wrong)) }
}

fn repeated_modules(modules: &[LoadModule], wrong: &mut Diagnostics) {
    for (n, module) in modules.iter().enumerate() {
        if let Some(first) = modules[..n].iter().find(|m| m.name == module.name) {
            let found = Diagnostic::error("module-twice", format!("the module \"{}\" is loaded twice", module.name));
            wrong.push(found.at(module.place).label(first.place, "it is loaded here already"));
        }
    }
}
