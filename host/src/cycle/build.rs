//! From a file to a generation that is not live yet. Has no side effects but loading modules' images.

use super::{
    Cycle, CycleStats, access_log,
    hooks::{Hooks, PHASES},
    json_line,
    listener::{self, Listener, ListenerStats, LocalPlan, LocalStats, Parts, ServerPlan},
    settings::Settings,
    shared::Published,
    vars::VarTable,
};
use crate::{
    config::{
        self, ModuleDirectives, Tree,
        diagnostic::{Diagnostic, Diagnostics, did_you_mean},
        document::{self, Document, Place},
        include,
        tree::{LoadModule, Point, RuleTest, Server},
    },
    loader::Image,
    matcher::{
        CaptureNames,
        rule::{Op, Rule, RuleTable},
    },
    metrics,
    process::process,
    services::{
        self,
        instance::{self, Conf, Instance, Problem},
    },
    template::Template,
    upstream::pool::{Points, Pool},
};
use anyproxy_module_api::abi::{
    bytes::Slice,
    conf::{ScopeView, Span},
    module::{HandlerPoint, HookPoint, Phase},
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

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
    let images = images(&document)?;
    let modules: Vec<_> = images.iter().map(|i| directives_of(i)).collect();
    let (tree, mut warnings) = config::load(&document, &modules)?;
    let mut builder = Builder { wrong: Diagnostics::new(document.sources.clone()), document: &document };
    let built = builder.cycle(Arc::new(tree), &images);
    warnings.set_sources(document.sources.clone());
    match built {
        Some(cycle) if !builder.wrong.has_errors() => {
            warnings.append(builder.wrong);
            Ok(Built { cycle, warnings })
        }
        _ => Err(builder.wrong),
    }
}

/// A module's tables for the configuration.
pub fn directives_of(image: &Image) -> ModuleDirectives {
    let datagrams: Vec<_> = image.desc.datagrams.as_slice().iter().map(|d| d.name.as_str()).collect();
    ModuleDirectives::new(&image.facts.id, image.desc.directives.as_slice()).datagram_points(&datagrams)
}

/// Loads what the document names.
///
/// # Errors
/// One line a module.
pub fn images(document: &Document) -> Result<Vec<Arc<Image>>, Diagnostics> {
    let mut wrong = Diagnostics::new(document.sources.clone());
    let dirs = module_dirs(config::modules_path(document));
    let mut images: Vec<(Arc<Image>, LoadModule)> = Vec::new();
    for m in config::pre_parse(document) {
        let at = |text: String| Diagnostic::error("module", text).at(m.place);
        match image_of(&m, &dirs) {
            Ok((image, path)) => match images.iter().find(|(i, _)| i.facts.id == image.facts.id) {
                Some((other, first)) => {
                    let text = format!(
                        "module {}: {} and {} have the same id",
                        image.facts.id,
                        other.path.display(),
                        path.display()
                    );
                    wrong.push(at(text).label(first.place, "the first one is here"));
                }
                None => images.push((image, m)),
            },
            Err(text) => wrong.push(at(text)),
        }
    }
    for (image, m) in &images {
        for need in image.desc.requires.as_slice().iter().filter(|r| !r.optional) {
            let text = match provider(&images, need.id.as_str()) {
                None => format!(
                    "module {} needs the contract {} {}.{}, and no loaded module provides it",
                    image.facts.id, need.id, need.major, need.minor
                ),
                Some((other, p)) if p.major != need.major || p.minor < need.minor => format!(
                    "module {} needs the contract {} {}.{}, module {other} provides {}.{}",
                    image.facts.id, need.id, need.major, need.minor, p.major, p.minor
                ),
                Some(_) => continue,
            };
            wrong.push(Diagnostic::error("contract", text).at(m.place));
        }
    }
    if wrong.has_errors() {
        return Err(wrong);
    }
    Ok(images.into_iter().map(|(i, _)| i).collect())
}

/// The image that a line of the document names, and where it was found.
fn image_of(m: &LoadModule, dirs: &[PathBuf]) -> Result<(Arc<Image>, PathBuf), String> {
    let linked = if m.is_path { None } else { process().images.linked(&m.name) };
    if let Some(image) = linked {
        let path = image.path.clone();
        return Ok((image, path));
    }
    let path = find(m, dirs)?;
    match process().images.load(&path) {
        Ok(image) => Ok((image, path)),
        // By path the name is the path.
        Err(text) if m.is_path => Err(format!("module {} {text}", path.display())),
        Err(text) => Err(format!("module {}: {} {text}", m.name, path.display())),
    }
}

