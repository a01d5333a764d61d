//! A session as a test makes it.

use super::FakeHost;
use crate::{Addr, CloseReason, SessionShared, abi::fake::SessionObject};
use std::{net::SocketAddr, ops::Deref, rc::Rc};

/// A session of the test: its open fields by `Deref`. It ends when this and every hold of the module are gone.
#[derive(Clone)]
pub struct FakeSession(pub(crate) Rc<SessionObject>);

impl std::fmt::Debug for FakeSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FakeSession({})", self.id)
    }
}

impl Deref for FakeSession {
    type Target = SessionShared;
    fn deref(&self) -> &SessionShared {
        &self.0.shared
    }
}

impl FakeHost {
    /// A session of client `192.0.2.1:40000`, accepted on `203.0.113.1:80`.
    pub fn session(&self) -> FakeSession {
        self.session_of(SocketAddr::from(([192, 0, 2, 1], 40_000)), SocketAddr::from(([203, 0, 113, 1], 80)))
    }

    /// A session of `client`, accepted on `local`.
    pub fn session_of(&self, client: impl Into<Addr>, local: impl Into<Addr>) -> FakeSession {
        FakeSession(SessionObject::new(client.into(), local.into()))
    }
}

impl FakeSession {
    /// The domain asked for; empty: none.
    pub fn domain(&self) -> String {
        self.0.domain().to_owned()
    }

    /// Sets the domain asked for.
    pub fn set_domain(&self, domain: &str) {
        self.0.set_domain(domain);
    }

    /// The request id, as the module sees it.
    pub fn request_id(&self) -> String {
        self.0.request_id().to_owned()
    }

    /// What the module said that a named group matched.
    pub fn capture(&self, name: &str) -> Option<Vec<u8>> {
        self.0.captures.borrow().get(name).cloned()
    }

    /// The stages that the module noted, in order.
    pub fn stages(&self) -> Vec<String> {
        self.0.stages.borrow().clone()
    }

    /// `client_transfer_done`: why it ended, as the module said; `-`: it did not say.
    pub fn closed(&self) -> String {
        CloseReason::name(self.close_reason.get())
    }

    /// Holds that the module has on the session.
    pub fn holds(&self) -> usize {
        self.0.module_holds()
    }

    /// Its generation is retired, as by a reload.
    pub fn retire(&self) {
        self.draining.set(1);
        self.0.wake();
    }

    /// Asks the session to end now, as an operator does.
    pub fn kill_now(&self) {
        self.kill.set(1);
        self.0.wake();
    }
}
