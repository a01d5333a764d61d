//! Servers and locals.

use anyproxy_module_api::abi::{
    bytes::Str,
    conf::{Answers, Contexts, Inherit, Kind, Node, Role, ScopeKind, Value},
};

use super::{
    super::{
        address,
        diagnostic::Diagnostic,
        document::{Place, RawNode},
        schema::Entry,
        tree::{Domain, DomainName, Listen, Local, Own, Point, Rule, RuleTest, ScopeId, Server, UpstreamKind},
        typed::Seen,
    },
    Block, Builder, answers,
};

/// The extension points that directives of blocks around have chosen.
#[derive(Clone)]
pub(super) struct Points {
    handler: Option<Point>,
    prereads: Vec<Point>,
    /// What answers exchanges in the blocks within.
    answers: Answers,
}

impl Points {
    /// Around everything.
    pub(super) const NONE: Self = Self { handler: None, prereads: Vec::new(), answers: Answers::No };
}

impl Builder<'_> {
    /// `around` with what the directives of a block choose.
    pub(super) fn points(&mut self, own: &[Own], around: Points) -> Points {
        let mut points = around;
        points.answers = answers::passed(own, points.answers);
        let mut chosen: Option<&Own> = None;
        for o in own {
            // A switch that is off takes back what a block around chose.
            let on = o.node.arg(0).is_none_or(|v| v.kind != Kind::Bool || v.bool());
            let point = Point { module: o.module, point: o.desc.point, node: o.node };
            let same = |p: &Point| p.module == o.module && p.point.as_str() == o.desc.point.as_str();
            match o.desc.role {
                Role::Preread => {
                    points.prereads.retain(|p| !same(p));
                    if on {
                        points.prereads.push(point);
                    }
                }
                Role::Handler => {
                    if let Some(first) = chosen
                        .filter(|f| on && (f.module != o.module || f.desc.point.as_str() != o.desc.point.as_str()))
                    {
                        let text = format!(
                            "\"{}\" and \"{}\" both want the sessions of this block",
                            first.node.name, o.node.name
                        );
                        self.twice("two-handlers", text, &o.node.span, &first.node.span);
                    }
                    points.handler = on.then_some(point);
                    chosen = if on { Some(o) } else { chosen };
                }
                _ => {}
            }
        }
        points
    }

    pub(super) fn server(&mut self, net: usize, around: ScopeId, raw: &RawNode, points: &Points) {
        let mut block = self.block(Contexts::SERVER, raw.children.as_deref().unwrap_or_default(), &mut Seen::default());
        let scope = self.open_child(ScopeKind::Server, around, Str::EMPTY, raw.place, &block.own);
        let points = self.points(&block.own, points.clone());
        let number = self.tree.nets[net].servers.len();
        let mut domains = Vec::new();
        let own = std::mem::take(&mut block.own);
        for domain in own.iter().filter(|o| o.module == 0 && o.desc.name.as_str() == "domain") {
            for value in domain.node.args.as_slice() {
                match self.domain(domain, value) {
                    Some(d) => domains.push(d),
                    None => block.broken = true,
                }
            }
        }
        let listens = block.listens.iter().map(|o| self.listen(o)).collect();
        let named = |name: &str| own.iter().find(|o| o.module == 0 && o.desc.name.as_str() == name).map(|o| o.node);
        let default_server = named("default_server").is_some_and(|n| n.arg(0).is_none_or(Value::bool));
        let max_connections =
            named("max_connections").and_then(|n| n.arg(0).and_then(|v| u32::try_from(v.num).ok())).unwrap_or(0);
        let mut locals: Vec<Local> = Vec::new();
        for (_, raw, flat) in &block.blocks {
            let name = flat.as_ref().and_then(|f| f.node.arg(0)).map_or(Str::EMPTY, |v| v.text);
            let (local, broken) = self.local(scope, name, raw, &points);
            // A local whose rules were wrong has none left; that alone is no reason to say more.
            if let Some(first) = locals.last().filter(|l| l.rules.is_empty() && !block.broken) {
                let found = Diagnostic::error("unreachable-local", "this local can never be reached")
                    .at(raw.place)
                    .label(self.t.place(&first.span), "this one has no rules and takes everything");
                self.t.wrong.push(found.help("move the local without rules to the end, or give it a rule"));
            }
            block.broken |= broken;
            locals.push(local);
        }
        if block.broken {
            self.broken.push((net, number));
        }
        let server = Server {
            scope,
            domains,
            listens,
            locals,
            default_server,
            max_connections,
            prereads: points.prereads,
            handler: points.handler,
            span: self.t.span(raw.place),
        };
        self.tree.nets[net].servers.push(server);
    }

    fn listen(&mut self, own: &Own) -> Listen {
        let args = own.node.args.as_slice().iter().filter(|v| v.kind == Kind::Listen);
        Listen {
            module: own.module,
            point: own.desc.point,
            role: own.desc.role,
            datagram: self.t.schema.is_datagram(own.module, &own.desc.point),
            // Checked when it was typed.
            addresses: args.flat_map(|v| address::listen(&v.text).unwrap_or_default()).collect(),
            node: own.node,
        }
    }

    fn domain(&mut self, own: &Own, value: &Value<'static>) -> Option<Domain> {
        let entry = Entry { module: own.module, desc: own.desc };
        let place = self.t.place(&value.span);
        let text = value.text.as_str();
        let name = if let Some(source) = text.strip_prefix('~') {
            DomainName::Regex(self.t.regex(entry, source, place, !value.redacted)?)
        } else {
            let plain = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
            let suffix = plain.strip_prefix("*.");
            if let Err(why) = address::host_name(suffix.unwrap_or(&plain)) {
                // An address is a fair name too: a client without a name may send it as Host.
                if suffix.is_some() || plain.parse::<std::net::IpAddr>().is_err() {
                    let found = Diagnostic::error("bad-domain", format!("\"{text}\" is not a domain: {why}")).at(place);
                    let help = "write \"www.example.com\", \"*.example.com\" or a regular expression, #\"~^…$\"#";
                    self.t.wrong.push(found.help(help));
                    return None;
                }
            }
            match suffix {
                Some(suffix) => DomainName::Wildcard(self.t.arena.text(&format!(".{suffix}"))),
                None => DomainName::Exact(self.t.arena.text(&plain)),
            }
        };
        Some(Domain { name, span: value.span })
    }

    /// The local, and whether something in it was wrong.
    fn local(&mut self, around: ScopeId, name: Str<'static>, raw: &RawNode, points: &Points) -> (Local, bool) {
        let block = self.block(Contexts::LOCAL, raw.children.as_deref().unwrap_or_default(), &mut Seen::default());
        let scope = self.open_child(ScopeKind::Local, around, name, raw.place, &block.own);
        let mut broken = block.broken;
        let mut rules = Vec::new();
        for o in block.own.iter().filter(|o| o.module == 0 && o.desc.name.as_str() == "rule") {
            match self.rule(o) {
                Some(rule) => rules.push(rule),
                None => broken = true,
            }
        }
        let upstream = self.target(&block, scope, raw.place);
        let aims = !block.peers.is_empty() || block.own.iter().any(is_target);
        let answers = self.answers(&block.own, points.answers, aims || broken);
        let points = self.points(&block.own, points.clone());
        let span = self.t.span(raw.place);
        if !aims && points.handler.is_none() && !broken {
            let text = "sessions of this local are closed: it has neither an upstream nor a handler";
            self.t.wrong.push(Diagnostic::warning("idle-local", text).at(raw.place));
        }
        let answered = aims || broken || answers != Answers::No;
        let unasking = if aims { answers::alone(&block.own) } else { None };
        let local = Local { scope, name, rules, upstream, handler: points.handler, answered, unasking, span };
        (local, broken)
    }

    fn target(&mut self, block: &Block<'_>, scope: ScopeId, place: Place) -> Option<usize> {
        let named = block.own.iter().find(|o| is_target(o));
        if let (Some(named), Some((_, peer, _))) = (named, block.peers.first()) {
            let text = format!("\"proxy_pass_upstream\" and \"{}\" both say where sessions go", peer.name);
            let at = self.t.span(peer.place);
            self.twice("two-targets", text, &at, &named.node.span);
            return None;
        }
        if let Some(name) = named.and_then(|o| o.node.arg(0)) {
            return self.pool_named(name.text, self.t.place(&name.span));
        }
        if block.peers.is_empty() {
            return None;
        }
        let span = self.t.span(place);
        let mut name = format!("local@{}:{}", span.file, span.line);
        // Several on one line, or a file that is included twice.
        let mut n = 2;
        while self.names.contains_key(name.as_str()) {
            name = format!("local@{}:{}#{n}", span.file, span.line);
            n += 1;
        }
        let name = self.t.arena.text(&name);
        let index = self.add_pool(UpstreamKind::Local, name, scope, &block.peers, place);
        self.used[index] = true;
        Some(index)
    }

    fn rule(&mut self, own: &Own) -> Option<Rule> {
        let node: &Node<'static> = &own.node;
        let entry = Entry { module: own.module, desc: own.desc };
        let prop = |name| node.prop(name);
        let test = match (prop("text"), prop("prefix"), prop("regex")) {
            (Some(v), None, None) => RuleTest::Text(v.text),
            (None, Some(v), None) => RuleTest::Prefix(v.text),
            (None, None, Some(v)) => {
                let place = self.t.place(&v.span);
                RuleTest::Regex(self.t.regex(entry, &v.text, place, !v.redacted)?)
            }
            (None, None, None) => {
                let found = Diagnostic::error("bad-rule", "\"rule\" does not say what to compare with");
                self.t.wrong.push(found.at(self.t.place(&node.span)).help("add text=, prefix= or regex="));
                return None;
            }
            _ => {
                let found = Diagnostic::error("bad-rule", "\"rule\" compares with one thing: text, prefix or regex");
                self.t
                    .wrong
                    .push(found.at(self.t.place(&node.span)).help("write several rules: all of them must hold"));
                return None;
            }
        };
        debug_assert!(own.desc.inherit == Inherit::Never);
        Some(Rule { value: node.arg(0)?.num as u32, test, not: prop("not").is_some_and(Value::bool), span: node.span })
    }
}

fn is_target(own: &Own) -> bool {
    own.module == 0 && own.desc.name.as_str() == "proxy_pass_upstream"
}
