//! From a file to a generation that is not live yet. Has no side effects but loading modules' images.

mod images;
mod listeners;
mod names;
mod order;
mod overlaps;
mod servers;

pub use images::{directives_of, images};

use self::{listeners::finish_listener, order::gathered, servers::LocalMetrics};
use super::{Cycle, CycleStats, access_log, json_line, settings::Settings, shared::Published, vars::VarTable};
use crate::{
    config::{
        self, Tree,
        diagnostic::{Diagnostic, Diagnostics, did_you_mean},
        document::{self, Document, Place},
        include,
    },
    loader::Image,
    matcher::CaptureNames,
    process::process,
    services::{
        self,
        instance::{Conf, Instance, Problem},
    },
    template::Template,
    upstream::{pool::Pool, registered::Points},
};
use anyproxy_module_api::abi::{
    bytes::Slice,
    conf::{ScopeView, Span},
};
use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// The word of a warning: a generation without any listener, which is a mistake where one listens.
pub const NO_LISTENER: &str = "no-listener";

/// A generation built, with what should be said about it.
#[derive(Debug)]
pub struct Built {
    /// The generation.
    pub cycle: Arc<Cycle>,
    /// Warnings.
    pub warnings: Diagnostics,
}

/// Builds a generation from the file at `path`.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn build(path: &Path) -> Result<Built, Diagnostics> {
    let document = include::load(path)?;
    if document.nodes.is_empty() {
        let start = Place { file: 0, offset: 0, len: 0 };
        let found = Diagnostic::error("empty", "there is nothing in this configuration").at(start);
        let mut wrong = Diagnostics::from(found.help("what serves is a net block with a server"));
        wrong.set_sources(document.sources);
        return Err(wrong);
    }
    let images = images(&document)?;
    let modules: Vec<_> = images.iter().map(|i| directives_of(i)).collect();
    let (tree, mut warnings) = config::load(&document, &modules)?;
    let mut builder = Builder { wrong: Diagnostics::new(document.sources.clone()), document: &document };
    let built = builder.cycle(Arc::new(tree), &images);
    warnings.set_sources(document.sources.clone());
    match built {
        Some(cycle) if !builder.wrong.has_errors() => {
            warnings.append(builder.wrong);
            if cycle.listeners.is_empty() {
                let block = document.nodes.iter().find(|n| n.name == "net").or_else(|| document.nodes.first());
                let found = Diagnostic::warning(NO_LISTENER, "nothing is listened on: there is no server");
                warnings.push(found.at_some(block.map(|n| n.place)));
            }
            Ok(Built { cycle, warnings })
        }
        _ => Err(builder.wrong),
    }
}

struct Builder<'a> {
    wrong: Diagnostics,
    document: &'a Document,
}

