//! Choosing a peer for what another one was asked before: within the pool's budget of retries, and another one as long as there
//! is one. Knows not what failed.

use super::{
    lease::{Handed, Lease},
    pick::{Attempt, attempt, attempt_in, note, pick},
    pool::Pool,
    recover, render,
};
use crate::{services::timers, session::Session};
use anyproxy_module_api::abi::error::{Error, ErrorKind};
use std::{
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// Chooses a peer that is not among the `tried`; one of them where there is no other.
///
/// # Errors
/// `Limit` where the budget is used up; else as [`pick`].
pub(super) async fn pick_another(
    session: &Rc<Session>,
    pool: &Arc<Pool>,
    key: &[u8],
    tried: &[u64],
) -> Result<Lease, Error> {
    within_budget(session, pool)?;
    // Whether there are others is asked at once: nobody waits for one that has no room while the same one has.
    match attempt(pool, &session.worker, Some(session), key, tried, |lease| lease) {
        Attempt::Lease(lease) => whole(lease).await,
        Attempt::Wait | Attempt::None => pick(pool, &session.worker, Some(session), key, &[]).await,
    }
}

/// The same in place of `held`, a use that goes on until there is another: whoever waited for a place while it has one might
/// wait for itself. So its places are handed on, and nothing is waited for: it can be asked again itself.
///
/// # Errors
/// `Limit` where the budget is used up, or all have no room and the one held is out of service; `NoPeer`.
pub async fn pick_instead(
    session: &Rc<Session>,
    pool: &Arc<Pool>,
    held: &mut Lease,
    tried: &[u64],
) -> Result<Lease, Error> {
    let client = session.shared.client.get();
    let key = client.key();
    let has_places = held.handed == Handed::Nothing && held.pool == pool.index;
    if !has_places || !Rc::ptr_eq(&held.worker, &session.worker) {
        let lease = pick_another(session, pool, key, tried).await?;
        note(session, &lease);
        return Ok(lease);
    }
    within_budget(session, pool)?;
    let ask = |tried: &[u64]| attempt_in(pool, &session.worker, Some(session), key, tried, |lease| lease);
    let mut handed = Handed::Place;
    let found = match ask(tried) {
        Attempt::Lease(lease) => Attempt::Lease(lease),
        // Its place at its peer is free for this one choice, too: the same peer may be the only one with room.
        Attempt::Wait | Attempt::None => {
            let at = Rc::clone(held.first_chosen());
            at.live.state.in_flight.fetch_sub(1, Relaxed);
            let found = match ask(&[]) {
                Attempt::None if recover::last_resort(pool, &[]) => ask(&[]),
                found => found,
            };
            match &found {
                Attempt::Lease(lease) if Arc::ptr_eq(&lease.member.live, &at.live) => handed = Handed::Both,
                _ => _ = at.live.state.in_flight.fetch_add(1, Relaxed),
            }
            found
        }
    };
    match found {
        Attempt::Lease(mut lease) => {
            pool.shared.take_over(session.worker.worker);
            // Until it is whole the places are not its own, to be given up with it.
            lease.handed = handed;
            let mut lease = whole(lease).await?;
            (lease.handed, lease.limited, held.handed) = (Handed::Nothing, held.limited, handed);
            note(session, &lease);
            Ok(lease)
        }
        Attempt::Wait => Err(Error::new(ErrorKind::Limit, format!("no peer of \"{}\" has room now", pool.name))),
        Attempt::None => Err(Error::new(ErrorKind::NoPeer, format!("upstream \"{}\" has no usable peer", pool.name))),
    }
}

fn within_budget(session: &Session, pool: &Pool) -> Result<(), Error> {
    let state = session.worker.pool(pool.index);
    if !state.is_some_and(|s| s.borrow_mut().budget.try_retry(timers::now())) {
        return Err(Error::new(ErrorKind::Limit, format!("upstream \"{}\" was retried often enough", pool.name)));
    }
    pool.shared.retries.fetch_add(1, Relaxed);
    Ok(())
}

/// With its address, where that is rendered for each session.
async fn whole(lease: Lease) -> Result<Lease, Error> {
    if lease.line().template.is_some() { Box::pin(render::render(lease)).await } else { Ok(lease) }
}
