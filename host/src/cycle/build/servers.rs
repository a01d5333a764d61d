//! Servers and their locals, as a listener's sessions find them: rules compiled, handlers known, counters registered.

use super::{Builder, listeners::stats_of, order::gathered};
use crate::{
    config::{
        Tree,
        tree::{Point, RuleTest, Server},
    },
    cycle::listener::{LocalPlan, LocalStats, ServerPlan},
    matcher::{
        CaptureNames,
        rule::{Op, Rule, RuleTable},
    },
    metrics,
    services::instance::Instance,
};
use anyproxy_module_api::abi::{conf::Span, module::HandlerPoint};
use std::sync::Arc;

impl Builder<'_> {
    pub(super) fn servers(
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
        for node in server.locals.iter().filter_map(|l| l.unasking.filter(|_| exchanges.is_some())) {
            let text = format!("a local has one answer: \"{}\" stands beside peers, which nobody asks", node.name);
            self.error(&node.span, "two-answers", text, "split it into two locals by rules");
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
}

/// Registers the counters of locals, as long as there is room.
pub(super) struct LocalMetrics<'a> {
    owner: &'a metrics::Owner,
    /// How many found none, and why.
    pub(super) full: Option<(usize, String)>,
}

impl<'a> LocalMetrics<'a> {
    pub(super) const fn new(owner: &'a metrics::Owner) -> Self {
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
fn place_of(span: &Span<'_>, taken: &mut Vec<String>) -> String {
    let line = format!("{}:{}", span.file, span.line);
    let n = taken.iter().filter(|t| **t == line).count();
    let place = if n == 0 { line.clone() } else { format!("{line}#{}", n + 1) };
    taken.push(line);
    place
}

pub(super) fn for_peers(instances: &[Option<Instance>]) -> Option<(u16, HandlerPoint)> {
    gathered(instances, |i| i.desc().handlers.as_slice().to_vec()).into_iter().find(|(_, h)| h.for_peers)
}
