//! Every directive of the host and of the loaded modules, found by name and context.
//! Knows what may stand where, nothing of any file.

mod known;

use std::collections::HashMap;

use anyproxy_module_api::abi::conf::{Contexts, DirectiveDesc};

use super::{
    core,
    diagnostic::{Diagnostic, Diagnostics, did_you_mean},
    document::RawNode,
    typed::{Typer, nonsense},
};

/// What one module declares.
#[derive(Clone, Debug)]
pub struct ModuleDirectives {
    /// The module's id.
    pub id: String,
    /// Its directives. Images are never unloaded, hence `'static`.
    pub descs: &'static [DirectiveDesc],
    /// Those of its listening points that take datagrams: port 443 of one of them is not port 443 of a stream.
    pub datagram_points: Vec<String>,
}

impl ModuleDirectives {
    /// A module whose listening points all take streams.
    pub fn new(id: impl Into<String>, descs: &'static [DirectiveDesc]) -> Self {
        Self { id: id.into(), descs, datagram_points: Vec::new() }
    }

    /// Names the points that take datagrams.
    #[must_use]
    pub fn datagram_points(mut self, points: &[&str]) -> Self {
        self.datagram_points = points.iter().map(|p| (*p).to_owned()).collect();
        self
    }
}

/// A directive with its owner.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Index into `Schema::modules`; 0 is the host itself.
    pub module: u16,
    /// Its declaration.
    pub desc: &'static DirectiveDesc,
}

/// The directives that a configuration may use.
#[derive(Debug)]
pub struct Schema {
    modules: Vec<Module>,
    by_name: HashMap<&'static str, Vec<Entry>>,
}

#[derive(Debug)]
struct Module {
    id: String,
    descs: Vec<&'static DirectiveDesc>,
    datagram_points: Vec<String>,
}

/// The contexts by name, outermost first.
pub const CONTEXTS: [(Contexts, &str); 10] = [
    (Contexts::MAIN, "main"),
    (Contexts::COMMON, "common"),
    (Contexts::SOCKET, "socket"),
    (Contexts::UPSTREAM, "upstream"),
    (Contexts::TUNNEL, "tunnel"),
    (Contexts::EBPF, "ebpf"),
    (Contexts::NET, "net"),
    (Contexts::SERVER, "server"),
    (Contexts::LOCAL, "local"),
    (Contexts::PEER, "peer"),
];

/// The names of a set of contexts, `net, server, local`.
pub fn context_names(contexts: Contexts) -> String {
    let names: Vec<&str> = CONTEXTS.iter().filter(|(c, _)| c.intersects(contexts)).map(|(_, n)| *n).collect();
    names.join(", ")
}

impl Schema {
    /// The host's directives and those of `modules`.
    /// Fails when two modules declare one directive in one context, when a declaration has no documentation, can
    /// stand nowhere or makes no sense (a default that cannot be read), when a block names one directive twice, or when two modules have one id.
    pub fn new(modules: &[ModuleDirectives]) -> Result<Self, Diagnostics> {
        let mut all = vec![Module { id: core::ID.to_owned(), descs: core::directives(), datagram_points: Vec::new() }];
        let mut wrong = Diagnostics::default();
        for m in modules {
            if all.iter().any(|o| o.id == m.id) {
                wrong.push(Diagnostic::error("duplicate-module", format!("two modules have the id \"{}\"", m.id)));
                continue;
            }
            all.push(Module {
                id: m.id.clone(),
                descs: m.descs.iter().collect(),
                datagram_points: m.datagram_points.clone(),
            });
        }
        let mut schema = Self { modules: all, by_name: HashMap::new() };
        for module in 0..schema.modules.len() {
            for desc in schema.modules[module].descs.clone() {
                let entry = Entry { module: module as u16, desc };
                schema.check(entry, &mut wrong);
                schema.by_name.entry(desc.name.as_str()).or_default().push(entry);
            }
        }
        if !wrong.has_errors() {
            let sources = Vec::new();
            let mut typer = Typer::new(&schema, &sources);
            for (module, of) in schema.modules.iter().enumerate() {
                of.descs.iter().for_each(|desc| typer.try_defaults(Entry { module: module as u16, desc }));
            }
            wrong.append(typer.wrong);
        }
        if wrong.has_errors() { Err(wrong) } else { Ok(schema) }
    }

    fn check(&self, entry: Entry, wrong: &mut Diagnostics) {
        let desc = entry.desc;
        let name = desc.name.as_str();
        let id = self.id(entry.module);
        let mut say = |code: &'static str, text: String| wrong.push(Diagnostic::error(code, text).module(id));
        for other in self.by_name.get(name).into_iter().flatten() {
            if other.desc.contexts.intersects(desc.contexts) {
                let both = Contexts(other.desc.contexts.0 & desc.contexts.0);
                say(
                    "duplicate-directive",
                    format!(
                        "the modules \"{}\" and \"{id}\" both declare \"{name}\" in {}",
                        self.id(other.module),
                        context_names(both)
                    ),
                );
            }
        }
        if context_names(desc.contexts).is_empty() {
            say("useless-directive", format!("\"{name}\" is allowed nowhere"));
        }
        let mut path = Vec::new();
        check_desc(desc, &mut path, &mut say);
    }

