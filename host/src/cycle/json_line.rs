//! Access logs in JSON (RFC 8259): which fields a line has, and how values become JSON. Knows no variable but those of the
//! default fields, and nothing of files and buffers.

use crate::{
    config::tree::Tree,
    log::MAX_LINE,
    template::{Escape, Resolver, Template, Values, Written, escape_tail},
};
use anyproxy_module_api::abi::conf::{Node, Span};
use std::collections::HashSet;

/// The word of `format` that asks for JSON.
pub(super) const WORD: &str = "json";
/// What the names of a line's fields may take.
const NAMES: usize = MAX_LINE / 4;

/// What a value is in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum As {
    Text,
    Number,
    Bool,
}

/// What `format="json"` writes: the variables of these names.
const DEFAULT: [(&str, As); 14] = [
    ("local_time", As::Text),
    ("session_id", As::Number),
    ("client_addr", As::Text),
    ("local_addr", As::Text),
    ("domain", As::Text),
    ("status", As::Number),
    ("close_reason", As::Text),
    ("client_bytes_received", As::Number),
    ("client_bytes_sent", As::Number),
    ("session_time", As::Number),
    ("upstream_name", As::Text),
    ("upstream_addr", As::Text),
    ("upstream_connect_time", As::Number),
    ("upstream_tries", As::Number),
];

/// One field as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Field {
    name: String,
    /// Number of the template; `None`: the variable of the field's name.
    value: Option<u32>,
    kind: As,
}

/// The fields of an `access_log`; `None`: its lines are text.
pub(super) fn fields(log: &Node<'_>) -> Option<Vec<Field>> {
    let all = log.written("format").is_some_and(|v| v.text.as_str() == WORD);
    let own: Vec<Field> = own(log).filter_map(field).collect();
    if !all {
        return (!own.is_empty()).then_some(own);
    }
    let mut fields: Vec<Field> =
        DEFAULT.iter().map(|(name, kind)| Field { name: (*name).to_owned(), value: None, kind: *kind }).collect();
    for f in own {
        match fields.iter_mut().find(|d| d.name == f.name) {
            Some(default) => *default = f,
            None => fields.push(f),
        }
    }
    Some(fields)
}

fn own<'a>(log: &Node<'a>) -> impl Iterator<Item = &'a Node<'a>> {
    log.children.as_slice().iter().filter(|n| n.name.as_str() == "field")
}

fn field(node: &Node<'_>) -> Option<Field> {
    let kind = match node.prop("as").map(|v| v.text.as_str()) {
        Some("number") => As::Number,
        Some("bool") => As::Bool,
        _ => As::Text,
    };
    Some(Field { name: node.arg(0)?.text.as_str().to_owned(), value: Some(node.arg(1)?.num as u32), kind })
}

/// What is wrong with the fields of all access logs: place, message, what to do. Each directive once.
pub(super) fn wrong(tree: &Tree) -> Vec<(Span<'static>, String, &'static str)> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let logs = tree.scopes().flat_map(|(id, _)| tree.nodes(id, 0)).filter(|n| n.name.as_str() == "access_log");
    for log in logs.filter(|n| seen.insert((n.span.file.as_ptr() as usize, n.span.offset))) {
        if let (Some(first), Some(format)) =
            (own(log).next(), log.written("format").filter(|v| v.text.as_str() != WORD))
        {
            let text = "\"format\" and \"field\" both say what a line is".to_owned();
            let help = "leave format out, or write format=\"json\": the default fields and these";
            found.push((if format.span.line > 0 { format.span } else { first.span }, text, help));
        }
        let mut names = HashSet::new();
        for (name, span) in own(log).filter_map(|n| n.arg(0)).map(|v| (v.text.as_str(), v.span)) {
            if !names.insert(name) {
                found.push((span, format!("a line has the field \"{name}\" twice"), "give it another name"));
            }
        }
        let fixed = fields(log).map_or(0, |f| fixed(&f));
        if fixed > NAMES {
            let text = format!("the names of the fields take {fixed} bytes of a line");
            found.push((log.span, text, "16384 are the most; choose shorter names or fewer fields"));
        }
    }
    found
}

fn head(n: usize, field: &Field) -> Vec<u8> {
    let mut out = vec![if n == 0 { b'{' } else { b',' }, b'"'];
    let start = out.len();
    out.extend_from_slice(field.name.as_bytes());
    escape_tail(&mut out, start, Escape::Json);
    out.extend_from_slice(b"\":");
    out
}

