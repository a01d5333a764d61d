//! Which server of the listener has a session, and which of its locals.

use super::{Ended, Session};
use crate::{
    cycle::listener::{ServerPlan, User},
    matcher::CaptureValues,
    template::Absent,
};
use anyproxy_module_api::abi::{
    bytes::Str,
    session::{Cause, CloseReason, Stage, Who},
};

impl Session {
    /// `named_by`: the preread that has found the domain, or the handler that reads for itself.
    pub(super) fn choose_server(&self, named_by: Option<Str<'static>>) -> Ended<()> {
        let user = if self.listener.by_domain {
            let texts = self.texts();
            let domain = texts.domain.borrow();
            let user = self.listener.user_of(domain.as_bytes(), &mut texts.captures.borrow_mut());
            // First bytes that name no domain may be of a protocol whose requests do, each for itself. Where they name one
            // that nobody has, whoever reads that protocol says so as it does of the requests behind the first.
            let reads = |handler: &str| domain.is_empty() || named_by.is_some_and(|name| name.as_str() == handler);
            let handler = |u: &User| u.server.exchanges.as_ref().is_some_and(|(_, point)| reads(point.name.as_str()));
            user.or_else(|| self.listener.users.iter().position(handler))
        } else {
            Some(0)
        };
        let user = user.ok_or(CloseReason::new(Who::Client, Stage::Route, Cause::NoRoute))?;
        self.user.set(user as u32);
        self.listener.users[user].server.stats.begin();
        self.scope.set(self.listener.users[user].server.scope);
        Ok(())
    }

    /// Chooses the local by its rules; its index in the server.
    pub fn choose_local(&self) -> Option<usize> {
        let server = &self.user()?.server;
        let local = server.rules.only().or_else(|| self.local_by_rules(server))?;
        self.local.set(local as u32);
        self.scope.set(server.locals[local].scope);
        Some(local)
    }

    fn local_by_rules(&self, server: &ServerPlan) -> Option<usize> {
        let scratch = &mut *self.worker.scratch.borrow_mut();
        // A copy: inputs may read what earlier matches captured.
        let mut captures = match server.rules.captures() {
            true => self.peek(|t| t.captures.borrow().clone()),
            false => CaptureValues::new(),
        };
        let local = server.rules.choose(scratch, &mut captures, |input, out| {
            let template = server.rule_inputs[input];
            self.worker.cycle.templates[template as usize].render(self, out, Absent::Empty);
            true
        })?;
        if !captures.is_empty() {
            self.texts().captures.replace(captures);
        }
        Some(local)
    }
}
