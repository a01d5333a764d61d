//! Actions of the control socket, and the module's status: the trait that their author writes, and what of `Registry` takes it.

use super::{Module, Registry};
use crate::abi::{
    bytes::{Sink, Str},
    module::ActionPoint,
    task::guard,
};
use std::fmt::Write;

/// An action of the control socket; with an empty name the module's entry in status.
pub trait Action<M: Module> {
    /// Name.
    const NAME: &'static str;
    /// One line of documentation.
    const DOC: &'static str;
    /// Takes and gives JSON text.
    ///
    /// # Errors
    /// What is shown to whoever asked.
    fn run(module: &M, args: &str) -> Result<String, String>;
}

impl<M: Module> Registry<M> {
    /// An action or the module's status.
    pub fn action<A: Action<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn run<M: Module, A: Action<M>>(inst: *const (), args: Str<'_>, out: *mut Sink<'_>) -> bool {
            // SAFETY: this module's instance; the sink is lent for the call.
            let (m, out) = unsafe { (&*inst.cast::<M>(), &mut *out) };
            let r = guard(|| A::run(m, args.as_str())).unwrap_or_else(|| Err("the module panicked".to_owned()));
            let ok = r.is_ok();
            // Writing to the host's sink does not fail.
            let _ = out.write_str(&r.unwrap_or_else(|e| e));
            ok
        }
        self.actions.push(ActionPoint { name: Str::new(A::NAME), doc: Str::new(A::DOC), run: run::<M, A> });
        self
    }
}
