//! One directive: from the node as written to the node as modules see it, by its declaration.
//! Knows arguments, properties and plain blocks; nothing of the tree's blocks or of inheritance.

mod defaults;
mod values;

pub(super) use defaults::nonsense;
pub(super) use values::{bounds, words};

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
};

use anyproxy_module_api::abi::{
    bytes::{Slice, Str},
    conf::{ArgDesc, DirectiveDesc, Node, Prop, Repeat, Role, Span, Value, implied},
};
use regex::Regex;

use crate::services::arena::Arena;

use super::{
    diagnostic::{Diagnostic, Diagnostics, did_you_mean},
    document::{Place, RawNode, RawProp, Sources},
    schema::{Entry, Schema},
    tree::TemplateSource,
};

/// Reads directives into an arena and gathers everything that is wrong with them.
pub(super) struct Typer<'a> {
    pub(super) schema: &'a Schema,
    pub(super) arena: Arena,
    pub(super) wrong: Diagnostics,
    pub(super) templates: Vec<TemplateSource>,
    /// Upstreams that directives of modules name, in the order of their numbers.
    pub(super) upstreams: Vec<(Str<'static>, Place)>,
    files: Vec<File<'a>>,
    template_ids: HashMap<Str2, u32>,
    regexes: HashMap<String, Option<Regex>>,
    /// By directive and file.
    defaults: HashMap<(usize, u32), defaults::Defaults>,
}

/// A template's text as a key; it lives in the arena.
type Str2 = &'static str;

struct File<'a> {
    name: Str<'static>,
    dir: PathBuf,
    text: &'a str,
    /// Offsets at which lines start.
    lines: Vec<u32>,
    ascii: bool,
}

/// A directive without its block.
#[derive(Clone, Copy)]
pub(super) struct Flat {
    pub(super) node: Node<'static>,
    /// It said `inherit=#false`.
    pub(super) alone: bool,
}

