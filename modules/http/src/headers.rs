//! Header lines that the configuration sets, adds and removes.

use crate::{
    Http,
    h1::{self, Fields, Id, Ids, Struck},
    message::Message,
    reply::Call,
};
use anyproxy_module_api::*;

directive! {
    /// A header line of requests as peers get them: set (in place of those of the name), add or remove. What is set or removed
    /// takes the place of what this proxy would say under that name, too (`http_forwarded`, `http_via`, `http_request_id`).
    /// Lines of outer blocks come first; a nested block keeps them unless one of its own says inherit=#false.
    "http_request_header", Contexts::MSL,
    .args(&[
        ArgDesc::new("what", Kind::Choice, "What is done.").choices(OPS).required(),
        ArgDesc::new("name", Kind::Text, "Name of the header.").required(),
        ArgDesc::new("value", Kind::Template, "Value, for set and add. One that is empty is no line."),
    ])
    .append()
    .inherit(Inherit::Append)
    .example("http_request_header \"set\" \"X-Real-IP\" \"${client_ip}\"")
}

directive! {
    /// A header line of answers as clients get them: set, add or remove. Also of answers that this proxy gives itself.
    "http_response_header", Contexts::MSL,
    .args(&[
        ArgDesc::new("what", Kind::Choice, "What is done.").choices(OPS).required(),
        ArgDesc::new("name", Kind::Text, "Name of the header.").required(),
        ArgDesc::new("value", Kind::Template, "Value, for set and add. One that is empty is no line."),
    ])
    .append()
    .inherit(Inherit::Append)
    .example("http_response_header \"remove\" \"Server\"")
}

directive! {
    /// Headers of requests with `_` in their name pass. Without this they are left out, but for `anyproxy_domains`, before anything
    /// looks at them: applications that make variables of names (CGI, WSGI, PHP) take `X_User` for the `X-User` that
    /// `http_request_header` sets or removes.
    "http_header_underscores", Contexts::NET.or(Contexts::SERVER),
    .args(&[ArgDesc::new("on", Kind::Bool, "Whether they pass.").default("#true")])
    .default("#false")
    .example("http_header_underscores #true")
}

const OPS: &[Str<'_>] = &[Str::new("set"), Str::new("add"), Str::new("remove")];

/// Lines by which a message is framed and a connection managed: these are the proxy's own.
const OWN: &[Id] = &[
    Id::Connection,
    Id::ContentLength,
    Id::TransferEncoding,
    Id::Upgrade,
    Id::KeepAlive,
    Id::ProxyConnection,
    Id::Te,
    Id::Trailer,
    Id::Expect,
];

/// Whether lines of this name are the proxy's own.
pub(crate) fn is_own(id: Id) -> bool {
    OWN.contains(&id)
}

/// Why no line of this name may be made, and what to say of that; `None`: it may.
fn wrong_name(name: &str) -> Option<(&'static str, &'static str)> {
    if h1::field(name.as_bytes(), b"", &mut Vec::new()).is_err() {
        return Some(("no name of a header", ""));
    }
    let help = "the length of a message and the state of a connection are not for headers to say";
    is_own(Id::of(name.as_bytes())).then_some(("the proxy's own", help))
}

/// The name of a header that a directive has this proxy write, but for `Host`. What is wrong with it is told.
pub(crate) fn name(value: &Value<'_>, problems: &mut Problems<'_>) -> Option<&'static str> {
    let name = value.text.as_str();
    let host =
        (Id::of(name.as_bytes()) == Id::Host).then_some(("the proxy's own", "http_host says which one peers get"));
    if let Some((wrong, help)) = wrong_name(name).or(host) {
        problems.error(&value.span, &format!("\"{name}\" is {wrong}"), help);
        return None;
    }
    Some(intern(name))
}

/// Requests keep headers with `_` in their name.
pub(crate) fn keeps_underscores<C>(scope: &Scope<'_, C>) -> bool {
    scope.node("http_header_underscores").is_some_and(|node| node.arg(0).is_none_or(|v| v.num != 0))
}

/// Leaves out of a request what has `_` in its name. Whether there was any.
pub(crate) fn leave_underscores_out(call: &Call<'_>) -> bool {
    let request = &mut call.state.parts.borrow_mut().request;
    let found = request.head.fields().seen().has(Id::Underscored);
    if found {
        request.remove_known(Id::Underscored);
        tracing::debug!(session = call.exchange.id, "headers with _ in their name are left out");
    }
    found
}

/// One line of the configuration.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Lines of the name that are there already are left out.
    strikes: bool,
    name: &'static str,
    id: Id,
    value: Option<u32>,
}

impl Rule {
    /// Sets a header to the value of a template.
    pub(crate) fn set(name: &'static str, value: u32) -> Self {
        Self { strikes: true, name, id: Id::of(name.as_bytes()), value: Some(value) }
    }
}

/// The known names whose lines the rules set or remove.
pub(crate) fn struck(rules: &[Rule]) -> Ids {
    rules.iter().filter(|r| r.strikes && r.id.is_known()).fold(Ids::NONE, |all, r| all.with(r.id))
}