fn provider<'a>(
    images: &'a [(Arc<Image>, LoadModule)],
    id: &str,
) -> Option<(&'a str, &'static anyproxy_module_api::abi::module::ProvidePoint)> {
    images.iter().find_map(|(i, _)| {
        let p = i.desc.provides.as_slice::<'static>().iter().find(|p| p.id.as_str() == id)?;
        Some((i.facts.id.as_str(), p))
    })
}

fn module_dirs(more: Vec<PathBuf>) -> Vec<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|p| p.parent().map(Path::to_owned));
    beside.into_iter().chain(more).collect()
}

fn find(m: &LoadModule, dirs: &[PathBuf]) -> Result<PathBuf, String> {
    if m.is_path {
        return Ok(PathBuf::from(&m.name));
    }
    let suffix = std::env::consts::DLL_SUFFIX;
    let prefix = std::env::consts::DLL_PREFIX;
    // Cargo cannot write a dash into a library's name.
    let names = [
        format!("{prefix}anyproxy_{}{suffix}", m.name),
        format!("{prefix}anyproxy_{}{suffix}", m.name.replace('-', "_")),
    ];
    for dir in dirs {
        if let Some(found) = names.iter().map(|n| dir.join(n)).find(|p| p.is_file()) {
            return Ok(found);
        }
    }
    let looked: Vec<_> = dirs.iter().map(|d| d.display().to_string()).collect();
    Err(format!("module {}: there is no {} in {}", m.name, names[0], looked.join(", ")))
}

struct Builder<'a> {
    wrong: Diagnostics,
    document: &'a Document,
}

