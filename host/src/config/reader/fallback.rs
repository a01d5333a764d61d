//! The second opinion: the `kdl` crate on text that the own reader refuses. Its word is final, its messages are used where ours say little.

use std::{borrow::Cow, thread};

use kdl::{KdlDocument, KdlError, KdlIdentifier, KdlValue};

use super::{
    depth, place,
    syntax::{Entry, Name, Node, Span, Value},
};
use crate::config::diagnostic::Diagnostic;

/// Longer text is not given to the crate, which takes most of a second a megabyte.
const MAX_LEN: usize = 2 << 20;
/// Stack for one nesting. Measured in an unoptimised build: less than half of it.
const FRAME: usize = 64 << 10;
/// Text that could take more stack is not given to the crate. Only reserved, not used, on the platforms there are.
const MAX_STACK: usize = 1 << 30;

pub(super) enum Verdict {
    /// Valid after all.
    Valid(Vec<Node<'static>>),
    /// Not, with its reasons, at least one.
    Invalid(Vec<Diagnostic>),
    /// Not asked: the text is too large for it.
    Unasked,
}

pub(super) fn read(file: u32, text: &str) -> Verdict {
    let stack = depth::recursion_bound(text).saturating_mul(FRAME).saturating_add(4 << 20);
    if text.len() > MAX_LEN || stack > MAX_STACK || depth::too_deep(text).is_some() {
        return Verdict::Unasked;
    }
    let parsed = thread::scope(|scope| {
        thread::Builder::new()
            .name("config-kdl".into())
            .stack_size(stack)
            .spawn_scoped(scope, || match KdlDocument::parse_v2(text) {
                Ok(document) => Verdict::Valid(convert(&document)),
                Err(error) => Verdict::Invalid(explain(file, text, &error)),
            })
            .ok()
            .and_then(|thread| thread.join().ok())
    });
    parsed.unwrap_or(Verdict::Unasked)
}

fn explain(file: u32, text: &str, error: &KdlError) -> Vec<Diagnostic> {
    let mut all: Vec<Diagnostic> = error
        .diagnostics
        .iter()
        .map(|d| {
            let start = d.span.offset();
            let message = match (&d.message, &d.label) {
                (Some(message), _) => message.clone(),
                (None, Some(label)) => format!("not a valid {label}"),
                (None, None) => "not valid here".to_owned(),
            };
            let span = Span { start, end: start + d.span.len() };
            let mut item = Diagnostic::error("syntax", message).at(place(file, span));
            item.help.clone_from(&d.help);
            item
        })
        .collect();
    if all.is_empty() {
        let end = Span { start: text.len(), end: text.len() };
        all.push(Diagnostic::error("syntax", "not valid KDL").at(place(file, end)));
    }
    all
}

fn convert(document: &KdlDocument) -> Vec<Node<'static>> {
    document
        .nodes()
        .iter()
        .map(|node| Node {
            tag: node.ty().map(name),
            name: name(node.name()),
            entries: node
                .entries()
                .iter()
                .map(|entry| {
                    let end = entry.span().offset() + entry.span().len();
                    let len = entry.format().map_or_else(|| entry.span().len(), |f| f.value_repr.len());
                    Entry {
                        name: entry.name().map(name),
                        tag: entry.ty().map(name),
                        value: value(entry.value()),
                        span: Span { start: end.saturating_sub(len), end },
                    }
                })
                .collect(),
            children: node.children().map(convert),
        })
        .collect()
}

fn name(name: &KdlIdentifier) -> Name<'static> {
    let span = name.span();
    Name {
        text: Cow::Owned(name.value().to_owned()),
        span: Span { start: span.offset(), end: span.offset() + span.len() },
    }
}

fn value(value: &KdlValue) -> Value<'static> {
    match value {
        KdlValue::String(text) => Value::Text(Cow::Owned(text.clone())),
        KdlValue::Integer(number) => i64::try_from(*number).map_or(Value::BigInt, Value::Int),
        KdlValue::Float(number) => Value::Float(*number),
        KdlValue::Bool(flag) => Value::Bool(*flag),
        KdlValue::Null => Value::Null,
    }
}
