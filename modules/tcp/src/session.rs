//! What the module remembers of one session, in the session's slot: what prereads found, what was sent in front of it,
//! and what its relay saw. Made when there is something to remember.

use crate::{
    Tcp,
    core::{client_hello, hello_header::Hello, http_host},
};
use anyproxy_module_api::Session;
use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

/// The two directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From the client to the upstream.
    Upload = 0,
    /// From the upstream to the client.
    Download = 1,
}

/// The slot's value.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The hello header that the client's side sent, and its length.
    pub(crate) hello: RefCell<Option<Box<Hello>>>,
    /// Length of that header in bytes.
    pub(crate) hello_received: Cell<u32>,
    /// Length of the hello header sent to the upstream.
    pub(crate) hello_sent: Cell<u32>,
    /// Readers that wait for more bytes.
    pub(crate) readers: RefCell<Readers>,
    /// When the first byte went to the upstream, by the worker's clock; zero: none did.
    pub(crate) first_sent: Cell<Duration>,
    /// When its first byte came; zero: none did.
    pub(crate) first_received: Cell<Duration>,
    /// Longest that bytes waited for a side to take some, milliseconds.
    pub(crate) write_blocked_ms: Cell<u64>,
    /// Bytes that the kernel moved, a direction each.
    pub(crate) spliced: [Cell<u64>; 2],
    /// Bytes that went through a temporary file, a direction each.
    pub(crate) spilled: [Cell<u64>; 2],
    /// Name of the relay that ran; empty: none yet.
    pub(crate) relay: Cell<&'static str>,
}

/// Prereads that began.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    /// Of a ClientHello.
    pub(crate) tls: Option<Box<client_hello::Reader>>,
    /// Of a request's head.
    pub(crate) http: Option<Box<http_host::Reader>>,
}

/// The session's, made when it has none.
pub(crate) fn state(session: &Session<Tcp>) -> &State {
    session.slot(State::default)
}

/// The session's, if it has one.
pub(crate) fn known(session: &Session<Tcp>) -> Option<&State> {
    session.slot_if_made()
}
