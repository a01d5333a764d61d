//! Peers of a session's upstream for modules: a lease crosses as an object; and the relay that joins two streams.

use super::{
    current::{Current, enter},
    net::{at_once, stopped},
    points,
    session::hold,
};
use crate::{
    session::Session,
    upstream::{again, attempts::connect_session, hashed, lease::Lease, pick, pool::Pool},
};
use anyproxy_module_api::abi::{
    bytes::{Slice, Str},
    error::{Error, ErrorKind, Outcome},
    host::{Connected, Object, PeerInfo, PeerKey},
    recycled::Recycled,
    session::SessionShared,
    stream::Stream,
    task::{FfiPoll, LocalFuture, guard},
    upstream::Outcome as PeerOutcome,
};
use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

/// The session's pool, or one that a directive names.
fn pool(session: &Session, upstream: u32) -> Result<&Arc<Pool>, Error> {
    let cycle = &session.worker.cycle;
    let named = || cycle.tree.named.get(upstream as usize).and_then(|n| cycle.pools.get(*n));
    let pool = if upstream == OWN { session.pool() } else { named() };
    pool.ok_or_else(|| Error::new(ErrorKind::NoPeer, "this place of the configuration names no upstream"))
}

/// The number that stands for the session's own upstream.
const OWN: u32 = u32::MAX;

/// A future, or at once the error that it cannot be.
fn future<T: 'static>(f: impl FnOnce() -> Result<LocalFuture<Outcome<T>>, Error>) -> LocalFuture<Outcome<T>> {
    guard(f).unwrap_or(Err(Error::bare(ErrorKind::Panicked))).unwrap_or_else(|e| at_once(Err(e)))
}

fn object(lease: Lease) -> Object {
    Recycled::new(lease).into_raw().cast()
}

/// The lease behind an object.
///
/// # Safety
/// An object of `lease_pick` or `connect_upstream` that is not yet given up.
unsafe fn of<'a>(lease: Object) -> &'a Lease {
    // SAFETY: by contract.
    unsafe { &*lease.cast::<Lease>() }
}

pub(super) unsafe extern "C" fn connect_upstream(
    s: *const SessionShared,
    upstream: u32,
) -> LocalFuture<Outcome<Connected>> {
    let session = hold(s);
    future(|| {
        pool(&session, upstream)?;
        Ok(LocalFuture::new(async move {
            let connected = match pool(&session, upstream) {
                Ok(pool) => connect_session(&session, pool).await,
                Err(e) => Err(e),
            };
            connected.map(|(stream, lease)| Connected { stream, lease: object(lease) }).into()
        }))
    })
}

pub(super) unsafe extern "C" fn lease_pick(
    s: *const SessionShared,
    upstream: u32,
    key: Str<'_>,
    tried: Slice<'_, u64>,
) -> LocalFuture<Outcome<Object>> {
    let session = hold(s);
    future(|| {
        let client = session.shared.client.get();
        let key = hashed::key(&session, pool(&session, upstream)?, &client, key.as_bytes()).into_owned();
        let tried = tried.as_slice().to_vec();
        Ok(LocalFuture::new(async move {
            match pool(&session, upstream) {
                Ok(pool) => pick::pick_for(&session, pool, &key, &tried).await.map(object).into(),
                Err(e) => Outcome::Err(e),
            }
        }))
    })
}

pub(super) unsafe extern "C" fn lease_instead(
    lease: Object,
    s: *const SessionShared,
    tried: Slice<'_, u64>,
) -> LocalFuture<Outcome<Object>> {
    let session = hold(s);
    future(|| {
        let tried = tried.as_slice().to_vec();
        Ok(LocalFuture::new(async move {
            // SAFETY: the caller keeps the lease, and does nothing else with it, while it waits.
            let held = unsafe { &mut *lease.cast::<Lease>() };
            // Of another session's it may be of another generation, whose pools have other numbers.
            if !Rc::ptr_eq(&held.worker, &session.worker) {
                return Outcome::Err(Error::new(
                    ErrorKind::Invalid,
                    "the lease is of another generation than the session",
                ));
            }
            let pool = Arc::clone(&session.worker.cycle.pools[held.pool().index]);
            again::pick_instead(&session, &pool, held, &tried).await.map(object).into()
        }))
    })
}

pub(super) unsafe extern "C" fn lease_pick_now(s: *const SessionShared) -> Object {
    let session = hold(s);
    let lease = guard(|| {
        let (client, pool) = (session.shared.client.get(), pool(&session, OWN).ok()?);
        pick::pick_now(&session, pool, &hashed::key(&session, pool, &client, &[]), object)
    });
    lease.flatten().unwrap_or(std::ptr::null_mut())
}