/// Whether the rules leave out what comes with this name.
pub(crate) fn leave_out(rules: &[Rule], name: &str) -> bool {
    rules.iter().any(|r| r.strikes && r.name.eq_ignore_ascii_case(name))
}

pub(crate) const NOT_A_VALUE: &str = "it has a control character, as a line end (RFC 9110 section 5.5)";

/// Whether what is written may be the value of a header. What its variables say is looked at when they are known.
pub(crate) fn is_value(template: &Value<'_>) -> bool {
    // The name of a variable has nothing that no value may have.
    h1::field(b"x", template.text.as_str().as_bytes(), &mut Vec::new()).is_ok()
}

/// The same of a header of this name. What is wrong with it is told.
pub(crate) fn is_value_of(name: &str, value: &Value<'_>, problems: &mut Problems<'_>) -> bool {
    let well = is_value(value);
    if !well {
        problems.error(&value.span, &format!("the value of \"{name}\" is not one line"), NOT_A_VALUE);
    }
    well
}

/// The rules of a block, in order.
pub(crate) fn rules<C>(scope: &Scope<'_, C>, directive: &str, problems: &mut Problems<'_>) -> Vec<Rule> {
    let mut all = Vec::new();
    for node in scope.all(directive) {
        let (Some(what), Some(name)) = (node.arg(0), node.arg(1)) else { continue };
        let (name, id) = (name.text.as_str(), Id::of(name.text.as_str().as_bytes()));
        let value = node.arg(2).map(|v| v.num as u32);
        if let Some((wrong, help)) = wrong_name(name) {
            problems.error(&node.span, &format!("\"{name}\" is {wrong}"), help);
        } else if id == Id::Host && what.num == 1 {
            problems.error(&node.span, "a request has one Host (RFC 9112 section 3.2)", "write set in place of add");
        } else if (what.num == 2) == value.is_some() {
            let text = if value.is_some() { "remove takes no value" } else { "set and add need a value" };
            problems.error(&node.span, text, "");
        } else if node.arg(2).is_none_or(|v| is_value_of(name, v, problems)) {
            all.push(Rule { strikes: what.num != 1, name: intern(name), id, value });
        }
    }
    all
}

/// The lines that the rules set and add, in order. A value that would be more than a line is left out.
#[inline]
pub(crate) fn render(rules: &[Rule], session: &Session<Http>) -> Vec<u8> {
    if rules.is_empty() { Vec::new() } else { render_all(rules, session) }
}

fn render_all(rules: &[Rule], session: &Session<Http>) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut value = Vec::new();
    for (n, rule) in rules.iter().enumerate() {
        if rendered(rules, n, session, &mut value) && h1::field(rule.name.as_bytes(), &value, &mut lines).is_err() {
            not_one_line(rule, session);
        }
    }
    lines
}

/// Applies the rules to the exchange's answer.
pub(crate) fn apply(rules: &[Rule], call: &Call<'_>) {
    // All values first: they may be of lines that other rules strike.
    let mut values = Vec::with_capacity(rules.len());
    for n in 0..rules.len() {
        let mut value = Vec::new();
        values.push(rendered(rules, n, call.exchange, &mut value).then_some(value));
    }
    let message = &mut call.state.parts.borrow_mut().response;
    let Message { bytes, head, struck } = message;
    strike(rules, head.fields(), bytes, struck);
    for (rule, value) in rules.iter().zip(values) {
        if value.is_some_and(|v| message.add(rule.name, &v).is_err()) {
            not_one_line(rule, call.exchange);
        }
    }
}

/// The value of the n-th rule; false: it gives no line.
fn rendered(rules: &[Rule], n: usize, session: &Session<Http>, value: &mut Vec<u8>) -> bool {
    value.clear();
    let rule = &rules[n];
    let Some(template) = rule.value else { return false };
    // A later line of the same name takes the place of this one.
    if rules[n + 1..].iter().any(|r| r.strikes && r.name.eq_ignore_ascii_case(rule.name)) {
        return false;
    }
    session.render(template, value);
    !value.is_empty()
}

fn not_one_line(rule: &Rule, session: &Session<Http>) {
    tracing::warn!(session = session.id, header = rule.name, "its value is not one line; it is left out");
}

/// Strikes what the rules set and remove.
pub(crate) fn strike(rules: &[Rule], fields: &Fields, bytes: &[u8], struck: &mut Struck) {
    for rule in rules.iter().filter(|r| r.strikes) {
        if !rule.id.is_known() || fields.first(rule.id).is_some() {
            strike_name(rule.name, fields, bytes, struck);
        }
    }
}

/// Strikes the lines of one name.
pub(crate) fn strike_name(name: &str, fields: &Fields, bytes: &[u8], struck: &mut Struck) {
    for (n, line) in fields.list().iter().enumerate() {
        if line.name(bytes).eq_ignore_ascii_case(name.as_bytes()) {
            struck.strike(n);
        }
    }
}