/// Bytes of a line of which every value is null.
fn fixed(fields: &[Field]) -> usize {
    fields.iter().enumerate().map(|(n, f)| head(n, f).len() + NULL.len()).sum::<usize>() + 1
}

const NULL: &[u8] = b"null";

/// Lines of one log.
#[derive(Debug)]
pub(super) struct JsonLine(Vec<Item>);

#[derive(Debug)]
struct Item {
    /// Comma or brace, name, colon.
    head: Box<[u8]>,
    value: Value,
    kind: As,
    /// What must remain of a line for what follows, at the least.
    after: usize,
}

#[derive(Debug)]
enum Value {
    Own(Template),
    /// One of the configuration's.
    Of(u32),
}

impl JsonLine {
    /// Compiles the default fields; the others are the configuration's.
    ///
    /// # Errors
    /// A variable is missing.
    pub(super) fn new(fields: &[Field], resolver: &dyn Resolver) -> Result<Self, String> {
        let mut after = 1;
        let mut items = Vec::new();
        for (n, f) in fields.iter().enumerate().rev() {
            let value = match f.value {
                Some(n) => Value::Of(n),
                None => Value::Own(Template::compile(&format!("${{{}}}", f.name), resolver).map_err(|errors| {
                    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
                    format!("the default fields of access_log: {}", errors.join("; "))
                })?),
            };
            let head: Box<[u8]> = head(n, f).into();
            let size = head.len() + NULL.len();
            items.push(Item { head, value, kind: f.kind, after });
            after += size;
        }
        items.reverse();
        Ok(Self(items))
    }

    /// Appends a line without its end. Values that would make it longer than a line may be are cut, so it is JSON whatever
    /// clients send.
    pub(super) fn write<V: Values + ?Sized>(&self, values: &V, templates: &[Template], out: &mut Vec<u8>) {
        let line = out.len();
        for item in &self.0 {
            out.extend_from_slice(&item.head);
            let template = match &item.value {
                Value::Own(t) => Some(t),
                Value::Of(n) => templates.get(*n as usize),
            };
            let start = out.len();
            // The line's end is a byte too.
            let room = (MAX_LINE - 1).saturating_sub(start - line + item.after);
            if item.kind == As::Text {
                out.push(b'"');
            }
            let from = out.len();
            let written = template.and_then(|t| t.render_value(values, out));
            let value = &out[from..];
            match item.kind {
                _ if written.is_none() => replace(out, start, NULL),
                As::Number if value.is_empty() => replace(out, start, NULL),
                As::Number if is_number(value) => {
                    // Half a number would be another one.
                    if value.len() > room {
                        replace(out, start, NULL);
                    }
                }
                As::Bool if matches!(value, b"1" | b"true") => replace(out, start, b"true"),
                // One byte longer than what is reserved.
                As::Bool if matches!(value, b"0" | b"false") && room > NULL.len() => replace(out, start, b"false"),
                _ => {
                    if item.kind != As::Text {
                        out.insert(start, b'"');
                    }
                    if written == Some(Written::Any) {
                        escape_tail(out, start + 1, Escape::Json);
                    }
                    let end = start + 1 + cut(&out[start + 1..], room.saturating_sub(2));
                    out.truncate(end);
                    out.push(b'"');
                }
            }
        }
        if self.0.is_empty() {
            out.push(b'{');
        }
        out.push(b'}');
    }
}

fn replace(out: &mut Vec<u8>, start: usize, by: &[u8]) {
    out.truncate(start);
    out.extend_from_slice(by);
}

/// How many bytes of the inside of a JSON string fit into `room`: no escape and no character is cut in two.
fn cut(inside: &[u8], room: usize) -> usize {
    if inside.len() <= room {
        return inside.len();
    }
    let mut at = 0;
    while let Some(first) = inside.get(at) {
        let len = match (first, inside.get(at + 1)) {
            (b'\\', Some(b'u')) => 6,
            (b'\\', _) => 2,
            (0xf0.., _) => 4,
            (0xe0.., _) => 3,
            (0xc0.., _) => 2,
            _ => 1,
        };
        if at + len > room {
            break;
        }
        at += len;
    }
    at
}

/// RFC 8259 section 6.
fn is_number(text: &[u8]) -> bool {
    fn digits(text: &[u8]) -> usize {
        text.iter().take_while(|b| b.is_ascii_digit()).count()
    }
    let mut rest = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest[0] == b'0') {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let n = digits(fraction);
        if n == 0 {
            return false;
        }
        rest = &fraction[n..];
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let n = digits(exponent);
        return n > 0 && n == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
#[path = "json_line_tests.rs"]
mod tests;
