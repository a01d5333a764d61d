//! The tree as written in one file, before includes, tags and loaded values are resolved.
//! Knows nothing of files and directives.

use std::borrow::Cow;

/// Bytes `start..end` of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last.
    pub end: usize,
}

/// A name or tag.
#[derive(Clone, Debug, PartialEq)]
pub struct Name<'a> {
    /// Escapes resolved.
    pub text: Cow<'a, str>,
    /// With its quotes.
    pub span: Span,
}

/// A value without its tag.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `#null`
    Null,
    /// `#true`, `#false`
    Bool(bool),
    /// Fits 64 bits.
    Int(i64),
    /// Does not.
    BigInt,
    /// With a point or exponent, `#inf`, `#-inf`, `#nan`.
    Float(f64),
    /// Any form of string.
    Text(Cow<'a, str>),
}

/// An argument (no name) or a property.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'a> {
    /// The property's name.
    pub name: Option<Name<'a>>,
    /// The value's tag.
    pub tag: Option<Name<'a>>,
    /// The value.
    pub value: Value<'a>,
    /// Where the value stands, tag excluded.
    pub span: Span,
}

/// A node.
#[derive(Clone, Debug, PartialEq)]
pub struct Node<'a> {
    /// The node's tag.
    pub tag: Option<Name<'a>>,
    /// Its name.
    pub name: Name<'a>,
    /// Arguments and properties as they come.
    pub entries: Vec<Entry<'a>>,
    /// The block, if there are braces.
    pub children: Option<Vec<Self>>,
}