    /// The directive `name` in `context`.
    pub fn find(&self, context: Contexts, name: &str) -> Option<Entry> {
        let entries = self.by_name.get(name)?;
        entries.iter().find(|e| e.desc.contexts.intersects(context)).copied()
    }

    /// Ids of the host (`host`, first) and the modules in the order of loading.
    pub fn modules(&self) -> impl ExactSizeIterator<Item = &str> {
        self.modules.iter().map(|m| m.id.as_str())
    }

    /// A module's id.
    pub fn id(&self, module: u16) -> &str {
        &self.modules[module as usize].id
    }

    /// A module's declarations, in its order.
    pub fn directives(&self, module: u16) -> &[&'static DirectiveDesc] {
        &self.modules[module as usize].descs
    }

    /// Whether the listening point takes datagrams.
    pub fn is_datagram(&self, module: u16, point: &str) -> bool {
        self.modules[module as usize].datagram_points.iter().any(|p| p == point)
    }

    /// The peer directive for a protocol of the short form: by its point, else by the name `proxy_pass_<protocol>`.
    pub fn peer_directive(&self, protocol: &str) -> Option<Entry> {
        use anyproxy_module_api::abi::conf::Role;
        let mut by_name = None;
        for (index, module) in self.modules.iter().enumerate() {
            for desc in module.descs.iter().copied().filter(|d| d.role == Role::Peer) {
                let entry = Entry { module: index as u16, desc };
                if desc.point.as_str() == protocol {
                    return Some(entry);
                }
                if desc.name.strip_prefix("proxy_pass_") == Some(protocol) {
                    by_name = Some(entry);
                }
            }
        }
        by_name
    }

    /// Why `node` is not a directive of `context`: misplaced, of a module that is not loaded, or misspelt.
    pub fn unknown(&self, context: Contexts, node: &RawNode) -> Diagnostic {
        let name = node.name.as_str();
        let here = context_names(context);
        if let Some(entries) = self.by_name.get(name) {
            let allowed = entries.iter().fold(Contexts(0), |all, e| all | e.desc.contexts);
            let found = Diagnostic::error(
                "misplaced-directive",
                format!("\"{name}\" is allowed in {}; not in {here}", context_names(allowed)),
            )
            .at(node.place);
            return match entries[0].module {
                0 => found,
                module => found.module(self.id(module)),
            };
        }
        let unknown = format!("unknown directive \"{name}\" in {here}");
        if let Some(id) = known::module_of(name)
            && !self.modules().any(|m| m == id)
        {
            return Diagnostic::error("module-not-loaded", format!("{unknown}: load_module \"{id}\" is missing"))
                .at(node.place)
                .help(format!("write load_module \"{id}\" at the top of the main file"));
        }
        let of_context = |c: Contexts| {
            let entries = self.by_name.values().flatten();
            let mut names: Vec<&str> =
                entries.filter(|e| e.desc.contexts.intersects(c)).map(|e| e.desc.name.as_str()).collect();
            names.sort_unstable();
            names
        };
        if let Some(word) = did_you_mean(name, of_context(context)) {
            let module = self.find(context, word).map_or(0, |e| e.module);
            let found = Diagnostic::error("unknown-directive", unknown).at(node.place).suggest(Some(word));
            return if module == 0 { found } else { found.module(self.id(module)) };
        }
        let found = Diagnostic::error("unknown-directive", unknown).at(node.place);
        match did_you_mean(name, of_context(Contexts(u32::MAX))) {
            Some(word) => {
                let entries = self.by_name.get(word).into_iter().flatten();
                let allowed = entries.fold(Contexts(0), |all, e| all | e.desc.contexts);
                found.help(format!("did you mean \"{word}\"? it is allowed in {}", context_names(allowed)))
            }
            None => found,
        }
    }
}

/// Documentation everywhere, no name twice in a block, blocks no deeper than the reader takes.
fn check_desc(desc: &'static DirectiveDesc, path: &mut Vec<&'static str>, say: &mut impl FnMut(&'static str, String)) {
    path.push(desc.name.as_str());
    let at = path.join(" > ");
    if desc.name.is_empty() || desc.doc.trim().is_empty() {
        say("undocumented-directive", format!("\"{at}\" has no name or no documentation"));
    }
    nonsense(desc).into_iter().for_each(|why| say("bad-directive", format!("\"{at}\": {why}")));
    let args = desc.args.as_slice();
    for (n, arg) in args.iter().chain(desc.props.as_slice()).enumerate() {
        if arg.name.is_empty() || arg.doc.trim().is_empty() {
            say("undocumented-directive", format!("\"{at}\": \"{}\" has no name or no documentation", arg.name));
        }
        if arg.repeated && n + 1 != args.len() {
            say("bad-directive", format!("\"{at}\": only the last argument can be repeated, not \"{}\"", arg.name));
        }
    }
    let children = desc.children.as_slice();
    for (n, child) in children.iter().enumerate() {
        if children[..n].iter().any(|c| c.name.as_str() == child.name.as_str()) {
            say("duplicate-directive", format!("\"{at}\" declares \"{}\" twice", child.name));
        }
        if path.len() < 16 {
            check_desc(child, path, say);
        } else {
            say("bad-directive", format!("\"{at}\" is nested too deep"));
        }
    }
    path.pop();
}

#[cfg(test)]
mod tests;
