//! One exchange of a session that carries many, as a module sees it.

use super::{Module, Session};
use crate::abi::{module::Verdict, services::host, task::LocalFuture};
use std::{mem::ManuallyDrop, ops::Deref};

/// One request and its answer: a session of its own within one that carries many. Dropping it ends it: it is logged, and
/// its bytes are counted as its session's.
#[derive(Debug)]
pub struct Exchange<M: Module> {
    /// Its reference is given back by `exchange_end`: the last one's memory is used again.
    pub(super) session: ManuallyDrop<Session<M>>,
}

impl<M: Module> Exchange<M> {
    /// Chooses the server, by the domain that was set, and the local, by its rules.
    pub fn choose(&self) -> Routed {
        // SAFETY: a retained exchange.
        match unsafe { (self.vt().exchange_route)(self.raw) } {
            -1 => Routed::NoLocal,
            n => u32::try_from(n).map_or(Routed::NoServer, Routed::Local),
        }
    }

    /// Whether the hooks of `Phase::Routed` let it pass, once its local was chosen.
    pub async fn is_allowed(&self) -> bool {
        match self.ask_hooks() {
            Asked::Answered(passes) => passes,
            Asked::Later(answer) => answer.await,
        }
    }

    /// The same without waiting, where they answer at once, as most do.
    pub fn ask_hooks(&self) -> Asked {
        let mut later = std::mem::MaybeUninit::uninit();
        // SAFETY: a retained exchange; the future is written where the verdict is to ask it.
        match unsafe { (self.vt().exchange_hooks)(self.raw, later.as_mut_ptr()) } {
            Verdict::Pass => Asked::Answered(true),
            Verdict::Deny => Asked::Answered(false),
            // SAFETY: as above.
            Verdict::Ask => Asked::Later(unsafe { later.assume_init() }),
        }
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routed {
    /// To this local, by its number in the server.
    Local(u32),
    /// No local of the server takes it.
    NoLocal,
    /// No server that this handler serves has its domain.
    NoServer,
}

/// What hooks say of an exchange.
#[derive(Debug)]
pub enum Asked {
    /// Whether it passes.
    Answered(bool),
    /// One of them waits for something.
    Later(LocalFuture<bool>),
}

impl<M: Module> Deref for Exchange<M> {
    type Target = Session<M>;
    fn deref(&self) -> &Session<M> {
        &self.session
    }
}

impl<M: Module> Drop for Exchange<M> {
    fn drop(&mut self) {
        // SAFETY: the reference of `exchange_begin`, given back once.
        unsafe { (host().exchange_end)(self.session.raw) }
    }
}
