//! Values that a declaration gives to what is left out: typed as if they were written, once for each directive and file.

use super::{
    super::{
        document::{Place, Raw, RawValue},
        reader::{self, syntax::Node as Written},
        schema::Entry,
    },
    Typer,
};
use anyproxy_module_api::abi::{
    bytes::{Slice, Str},
    conf::{
        ArgDesc, DirectiveDesc, Kind, Prop, Value,
        implied::{self, Literal},
    },
};

/// Of arguments, by position (without a name: that one has none), and of properties.
pub(super) type Defaults = [Slice<'static, Prop<'static>>; 2];

impl Typer<'_> {
    /// The defaults of a directive that stands at `place`.
    pub(super) fn defaults(&mut self, entry: Entry, implied: &'static [ArgDesc], place: Place) -> Defaults {
        let desc = entry.desc;
        let (args, props) = (desc.args.as_slice(), desc.props.as_slice());
        if args.iter().chain(props).chain(implied).all(|a| a.default.is_empty()) {
            return [Slice::EMPTY; 2];
        }
        // A path is relative to the file.
        let key = (std::ptr::from_ref(desc) as usize, place.file);
        if let Some(known) = self.defaults.get(&key) {
            return *known;
        }
        let last = args.iter().rposition(|a| !a.default.is_empty()).map_or(0, |n| n + 1);
        let args: Vec<_> = args[..last].iter().map(|a| self.default(entry, a, place).unwrap_or(NONE)).collect();
        let props: Vec<_> = props.iter().chain(implied).filter_map(|a| self.default(entry, a, place)).collect();
        let all = [self.arena.props(&args), self.arena.props(&props)];
        self.defaults.insert(key, all);
        all
    }

    /// The default of one; `None`: it has none, or it cannot be read, which is said.
    fn default(&mut self, entry: Entry, arg: &'static ArgDesc, place: Place) -> Option<Prop<'static>> {
        let data = match implied::default(arg)? {
            Literal::Text(text) => Raw::Text(text.to_owned()),
            Literal::Bool(on) => Raw::Bool(on),
            Literal::Int(n) => Raw::Int(n),
            Literal::Float(n) => Raw::Float(n),
        };
        let raw = RawValue { data, redacted: false, place };
        self.value(entry, arg, true, &raw).map(|value| Prop { name: arg.name, value })
    }

    /// Tries every default of a table and of what is inside.
    pub(in super::super) fn try_defaults(&mut self, entry: Entry) {
        self.defaults(entry, &[], Place::default());
        for desc in entry.desc.children.as_slice() {
            self.try_defaults(Entry { desc, ..entry });
        }
    }
}

/// In the place of an argument without a default.
const NONE: Prop<'static> = Prop {
    name: Str::EMPTY,
    value: Value {
        kind: Kind::Text,
        redacted: false,
        num: 0,
        text: Str::EMPTY,
        span: anyproxy_module_api::abi::conf::Span { file: Str::EMPTY, line: 0, column: 0, offset: 0, len: 0 },
    },
};

/// What is wrong with a declaration beside its documentation, in words.
pub(in super::super) fn nonsense(desc: &DirectiveDesc) -> Vec<String> {
    let mut wrong = Vec::new();
    let (args, props) = (desc.args.as_slice(), desc.props.as_slice());
    for arg in args.iter().chain(props) {
        let name = arg.name;
        if arg.kind == Kind::Choice && arg.choices.is_empty() {
            wrong.push(format!("\"{name}\" is one of some words, and there are none"));
        }
        if arg.min > arg.max {
            wrong.push(format!("no value of \"{name}\" is within its bounds"));
        }
        if arg.required && !arg.default.is_empty() {
            wrong.push(format!("\"{name}\" must be there, and has a default"));
        }
        // It would have to be there for whoever names another one, too.
        if arg.kind == Kind::Upstream && !arg.default.is_empty() {
            wrong.push(format!("\"{name}\" is an upstream, whose names are the user's, and has a default"));
        }
    }
    for list in [args, props] {
        for (n, arg) in list.iter().enumerate() {
            if list[..n].iter().any(|other| other.name.as_str() == arg.name.as_str()) {
                wrong.push(format!("\"{}\" is declared twice", arg.name));
            }
        }
    }
    if !desc.example.is_empty() {
        let read = reader::read(0, &desc.example);
        let is_it = read.is_ok_and(|read| shows(&read.nodes, &desc.name));
        if !is_it {
            wrong.push(format!("its example cannot be read as it: {}", desc.example));
        }
    }
    wrong
}

/// Whether a node of this name is among them, or inside.
fn shows(nodes: &[Written<'_>], name: &str) -> bool {
    nodes.iter().any(|node| node.name.text == name || node.children.as_deref().is_some_and(|inner| shows(inner, name)))
}
