//! `anyproxy directives`: the reference of every directive, from the tables that the reader itself uses.
//! Knows no file: what is not in a table is not in the reference.

use std::{fmt::Write as _, fs, io, path::Path};

use anyproxy_module_api::abi::conf::{Answers, ArgDesc, DirectiveDesc, Inherit, Kind, Repeat, Role, implied};
use serde_json::{Value, json};

use super::{
    schema::{Schema, context_names},
    typed::{bounds, words},
};

/// One line a directive: name, module, where it may stand, summary.
pub fn text(schema: &Schema) -> String {
    let mut out = String::new();
    for (module, id) in schema.modules().enumerate() {
        for desc in schema.directives(module as u16) {
            let (name, contexts) = (desc.name.as_str(), context_names(desc.contexts));
            let _ = writeln!(out, "{name:<28} {id:<10} {contexts:<28} {}", summary(&doc(desc)));
        }
    }
    out
}

/// An array of objects, one a directive, with everything that its table says.
pub fn json(schema: &Schema) -> Value {
    let mut all = Vec::new();
    for (module, id) in schema.modules().enumerate() {
        for desc in schema.directives(module as u16) {
            let mut object = directive_json(desc);
            object["module"] = json!(id);
            all.push(object);
        }
    }
    Value::Array(all)
}

fn directive_json(desc: &DirectiveDesc) -> Value {
    json!({
        "name": desc.name.as_str(),
        "doc": doc(desc),
        "contexts": context_names(desc.contexts).split(", ").collect::<Vec<_>>(),
        "default": desc.default.as_str(),
        "example": desc.example.as_str(),
        "role": role(desc.role),
        "answers": answers(desc.answers),
        "point": desc.point.as_str(),
        "repeat": desc.repeat == Repeat::Append,
        "inherit": inherit(desc),
        "change": change(desc.change),
        "args": desc.args.iter().map(arg_json).collect::<Vec<_>>(),
        "props": desc.props.iter().chain(implied::props(desc)).map(arg_json).collect::<Vec<_>>(),
        "children": desc.children.iter().map(directive_json).collect::<Vec<_>>(),
    })
}

fn arg_json(arg: &ArgDesc) -> Value {
    json!({
        "name": arg.name.as_str(),
        "doc": arg.doc.as_str(),
        "type": format!("{:?}", arg.kind).to_lowercase(),
        "default": arg.default.as_str(),
        "choices": arg.choices.iter().map(|c| c.as_str()).collect::<Vec<_>>(),
        "min": arg.min,
        "max": arg.max,
        "required": arg.required,
        "repeated": arg.repeated,
        "secret": arg.secret,
    })
}

/// Writes one page a module, `<id>.md`, into `dir`, which is created. Returns the names of the pages.
pub fn markdown(schema: &Schema, dir: &Path) -> io::Result<Vec<String>> {
    fs::create_dir_all(dir)?;
    let mut pages = Vec::new();
    for (module, id) in schema.modules().enumerate() {
        let name = format!("{id}.md");
        fs::write(dir.join(&name), page(id, schema.directives(module as u16)))?;
        pages.push(name);
    }
    Ok(pages)
}