impl Builder<'_> {
    fn place(&self, span: &Span) -> Option<Place> {
        document::place_of(&self.document.sources, span)
    }

    fn error(&mut self, span: &Span, code: &'static str, text: String, help: &str) {
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

    /// Providers before those that need them; the order of loading otherwise.
    fn start_order(&mut self, instances: &[Option<Instance>]) -> Option<Vec<u16>> {
        let mut left: Vec<u16> = (1..instances.len() as u16).collect();
        let mut order = Vec::new();
        let desc = |n: u16| instances[usize::from(n)].as_ref().map(Instance::desc);
        while !left.is_empty() {
            let ready = left.iter().position(|n| {
                desc(*n).is_none_or(|d| {
                    d.requires.as_slice().iter().all(|r| {
                        !left.iter().any(|m| {
                            m != n
                                && desc(*m).is_some_and(|o| {
                                    o.provides.as_slice().iter().any(|p| p.id.as_str() == r.id.as_str())
                                })
                        })
                    })
                })
            });
            let Some(at) = ready else {
                let ids: Vec<_> = left.iter().filter_map(|n| desc(*n)).map(|d| d.id.as_str()).collect();
                let text = format!("the modules {} need each other's contracts in a circle", ids.join(", "));
                self.wrong.push(Diagnostic::error("contract", text));
                return None;
            };
            order.push(left.remove(at));
        }
        Some(order)
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

    fn servers(
        &mut self,
        tree: &Tree,
        instances: &[Option<Instance>],
        names: &mut CaptureNames,
        counted: &mut Option<LocalMetrics<'_>>,
    ) -> Vec<Vec<Arc<ServerPlan>>> {
        let mut out = Vec::new();
        for net in &tree.nets {
            let plans = net.servers.iter().map(|s| Arc::new(self.server(s, instances, names, counted)));
            out.push(plans.collect());
        }
        out
    }

    fn server(
        &mut self,
        server: &Server,
        instances: &[Option<Instance>],
        names: &mut CaptureNames,
        counted: &mut Option<LocalMetrics<'_>>,
    ) -> ServerPlan {
        let mut inputs: Vec<u32> = Vec::new();
        let mut locals = Vec::new();
        for local in &server.locals {
            let rules = local.rules.iter().map(|r| {
                let input = inputs.iter().position(|i| *i == r.value).unwrap_or_else(|| {
                    inputs.push(r.value);
                    inputs.len() - 1
                });
                let (op, pattern) = match &r.test {
                    RuleTest::Text(t) => (Op::Text, t.as_str()),
                    RuleTest::Prefix(t) => (Op::Prefix, t.as_str()),
                    RuleTest::Regex(x) => (Op::Regex, x.as_str()),
                };
                Rule { input, op, pattern, not: r.not }
            });
            locals.push(rules.collect::<Vec<_>>());
        }
        let rules = RuleTable::compile(&locals, names).unwrap_or_else(|errors| {
            for e in errors {
                let span = server.locals.get(e.local).map_or(server.span, |l| l.span);
                self.error(&span, "rule", e.message, "");
            }
            // Not used: an error was reported.
            RuleTable::compile(&[], names).unwrap_or_else(|_| unreachable!("no rules are no mistakes"))
        });
        let name = match server.domains.first() {
            Some(d) => d.name.to_string(),
            None => format!("{}:{}", server.span.file, server.span.line),
        };
        let mut places: Vec<String> = Vec::new();
        let locals = server.locals.iter().map(|l| {
            let own = l.handler.as_ref().or(server.handler.as_ref());
            let handler = match own {
                Some(p) => self.handler(instances, p),
                None if l.upstream.is_some() => for_peers(instances),
                None => None,
            };
            if handler.is_none() {
                let text = if l.upstream.is_some() {
                    "no loaded module can relay to peers".to_owned()
                } else {
                    "this local says not what to do with its sessions".to_owned()
                };
                self.error(&l.span, "local", text, "name a peer (proxy_pass_…), an upstream or a handler");
            }
            let local = if l.name.is_empty() { place_of(&l.span, &mut places) } else { l.name.as_str().to_owned() };
            let stats = counted.as_mut().and_then(|c| c.of(&name, &local));
            LocalPlan { scope: l.scope, handler, pool: l.upstream, name: local, stats }
        });
        let locals = locals.collect();
        let own = server.handler.as_ref().and_then(|p| self.handler(instances, p));
        let exchanges = own.filter(|(_, point)| point.exchanges);
        for l in server.locals.iter().filter(|l| exchanges.is_some() && !l.answered) {
            let help = "name a peer (proxy_pass_…), an upstream or an answer";
            self.error(&l.span, "no-answer", "nobody answers in this local".to_owned(), help);
        }
        let stats = stats_of(&format!("server {name}"));
        ServerPlan { scope: server.scope, name, rules, rule_inputs: inputs, locals, exchanges, stats }
    }

    fn handler(&mut self, instances: &[Option<Instance>], p: &Point) -> Option<(u16, HandlerPoint)> {
        let desc = instances[usize::from(p.module)].as_ref()?.desc();
        let found = desc.handlers.as_slice().iter().find(|h| h.name.as_str() == p.point.as_str());
        if found.is_none() {
            self.error(&p.node.span, "handler", format!("module {} has no handler \"{}\"", desc.id, p.point), "");
        }
        found.map(|h| (p.module, *h))
    }

    fn listeners(
        &mut self,
        tree: &Tree,
        instances: &[Option<Instance>],
        servers: &[Vec<Arc<ServerPlan>>],
        names: &mut CaptureNames,
    ) -> Vec<Listener> {
        let parts = Parts { tree, instances, servers };
        let mut seen: HashMap<(String, bool), usize> = HashMap::new();
        let mut out = Vec::new();
        for socket in &tree.sockets {
            let n = seen.entry((socket.address.to_string(), socket.datagram)).or_insert(0);
            let ordinal = std::mem::replace(n, *n + 1);
            let stats = stats_of(&format!("listener {} {}#{ordinal}", socket.datagram, socket.address));
            match listener::build(&parts, socket, ordinal, stats, names) {
                Ok(l) => out.push(l),
                Err(text) => {
                    let u = &socket.users[0];
                    let span = tree.nets[u.net].servers[u.server].span;
                    self.error(&span, "listener", text, "");
                }
            }
        }
        out
    }

    /// Hooks of each phase in the order that they state themselves, for each block those that have something to do there.
    fn hooks(&mut self, tree: &Tree, confs: &[Conf], instances: &[Option<Instance>]) -> Hooks {
        let all = gathered(instances, |i| i.desc().hooks.as_slice().to_vec());
        let mut out = [const { Vec::new() }; PHASES];
        for phase in [Phase::Access, Phase::Log, Phase::Routed] {
            let of_phase: Vec<_> = all.iter().filter(|(_, h)| h.phase == phase).copied().collect();
            match ordered(of_phase) {
                Ok(list) => out[phase as usize] = list,
                Err(text) => self.wrong.push(Diagnostic::error("hook", text)),
            }
        }
        Hooks::new(out, tree.scopes().len(), |scope, module, hook| {
            let conf = confs[scope.0 as usize * tree.modules.len() + usize::from(module)];
            instances[usize::from(module)].as_ref().is_some_and(|i| i.hook_applies(hook, conf))
        })
    }
}

/// Registers the counters of locals, as long as there is room.
struct LocalMetrics<'a> {
    owner: &'a metrics::Owner,
    /// How many found none, and why.
    full: Option<(usize, String)>,
}

