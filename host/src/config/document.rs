//! What the reader hands to the typing step: nodes with values and places, includes already expanded.
//! Knows nothing of directives.

use anyproxy_module_api::abi::conf::Span;
use std::{path::PathBuf, sync::Arc};

/// A file that was read.
#[derive(Debug)]
pub struct Source {
    /// As the user named it, for messages.
    pub name: String,
    /// Where it is; relative paths inside it start at its directory.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// Every file of one configuration; a `Place` refers to them by index.
pub type Sources = Vec<Arc<Source>>;

/// The place of a span that names one of these files.
pub fn place_of(sources: &Sources, span: &Span<'_>) -> Option<Place> {
    if span.line == 0 {
        return None;
    }
    let file = sources.iter().position(|s| s.name == span.file.as_str())?;
    Some(Place { file: file as u32, offset: span.offset, len: span.len })
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Place {
    /// Index into `Sources`.
    pub file: u32,
    /// Byte offset.
    pub offset: u32,
    /// Length in bytes.
    pub len: u32,
}

/// A value as written.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// `#null`
    Null,
    /// `#true`, `#false`
    Bool(bool),
    /// A number without a point. Out of `i64`: an error of the reader.
    Int(i64),
    /// A number with a point or exponent.
    Float(f64),
    /// A string of any form, escapes resolved.
    Text(String),
}

/// A value with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct RawValue {
    /// The value; `(env)` and `(file)` are already loaded.
    pub data: Raw,
    /// Whether it came from `(env)` or `(file)`.
    pub redacted: bool,
    /// Where it stands.
    pub place: Place,
}

/// A property with its places.
#[derive(Clone, Debug, PartialEq)]
pub struct RawProp {
    /// Name.
    pub name: String,
    /// Where the name stands.
    pub place: Place,
    /// Its value.
    pub value: RawValue,
}

/// A node. Nodes whose platform tag is another platform's are gone; `include` is replaced by what it names.
#[derive(Clone, Debug, PartialEq)]
pub struct RawNode {
    /// Name.
    pub name: String,
    /// Where the name stands.
    pub place: Place,
    /// Arguments in order.
    pub args: Vec<RawValue>,
    /// Properties in order; no two of one name.
    pub props: Vec<RawProp>,
    /// The block; `None`: no braces.
    pub children: Option<Vec<Self>>,
}

/// A whole configuration.
#[derive(Debug, Default)]
pub struct Document {
    /// Every file read, in the order of reading; the first is the main file.
    pub sources: Sources,
    /// Top-level nodes.
    pub nodes: Vec<RawNode>,
    /// Valid, but hardly what was meant; to be shown with whatever else is found.
    pub warnings: super::diagnostic::Diagnostics,
}
