//! The connections of HTTP/2 to peers that a worker has: which of them a request goes over, and who makes a new one.
//! Knows nothing of frames and heads.

use super::{
    client::{self, Stream},
    mux::{Link, Mux},
    waiting::{Ticket, Waiting},
};
use crate::{
    conn::Conn,
    h2::{Code, Config, Connection, Role},
};
use anyproxy_module_api::{Error, ErrorKind, now_ms, spawn};
use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

/// Connections to one peer, a worker.
const CONNECTIONS: usize = 16;

/// In place of a peer's identity, of a connection for a health check.
pub(crate) const CHECKED: u64 = 0;

/// The connections of one worker.
pub(crate) struct Peers {
    /// By the identity of the peer.
    all: RefCell<HashMap<u64, Peer>>,
    config: Config,
}

#[derive(Default)]
struct Peer {
    links: Vec<Link>,
    /// Somebody makes one: others wait for that.
    connecting: bool,
    /// How often nobody could.
    failures: u64,
    waiting: Waiting,
}

impl Peer {
    fn stream(&self, keep_ms: u64) -> Option<Stream> {
        self.links.iter().filter(|link| link.borrow().is_usable(now_ms())).find_map(|link| Stream::open(link, keep_ms))
    }

    /// Whether another connection may be made.
    fn may_connect(&self) -> bool {
        !self.connecting && self.links.len() < CONNECTIONS && !self.has_new()
    }

    /// Nobody could make a connection: each of those who wait is to know.
    fn fail(&mut self) {
        self.failures += 1;
        self.waiting.wake_all();
    }

    /// Wakes as many of those who wait as there is room for: for streams, and for one who makes a connection.
    fn wake(&mut self) {
        if !self.waiting.has_sleepers() {
            return;
        }
        let now = now_ms();
        let room = |link: &Link| {
            let mux = link.borrow();
            if mux.is_usable(now) { mux.codec.room() } else { 0 }
        };
        let streams = self.links.iter().map(room).fold(0, usize::saturating_add);
        self.waiting.wake(streams.saturating_add(self.may_connect().into()));
    }

    /// How many a new one takes is not known: the first request alone is on it until the peer has said so.
    fn has_new(&self) -> bool {
        self.links.iter().any(|link| link.borrow().is_new())
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.borrow().iter().map(|(peer, p)| (peer, p.links.len()))).finish()
    }
}

/// Somebody is to make a connection. Dropping this leaves the turn to the next of those who wait: whoever gives up, as its
/// client is gone, says nothing of the peer.
pub(crate) struct Turn {
    peers: Rc<Peers>,
    /// `None`: nobody waits for it.
    peer: Option<u64>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.end(Peer::wake);
    }
}

/// Somebody waits. One that is woken and gives up leaves what it would have got to the next.
struct Wait {
    peers: Rc<Peers>,
    peer: u64,
    ticket: Ticket,
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(peer) = self.peers.all.borrow_mut().get_mut(&self.peer)
            && peer.waiting.look(&self.ticket)
        {
            peer.wake();
        }
    }
}

/// What a request gets.
pub(crate) enum Got {
    /// A stream, whose head is to be sent at once.
    Stream(Stream),
    /// The turn to make a connection.
    Turn(Turn),
    /// The connection that this request waited for could not be made.
    Nothing,
}

impl Peers {
    /// `heads`: bytes and lines of an answer's.
    pub(crate) fn new(heads: (u32, u16)) -> Self {
        let (header_list, header_count) = heads;
        Self { all: RefCell::default(), config: Config { header_list, header_count, ..client::CONFIG } }
    }

    /// A stream on a connection that there is, if one has room. Once its last one has ended, a connection is kept for as long
    /// as its latest one said.
    pub(crate) fn stream(&self, peer: u64, keep_ms: u64) -> Option<Stream> {
        self.all.borrow().get(&peer)?.stream(keep_ms)
    }

    /// A stream on a connection that there is, or the turn to make one. Those who wait get them in turn, as there is room;
    /// who finds some at once does not wait.
    pub(crate) async fn get(self: &Rc<Self>, peer: u64, keep_ms: u64) -> Got {
        let mut failures = None;
        let mut wait = Wait { peers: Rc::clone(self), peer, ticket: Ticket::default() };
        poll_fn(|cx| {
            let mut all = self.all.borrow_mut();
            let this = all.entry(peer).or_default();
            this.waiting.look(&wait.ticket);
            let got = if let Some(stream) = this.stream(keep_ms) {
                Got::Stream(stream)
            } else if *failures.get_or_insert(this.failures) != this.failures {
                Got::Nothing
            } else if this.may_connect() {
                this.connecting = true;
                Got::Turn(Turn { peers: Rc::clone(self), peer: Some(peer) })
            } else {
                this.waiting.sleep(&mut wait.ticket, cx.waker());
                return Poll::Pending;
            };
            // It has left the queue.
            wait.ticket = Ticket::default();
            Poll::Ready(got)
        })
        .await
    }

