//! What a directive may look like: where it stands, what it holds, how it repeats and is inherited.

use crate::abi::bytes::{Slice, Str};

/// One directive: everything that the host needs to read it, check it, inherit it and document it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct DirectiveDesc {
    /// Name: the word in the file and the grep key everywhere.
    pub name: Str<'static>,
    /// Documentation; its first line is the summary.
    pub doc: Str<'static>,
    /// A value or block as it would be written; shown in documentation and loaded by its test.
    pub example: Str<'static>,
    /// What holds when the directive is absent, in words or as it would be written.
    pub default: Str<'static>,
    /// Name of the extension point that `role` refers to.
    pub point: Str<'static>,
    /// Arguments in order.
    pub args: Slice<'static, ArgDesc>,
    /// Properties.
    pub props: Slice<'static, ArgDesc>,
    /// Directives of its block; empty: no block allowed.
    pub children: Slice<'static, Self>,
    /// Where it may stand.
    pub contexts: Contexts,
    /// What it is to the host.
    pub role: Role,
    /// Twice in one block.
    pub repeat: Repeat,
    /// In nested blocks.
    pub inherit: Inherit,
    /// A change of it needs: 0 reload, 1 reinit, 2 restart.
    pub change: u8,
    /// What it does with exchanges.
    pub answers: Answers,
    /// Zero.
    pub reserved: [usize; 3],
}

impl DirectiveDesc {
    /// A directive without arguments, a value for its module, inherited by replacement.
    pub const fn new(name: &'static str, doc: &'static str, contexts: Contexts) -> Self {
        assert!(!doc.is_empty(), "a directive needs documentation");
        Self {
            name: Str::new(name),
            doc: Str::new(doc),
            example: Str::EMPTY,
            default: Str::EMPTY,
            point: Str::EMPTY,
            args: Slice::EMPTY,
            props: Slice::EMPTY,
            children: Slice::EMPTY,
            contexts,
            role: Role::Value,
            repeat: Repeat::Error,
            inherit: Inherit::Replace,
            change: 0,
            answers: Answers::No,
            reserved: [0; 3],
        }
    }
    /// Its arguments.
    #[must_use]
    pub const fn args(mut self, args: &'static [ArgDesc]) -> Self {
        self.args = Slice::new(args);
        self
    }
    /// Its properties.
    #[must_use]
    pub const fn props(mut self, props: &'static [ArgDesc]) -> Self {
        self.props = Slice::new(props);
        self
    }
    /// The directives of its block.
    #[must_use]
    pub const fn children(mut self, children: &'static [Self]) -> Self {
        self.children = Slice::new(children);
        self
    }
    /// What it is to the host.
    #[must_use]
    pub const fn role(mut self, role: Role, point: &'static str) -> Self {
        self.role = role;
        self.point = Str::new(point);
        self
    }
    /// What it does with exchanges.
    #[must_use]
    pub const fn answers(mut self, how: Answers) -> Self {
        self.answers = how;
        self
    }
    /// All of several are kept.
    #[must_use]
    pub const fn append(mut self) -> Self {
        self.repeat = Repeat::Append;
        self
    }
    /// Inheritance.
    #[must_use]
    pub const fn inherit(mut self, rule: Inherit) -> Self {
        self.inherit = rule;
        self
    }
    /// What holds when absent.
    #[must_use]
    pub const fn default(mut self, text: &'static str) -> Self {
        self.default = Str::new(text);
        self
    }
    /// As it would be written.
    #[must_use]
    pub const fn example(mut self, text: &'static str) -> Self {
        self.example = Str::new(text);
        self
    }
    /// A change needs new worker threads.
    #[must_use]
    pub const fn needs_reinit(mut self) -> Self {
        self.change = 1;
        self
    }
    /// A change needs a new process.
    #[must_use]
    pub const fn needs_restart(mut self) -> Self {
        self.change = 2;
        self
    }
}

/// One argument or property of a directive.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ArgDesc {
    /// Name: of a property in the file, of an argument in documentation.
    pub name: Str<'static>,
    /// One line of documentation.
    pub doc: Str<'static>,
    /// Default as it would be written, texts without their quotes; empty: none. What [`Node::prop`](super::Node::prop) and
    /// [`Node::arg`](super::Node::arg) say where it is left out, so that it is written once; where the directive is absent, there is
    /// no node to ask.
    pub default: Str<'static>,
    /// The words of `Kind::Choice`.
    pub choices: Slice<'static, Str<'static>>,
    /// Least value in the kind's unit.
    pub min: i64,
    /// Greatest value in the kind's unit.
    pub max: i64,
    /// Type.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
    /// Last argument only: may be given more than once.
    pub repeated: bool,
    /// Redacted in every dump.
    pub secret: bool,
    /// Zero.
    pub reserved: [usize; 2],
}