impl<'a> LocalMetrics<'a> {
    const fn new(owner: &'a metrics::Owner) -> Self {
        Self { owner, full: None }
    }

    fn of(&mut self, server: &str, local: &str) -> Option<LocalStats> {
        match LocalStats::new(self.owner, server, local) {
            Ok(stats) => Some(stats),
            Err(e) => {
                self.full.get_or_insert_with(|| (0, e.to_string())).0 += 1;
                None
            }
        }
    }
}

/// Where a local without a name stands; the second on a line is another.
fn place_of(span: &Span, taken: &mut Vec<String>) -> String {
    let line = format!("{}:{}", span.file, span.line);
    let n = taken.iter().filter(|t| **t == line).count();
    let place = if n == 0 { line.clone() } else { format!("{line}#{}", n + 1) };
    taken.push(line);
    place
}

fn ordered(mut left: Vec<(u16, HookPoint)>) -> Result<Vec<(u16, HookPoint)>, String> {
    let mut out = Vec::new();
    let names = |list: Slice<anyproxy_module_api::Str>, name: &str| list.as_slice().iter().any(|n| n.as_str() == name);
    while !left.is_empty() {
        let ready = left.iter().position(|(_, h)| {
            let name = h.name.as_str();
            left.iter()
                .all(|(_, o)| o.name.as_str() == name || (!names(h.after, o.name.as_str()) && !names(o.before, name)))
        });
        match ready {
            Some(at) => out.push(left.remove(at)),
            None => {
                let names: Vec<_> = left.iter().map(|(_, h)| h.name.as_str()).collect();
                return Err(format!("the hooks {} each want to be before another", names.join(", ")));
            }
        }
    }
    Ok(out)
}

/// Points of all modules with the module's number, in the order of loading.
fn gathered<T>(instances: &[Option<Instance>], of: impl Fn(&Instance) -> Vec<T>) -> Vec<(u16, T)> {
    let with = instances.iter().enumerate().filter_map(|(n, i)| i.as_ref().map(|i| (n as u16, i)));
    with.flat_map(|(n, i)| of(i).into_iter().map(move |p| (n, p))).collect()
}

fn for_peers(instances: &[Option<Instance>]) -> Option<(u16, HandlerPoint)> {
    gathered(instances, |i| i.desc().handlers.as_slice().to_vec()).into_iter().find(|(_, h)| h.for_peers)
}

/// Counters by name: a generation finds those of the one before.
fn stats_of(name: &str) -> Arc<ListenerStats> {
    let mut all = process().listeners.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|n, s| Arc::strong_count(s) > 1 || n == name);
    Arc::clone(all.entry(name.to_owned()).or_default())
}

/// What needs modules' objects: which prereads a listener wants, and its socket's options.
fn finish_listener(mut l: Listener, cycle: &Cycle) -> Listener {
    let place = |module: u16| anyproxy_module_api::abi::module::Place {
        conf: cycle.conf(l.users[0].server.scope, module).as_ptr(),
        ..cycle.instance(module).place()
    };
    let mut headers = Vec::new();
    let mut domains = Vec::new();
    for (module, instance) in cycle.modules() {
        for p in instance.desc().prereads.as_slice() {
            let on = if p.header { true } else { l.by_domain && p.on_domain };
            if on && instance::preread_wanted(p, place(module)) {
                if p.header { headers.push((module, *p)) } else { domains.push((module, *p)) }
            }
        }
    }
    let mut options = l.options;
    options.v6_only = cycle.settings.ipv6_only;
    options.reuseport = cycle.settings.reuseport;
    let (module, point) = &l.users[0].point;
    instance::listener_options(point, place(*module), &mut options);
    // Whoever looks at a client's first bytes has nothing to do before they are there.
    let asks_first = l.users.iter().all(|u| u.server.exchanges.is_some());
    options.defer_accept |= l.by_domain || !headers.is_empty() || asks_first;
    l.options = options;
    l.header_prereads = headers;
    l.domain_prereads = domains;
    l
}