    /// The turn to make a connection that is for one request.
    pub(crate) fn alone(self: &Rc<Self>) -> Got {
        Got::Turn(Turn { peers: Rc::clone(self), peer: None })
    }

    /// Somebody may find a stream now.
    pub(super) fn wake(&self, peer: u64) {
        if let Some(peer) = self.all.borrow_mut().get_mut(&peer) {
            peer.wake();
        }
    }

    /// The connection is nobody's choice any more.
    pub(super) fn forget(&self, peer: u64, link: &Link, failed: bool) {
        let mut all = self.all.borrow_mut();
        if let Some(this) = all.get_mut(&peer) {
            this.links.retain(|known| !Rc::ptr_eq(known, link));
            if failed {
                this.fail();
            } else {
                this.wake();
            }
        }
    }

    /// Ends connections that nobody has used for as long as they are kept.
    pub(crate) fn sweep(&self) {
        let now = now_ms();
        let mut all = self.all.borrow_mut();
        for peer in all.values_mut() {
            peer.links.retain(|link| {
                let mux = &mut *link.borrow_mut();
                let over = mux.is_left(now);
                if over {
                    mux.codec.go_away(Code::NO_ERROR, &mut mux.conn.out);
                    mux.wake();
                }
                !over
            });
            peer.wake();
        }
        all.retain(|_, p| !p.links.is_empty() || p.connecting || !p.waiting.is_empty());
    }
}

impl Turn {
    /// No connection could be made: all who wait for it are to know.
    pub(crate) fn fail(mut self) {
        self.end(Peer::fail);
    }

    fn end(&mut self, tell: fn(&mut Peer)) {
        let Some(peer) = self.peer.take() else { return };
        if let Some(peer) = self.peers.all.borrow_mut().get_mut(&peer) {
            peer.connecting = false;
            tell(peer);
        }
    }

    /// The connection is made, to this peer: its first stream, for a request that any peer of HTTP/2 takes. `alone`: it has
    /// no other.
    pub(crate) fn connected(self, peer: u64, alone: bool, conn: Conn, keep_ms: u64) -> Option<Stream> {
        Stream::open(&self.begin(peer, alone, conn), keep_ms)
    }

    /// The same for a request that depends on what the peer allows.
    pub(crate) fn connected_first(self, peer: u64, alone: bool, conn: Conn, keep_ms: u64) -> Opening {
        let link = self.begin(peer, alone, conn);
        // Nobody waits yet, and the connection stays.
        link.borrow_mut().opener = Some(Waker::noop().clone());
        Opening { link, keep_ms }
    }

    fn begin(self, peer: u64, alone: bool, conn: Conn) -> Link {
        let mut codec = Connection::new(Role::Client, self.peers.config);
        let mut conn = conn;
        codec.start(&mut conn.out);
        let mut mux = Mux::new(conn, codec);
        mux.alone = alone;
        mux.left_ms = now_ms();
        let link = Rc::new(RefCell::new(mux));
        let peers = Rc::clone(&self.peers);
        if !alone {
            peers.all.borrow_mut().entry(peer).or_default().links.push(Rc::clone(&link));
        }
        // Ends with the connection, or the generation.
        drop(spawn(client::drive(Rc::clone(&link), peers, peer)));
        link
    }
}

/// A connection that was made for a request, which waits for the peer's SETTINGS (RFC 9113 section 3.4).
pub(crate) struct Opening {
    link: Link,
    keep_ms: u64,
}

impl Opening {
    /// Its first stream, once the peer has said what it allows. `None`: others were sooner, or it allows none.
    ///
    /// # Errors
    /// `Reset`: the connection ended before that; whoever speaks no HTTP/2 ends it.
    pub(crate) async fn stream(self) -> Result<Option<Stream>, Error> {
        poll_fn(|cx| {
            let mux = &mut *self.link.borrow_mut();
            if mux.codec.has_settings() {
                return Poll::Ready(Ok(()));
            }
            if mux.over {
                return Poll::Ready(Err(Error::bare(ErrorKind::Reset)));
            }
            mux.opener = Some(cx.waker().clone());
            Poll::Pending
        })
        .await?;
        Ok(Stream::open(&self.link, self.keep_ms))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let mux = &mut *self.link.borrow_mut();
        mux.opener = None;
        if mux.open == 0 {
            mux.left_ms = now_ms();
        }
        // Where it is nobody else's it ends.
        mux.wake();
    }
}