impl ArgDesc {
    /// An optional value of type `kind` within the bounds of its kind (nothing below 0).
    pub const fn new(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        assert!(!doc.is_empty(), "an argument needs a line of documentation");
        Self {
            name: Str::new(name),
            doc: Str::new(doc),
            default: Str::EMPTY,
            choices: Slice::EMPTY,
            min: 0,
            max: i64::MAX,
            kind,
            required: false,
            repeated: false,
            secret: false,
            reserved: [0; 2],
        }
    }
    /// It must be there.
    #[must_use]
    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }
    /// It may be given several times (last argument).
    #[must_use]
    pub const fn repeated(mut self) -> Self {
        self.repeated = true;
        self
    }
    /// Its value is never shown.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
    /// Bounds in the kind's unit, both inclusive.
    #[must_use]
    pub const fn bounds(mut self, min: i64, max: i64) -> Self {
        self.min = min;
        self.max = max;
        self
    }
    /// The value when absent, as it would be written.
    #[must_use]
    pub const fn default(mut self, text: &'static str) -> Self {
        self.default = Str::new(text);
        self
    }
    /// The words allowed.
    #[must_use]
    pub const fn choices(mut self, words: &'static [Str<'static>]) -> Self {
        self.choices = Slice::new(words);
        self
    }
}

/// Where a directive may stand. A set of bits.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contexts(pub u32);

impl Contexts {
    /// Top level of the file.
    pub const MAIN: Self = Self(1);
    /// `common`.
    pub const COMMON: Self = Self(1 << 1);
    /// `socket`.
    pub const SOCKET: Self = Self(1 << 2);
    /// `upstream "name"`.
    pub const UPSTREAM: Self = Self(1 << 3);
    /// `tunnel`.
    pub const TUNNEL: Self = Self(1 << 4);
    /// `ebpf`.
    pub const EBPF: Self = Self(1 << 5);
    /// `net`.
    pub const NET: Self = Self(1 << 6);
    /// `net` > `server`.
    pub const SERVER: Self = Self(1 << 7);
    /// `net` > `server` > `local`.
    pub const LOCAL: Self = Self(1 << 8);
    /// In the block of a peer (`proxy_pass_tcp "…" { … }`), wherever the peer stands.
    pub const PEER: Self = Self(1 << 9);

    /// The union, as the names read in documentation: `net`, `server`, `local`.
    pub const MSL: Self = Self(Self::NET.0 | Self::SERVER.0 | Self::LOCAL.0);

    /// Both sets.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any context is in both.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl std::ops::BitOr for Contexts {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

/// What an argument or property holds, and how the host reads it.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `#true` or `#false`. `num`: 1 or 0.
    Bool = 0,
    /// A whole number. `num`.
    Int = 1,
    /// Text. `text`.
    Text = 2,
    /// A size with a unit, `"8MiB"`. `num`: bytes.
    Size = 3,
    /// A time with a unit, `"5s"`. `num`: nanoseconds.
    Time = 4,
    /// A rate, `"10MiB/s"`, `"100/s"`. `num`: units a second.
    Rate = 5,
    /// One of `choices`. `num`: its index, `text`: the word.
    Choice = 6,
    /// A path, made absolute against the file that names it. `text`.
    Path = 7,
    /// A network address: `host:port`, `ip:port`, `[v6]:port`, `unix:/path`; kept as text, checked for shape.
    Address = 8,
    /// Text with `${variables}`; compiled by the host. `num`: template id for `Session::render`; `text`: the source.
    Template = 9,
    /// A regular expression, checked when read. `text`: the source without the mark `~`. Its named groups are variables
    /// `${re.name}`, whose values the module says (`Session::set_capture`).
    Regex = 10,
    /// An address, a CIDR or `all`. `text`.
    Cidr = 11,
    /// A decimal number. `num`: the bits of an `f64`.
    Float = 12,
    /// A share, `"50%"`. `num`: parts in a million.
    Percent = 13,
    /// A listening address with optional port range, `0.0.0.0:10001-10009`. `text`.
    Listen = 14,
    /// An upstream, as `proxy_pass_upstream` names one: it has to be there. `text`: its name; `num`: see `Upstream`.
    Upstream = 15,
}

/// What a directive is to the host, besides a value for its module.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// A value only.
    Value = 0,
    /// Arguments are listening addresses of extension point `point`: one service a port.
    ListenPort = 1,
    /// Arguments are listening addresses of extension point `point`: many domains share it.
    ListenDomain = 2,
    /// Names one peer, reached by the connector `point`. In `local` an upstream of its own, in `upstream` a member.
    Peer = 3,
    /// The stream handler `point` takes sessions of this server or local.
    Handler = 4,
    /// A switch of the accept path: the preread `point` runs on the listeners of this server.
    Preread = 5,
    /// Stands beside `heartbeat`: the checks of these peers ask by the probe `point`, which reads this directive.
    Probe = 6,
}

/// What a directive does with the exchanges of its block: the host sees that somebody answers them, and one alone.
#[repr(usize)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answers {
    /// Nothing.
    No = 0,
    /// It answers them all, without peers. Nothing else that answers stands beside it.
    Alone = 1,
    /// It answers them all and may ask the block's peers: what is `ByPeers` may stand beside it.
    WithPeers = 2,
    /// The block's peers answer them: there must be some.
    ByPeers = 3,
    /// It answers some of them. Nobody else needs to.
    Some = 4,
}

/// How a directive that stands twice in one block is read.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// An error that names both places.
    Error = 0,
    /// All are kept, in order.
    Append = 1,
}

/// What a nested block gets of its parent's.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inherit {
    /// Nothing.
    Never = 0,
    /// The parent's, unless the block has its own.
    Replace = 1,
    /// The parent's first, then its own, unless one of its own says `inherit=#false`.
    Append = 2,
}
