//! One exchange of a session that carries many: one request and its answer.

use super::{NOT_CHOSEN, Session};
use crate::{
    cycle::{access_log, listener::Listener},
    process::process,
    services::timers,
};
use anyproxy_module_api::abi::{
    bytes::Str,
    session::{Cause, CloseReason, Stage, Who},
};
use std::{cell::Cell, rc::Rc};

impl Session {
    /// The connection's session, where this is an exchange.
    pub fn connection(&self) -> Option<&Rc<Self>> {
        self.of.as_ref()
    }

    /// Whether exchanges are logged in its place.
    pub fn is_logged_by_exchange(&self) -> bool {
        self.exchanged.get() || self.of.is_none() && self.has_exchanges()
    }

    /// Whether its server's handler takes it as a whole, and chooses locals for each exchange.
    pub(super) fn has_exchanges(&self) -> bool {
        self.user().is_some_and(|u| u.server.exchanges.is_some())
    }

    /// An exchange of `of`, in its server until it chooses. Mostly an earlier one that is over.
    pub fn exchange(of: &Rc<Self>) -> Rc<Self> {
        of.exchanged.set(true);
        let mut this = match of.worker.spare_exchange() {
            Some(mut spare) => {
                if let Some(this) = Rc::get_mut(&mut spare) {
                    of.worker.held.set(of.worker.held.get() + 1);
                    this.begin_again(&of.listener);
                }
                spare
            }
            None => Self::new(&of.worker, &of.listener, of.shared.remote, of.shared.local),
        };
        this.shared.client.set(of.shared.client.get());
        this.scope.set(of.scope.get());
        this.user.set(of.user.get());
        if let Some(this) = Rc::get_mut(&mut this) {
            this.shared.remote = of.shared.remote;
            this.shared.local = of.shared.local;
            this.of = Some(Rc::clone(of));
        }
        this.key.set(this.worker.enter_exchange(&this));
        this
    }

    /// One that was parked is another.
    fn begin_again(&mut self, listener: &Rc<Listener>) {
        let shared = &mut self.shared;
        shared.id = process().session_id();
        shared.started_ms = timers::now_ms();
        for n in [&shared.client_received, &shared.client_sent, &shared.upstream_received, &shared.upstream_sent] {
            n.set(0);
        }
        shared.deadline_ms.set(0);
        shared.close_reason.set(0);
        shared.status.set(0);
        shared.fired.set(0);
        shared.kill.set(0);
        shared.draining.set(0);
        shared.idle.set(0);
        if !Rc::ptr_eq(&self.listener, listener) {
            self.listener = Rc::clone(listener);
        }
        self.local.set(NOT_CHOSEN);
        self.started = timers::now_ns();
        self.parked.set(false);
    }

    /// It is over: its memory is for the next one, if nobody else holds it.
    pub fn park(mut self: Rc<Self>) {
        let Some(this) = Rc::get_mut(&mut self) else { return };
        this.slots.clear(&this.worker);
        this.of = None;
        this.waker.take();
        this.lease.get_mut().forget();
        if let Some(texts) = this.texts.get_mut() {
            texts.domain.get_mut().clear();
            texts.request_id.get_mut().clear();
            texts.replaced.get_mut().clear();
            if !texts.captures.get_mut().is_empty() {
                texts.captures.take();
            }
            texts.stages.get_mut().clear();
        }
        let worker = Rc::clone(&this.worker);
        if worker.keeps_exchanges() {
            worker.held.set(worker.held.get().saturating_sub(1));
            this.parked.set(true);
            worker.keep_exchange(self);
        }
    }

    /// Chooses an exchange's server and local. `None`: no server with its session's handler has the domain; `Some(None)`: no
    /// local takes it.
    pub fn choose_again(&self) -> Option<Option<usize>> {
        let of = self.of.as_ref()?;
        if self.listener.by_domain {
            let texts = self.texts();
            let user = self.listener.user_of(texts.domain.borrow().as_bytes(), &mut texts.captures.borrow_mut())?;
            let handler = |user: usize| {
                let (module, point) = self.listener.users.get(user)?.server.exchanges.as_ref()?;
                Some((*module, point.name.as_str()))
            };
            // One that passes connections through, or speaks another protocol, has no part in this one.
            if handler(user)? != handler(of.user.get() as usize)? {
                return None;
            }
            self.user.set(user as u32);
            self.scope.set(self.listener.users[user].server.scope);
        }
        Some(self.choose_local())
    }

    /// Its books: it is logged, and what it moved is its session's.
    pub fn end_exchange(&self) {
        self.close(CloseReason::new(Who::Client, Stage::Transfer, Cause::Done));
        self.stage(Str::new("end"));
        self.log_hooks();
        access_log::write(self, false);
        self.count_in_local();
        if let Some(of) = &self.of {
            let add = |to: &Cell<u64>, n: &Cell<u64>| to.set(to.get() + n.get());
            add(&of.shared.client_received, &self.shared.client_received);
            add(&of.shared.client_sent, &self.shared.client_sent);
            add(&of.shared.upstream_received, &self.shared.upstream_received);
            add(&of.shared.upstream_sent, &self.shared.upstream_sent);
        }
        self.worker.leave_exchange(self.key.replace(u32::MAX));
    }
}
