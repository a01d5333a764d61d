//! Variables and functions of templates: the traits that their authors write, and what of `Registry` takes them.

use super::{Module, Registry, Session};
use crate::abi::{
    bytes::{Sink, Slice, Str},
    module::{FunctionPoint, Place, VariablePoint},
    session::SessionShared,
    task::guard,
};
use std::ops::RangeInclusive;

/// A variable or a family of them.
pub trait Variable<M: Module> {
    /// Name, or what a family's names begin with.
    const NAME: &'static str;
    /// One line of documentation.
    const DOC: &'static str;
    /// Whether it is a family.
    const PREFIX: bool = false;
    /// Writes the value; false: it has none.
    fn write(session: &Session<M>, rest: &str, out: &mut Sink<'_>) -> bool;
}

/// A function for templates.
pub trait Function {
    /// Name.
    const NAME: &'static str;
    /// One line of documentation.
    const DOC: &'static str;
    /// Numbers of arguments that it takes: `1..=1`, or `1..=3` where some may be left out.
    const ARITY: RangeInclusive<u8>;
    /// Writes the result; false: it has none. `args` are as many as the template has.
    fn call(args: &[Str<'_>], out: &mut Sink<'_>) -> bool;
}

impl<M: Module> Registry<M> {
    /// A variable.
    pub fn variable<V: Variable<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn write<M: Module, V: Variable<M>>(
            p: Place,
            s: *const SessionShared,
            rest: Str<'_>,
            out: *mut Sink<'_>,
        ) -> bool {
            // SAFETY: see `Registry::listener`; the sink is lent for the call.
            guard(|| unsafe { V::write(&Session::lent(s, p), rest.as_str(), &mut *out) }).unwrap_or(false)
        }
        self.variables.push(VariablePoint {
            name: Str::new(V::NAME),
            doc: Str::new(V::DOC),
            prefix: V::PREFIX,
            write: write::<M, V>,
        });
        self
    }

    /// A function for templates.
    pub fn function<F: Function>(&mut self) -> &mut Self {
        unsafe extern "C" fn call<F: Function>(args: Slice<'_, Str<'_>>, out: *mut Sink<'_>) -> bool {
            // SAFETY: lent for the call.
            guard(|| F::call(args.as_slice(), unsafe { &mut *out })).unwrap_or(false)
        }
        self.functions.push(FunctionPoint {
            name: Str::new(F::NAME),
            doc: Str::new(F::DOC),
            arity_min: *F::ARITY.start(),
            arity_max: *F::ARITY.end(),
            call: call::<F>,
        });
        self
    }
}
