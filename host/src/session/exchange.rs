//! One exchange of a session that carries many: one request and its answer.

use super::{NOT_CHOSEN, Session};
use crate::{
    cycle::access_log,
    process::process,
    services::{
        current::{Current, enter},
        instance,
        session::Slots,
        timers,
    },
};
use anyproxy_module_api::abi::{
    module::{Phase, Verdict},
    session::{Cause, CloseReason, SessionShared, Stage, Who},
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
};

impl Session {
    /// Of [`Session::first_to_ask`]: every hook answered at once.
    pub const NOBODY: usize = usize::MAX;

    /// Whether its server's handler takes it as a whole, and chooses locals for each exchange.
    pub(super) fn has_exchanges(&self) -> bool {
        self.user().is_some_and(|u| u.server.exchanges.is_some())
    }

    /// An exchange of `of`, in its server until it chooses. Mostly an earlier one that is over.
    pub fn exchange(of: &Rc<Self>) -> Rc<Self> {
        of.exchanged.set(true);
        let worker = &of.worker;
        worker.held.set(worker.held.get() + 1);
        let shared = SessionShared {
            id: process().session_id(),
            started_ms: timers::now_ms(),
            deadline_ms: Cell::new(0),
            client_received: Cell::new(0),
            client_sent: Cell::new(0),
            upstream_received: Cell::new(0),
            upstream_sent: Cell::new(0),
            close_reason: Cell::new(0),
            status: Cell::new(0),
            fired: Cell::new(0),
            kill: Cell::new(0),
            draining: Cell::new(0),
            idle: Cell::new(0),
            reserved: [0; 4],
            client: Cell::new(of.shared.client.get()),
            remote: of.shared.remote,
            local: of.shared.local,
        };
        if let Some(mut spare) = worker.spare_exchange()
            && let Some(this) = Rc::get_mut(&mut spare)
        {
            this.shared = shared;
            if !Rc::ptr_eq(&this.listener, &of.listener) {
                this.listener = Rc::clone(&of.listener);
            }
            this.scope.set(of.scope.get());
            this.user.set(of.user.get());
            this.local.set(NOT_CHOSEN);
            this.started = timers::now();
            this.of = Some(Rc::clone(of));
            this.parked.set(false);
            return spare;
        }
        Rc::new(Self {
            shared,
            worker: Rc::clone(worker),
            listener: Rc::clone(&of.listener),
            scope: Cell::new(of.scope.get()),
            user: Cell::new(of.user.get()),
            local: Cell::new(NOT_CHOSEN),
            texts: OnceCell::new(),
            slots: Slots::default(),
            lease: RefCell::default(),
            waker: RefCell::default(),
            started: timers::now(),
            counted_client: Cell::new(false),
            of: Some(Rc::clone(of)),
            exchanged: Cell::new(false),
            parked: Cell::new(false),
        })
    }

    /// It is over: its memory is for the next one, if nobody else holds it.
    pub fn park(mut self: Rc<Self>) {
        let Some(this) = Rc::get_mut(&mut self) else { return };
        this.of = None;
        this.waker.take();
        this.lease.take();
        if let Some(texts) = this.texts.get_mut() {
            texts.domain.get_mut().clear();
            texts.request_id.get_mut().clear();
            texts.replaced.get_mut().clear();
            texts.captures.take();
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

    /// Asks the hooks of a phase as far as they answer at once: the first that wants to wait, [`Session::NOBODY`], or `None`:
    /// one denies.
    pub fn first_to_ask(self: &Rc<Self>, phase: Phase) -> Option<usize> {
        for (n, (module, hook)) in self.worker.cycle.hooks(phase).iter().enumerate() {
            match self.check(*module, hook) {
                Verdict::Pass => {}
                Verdict::Deny => return None,
                Verdict::Ask => return Some(n),
            }
        }
        Some(Self::NOBODY)
    }

    /// Its books: it is logged, and what it moved is its session's.
    pub fn end_exchange(&self) {
        self.close(CloseReason::new(Who::Client, Stage::Transfer, Cause::Done));
        let cycle = &self.worker.cycle;
        for (module, hook) in cycle.hooks(Phase::Log) {
            let place = self.worker.place(*module, cycle.conf(self.scope.get(), *module));
            let _who = enter(Current::in_session(self, *module));
            instance::check(hook, place, self);
        }
        access_log::write(self, false);
        if let Some(of) = &self.of {
            let add = |to: &Cell<u64>, n: &Cell<u64>| to.set(to.get() + n.get());
            add(&of.shared.client_received, &self.shared.client_received);
            add(&of.shared.client_sent, &self.shared.client_sent);
            add(&of.shared.upstream_received, &self.shared.upstream_received);
            add(&of.shared.upstream_sent, &self.shared.upstream_sent);
        }
        self.slots.clear(self);
    }
}
