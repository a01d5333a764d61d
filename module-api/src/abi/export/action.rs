//! Actions of the control socket, and the module's status: the trait that their author writes, and what of `Registry` takes it.

use super::{Module, Registry};
use crate::abi::{
    bytes::{Buf, Sink, Str},
    error::{Error, ErrorKind, Outcome},
    module::ActionPoint,
    task::{SendFuture, guard},
};
use std::{fmt::Write, future::Future};

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

/// An action of the control socket that answers later: what asks the workers first ([`post`](crate::post)), reads a file, or waits
/// for a job. It runs on the process's loop, as [`spawn_process`](crate::spawn_process) does, and other requests are answered
/// meanwhile. It ends unanswered with its generation.
pub trait ActionLater<M: Module> {
    /// Name, not empty.
    const NAME: &'static str;
    /// One line of documentation.
    const DOC: &'static str;
    /// Takes and gives JSON text.
    ///
    /// # Errors
    /// What is shown to whoever asked.
    fn run(module: &M, args: String) -> impl Future<Output = Result<String, String>>;
}

impl<M: Module> Registry<M> {
    /// An action that answers later.
    pub fn action_later<A: ActionLater<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn run(_: *const (), _: Str<'_>, out: *mut Sink<'_>) -> bool {
            // SAFETY: lent for the call. Writing to the host's sink does not fail.
            let _ = unsafe { &mut *out }.write_str("it answers later");
            false
        }
        unsafe extern "C" fn later<M: Module, A: ActionLater<M>>(
            inst: *const (),
            args: Str<'_>,
        ) -> SendFuture<Outcome<Buf>> {
            // SAFETY: this module's instance, there until the future is dropped.
            let module: &'static M = unsafe { &*inst.cast() };
            let args = args.as_str().to_owned();
            let make = move || async move {
                let answer = A::run(module, args).await;
                answer.map(|text| Buf::from(text.into_bytes())).map_err(|e| Error::new(ErrorKind::Other, e)).into()
            };
            // SAFETY: polled and dropped by the process's loop, one thread.
            unsafe { SendFuture::made_there(make) }
        }
        self.actions.push(ActionPoint {
            name: Str::new(A::NAME),
            doc: Str::new(A::DOC),
            run,
            later: Some(later::<M, A>),
        });
        self
    }

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
        self.actions.push(ActionPoint {
            name: Str::new(A::NAME),
            doc: Str::new(A::DOC),
            run: run::<M, A>,
            later: None,
        });
        self
    }
}
