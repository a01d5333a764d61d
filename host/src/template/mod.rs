//! `${…}` templates: parsed once when the configuration is read, rendered without allocation afterwards. Knows no
//! variable by name: a [`Resolver`] turns names into references while compiling, and [`Values`] writes the values of
//! those references while rendering.
//!
//! ```text
//! template   = *( literal | "$${" | "${" expression "}" )      "$${" is a literal "${"; a "$" before anything else is itself
//! expression = name | name "(" [ argument *( "," argument ) ] ")"
//! argument   = expression | integer | "'" text "'" | '"' text '"'     \\ \' \" \n \t inside quotes
//! name       = 1*( ALPHA | DIGIT | "_" | "." | "-" )
//! ```
//!
//! A value that is absent at the outermost level is written as `-` or as nothing ([`Absent`]); inside a function it is
//! an absent argument.

mod call;
mod escape;
mod function;
#[cfg(test)]
mod mutated;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::ops::Range;

pub use call::{Call, MAX_ARGUMENTS, MAX_RESULT};
use escape::all_plain;
pub use escape::{Escape, escape_tail};
pub use function::{Builtin, builtin_names};

/// Longest text of a template, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// Deepest nesting of functions.
pub const MAX_DEPTH: usize = 16;

/// A variable after resolution. Both numbers belong to the resolver: usually who provides the variable, and which of
/// its variables it is. A member of a prefix family (`http_request_<header>`) gets a slot of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VarRef {
    /// Who provides the value.
    pub provider: u32,
    /// Which of the provider's values it is.
    pub slot: u32,
}

impl VarRef {
    /// The provider number of regular expression captures; the slot is that of [`crate::matcher::CaptureNames`].
    pub const CAPTURE: u32 = u32::MAX;

    /// A variable `slot` of `provider`.
    pub const fn new(provider: u32, slot: u32) -> Self {
        Self { provider, slot }
    }

    /// The capture with this slot.
    pub const fn capture(slot: u32) -> Self {
        Self::new(Self::CAPTURE, slot)
    }
}

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arity {
    /// Fewest.
    pub min: usize,
    /// Most; at most [`MAX_ARGUMENTS`].
    pub max: usize,
}

impl Arity {
    /// Exactly `n` arguments.
    pub const fn exactly(n: usize) -> Self {
        Self { min: n, max: n }
    }
}

/// A function after resolution. The numbers belong to the resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncRef {
    /// Who provides the function.
    pub provider: u32,
    /// Which of the provider's functions it is.
    pub slot: u32,
    /// Checked when the template is compiled.
    pub arity: Arity,
}

/// Turns names into references while the configuration is read.
pub trait Resolver {
    /// The variable called `name`: an exact name, a member of a prefix family, or a capture (`re.name`, or `name` when
    /// nothing else has that name). None: the template is refused.
    fn variable(&self, name: &str) -> Option<VarRef>;
    /// The function called `name`. Built-in functions never come here. None: the template is refused.
    fn function(&self, name: &str) -> Option<FuncRef> {
        let _ = name;
        None
    }
    /// Calls `each` with every name that exists, for suggestions. A prefix family gives its form (`http_request_<header>`).
    fn names(&self, each: &mut dyn FnMut(&str)) {
        let _ = each;
    }
    /// As [`Resolver::names`], for functions.
    fn function_names(&self, each: &mut dyn FnMut(&str)) {
        let _ = each;
    }
}

/// Where values come from while rendering.
pub trait Values {
    /// Appends the value to `out`. None: the variable has no value now, and whatever was appended is removed again.
    fn write(&self, var: VarRef, out: &mut Vec<u8>) -> Option<Written>;
    /// Calls a function that the resolver knows: reads [`Call::argument`], writes [`Call::push`] and its relatives.
    /// False: no result.
    fn call(&self, func: FuncRef, call: &mut Call<'_>) -> bool {
        let _ = (func, call);
        false
    }
}

/// What bytes a value that was written may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// None that any [`Escape`] changes: numbers, times, addresses.
    Plain,
    /// Any.
    Any,
}

/// How the absence of a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// As `-`: in logs.
    Dash,
    /// As nothing: everywhere else.
    Empty,
}