/// One module's page.
pub fn page(id: &str, descs: &[&'static DirectiveDesc]) -> String {
    let mut out = format!("# Directives of `{id}`\n\n<!-- Written by `anyproxy directives --markdown`. -->\n\n");
    let mut sorted = descs.to_vec();
    sorted.sort_by_key(|d| d.name.as_str());
    for desc in &sorted {
        let name = desc.name.as_str();
        let _ = writeln!(out, "- [`{name}`](#{}): {}", anchor(desc, &sorted), summary(&doc(desc)));
    }
    for desc in &sorted {
        directive_page(&mut out, desc, 2);
    }
    out
}

/// The heading's anchor; headings of one name are told apart by a number.
fn anchor(desc: &DirectiveDesc, sorted: &[&'static DirectiveDesc]) -> String {
    let name = desc.name.as_str();
    let before = sorted.iter().take_while(|d| !std::ptr::eq(**d, desc)).filter(|d| d.name.as_str() == name).count();
    if before == 0 { name.to_owned() } else { format!("{name}-{before}") }
}

fn directive_page(out: &mut String, desc: &DirectiveDesc, level: usize) {
    let mark = "#".repeat(level.min(6));
    let _ = writeln!(out, "\n{mark} {}\n\n{}\n", desc.name, doc(desc));
    let top = level == 2;
    if top {
        let _ = writeln!(out, "- Allowed in: {}", context_names(desc.contexts));
    }
    if !desc.default.is_empty() {
        let _ = writeln!(out, "- When absent: {}", desc.default);
    }
    if desc.repeat == Repeat::Append || matches!(desc.role, Role::Peer | Role::ListenPort | Role::ListenDomain) {
        let _ = writeln!(out, "- May stand several times in one block.");
    }
    if top {
        let _ = writeln!(out, "- In nested blocks: {}", inherit(desc));
    }
    if desc.change > 0 {
        let _ = writeln!(out, "- A change needs: {}", change(desc.change));
    }
    table(out, "Argument", desc.args.iter());
    table(out, "Property", desc.props.iter().chain(implied::props(desc)));
    if !desc.example.is_empty() {
        let _ = writeln!(out, "\n```kdl\n{}\n```", desc.example);
    }
    for child in desc.children.iter() {
        directive_page(out, child, level + 1);
    }
}

fn table<'a>(out: &mut String, head: &str, args: impl Iterator<Item = &'a ArgDesc>) {
    let mut args = args.peekable();
    if args.peek().is_none() {
        return;
    }
    let _ = writeln!(out, "\n| {head} | Value | Default | Meaning |\n|---|---|---|---|");
    for arg in args {
        let mut value = match arg.kind {
            Kind::Choice => String::new(),
            kind => words(kind).to_owned(),
        };
        for word in arg.choices.iter() {
            let _ = write!(value, "{}`{word}`", if value.is_empty() { "" } else { ", " });
        }
        let counts = matches!(arg.kind, Kind::Int | Kind::Size | Kind::Time | Kind::Rate | Kind::Percent | Kind::Text);
        if counts && (arg.min, arg.max) != (0, i64::MAX) {
            let _ = write!(value, ", {}", bounds(arg));
        }
        if arg.repeated {
            value.push_str(", several");
        }
        let default = match (arg.default.is_empty(), arg.required) {
            (_, true) => "required".to_owned(),
            (true, _) => String::new(),
            _ => format!("`{}`", arg.default),
        };
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let _ = writeln!(out, "| `{}` | {} | {} | {} |", arg.name, cell(&value), cell(&default), cell(&arg.doc));
    }
}

/// What a directive's declaration says. In a module it is a doc comment, whose lines begin with the blank behind `///`.
fn doc(desc: &DirectiveDesc) -> String {
    let lines: Vec<_> = desc.doc.as_str().lines().map(|l| l.strip_prefix(' ').unwrap_or(l).trim_end()).collect();
    lines.join("\n").trim_end().to_owned()
}

fn summary(doc: &str) -> &str {
    doc.lines().next().unwrap_or_default()
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Value => "value",
        Role::ListenPort => "listen-port",
        Role::ListenDomain => "listen-domain",
        Role::Peer => "peer",
        Role::Handler => "handler",
        Role::Preread => "preread",
        Role::Probe => "probe",
    }
}

fn answers(how: Answers) -> Option<&'static str> {
    match how {
        Answers::No => None,
        Answers::Alone => Some("alone"),
        Answers::WithPeers => Some("with-peers"),
        Answers::ByPeers => Some("by-peers"),
        Answers::Some => Some("some"),
    }
}

fn inherit(desc: &DirectiveDesc) -> &'static str {
    match desc.inherit {
        Inherit::Never => "not inherited",
        Inherit::Replace => "inherited unless the block has its own",
        // A property of its own that is called so means what the directive says.
        Inherit::Append if desc.props.iter().any(|p| p.name.as_str() == "inherit") => {
            "the outer ones first, then the block's own"
        }
        Inherit::Append => "the outer ones first, then the block's own; `inherit=#false` leaves the outer ones out",
    }
}

fn change(level: u8) -> &'static str {
    match level {
        0 => "reload",
        1 => "reinit",
        _ => "restart",
    }
}

#[cfg(test)]
mod tests;
