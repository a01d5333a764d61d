//! What few sessions have: texts, captures, stages. An idle session costs as much as its largest part.

use super::Session;
use crate::{cycle::vars, matcher::CaptureValues};
use anyproxy_module_api::abi::bytes::Str;
use std::cell::RefCell;

/// Most stages noted for `${stream_work_times}`.
const STAGES: usize = 64;

/// What is known of few sessions: an idle one costs as much as its largest part.
#[derive(Debug, Default)]
pub struct Texts {
    /// The domain asked for.
    pub domain: RefCell<String>,
    /// Follows the session through a chain of hosts.
    pub request_id: RefCell<String>,
    /// Texts that were replaced: a module may still read them.
    pub replaced: RefCell<Vec<String>>,
    /// Named groups of what matched.
    pub captures: RefCell<CaptureValues>,
    /// Stages with their offset in microseconds.
    pub stages: RefCell<Vec<(Str<'static>, u32)>>,
}

impl Session {
    /// What few sessions have, to be written.
    pub fn texts(&self) -> &Texts {
        self.texts.get_or_init(Box::default)
    }

    /// The same, to be read.
    pub fn peek<R>(&self, f: impl FnOnce(&Texts) -> R) -> R {
        match self.texts.get() {
            Some(texts) => f(texts),
            None => f(&Texts::default()),
        }
    }

    /// Notes a stage, if any text of the configuration shows stages.
    pub fn stage(&self, name: Str<'static>) {
        if !self.worker.cycle.notes_stages && self.lease.borrow().watched == 0 {
            return;
        }
        let mut stages = self.texts().stages.borrow_mut();
        if stages.len() < STAGES {
            stages.push((name, u32::try_from(self.age().as_micros()).unwrap_or(u32::MAX)));
        }
    }

    /// Notes stages from now on, until the connect is over that begins.
    pub fn watch_stages(&self) {
        let noted = self.peek(|t| t.stages.borrow().len());
        self.lease.borrow_mut().watched = noted as u32 + 1;
    }

    /// That connect is over: the last stage that was noted meanwhile.
    pub fn watched_stage(&self) -> Option<Str<'static>> {
        let before = std::mem::take(&mut self.lease.borrow_mut().watched).checked_sub(1)?;
        self.peek(|t| t.stages.borrow().get(before as usize..)?.last().map(|(name, _)| *name))
    }

    /// Makes a request id if none came with the session.
    pub fn ensure_request_id(&self) {
        let mut id = self.texts().request_id.borrow_mut();
        if id.is_empty() {
            *id = vars::request_id(self.shared.id);
        }
    }
}
