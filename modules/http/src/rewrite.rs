//! Targets that the configuration changes: within the server, or by sending the client elsewhere.

use crate::{
    core::{
        path::split_query,
        rewrite::{Kind as To, Rewrite},
    },
    reply::{Call, Reply},
    respond::redirect,
};
use anyproxy_module_api::*;

directive! {
    /// Changes the target of requests whose path matches a regular expression: `internal` goes on with the new one, by
    /// which the local is chosen anew, whose lists of addresses, rates and passwords it then is; `break` stays in the local, which answers for the new one, as when it takes its own
    /// prefix off; the others send the client there: `redirect` (302), `permanent` (301), or a status.
    /// The target may have captures (`$1`, `${name}`) in path and query; a `?` at its end drops the request's query. Named ones
    /// are `${re.name}` for what else is said of the request. Each rule changes a request at most once.
    "http_rewrite", Contexts::SERVER.or(Contexts::LOCAL),
    .args(&[
        ArgDesc::new("pattern", Kind::Regex, "Regular expression over the path of the request, decoded.").required(),
        ArgDesc::new("target", Kind::Text, "Path and query, or an address for a redirection.").required(),
        ArgDesc::new("how", Kind::Choice, "What becomes of the target.").choices(HOW).default("internal"),
    ])
    .append()
    .inherit(Inherit::Append)
    .answers(Answers::Some)
    .example("http_rewrite #\"^/user/([0-9]+)$\"# \"/profile?id=$1\" \"internal\"")
}

const HOW: &[Str<'_>] = &[
    Str::new("internal"),
    Str::new("break"),
    Str::new("redirect"),
    Str::new("permanent"),
    Str::new("301"),
    Str::new("302"),
    Str::new("303"),
    Str::new("307"),
    Str::new("308"),
];

/// Rules of one block, at most: each is a bit of what was applied.
const MOST: usize = 64;

/// Where a rule stands, by which it is the same in all blocks that inherit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Line(&'static str, u32, u32);

/// One rule, and by what it is known in other blocks.
#[derive(Debug)]
pub(crate) struct Rule {
    rewrite: Rewrite,
    line: Line,
}

/// The rules of a block, in order.
pub(crate) fn rules<C>(scope: &Scope<'_, C>, problems: &mut Problems<'_>) -> Vec<Rule> {
    let mut all = Vec::new();
    for node in scope.all("http_rewrite") {
        let text = |n: usize| node.arg(n).map_or("", |v| v.text.as_str());
        let how = node.arg(2).map_or("internal", |v| v.text.as_str());
        match Rewrite::parse(text(0), text(1), how) {
            Ok(_) if all.len() >= MOST => problems.error(&node.span, "more than 64 rules in one place", ""),
            Ok(rewrite) => all
                .push(Rule { rewrite, line: Line(intern(node.span.file.as_str()), node.span.line, node.span.column) }),
            Err(wrong) => problems.error(&node.span, &wrong, ""),
        }
    }
    all
}

/// What the rules make of a request.
pub(crate) enum Rewritten {
    /// Nothing, or what makes no difference to where it goes on.
    No,
    /// Another target: its local is to be chosen anew.
    Internal,
    /// The client is sent elsewhere.
    Reply(Reply),
}

/// Which rules were applied to a request: each is at most once, or two of them could go round for ever.
#[derive(Debug, Default)]
pub(crate) struct Applied(Vec<Line>);

/// Applies the first rule that matches and was not applied before.
pub(crate) fn apply(rules: &[Rule], applied: &mut Applied, call: &Call<'_>) -> Rewritten {
    for rule in rules {
        if applied.0.contains(&rule.line) {
            continue;
        }
        let target = {
            let parts = call.state.parts.borrow();
            let Some(path) = &parts.path else { return Rewritten::No };
            let note = |name: &str, value: &[u8]| call.exchange.set_capture(name, value);
            rule.rewrite.apply_noting(path.as_bytes(), split_query(parts.uri()).1, note)
        };
        let Some(target) = target else { continue };
        match target.kind {
            To::Redirect(status) => return Rewritten::Reply(redirect(call, status, target.location.as_bytes())),
            within => {
                applied.0.push(rule.line);
                if call.state.parts.borrow_mut().set_target(target.location.as_bytes()) {
                    return if within == To::Break { Rewritten::No } else { Rewritten::Internal };
                }
            }
        }
    }
    Rewritten::No
}
