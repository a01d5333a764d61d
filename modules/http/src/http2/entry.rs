//! What a connection of HTTP/2 keeps of one of its streams.

use super::{inbox::Inbox, order::Order, turns::SHARE};
use crate::{Http, core::priority::Parameters, message::Message};
use anyproxy_module_api::{Cause, CloseReason, Session, Stage, Task, Who};
use std::{
    collections::VecDeque,
    task::{Context, Waker},
};

/// Why a stream has ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// The peer has not begun with the request (RFC 9113 section 8.7).
    Refused,
    /// The other side has reset it.
    Reset,
    /// What came on it, or on the connection, is not HTTP/2.
    Malformed,
    /// The connection has ended under it.
    Ended,
}

/// A stream whose answer is under way.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: u32,
    /// Its task's; set when that is polled first.
    pub(super) waker: Option<Waker>,
    pub(super) task: Option<Task>,
    /// Of a server: its deadline and its end.
    pub(super) watch: Option<Session<Http>>,
    /// Of a client: heads of answers, the last one final.
    pub(super) heads: VecDeque<Message>,
    pub(super) received: Inbox,
    pub(super) trailers: Vec<u8>,
    /// Nothing more is received.
    pub(super) ended: bool,
    /// It is gone, and why.
    pub(super) gone: Option<Gone>,
    /// Bytes that it may send before others, and whether it waits for some.
    pub(super) share: usize,
    pub(super) queued: bool,
    /// How its turns come, and what its origin says of that, once that is known: then the client may say otherwise.
    pub(super) order: Order,
    pub(super) origin: Option<Parameters>,
}

impl Entry {
    pub(super) fn new(id: u32) -> Self {
        Self {
            id,
            waker: None,
            task: None,
            watch: None,
            heads: VecDeque::new(),
            received: Inbox::default(),
            trailers: Vec::new(),
            ended: false,
            gone: None,
            share: SHARE,
            queued: false,
            order: Order::default(),
            origin: None,
        }
    }

    /// Its task has something to do.
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }

    /// Of a server: nobody waits for the answer any more. Its task ends without one.
    pub(super) fn lose(&self, cause: Cause) {
        self.lose_by(CloseReason::new(Who::Client, Stage::Transfer, cause).code());
    }

    /// The same, with the code of the reason.
    pub(super) fn lose_by(&self, why: u32) {
        if let Some(watch) = &self.watch {
            watch.kill.set(1);
            if watch.close_reason.get() == 0 {
                watch.close_reason.set(why);
            }
        }
        self.wake();
    }

    /// It is this task's.
    pub(super) fn note(&mut self, cx: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }
}