pub(super) unsafe extern "C" fn lease_connect(lease: Object) -> LocalFuture<Outcome<Stream>> {
    future(|| {
        Ok(LocalFuture::new(async move {
            // SAFETY: the caller keeps the lease, and does nothing else with it, while it waits.
            unsafe { &mut *lease.cast::<Lease>() }.connect().await.into()
        }))
    })
}

pub(super) unsafe extern "C" fn lease_info(lease: Object) -> PeerInfo<'static> {
    // SAFETY: see `of`.
    let lease = unsafe { of(lease) };
    guard(|| {
        let live = &lease.member.live;
        // SAFETY: the texts are the peer's, which the lease holds, and are read while the caller has that.
        let lend = |text: &str| unsafe { Str::new(text).unbound() };
        PeerInfo {
            upstream: lend(&live.upstream),
            host: lend(&live.host),
            addr: live.addr,
            connector: lend(&live.connector),
            id: live.state.id,
            connect_ns: lease.connect_ns,
            index: lease.at,
            greeted: lease.is_greeted().into(),
            reserved: [0; 3],
        }
    })
    .unwrap_or_default()
}

pub(super) unsafe extern "C" fn lease_peer(lease: Object) -> PeerKey {
    // SAFETY: see `of`.
    let lease = unsafe { of(lease) };
    guard(|| PeerKey { id: lease.member.live.state.id, greeted: lease.is_greeted().into() }).unwrap_or_default()
}

pub(super) unsafe extern "C" fn lease_conf(lease: Object, module: *const ()) -> *const () {
    // SAFETY: see `of`.
    let lease = unsafe { of(lease) };
    guard(|| {
        let cycle = &lease.worker.cycle;
        let scope = lease.line().scope;
        cycle.conf(scope, cycle.module_of(module)).as_ptr()
    })
    .unwrap_or(std::ptr::null())
}

pub(super) unsafe extern "C" fn lease_done(lease: Object, outcome: *const PeerOutcome) {
    // SAFETY: given up once; the outcome is lent for the call.
    guard(|| unsafe { Recycled::from_raw(lease.cast::<Lease>()).end(&*outcome) });
}

/// A relay's future in its module's name.
struct Relaying {
    future: Option<LocalFuture<Outcome<()>>>,
    session: Rc<Session>,
    module: u16,
}

impl Future for Relaying {
    type Output = Outcome<()>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<()>> {
        let this = &mut *self;
        let _who = enter(Current::in_session(&this.session, this.module));
        let Some(f) = this.future.as_mut() else { return Poll::Ready(Outcome::Ok(())) };
        match f.poll_ffi(cx) {
            FfiPoll::Pending => Poll::Pending,
            FfiPoll::Ready(r) => Poll::Ready(r),
            FfiPoll::Panicked => {
                super::panicked(&this.session.worker.cycle, this.module, "a relay");
                Poll::Ready(Outcome::Err(Error::bare(ErrorKind::Panicked)))
            }
        }
    }
}

impl Drop for Relaying {
    fn drop(&mut self) {
        let _who = enter(Current::in_session(&self.session, self.module));
        self.future = None;
    }
}

pub(super) unsafe extern "C" fn relay(
    s: *const SessionShared,
    client: Stream,
    upstream: Stream,
) -> LocalFuture<Outcome<()>> {
    let session = hold(s);
    let worker = Rc::clone(&session.worker);
    let asks = super::current::current().module;
    future(|| {
        for (module, point) in &worker.cycle.relays {
            let place = worker.place(*module, worker.cycle.conf(session.scope.get(), *module));
            let _who = enter(Current::in_session(&session, *module));
            if points::relay_takes(point, place, &session, &client, &upstream) {
                let future = points::relay_run(point, place, &session, client, upstream);
                if *module == asks {
                    // It runs in its module's name already.
                    return Ok(future);
                }
                let relaying = Relaying { future: Some(future), session: Rc::clone(&session), module: *module };
                return Ok(LocalFuture::new(relaying));
            }
        }
        Err(Error::new(ErrorKind::Unsupported, "no module that is loaded relays these streams"))
    })
}

/// For the table: see `datagram::accept`.
pub(super) unsafe extern "C" fn session_accept(
    listener: u32,
    stream: Stream,
    client: *const anyproxy_module_api::abi::net::Addr,
) -> bool {
    // SAFETY: lent for the call.
    let client = unsafe { *client };
    matches!(stopped(|| Ok(super::datagram::accept(listener, stream, client))), Outcome::Ok(true))
}