/// A mistake in the text of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// Byte range in the text.
    pub span: Range<usize>,
    /// What is wrong, without position.
    pub message: String,
    /// A name that exists and resembles the unknown one.
    pub suggestion: Option<String>,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.span.start, self.message)?;
        match &self.suggestion {
            Some(name) => write!(f, "; did you mean {name:?}?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for TemplateError {}

/// A compiled template.
#[derive(Clone, Debug)]
pub struct Template {
    text: Box<str>,
    steps: Box<[Step]>,
}

/// One piece of a template. With a tag of its own: it is read for every piece of every line.
#[derive(Clone, Debug, PartialEq)]
#[repr(u8)]
pub enum Step {
    /// Written as it is.
    Literal(Box<[u8]>),
    /// A variable; the name is kept for messages.
    Variable {
        /// As in the text.
        name: Box<str>,
        /// As resolved.
        var: VarRef,
    },
    /// A function of its arguments, each one a step.
    Function {
        /// What is called.
        func: Function,
        /// In order.
        args: Box<[Self]>,
    },
}

/// What a function step calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// One of the host's own.
    Builtin(Builtin),
    /// One that the resolver knows.
    Provided(FuncRef),
}

impl Template {
    /// Compiles `text`. All unknown names and wrong argument counts are reported together; a syntax error ends the list.
    pub fn compile(text: &str, resolver: &dyn Resolver) -> Result<Self, Vec<TemplateError>> {
        let steps = parse::parse(text, resolver)?;
        Ok(Self { text: text.into(), steps: steps.into() })
    }

    /// A template that renders `text` literally, `${` included.
    pub fn literal(text: &str) -> Self {
        let steps = if text.is_empty() { Vec::new() } else { vec![Step::Literal(text.as_bytes().into())] };
        Self { text: text.replace("${", "$${").into(), steps: steps.into() }
    }

    /// Appends the value to `out` as it is. Allocates nothing but `out`'s growth, which covers the arguments of
    /// functions while they run.
    pub fn render<V: Values + ?Sized>(&self, values: &V, out: &mut Vec<u8>, absent: Absent) {
        self.render_escaped(values, out, absent, Escape::None);
    }

    /// As [`Template::render`], with every value (not the literals, not the arguments of functions) escaped.
    pub fn render_escaped<V: Values + ?Sized>(&self, values: &V, out: &mut Vec<u8>, absent: Absent, escape: Escape) {
        for step in &self.steps {
            let start = out.len();
            let written = match step {
                Step::Literal(text) => {
                    match **text {
                        // Between two values there is mostly one space.
                        [byte] => out.push(byte),
                        _ => out.extend_from_slice(text),
                    }
                    continue;
                }
                Step::Variable { var, .. } => values.write(*var, out),
                Step::Function { .. } => write_step(step, values, out),
            };
            match written {
                Some(Written::Plain) => debug_assert!(all_plain(&out[start..]), "step {step:?} is not plain"),
                Some(Written::Any) => escape_tail(out, start, escape),
                None => {
                    out.truncate(start);
                    if absent == Absent::Dash {
                        out.push(b'-');
                    }
                }
            }
        }
    }

    /// Appends the value as it is, what is absent as nothing. None: it is one variable or function, and that has no value.
    pub fn render_value<V: Values + ?Sized>(&self, values: &V, out: &mut Vec<u8>) -> Option<Written> {
        let start = out.len();
        match &*self.steps {
            [Step::Variable { var, .. }] => {
                let written = values.write(*var, out);
                if written.is_none() {
                    out.truncate(start);
                }
                written
            }
            [step @ Step::Function { .. }] => write_step(step, values, out),
            _ => {
                self.render(values, out, Absent::Empty);
                Some(Written::Any)
            }
        }
    }

    /// The text that was compiled.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The compiled steps.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The value, when it depends on no variable and no function.
    pub fn as_literal(&self) -> Option<&[u8]> {
        match &*self.steps {
            [] => Some(b""),
            [Step::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// The variable, when the template is one variable and nothing else.
    pub fn as_variable(&self) -> Option<VarRef> {
        match &*self.steps {
            [Step::Variable { var, .. }] => Some(*var),
            _ => None,
        }
    }

    /// Calls `each` with every variable that the template reads, in the order of the text, repeats included.
    pub fn for_each_variable(&self, mut each: impl FnMut(&str, VarRef)) {
        fn walk(steps: &[Step], each: &mut dyn FnMut(&str, VarRef)) {
            for step in steps {
                match step {
                    Step::Literal(_) => {}
                    Step::Variable { name, var } => each(name, *var),
                    Step::Function { args, .. } => walk(args, each),
                }
            }
        }
        walk(&self.steps, &mut each);
    }
}

/// Two templates that render the same for every source.
impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.steps == other.steps
    }
}

/// Appends the step's value. None: absent, and `out` is as it was.
fn write_step<V: Values + ?Sized>(step: &Step, values: &V, out: &mut Vec<u8>) -> Option<Written> {
    let start = out.len();
    let written = match step {
        Step::Literal(text) => {
            out.extend_from_slice(text);
            Some(Written::Any)
        }
        Step::Variable { var, .. } => values.write(*var, out),
        Step::Function { func, args } => {
            let mut call = Call::new(out);
            for arg in args {
                call.add_argument(|out| write_step(arg, values, out).is_some());
            }
            let present = match func {
                Function::Builtin(builtin) => builtin.call(&mut call),
                Function::Provided(func) => values.call(*func, &mut call),
            };
            (call.finish() && present).then_some(Written::Any)
        }
    };
    if written.is_none() {
        out.truncate(start);
    }
    written
}