/// Names that may stand once in a block, with the place where each stood.
#[derive(Default)]
pub(super) struct Seen(Vec<(&'static str, Place)>);

impl<'a> Typer<'a> {
    pub(super) fn new(schema: &'a Schema, sources: &'a Sources) -> Self {
        let mut arena = Arena::default();
        let files = sources
            .iter()
            .map(|s| File {
                name: arena.text(&s.name),
                dir: directory(&s.path),
                text: &s.text,
                lines: std::iter::once(0).chain(newlines(&s.text)).collect(),
                ascii: s.text.is_ascii(),
            })
            .collect();
        Self {
            schema,
            arena,
            wrong: Diagnostics::new(sources.clone()),
            templates: Vec::new(),
            upstreams: Vec::new(),
            files,
            template_ids: HashMap::new(),
            regexes: HashMap::new(),
            defaults: HashMap::new(),
        }
    }

    /// Types `raw` without its block. `None`: something was wrong, and was said.
    pub(super) fn flat(&mut self, entry: Entry, raw: &RawNode) -> Option<Flat> {
        let args = self.args(entry, raw);
        let props = self.props(entry, raw);
        let (args, (props, alone)) = (args?, props?);
        let [arg_defaults, defaults] = self.defaults(entry, implied::props(entry.desc), raw.place);
        let (name, children, span) = (entry.desc.name, Slice::EMPTY, self.span(raw.place));
        Some(Flat { node: Node { name, args, props, children, span, arg_defaults, defaults }, alone })
    }

    /// Types `raw` with its block, for directives whose block is their own.
    pub(super) fn nested(&mut self, entry: Entry, raw: &RawNode) -> Option<Flat> {
        let flat = self.flat(entry, raw);
        let children = match &raw.children {
            None => Some(Slice::EMPTY),
            Some(_) if entry.desc.children.is_empty() => {
                let text = format!("\"{}\" takes no block", raw.name);
                self.say(entry, Diagnostic::error("unexpected-block", text).at(raw.place));
                None
            }
            Some(nodes) => self.children(entry, nodes),
        };
        let mut flat = flat?;
        flat.node.children = children?;
        Some(flat)
    }

    /// Types the block of a directive that is no block of the tree.
    fn children(&mut self, entry: Entry, nodes: &[RawNode]) -> Option<Slice<'static, Node<'static>>> {
        let mut out = Vec::with_capacity(nodes.len());
        let mut seen = Seen::default();
        let mut good = true;
        let descs = entry.desc.children.as_slice();
        for raw in nodes {
            let Some(desc) = descs.iter().find(|d| d.name.as_str() == raw.name) else {
                let word = did_you_mean(&raw.name, descs.iter().map(|d| d.name.as_str()));
                let text = format!("unknown directive \"{}\" in the block of \"{}\"", raw.name, entry.desc.name);
                self.say(entry, Diagnostic::error("unknown-directive", text).at(raw.place).suggest(word));
                good = false;
                continue;
            };
            let child = Entry { desc, ..entry };
            good &= self.once(&mut seen, child, raw.place);
            match self.nested(child, raw) {
                Some(flat) => out.push(flat.node),
                None => good = false,
            }
        }
        good.then(|| self.arena.nodes(&out))
    }

    /// Whether the directive may stand here again; says so if not.
    pub(super) fn once(&mut self, seen: &mut Seen, entry: Entry, place: Place) -> bool {
        let desc = entry.desc;
        let many = matches!(desc.role, Role::Peer | Role::ListenPort | Role::ListenDomain);
        if many || desc.repeat == Repeat::Append {
            return true;
        }
        let name = desc.name.as_str();
        if let Some((_, first)) = seen.0.iter().find(|(n, _)| *n == name) {
            let found = Diagnostic::error("repeated-directive", format!("\"{name}\" stands twice in one block"))
                .at(place)
                .label(*first, "it stands here already");
            self.say(entry, found);
            return false;
        }
        seen.0.push((name, place));
        true
    }

    fn args(&mut self, entry: Entry, raw: &RawNode) -> Option<Slice<'static, Value<'static>>> {
        let descs = entry.desc.args.as_slice();
        let mut good = true;
        let mut out = Vec::with_capacity(raw.args.len());
        for (n, value) in raw.args.iter().enumerate() {
            let Some(desc) = descs.get(n).or_else(|| descs.last().filter(|d| d.repeated)) else {
                let text = match descs.len() {
                    0 => format!("\"{}\" takes no argument", raw.name),
                    1 => format!("\"{}\" takes one argument", raw.name),
                    n => format!("\"{}\" takes {n} arguments", raw.name),
                };
                let mut found = Diagnostic::error("too-many-arguments", text).at(value.place);
                let props = entry.desc.props.as_slice();
                if descs.is_empty() && !props.is_empty() {
                    let names: Vec<&str> = props.iter().map(|p| p.name.as_str()).collect();
                    found = found.help(format!("it takes the properties {}", names.join(", ")));
                }
                self.say(entry, found);
                good = false;
                break;
            };
            match self.value(entry, desc, false, value) {
                Some(v) => out.push(v),
                None => good = false,
            }
        }
        if let Some(missing) = descs.get(raw.args.len()).filter(|d| d.required) {
            let text = format!("\"{}\" needs an argument \"{}\": {}", raw.name, missing.name, missing.doc);
            let mut found = Diagnostic::error("missing-argument", text).at(raw.place);
            if !entry.desc.example.is_empty() {
                found = found.help(format!("for example: {}", entry.desc.example));
            }
            self.say(entry, found);
            good = false;
        }
        good.then(|| self.arena.values(&out))
    }

    fn props(&mut self, entry: Entry, raw: &RawNode) -> Option<(Slice<'static, Prop<'static>>, bool)> {
        let desc = entry.desc;
        let implied = implied::props(desc);
        let of = |name: &str| desc.props.as_slice().iter().chain(implied).find(|p| p.name.as_str() == name);
        let mut good = true;
        let mut alone = false;
        let mut out = Vec::with_capacity(raw.props.len());
        for prop in &raw.props {
            let takes_inherit = desc.inherit == anyproxy_module_api::abi::conf::Inherit::Append;
            if takes_inherit && prop.name == "inherit" && of("inherit").is_none() {
                match self.value(entry, &INHERIT, true, &prop.value) {
                    Some(v) => alone = !v.bool(),
                    None => good = false,
                }
            } else if let Some(arg) = of(&prop.name) {
                match self.value(entry, arg, true, &prop.value) {
                    Some(value) => out.push(Prop { name: arg.name, value }),
                    None => good = false,
                }
            } else {
                self.unknown_prop(entry, implied, takes_inherit, prop);
                good = false;
            }
        }
        for missing in desc.props.as_slice().iter().filter(|p| p.required) {
            if !raw.props.iter().any(|p| p.name == missing.name.as_str()) {
                let text = format!("\"{}\" needs the property \"{}\": {}", raw.name, missing.name, missing.doc);
                self.say(entry, Diagnostic::error("missing-property", text).at(raw.place));
                good = false;
            }
        }
        good.then(|| (self.arena.props(&out), alone))
    }

    fn unknown_prop(&mut self, entry: Entry, implied: &[ArgDesc], inherit: bool, prop: &RawProp) {
        let desc: &DirectiveDesc = entry.desc;
        let known = desc.props.as_slice().iter().chain(implied).map(|p| p.name.as_str());
        let known: Vec<&str> = known.chain(inherit.then_some("inherit")).collect();
        let text = format!("\"{}\" has no property \"{}\"", desc.name, prop.name);
        let mut found = Diagnostic::error("unknown-property", text).at(prop.place);
        if desc.args.as_slice().iter().any(|a| a.name.as_str() == prop.name) {
            found = found.help(format!("\"{}\" is an argument: write its value alone", prop.name));
        } else if let Some(word) = did_you_mean(&prop.name, known.iter().copied()) {
            found = found.suggest(Some(word));
        } else if !known.is_empty() {
            found = found.help(format!("it has {}", known.join(", ")));
        }
        self.say(entry, found);
    }

    /// Adds a finding about a directive of `entry`'s module.
    pub(super) fn say(&mut self, entry: Entry, found: Diagnostic) {
        let found = match entry.module {
            0 => found,
            module => found.module(self.schema.id(module)),
        };
        self.wrong.push(found);
    }

    /// The regular expression, compiled once whoever uses it. `None`: it is invalid, and that was said.
    pub(super) fn regex(&mut self, entry: Entry, text: &str, place: Place, shown: bool) -> Option<Regex> {
        if let Some(known) = self.regexes.get(text) {
            return known.clone();
        }
        let built = regex::RegexBuilder::new(text).size_limit(REGEX).build();
        if let Err(e) = &built {
            let reason = e.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let reason = if shown { reason } else { "not shown" };
            let text = format!("\"{}\": not a regular expression: {reason}", entry.desc.name);
            self.say(entry, Diagnostic::error("bad-regex", text).at(place));
        }
        let built = built.ok();
        self.regexes.insert(text.to_owned(), built.clone());
        built
    }

    /// Names of groups of all regular expressions, each once, in order.
    pub(super) fn captures(&self) -> Vec<String> {
        let names = self.regexes.values().flatten().flat_map(|r| r.capture_names().flatten().map(str::to_owned));
        names.collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn template(&mut self, entry: Entry, text: Str<'static>, place: Place, span: Span<'static>) -> u32 {
        if let Some(id) = self.template_ids.get(text.as_str()) {
            return *id;
        }
        let id = self.templates.len() as u32;
        self.template_ids.insert(text.as_str(), id);
        self.templates.push(TemplateSource { text, place, span, module: entry.module, directive: entry.desc.name });
        id
    }

    /// A place as modules see it.
    pub(super) fn span(&self, place: Place) -> Span<'static> {
        let Some(file) = self.files.get(place.file as usize) else {
            return Span::default();
        };
        let line = file.lines.partition_point(|start| *start <= place.offset);
        let start = file.lines.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let column = if file.ascii {
            place.offset - start
        } else {
            let before = file.text.get(start as usize..place.offset as usize).unwrap_or_default();
            before.chars().filter(|c| *c != '\u{FEFF}').count() as u32
        };
        Span { file: file.name, line: line as u32, column: column + 1, offset: place.offset, len: place.len }
    }

    /// File names as spans hold them.
    pub(super) fn file_names(&self) -> Vec<Str<'static>> {
        self.files.iter().map(|f| f.name).collect()
    }

    /// The way back from `span`.
    pub(super) fn place(&self, span: &Span<'_>) -> Place {
        let ours = |f: &File<'_>| std::ptr::eq(f.name.as_str(), span.file.as_str());
        Place { file: self.files.iter().position(ours).unwrap_or(0) as u32, offset: span.offset, len: span.len }
    }
}

/// Compiled size of one regular expression at most.
const REGEX: usize = 1 << 20;

static INHERIT: ArgDesc =
    ArgDesc::new("inherit", anyproxy_module_api::abi::conf::Kind::Bool, "`#false`: without those of the blocks around");

fn newlines(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at as u32 + 1)
}

/// Where relative paths of a file start, absolute.
pub(super) fn directory(file: &std::path::Path) -> PathBuf {
    let dir = file.parent().unwrap_or_else(|| std::path::Path::new("."));
    std::path::absolute(if dir.as_os_str().is_empty() { std::path::Path::new(".") } else { dir })
        .unwrap_or_else(|_| dir.to_path_buf())
}

#[cfg(test)]
mod tests;
