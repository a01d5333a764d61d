//! Peers of the session's upstream.

use super::{has, host, result};
use crate::abi::{
    bytes::{Slice, Str},
    conf::{Kind, Value},
    error::{self, Error},
    host::{Connected, HostVtable, Object, PeerInfo, PeerKey},
    session::SessionShared,
    stream::Stream,
    task::LocalFuture,
    upstream::Outcome,
};
use std::{
    future::Future,
    mem::offset_of,
    pin::Pin,
    task::{Context, Poll},
};

/// An upstream that a directive names (`Kind::Upstream`): the module asks its peers whatever the session's own upstream is. For
/// sessions of the generation whose configuration it is from, so it is kept in a block's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upstream(u32);

impl Upstream {
    /// The session's own.
    pub(crate) const OWN: Self = Self(u32::MAX);

    /// The upstream that a value names; `None`: its kind is another.
    pub fn of(value: &Value<'_>) -> Option<Self> {
        (value.kind == Kind::Upstream).then_some(Self(value.num as u32))
    }

    /// Its number, by which a contract passes it on.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The upstream of that number.
    pub const fn numbered(number: u32) -> Self {
        Self(number)
    }
}

/// One counted use of one peer. Dropping it without `done` says that nothing was heard of the peer ([`Outcome::UNHEARD`]): a task
/// that is ended, or panics, is no fault of it. It holds its session, and with that the generation.
#[derive(Debug)]
pub struct Lease(Object);

/// Chooses a peer of the session's upstream and connects, trying others as the upstream's `retry` says.
///
/// # Errors
/// The last attempt's, or `NoPeer`.
pub(crate) fn connect_session(session: *const SessionShared, upstream: Upstream) -> Connecting {
    // SAFETY: the caller holds the session.
    Connecting(unsafe { (host().connect_upstream)(session, upstream.0) })
}

/// A connect to a peer under way. It holds its session.
#[derive(Debug)]
pub struct Connecting(LocalFuture<error::Outcome<Connected>>);

impl Future for Connecting {
    type Output = Result<(Stream, Lease), Error>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|c| result(c).map(|c| (c.stream, Lease(c.lease))))
    }
}

/// Chooses a peer where that takes no waiting.
pub(crate) fn pick_now(session: *const SessionShared) -> Option<Lease> {
    // SAFETY: the caller holds the session.
    let lease = unsafe { (host().lease_pick_now)(session) };
    (!lease.is_null()).then(|| Lease(lease))
}

pub(crate) async fn pick(
    session: *const SessionShared,
    upstream: Upstream,
    key: &str,
    tried: &[u64],
) -> Result<Lease, Error> {
    if upstream == Upstream::OWN
        && key.is_empty()
        && tried.is_empty()
        && let Some(lease) = pick_now(session)
    {
        return Ok(lease);
    }
    // SAFETY: the caller holds the session; key and list are copied during the call.
    result(unsafe { (host().lease_pick)(session, upstream.0, Str::new(key), Slice::new(tried)) }.await).map(Lease)
}

/// A peer in place of a lease's; a host without that has both at a time.
pub(crate) async fn pick_instead(
    session: *const SessionShared,
    lease: &mut Lease,
    tried: &[u64],
) -> Result<Lease, Error> {
    let host = host();
    if !has(host, offset_of!(HostVtable, lease_instead) + size_of::<usize>()) {
        return pick(session, Upstream::OWN, "", tried).await;
    }
    // SAFETY: the caller holds the session; the lease is ours and borrowed for the wait; the list is copied during the call.
    result(unsafe { (host.lease_instead)(lease.0, session, Slice::new(tried)) }.await).map(Lease)
}

impl Lease {
    /// Connects to its peer.
    ///
    /// # Errors
    /// What the connector says.
    pub async fn connect(&mut self) -> Result<Stream, Error> {
        // SAFETY: the host's object.
        result(unsafe { (host().lease_connect)(self.0) }.await)
    }

    /// The peer.
    pub fn info(&self) -> PeerInfo<'_> {
        // SAFETY: the host's object.
        unsafe { (host().lease_info)(self.0) }
    }

    /// Which peer, and whether its connections are one client's alone: at less cost than [`Lease::info`], where the host
    /// has that.
    pub fn peer(&self) -> PeerKey {
        let host = host();
        if !has(host, offset_of!(HostVtable, lease_peer) + size_of::<usize>()) {
            let PeerInfo { id, greeted, .. } = self.info();
            return PeerKey { id, greeted: greeted.into() };
        }
        // SAFETY: the host's object.
        unsafe { (host.lease_peer)(self.0) }
    }

    pub(crate) const fn raw(&self) -> Object {
        self.0
    }

    /// Ends the use and says how it went.
    pub fn done(self, outcome: &Outcome) {
        let l = std::mem::ManuallyDrop::new(self);
        // SAFETY: given up once.
        unsafe { (host().lease_done)(l.0, std::ptr::from_ref(outcome)) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let unheard = Outcome::UNHEARD;
        // SAFETY: given up once.
        unsafe { (host().lease_done)(self.0, &raw const unheard) }
    }
}
