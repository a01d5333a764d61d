//! The connections of HTTP/2 to peers that a worker has: which of them a request goes over, and who makes a new one.
//! Knows nothing of frames and heads.

use super::{
    client::{self, Stream},
    mux::{Link, Mux},
};
use crate::{
    conn::Conn,
    h2::{Code, Connection, Role},
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

/// The connections of one worker, by the identity of the peer.
#[derive(Default)]
pub(crate) struct Peers(RefCell<HashMap<u64, Peer>>);

#[derive(Default)]
struct Peer {
    links: Vec<Known>,
    /// Somebody makes one: others wait for that.
    connecting: bool,
    /// How often nobody could.
    failures: u64,
    waiting: Vec<Waker>,
}

struct Known {
    link: Link,
    /// When it had no stream, first.
    idle_since: u64,
}

impl Peer {
    fn stream(&self) -> Option<Stream> {
        // How many a new one takes is not known: the first request alone is on it until the peer has said so.
        self.links.iter().filter(|k| !k.is_new()).find_map(|k| Stream::open(&k.link))
    }
}

impl Known {
    fn is_new(&self) -> bool {
        let codec = &self.link.borrow().codec;
        !codec.has_settings() && !codec.is_draining()
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.borrow().iter().map(|(peer, p)| (peer, p.links.len()))).finish()
    }
}

/// Somebody is to make a connection; dropping this tells all who wait for it that there is none.
pub(crate) struct Turn {
    peers: Rc<Peers>,
    /// `None`: nobody waits for it.
    peer: Option<u64>,
    connected: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(peer) = self.peer else { return };
        if let Some(peer) = self.peers.0.borrow_mut().get_mut(&peer) {
            peer.connecting = false;
            peer.failures += u64::from(!self.connected);
            peer.waiting.drain(..).for_each(Waker::wake);
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
    /// A stream on a connection that there is, if one has room.
    pub(crate) fn stream(&self, peer: u64) -> Option<Stream> {
        self.0.borrow().get(&peer)?.stream()
    }

    /// A stream on a connection that there is, or the turn to make one.
    pub(crate) async fn get(self: &Rc<Self>, peer: u64) -> Got {
        let mut failures = None;
        poll_fn(|cx| {
            let mut all = self.0.borrow_mut();
            let this = all.entry(peer).or_default();
            if let Some(stream) = this.stream() {
                return Poll::Ready(Got::Stream(stream));
            }
            if *failures.get_or_insert(this.failures) != this.failures {
                return Poll::Ready(Got::Nothing);
            }
            if this.connecting || this.links.len() >= CONNECTIONS || this.links.iter().any(Known::is_new) {
                this.waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
            this.connecting = true;
            Poll::Ready(Got::Turn(Turn { peers: Rc::clone(self), peer: Some(peer), connected: false }))
        })
        .await
    }

    /// The turn to make a connection that is for one request.
    pub(crate) fn alone(self: &Rc<Self>) -> Got {
        Got::Turn(Turn { peers: Rc::clone(self), peer: None, connected: false })
    }

    /// Somebody may find a stream now.
    pub(super) fn wake(&self, peer: u64) {
        if let Some(peer) = self.0.borrow_mut().get_mut(&peer) {
            peer.waiting.drain(..).for_each(Waker::wake);
        }
    }

    /// The connection is nobody's choice any more.
    pub(super) fn forget(&self, peer: u64, link: &Link, failed: bool) {
        let mut all = self.0.borrow_mut();
        if let Some(this) = all.get_mut(&peer) {
            this.failures += u64::from(failed);
            this.links.retain(|k| !Rc::ptr_eq(&k.link, link));
            this.waiting.drain(..).for_each(Waker::wake);
        }
    }

    /// Ends connections that nobody has used for so long.
    pub(crate) fn sweep(&self, idle_ms: u64) {
        let now = now_ms();
        let mut all = self.0.borrow_mut();
        for peer in all.values_mut() {
            peer.links.retain_mut(|k| {
                let mux = &mut *k.link.borrow_mut();
                if mux.open > 0 || mux.opener.is_some() || k.idle_since == 0 {
                    k.idle_since = now;
                } else if now >= k.idle_since + idle_ms {
                    mux.codec.go_away(Code::NO_ERROR, &mut mux.conn.out);
                    mux.wake();
                    return false;
                }
                true
            });
        }
        all.retain(|_, p| !p.links.is_empty() || p.connecting || !p.waiting.is_empty());
    }
}

impl Turn {
    /// The connection is made, to this peer: its first stream, for a request that any peer of HTTP/2 takes. `alone`: it has
    /// no other.
    pub(crate) fn connected(self, peer: u64, alone: bool, conn: Conn) -> Option<Stream> {
        Stream::open(&self.begin(peer, alone, conn))
    }

    /// The same for a request that depends on what the peer allows.
    pub(crate) fn connected_first(self, peer: u64, alone: bool, conn: Conn) -> Opening {
        let link = self.begin(peer, alone, conn);
        // Nobody waits yet, and the connection stays.
        link.borrow_mut().opener = Some(Waker::noop().clone());
        Opening(link)
    }

    fn begin(mut self, peer: u64, alone: bool, conn: Conn) -> Link {
        let mut codec = Connection::new(Role::Client, client::CONFIG);
        let mut conn = conn;
        codec.start(&mut conn.out);
        let mut mux = Mux::new(conn, codec);
        mux.alone = alone;
        let link = Rc::new(RefCell::new(mux));
        self.connected = true;
        let peers = Rc::clone(&self.peers);
        if !alone {
            let known = Known { link: Rc::clone(&link), idle_since: 0 };
            peers.0.borrow_mut().entry(peer).or_default().links.push(known);
        }
        // Ends with the connection, or the generation.
        drop(spawn(client::drive(Rc::clone(&link), peers, peer)));
        link
    }
}

/// A connection that was made for a request, which waits for the peer's SETTINGS (RFC 9113 section 3.4).
pub(crate) struct Opening(Link);

impl Opening {
    /// Its first stream, once the peer has said what it allows. `None`: others were sooner, or it allows none.
    ///
    /// # Errors
    /// `Reset`: the connection ended before that; whoever speaks no HTTP/2 ends it.
    pub(crate) async fn stream(self) -> Result<Option<Stream>, Error> {
        poll_fn(|cx| {
            let mux = &mut *self.0.borrow_mut();
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
        Ok(Stream::open(&self.0))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let mux = &mut *self.0.borrow_mut();
        mux.opener = None;
        // Where it is nobody else's it ends.
        mux.wake();
    }
}
