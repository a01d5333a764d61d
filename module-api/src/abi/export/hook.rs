//! Hooks: steps in a phase: the trait that their author writes, and what of `Registry` takes it.

use super::{At, Module, Registry, Session};
use crate::abi::{
    bytes::{Slice, Str},
    module::{HookPoint, Phase, Place, Verdict},
    session::SessionShared,
    task::{LocalFuture, guard},
};
use std::future::Future;

/// A step in a phase.
pub trait Hook<M: Module> {
    /// `module.name`.
    const NAME: &'static str;
    /// The phase.
    const PHASE: Phase;
    /// Runs before these.
    const BEFORE: &'static [Str<'static>] = &[];
    /// Runs after these.
    const AFTER: &'static [Str<'static>] = &[];
    /// Whether it has anything to do in this block: where not, it costs no session anything. Asked once for each block of a
    /// configuration, where there is no worker yet.
    fn applies(_at: At<'_, M>) -> bool {
        true
    }
    /// Decides at once, or asks for `run`.
    fn check(at: At<'_, M>, session: &Session<M>) -> Verdict;
    /// Decides in its own time. True: pass.
    fn run(_session: Session<M>) -> impl Future<Output = bool> + 'static {
        async { true }
    }
}

impl<M: Module> Registry<M> {
    /// A hook.
    pub fn hook<H: Hook<M>>(&mut self) -> &mut Self {
        unsafe extern "C" fn applies<M: Module, H: Hook<M>>(p: Place) -> bool {
            // SAFETY: see `Registry::listener`. A hook that panics is asked: it may guard something.
            guard(|| unsafe { H::applies(At::new(p)) }).unwrap_or(true)
        }
        unsafe extern "C" fn check<M: Module, H: Hook<M>>(p: Place, s: *const SessionShared) -> Verdict {
            // SAFETY: see `Registry::listener`. A hook that panics closes: it may guard something.
            guard(|| unsafe { H::check(At::new(p), &Session::lent(s, p)) }).unwrap_or(Verdict::Deny)
        }
        unsafe extern "C" fn run<M: Module, H: Hook<M>>(p: Place, s: *const SessionShared) -> LocalFuture<bool> {
            // SAFETY: see `Registry::listener`.
            guard(|| LocalFuture::new(H::run(unsafe { Session::new(s, p) })))
                .unwrap_or_else(|| LocalFuture::new(std::future::ready(false)))
        }
        self.hooks.push(HookPoint {
            name: Str::new(H::NAME),
            phase: H::PHASE,
            before: Slice::new(H::BEFORE),
            after: Slice::new(H::AFTER),
            applies: applies::<M, H>,
            check: check::<M, H>,
            run: Some(run::<M, H>),
        });
        self
    }
}