impl Builder<'_> {
    fn place(&self, span: &Span<'_>) -> Option<Place> {
        document::place_of(&self.document.sources, span)
    }

    fn error(&mut self, span: &Span<'_>, code: &'static str, text: String, help: &str) {
        let mut d = Diagnostic::error(code, text);
        if let Some(p) = self.place(span) {
            d = d.at(p);
        }
        if !help.is_empty() {
            d = d.help(help);
        }
        self.wrong.push(d);
    }

    fn problem(&mut self, p: Problem, module: &str) {
        let mut d =
            if p.warning { Diagnostic::warning("module", p.message) } else { Diagnostic::error("module", p.message) };
        if let Some(place) = p.span.as_ref().and_then(|s| self.place(s)) {
            d = d.at(place);
        }
        if !p.help.is_empty() {
            d = d.help(p.help);
        }
        self.wrong.push(d.module(module));
    }

    fn cycle(&mut self, tree: Arc<Tree>, images: &[Arc<Image>]) -> Option<Arc<Cycle>> {
        let mut instances = vec![None];
        let metrics_owner = process().metrics.owner();
        for image in images {
            let create = || Instance::create(Arc::clone(image));
            match services::metrics::creating(&metrics_owner, &image.facts.id, create) {
                Some(i) => instances.push(Some(i)),
                None => self.wrong.push(Diagnostic::error("module", "panicked in create").module(&image.facts.id)),
            }
        }
        if instances.len() != tree.modules.len() {
            return None;
        }
        for text in names::clashes(instances.iter().flatten().map(Instance::desc)) {
            self.wrong.push(Diagnostic::error("name", text));
        }
        let start_order = self.start_order(&instances)?;
        let mut names = CaptureNames::default();
        let settings = Settings::of(&tree);
        let mut counted = settings.metrics_per_local.then(|| LocalMetrics::new(&metrics_owner));
        let servers = self.servers(&tree, &instances, &mut names, &mut counted);
        if let Some(full) = counted.and_then(|c| c.full) {
            let text = format!("metrics_per_local: {} locals are not counted: {}", full.0, full.1);
            self.wrong.push(Diagnostic::warning("metrics", text));
        }
        let vars = match VarTable::new(&instances) {
            Ok(v) => v,
            Err(text) => {
                self.wrong.push(Diagnostic::error("variable", text));
                return None;
            }
        };
        let listeners = self.listeners(&tree, &instances, &servers, &mut names);
        self.overlaps(&tree, &settings);
        for name in &tree.captures {
            names.intern(name);
        }
        let templates = self.templates(&tree, &vars, &names);
        let (confs, owned) = self.confs(&tree, &instances);
        let pools = self.pools(&tree, &instances);
        self.log_levels(&tree);
        for (span, text, help) in json_line::wrong(&tree) {
            self.error(&span, "access-log", text, help);
        }
        let logs = access_log::Plans::of(&tree);
        let broken = self.wrong.has_errors();
        let mut made = Cycle {
            epoch: process().epochs.fetch_add(1, Relaxed),
            hash: config::dump::config_hash(&tree),
            settings,
            templates,
            vars,
            captures: names,
            listeners: Vec::new(),
            pools,
            greetings: gathered(&instances, |i| i.desc().greetings.as_slice().to_vec()),
            relays: gathered(&instances, |i| i.desc().relays.as_slice().to_vec()),
            logs,
            notes_stages: tree.templates.iter().any(|t| t.text.contains("stream_work_times")),
            published: Published::default(),
            metrics_owner,
            stats: CycleStats::default(),
            hooks: self.hooks(&tree, &confs, &instances),
            start_order,
            confs,
            owned,
            only_checked: AtomicBool::new(false),
            process_tasks: Mutex::default(),
            me: std::sync::Weak::new(),
            instances,
            tree,
        };
        made.greetings.sort_by_key(|(_, g)| g.order);
        made.relays.sort_by_key(|(_, r)| std::cmp::Reverse(r.priority));
        if broken {
            // Dropped as a whole: every object that was made is given up.
            return None;
        }
        for l in listeners {
            let l = finish_listener(l, &made);
            made.listeners.push(Arc::new(l));
        }
        Some(Arc::new_cyclic(|me| {
            made.me = me.clone();
            made
        }))
    }

    /// A misspelt module would silently keep its level. A library within a module may be meant: no error.
    fn log_levels(&mut self, tree: &Tree) {
        let nodes = tree.nodes(Tree::MAIN, 0).iter().filter(|n| n.name.as_str() == "log_level");
        for v in nodes.filter_map(|n| n.arg(0)).filter(|v| tree.module(&v.text).is_none()) {
            let text = format!("log_level: no loaded module is called \"{}\"", v.text);
            let word = did_you_mean(&v.text, tree.modules.iter().map(String::as_str));
            let d = Diagnostic::warning("log-level", text).suggest(word);
            self.wrong.push(match self.place(&v.span) {
                Some(place) => d.at(place),
                None => d,
            });
        }
    }

    fn templates(&mut self, tree: &Tree, vars: &VarTable, names: &CaptureNames) -> Vec<Template> {
        let resolver = names.over(vars);
        let mut out = Vec::new();
        for source in &tree.templates {
            match Template::compile(source.text.as_str(), &resolver) {
                Ok(t) => out.push(t),
                Err(errors) => {
                    for e in errors {
                        let text = format!("{} in \"{}\"", e.message, source.text);
                        let d = Diagnostic::error("template", text).at(source.place).suggest(e.suggestion.as_deref());
                        self.wrong.push(d.module(&tree.modules[usize::from(source.module)]));
                    }
                    out.push(Template::literal(""));
                }
            }
        }
        out
    }

    /// Every module's object for every block; a block that says nothing new shares its parent's.
    fn confs(&mut self, tree: &Tree, instances: &[Option<Instance>]) -> (Vec<Conf>, Vec<(u16, Conf)>) {
        let modules = tree.modules.len();
        let mut confs = vec![Conf::NONE; tree.scopes().len() * modules];
        let mut owned = Vec::new();
        for (id, scope) in tree.scopes() {
            for (n, instance) in instances.iter().enumerate() {
                let Some(instance) = instance else { continue };
                let view = tree.view(id, n as u16);
                let parent = scope.parent.map_or(Conf::NONE, |p| confs[p.0 as usize * modules + n]);
                let at = id.0 as usize * modules + n;
                if view.same_as_parent && scope.parent.is_some() {
                    confs[at] = parent;
                    continue;
                }
                let view = ScopeView {
                    kind: scope.kind,
                    name: scope.name,
                    nodes: Slice::new(view.nodes.as_slice()),
                    parent: parent.as_ptr(),
                    span: scope.span,
                    id: id.0,
                };
                let mut problems = Vec::new();
                let conf = instance.conf(&view, &mut problems);
                for p in problems {
                    self.problem(p, &tree.modules[n]);
                }
                if let Some(c) = conf {
                    owned.push((n as u16, c));
                    confs[at] = c;
                }
            }
        }
        (confs, owned)
    }

    fn pools(&mut self, tree: &Tree, instances: &[Option<Instance>]) -> Vec<Arc<Pool>> {
        let points = Points { instances };
        let mut out = Vec::new();
        for n in 0..tree.upstreams.len() {
            match Pool::build(tree, n, &points) {
                Ok(p) => out.push(Arc::new(p)),
                Err((span, text, help)) => self.error(&span, "upstream", text, &help),
            }
        }
        out
    }
}
