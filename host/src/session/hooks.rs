//! Hooks of modules in a session: asked in the order that they state themselves, of which most answer at once.

use super::{Ended, Session, life::Later};
use crate::{
    config::tree::ScopeId,
    services::{
        current::{Current, enter},
        points,
    },
};
use anyproxy_module_api::abi::{
    module::{HookPoint, Phase, Verdict},
    session::{Cause, CloseReason, Stage, Who},
    task::LocalFuture,
};
use std::rc::Rc;

const DENIED: CloseReason = CloseReason::new(Who::Proxy, Stage::Access, Cause::Denied);

impl Session {
    /// Of [`Session::first_to_ask`]: every hook answered at once.
    pub const NOBODY: usize = usize::MAX;

    /// Asks the hooks of a phase as far as they answer at once: the first that wants to wait, [`Session::NOBODY`], or `None`:
    /// one denies.
    pub fn first_to_ask(&self, phase: Phase) -> Option<usize> {
        for (n, (module, hook)) in self.worker.cycle.hooks(phase, self.scope.get()).iter().enumerate() {
            match self.check(*module, hook) {
                Verdict::Pass => {}
                Verdict::Deny => return None,
                Verdict::Ask => return Some(n),
            }
        }
        Some(Self::NOBODY)
    }

    /// Asks the hooks of a phase, of which most answer at once; the rest is what one of them wants to wait for.
    pub(super) fn hooks(self: &Rc<Self>, phase: Phase) -> Ended<Option<Later<'_, ()>>> {
        let scope = self.scope.get();
        match self.first_to_ask(phase) {
            None => Err(DENIED),
            Some(Self::NOBODY) => Ok(None),
            Some(n) => Ok(Some(Box::pin(self.hooks_from(phase, scope, n)))),
        }
    }

    /// The hooks of a block from the n-th, which was asked and wants to wait.
    pub(crate) async fn hooks_from(self: &Rc<Self>, phase: Phase, scope: ScopeId, n: usize) -> Ended<()> {
        for (m, (module, hook)) in self.worker.cycle.hooks(phase, scope).iter().enumerate().skip(n) {
            let verdict = if m == n { Verdict::Ask } else { self.check(*module, hook) };
            let passes = match verdict {
                Verdict::Pass => true,
                Verdict::Deny => false,
                Verdict::Ask => match self.asked(*module, hook) {
                    Some(future) => self.run_plain(*module, future).await?,
                    None => false,
                },
            };
            if !passes {
                return Err(DENIED);
            }
        }
        Ok(())
    }

    /// Tells the hooks of logs, once it is over.
    pub(super) fn log_hooks(&self) {
        for (module, hook) in self.worker.cycle.hooks(Phase::Log, self.scope.get()) {
            self.check(*module, hook);
        }
    }

    fn check(&self, module: u16, hook: &HookPoint) -> Verdict {
        let place = self.worker.place(module, self.worker.cycle.conf(self.scope.get(), module));
        let _who = enter(Current::in_session(self, module));
        points::check(hook, place, self)
    }

    fn asked(self: &Rc<Self>, module: u16, hook: &HookPoint) -> Option<LocalFuture<bool>> {
        let place = self.worker.place(module, self.worker.cycle.conf(self.scope.get(), module));
        let _who = enter(Current::in_session(self, module));
        points::run_hook(hook, place, self)
    }
}
