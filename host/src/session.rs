//! One accepted connection: what the host knows of it. Its life from accept to access log is `life`; each other part of it
//! has a file of its own.

mod exchange;
mod hooks;
mod life;
mod preread;
mod route;
mod running;
mod texts;

pub use life::{renew, start};
pub use running::cause_of;
pub use texts::Texts;

use crate::{
    config::tree::ScopeId,
    cycle::listener::{Listener, User},
    process::process,
    services::{session::Slots, timers},
    template::Absent,
    upstream::{lease::LeaseNote, pool::Pool},
    worker::generation::WorkerGen,
};
use anyproxy_module_api::abi::{
    net::Addr,
    session::{Cause, CloseReason, SessionShared, Stage, Who},
};
use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
    sync::Arc,
    task::Waker,
    time::Duration,
};

/// No server or local yet.
const NOT_CHOSEN: u32 = u32::MAX;

/// One accepted connection. Lives on one worker.
#[repr(C)]
pub struct Session {
    /// The part open to modules; first, so that its pointer is the session's.
    pub shared: SessionShared,
    /// The generation it belongs to.
    pub worker: Rc<WorkerGen>,
    /// The listener that accepted it.
    pub listener: Rc<Listener>,
    /// The block it is in now: the listener's first, then its server's, then its local's.
    pub scope: Cell<ScopeId>,
    /// Index of its server among the listener's users, and of its local in the server; [`NOT_CHOSEN`] until then.
    user: Cell<u32>,
    local: Cell<u32>,
    /// What few sessions have.
    texts: OnceCell<Box<Texts>>,
    /// What modules keep.
    pub slots: Slots,
    /// The peer in use, for logs.
    pub lease: RefCell<LeaseNote>,
    /// Wakes the session's task: deadline, kill.
    waker: RefCell<Option<Waker>>,
    /// By the loop's clock, nanoseconds.
    started: u64,
    counted_client: Cell<bool>,
    /// The session that an exchange is of.
    of: Option<Rc<Self>>,
    /// An exchange's key among those under way.
    key: Cell<u32>,
    /// It had exchanges, which have lines of their own in the access log.
    exchanged: Cell<bool>,
    /// An exchange that is over, and waits to be another.
    parked: Cell<bool>,
}

impl Drop for Session {
    fn drop(&mut self) {
        // Not when it is over: until now a module may have looked at what it keeps here.
        self.slots.clear(&self.worker);
        if !self.parked.get() {
            let held = &self.worker.held;
            held.set(held.get().saturating_sub(1));
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({} {})", self.shared.id, self.shared.remote)
    }
}

/// Why the life of a session ended early.
type Ended<T> = Result<T, CloseReason>;

impl Session {
    fn new(generation: &Rc<WorkerGen>, listener: &Rc<Listener>, remote: Addr, local: Addr) -> Rc<Self> {
        generation.held.set(generation.held.get() + 1);
        Rc::new(Self {
            shared: SessionShared {
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
                client: Cell::new(remote),
                remote,
                local,
            },
            worker: Rc::clone(generation),
            listener: Rc::clone(listener),
            scope: Cell::new(listener.early_scope),
            user: Cell::new(NOT_CHOSEN),
            local: Cell::new(NOT_CHOSEN),
            texts: OnceCell::new(),
            slots: Slots::default(),
            lease: RefCell::default(),
            waker: RefCell::default(),
            started: timers::now_ns(),
            counted_client: Cell::new(false),
            of: None,
            key: Cell::new(u32::MAX),
            exchanged: Cell::new(false),
            parked: Cell::new(false),
        })
    }

    /// The pointer that modules hold.
    pub fn shared_ptr(&self) -> *const SessionShared {
        &raw const self.shared
    }

    /// Notes why it ended; the first reason counts.
    pub fn close(&self, reason: CloseReason) {
        if self.shared.close_reason.get() == 0 {
            self.shared.close_reason.set(reason.code());
        }
    }

    /// Ends it from outside, by this proxy: at its next poll the handler sees `kill`, and a grace later the task is dropped. An
    /// exchange has no task that is known here: its connection's looks at it.
    pub fn kill(&self, cause: Cause) {
        let connects = self.lease.try_borrow().is_ok_and(|note| note.connects());
        let stage = if connects { Stage::Connect } else { Stage::Transfer };
        self.close(CloseReason::new(Who::Proxy, stage, cause));
        self.shared.kill.set(1);
        if let Some(of) = &self.of {
            of.shared.fired.set(1);
            of.wake();
        }
        self.wake();
    }

    /// Wakes its task.
    pub fn wake(&self) {
        if let Some(w) = &*self.waker.borrow() {
            w.wake_by_ref();
        }
    }

    /// Time since it began.
    pub fn age(&self) -> Duration {
        Duration::from_nanos(self.age_ns())
    }

    /// The same in nanoseconds.
    pub fn age_ns(&self) -> u64 {
        timers::now_ns().saturating_sub(self.started)
    }

    /// Renders a template of the configuration.
    pub fn render(&self, template: u32, absent: bool, out: &mut Vec<u8>) -> bool {
        let Some(t) = self.worker.cycle.templates.get(template as usize) else { return false };
        t.render(self, out, if absent { Absent::Dash } else { Absent::Empty });
        true
    }

    /// Writes a variable by name.
    pub fn variable(&self, name: &str, out: &mut Vec<u8>) -> bool {
        self.worker.cycle.vars.write_by_name(self, name, out)
    }

    /// The upstream of its local.
    pub fn pool(&self) -> Option<&Arc<Pool>> {
        let local = self.user()?.server.locals.get(self.local.get() as usize)?;
        local.pool.map(|n| &self.worker.cycle.pools[n])
    }

    /// The listener's user that is its server.
    pub fn user(&self) -> Option<&User> {
        self.listener.users.get(self.user.get() as usize)
    }
}
