//! Connections to peers that have no request now, kept by each worker for the next one.

use crate::conn::Conn;
use anyproxy_module_api::{now_ms, ready};
use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    task::{Context, Waker},
};

/// Peers whose idle connections are kept, a worker: beyond that the rest of a peer is let go of when it is used next.
const PEERS: usize = 4096;

struct Kept {
    conn: Box<Conn>,
    until_ms: u64,
}

/// Identities of peers are hashes already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.0 = self.0.rotate_left(8) ^ u64::from(*b));
    }
    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }
}

type ByPeer = HashMap<u64, Vec<Kept>, BuildHasherDefault<AsIs>>;

/// The idle connections of one worker, by the identity of the peer.
#[derive(Default)]
pub(crate) struct Idle(RefCell<ByPeer>);

impl fmt::Debug for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.borrow().iter().map(|(peer, list)| (peer, list.len()))).finish()
    }
}

impl Idle {
    /// The connection used last that is still good: the peer has neither ended it nor said anything, and its time is not
    /// over. Mostly no system call.
    pub(crate) fn take(&self, peer: u64) -> Option<Box<Conn>> {
        let now = now_ms();
        let mut all = self.0.borrow_mut();
        let list = all.get_mut(&peer)?;
        while let Some(mut kept) = list.pop() {
            if kept.until_ms > now && is_quiet(&mut kept.conn) {
                return Some(kept.conn);
            }
        }
        None
    }

    /// Keeps a connection whose answer is complete, at most `most` of a peer.
    pub(crate) fn give(&self, peer: u64, mut conn: Box<Conn>, until_ms: u64, most: usize) {
        let mut all = self.0.borrow_mut();
        if all.len() >= PEERS && !all.contains_key(&peer) {
            all.retain(|_, list| !list.is_empty());
            if all.len() >= PEERS {
                return;
            }
        }
        let list = all.entry(peer).or_default();
        // A stream at rest does not know what it had not been asked for.
        if list.len() < most && (conn.is_emptied() || is_quiet(&mut conn)) {
            conn.stream.unbind();
            conn.rest();
            list.push(Kept { conn, until_ms });
        }
    }

    /// Closes those whose time is over.
    pub(crate) fn sweep(&self) {
        let now = now_ms();
        self.0.borrow_mut().retain(|_, list| {
            list.retain(|k| k.until_ms > now && k.conn.stream.state() & (ready::HUP | ready::END) == 0);
            !list.is_empty()
        });
    }
}

/// The peer says nothing: unasked that is its end, or nothing that we would want to hear. Word of bytes may come after them, when the
/// answer before was read with them: only then is it looked for what there is.
fn is_quiet(conn: &mut Conn) -> bool {
    let said = |conn: &Conn| conn.stream.state() & (ready::READ | ready::HUP | ready::END);
    match said(conn) {
        0 => true,
        ready::READ => conn.poll_fill(&mut Context::from_waker(Waker::noop()), 1).is_pending() && said(conn) == 0,
        _ => false,
    }
}
