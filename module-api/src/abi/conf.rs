//! Configuration as data: what a directive may look like, and what the host read, typed and inherited.
//! Knows nothing of KDL: the host reads the text, a module sees values.

#[doc(hidden)]
pub mod address;
mod directive;
#[doc(hidden)]
pub mod implied;
#[doc(hidden)]
pub mod units;

pub use directive::{Answers, ArgDesc, Contexts, DirectiveDesc, Inherit, Kind, Repeat, Role};

use super::bytes::{Slice, Str};

/// A place in the configuration.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Span<'a> {
    /// File as the user named it.
    pub file: Str<'a>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Byte offset in the file.
    pub offset: u32,
    /// Length in bytes.
    pub len: u32,
}

/// A place that is kept: for what turns out to be wrong only in `Module::prepare` or `settle`.
#[derive(Clone, Debug, Default)]
pub struct SpanBuf {
    file: Box<str>,
    line: u32,
    column: u32,
    offset: u32,
    len: u32,
}

impl SpanBuf {
    /// The place.
    pub const fn as_span(&self) -> Span<'_> {
        let Self { ref file, line, column, offset, len } = *self;
        Span { file: Str::new(file), line, column, offset, len }
    }
}

impl From<Span<'_>> for SpanBuf {
    fn from(span: Span<'_>) -> Self {
        let Span { file, line, column, offset, len } = span;
        Self { file: file.as_str().into(), line, column, offset, len }
    }
}

/// One value that the host read and checked. Which field holds it: see `Kind`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// Type, as declared.
    pub kind: Kind,
    /// Whether it came from `(env)` or `(file)`, or is declared secret.
    pub redacted: bool,
    /// The number.
    pub num: i64,
    /// The text.
    pub text: Str<'a>,
    /// Where it stands.
    pub span: Span<'a>,
}

/// One property.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Prop<'a> {
    /// Name.
    pub name: Str<'a>,
    /// Value.
    pub value: Value<'a>,
}

/// One directive as it stands in the configuration, typed. Owned by the host: a module that keeps a text of it copies it
/// (`intern`, or a `String`).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Node<'a> {
    /// Name.
    pub name: Str<'a>,
    /// Arguments in order.
    pub args: Slice<'a, Value<'a>>,
    /// Properties as written.
    pub props: Slice<'a, Prop<'a>>,
    /// The block.
    pub children: Slice<'a, Self>,
    /// Where it stands.
    pub span: Span<'a>,
    /// What arguments that are left out are, by position; one without a name is none.
    pub arg_defaults: Slice<'a, Prop<'a>>,
    /// What properties that are left out are.
    pub defaults: Slice<'a, Prop<'a>>,
}

impl<'a> Node<'a> {
    /// The n-th argument's value: as written, else its default ([`ArgDesc::default`]).
    pub fn arg(&self, n: usize) -> Option<&'a Value<'a>> {
        let default = || self.arg_defaults.as_slice().get(n).filter(|p| !p.name.is_empty()).map(|p| &p.value);
        self.args.as_slice().get(n).or_else(default)
    }

    /// A property's value: as written, else its default ([`ArgDesc::default`]).
    pub fn prop(&self, name: &str) -> Option<&'a Value<'a>> {
        let all = self.props.as_slice().iter().chain(self.defaults.as_slice());
        all.into_iter().find(|p| p.name.as_str() == name).map(|p| &p.value)
    }

    /// A property's value where the configuration says it: for what is not the same when left out.
    pub fn written(&self, name: &str) -> Option<&'a Value<'a>> {
        self.props.as_slice().iter().find(|p| p.name.as_str() == name).map(|p| &p.value)
    }

    /// A property's number, in its kind's unit: as written, else its default, else 0.
    pub fn num(&self, name: &str) -> i64 {
        self.prop(name).map_or(0, |v| v.num)
    }

    /// A property's text: as written, else its default, else empty.
    pub fn text(&self, name: &str) -> &'a str {
        self.prop(name).map_or("", |v| v.text.as_str())
    }

    /// The last directive `name` of the block.
    pub fn child(&self, name: &str) -> Option<&'a Self> {
        self.children.as_slice().iter().rev().find(|c| c.name.as_str() == name)
    }
}

impl Value<'_> {
    /// The number as a time.
    pub const fn time(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.num as u64)
    }
    /// The number as bytes, a rate or a count; never negative.
    pub const fn size(&self) -> u64 {
        self.num as u64
    }
    /// The switch.
    pub const fn bool(&self) -> bool {
        self.num != 0
    }
    /// The number as a decimal.
    pub const fn float(&self) -> f64 {
        f64::from_bits(self.num as u64)
    }
}

/// Which block a scope is.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScopeKind {
    /// `common`, `socket`, `tunnel`, `ebpf` and the top level together: process-wide values.
    Main = 0,
    /// `net`.
    Net = 1,
    /// `server`.
    Server = 2,
    /// `local`.
    Local = 3,
    /// `upstream`.
    Upstream = 4,
    /// One peer: its own block over the one it stands in.
    Peer = 5,
}

/// What one module sees of one block: the effective values after merge and inherit, parents first.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ScopeView<'a> {
    /// Which block.
    pub kind: ScopeKind,
    /// The block's name (`upstream "name"`, `local "name"`), else empty.
    pub name: Str<'a>,
    /// The effective directives of this module in this block.
    pub nodes: Slice<'a, Node<'a>>,
    /// The module's own object for the enclosing block; null at the outermost.
    pub parent: *const (),
    /// Where the block starts.
    pub span: Span<'a>,
    /// Names the scope to the host (shared data, templates); valid within the generation.
    pub id: u32,
}

// SAFETY: a read-only view; `parent` is an object that the module itself promises to be `Sync`.
unsafe impl Send for ScopeView<'_> {}
// SAFETY: as above.
unsafe impl Sync for ScopeView<'_> {}
