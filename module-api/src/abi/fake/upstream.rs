//! Upstreams of the fake host: connects follow the test's script, leases are recorded.

use super::{give, here, lend, take};
use crate::abi::{
    bytes::{Slice, Str},
    error::{Error, ErrorKind, Outcome},
    host::{Connected, Object, PeerInfo, PeerKey},
    session::SessionShared,
    stream::Stream,
    task::LocalFuture,
    upstream::Outcome as PeerOutcome,
};
use crate::testing::{
    live::{Kind, Token},
    relay::copy_both,
    state::Attempt,
    wire::{Peer, ends},
};
use std::{cell::Cell, future::pending, net::SocketAddr, rc::Rc};

/// One counted use of the fake host's peer.
struct FakeLease {
    connect_ns: Cell<u64>,
    _token: Token,
}

fn lease() -> Rc<FakeLease> {
    Rc::new(FakeLease { connect_ns: Cell::new(0), _token: here().live.token(Kind::Lease) })
}

/// One connect, as the script says; without a script there is no peer.
async fn attempt() -> Result<Stream, Error> {
    let next = here().attempts.borrow_mut().pop_front();
    match next {
        None => Err(Error::bare(ErrorKind::NoPeer)),
        Some(Attempt::Fail(kind)) => Err(Error::bare(kind)),
        Some(Attempt::Stall) => pending().await,
        Some(Attempt::Accept) => {
            let state = here();
            let from = SocketAddr::from(([127, 0, 0, 1], state.port())).into();
            let (ours, theirs) = ends(from, state.peer_addr.get());
            state.upstreams.borrow_mut().push_back(Peer::new(theirs));
            Ok(ours.counted(&state.live))
        }
    }
}

pub(super) unsafe extern "C" fn connect(_: *const SessionShared, upstream: u32) -> LocalFuture<Outcome<Connected>> {
    here().asked.borrow_mut().push(upstream);
    LocalFuture::new(async {
        let stream = attempt().await;
        let with_lease = |stream| Connected { stream, lease: give(lease()) };
        stream.map(with_lease).into()
    })
}
pub(super) unsafe extern "C" fn pick_now(_: *const SessionShared) -> Object {
    // Always the longer way, which a test can hold back.
    std::ptr::null_mut()
}
pub(super) unsafe extern "C" fn pick(
    _: *const SessionShared,
    upstream: u32,
    key: Str<'_>,
    _tried: Slice<'_, u64>,
) -> LocalFuture<Outcome<Object>> {
    let state = here();
    state.asked.borrow_mut().push(upstream);
    state.lease_keys.borrow_mut().push(key.as_str().to_owned());
    let none = state.attempts.borrow().is_empty();
    LocalFuture::new(async move {
        if none {
            return Outcome::Err(Error::bare(ErrorKind::NoPeer));
        }
        Outcome::Ok(give(lease()))
    })
}
pub(super) unsafe extern "C" fn instead(
    _: Object,
    session: *const SessionShared,
    tried: Slice<'_, u64>,
) -> LocalFuture<Outcome<Object>> {
    // SAFETY: lent for the call, as there.
    unsafe { pick(session, u32::MAX, Str::EMPTY, tried) }
}
pub(super) unsafe extern "C" fn lease_connect(l: Object) -> LocalFuture<Outcome<Stream>> {
    // SAFETY: a handle of `connect` or `pick`, held by the caller.
    let l = unsafe { lend::<FakeLease>(l) };
    LocalFuture::new(async move {
        let begun = here().now_ns.get();
        let r = attempt().await;
        // 0 would read as "not connected".
        l.connect_ns.set((here().now_ns.get() - begun).max(1));
        r.into()
    })
}
pub(super) unsafe extern "C" fn info(l: Object) -> PeerInfo<'static> {
    // SAFETY: as above.
    let l = unsafe { lend::<FakeLease>(l) };
    let state = here();
    let names = state.peer_name.borrow();
    let text = |t: &str| Str::new(super::interned(t));
    PeerInfo {
        upstream: text(&names.0),
        host: text(&names.1),
        addr: state.peer_addr.get(),
        connector: text(&names.2),
        id: 1,
        connect_ns: l.connect_ns.get(),
        index: 0,
        greeted: 0,
        reserved: [0; 3],
    }
}
pub(super) unsafe extern "C" fn peer(_: Object) -> PeerKey {
    PeerKey { id: 1, greeted: 0 }
}
pub(super) unsafe extern "C" fn conf(_: Object, _: *const ()) -> *const () {
    here().peer_conf.get().0
}
pub(super) unsafe extern "C" fn done(l: Object, outcome: *const PeerOutcome) {
    // SAFETY: as above, given back; the outcome is lent for the call.
    unsafe {
        drop(take::<FakeLease>(l));
        here().outcomes.borrow_mut().push(*outcome);
    }
}
pub(super) unsafe extern "C" fn relay(
    _: *const SessionShared,
    client: Stream,
    upstream: Stream,
) -> LocalFuture<Outcome<()>> {
    LocalFuture::new(async move { copy_both(client, upstream).await.into() })
}
