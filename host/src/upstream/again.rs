//! Choosing a peer for what another one was asked before: within the pool's budget of retries, and another one as long as there
//! is one. Knows not what failed.

use super::{
    hashed::key,
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

/// The same in place of `held`, a use of the same pool and generation that goes on until there is another: whoever waited for a place while it has one might
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
    let key = &*key(session, pool, &client, &[]);
    if held.handed != Handed::Nothing {
        let mut lease = pick_another(session, pool, key, tried).await?;
        note(session, &mut lease);
        return Ok(lease);
    }
    within_budget(session, pool)?;
    let ask =
        |tried: &[u64]| attempt_in(pool, &session.worker, Some(session), (key, tried), held.limited, |lease| lease);
    let mut handed = Handed::Place;
    let found = match ask(tried) {
        Attempt::Lease(lease) => Attempt::Lease(lease),
        Attempt::Wait | Attempt::None => match ask(&[]) {
            Attempt::None if recover::last_resort(pool, &[]) => ask(&[]),
            // Its place at its peer is for this one: the same peer is the only one with room.
            Attempt::Wait if held.first_chosen().live.state.is_usable() => {
                handed = Handed::Both;
                Attempt::Lease(once_more(session, held))
            }
            found => found,
        },
    };
    match found {
        Attempt::Lease(mut lease) => {
            pool.shared.take_over(session.worker.worker);
            // Until it is whole the places are not its own, to be given up with it.
            lease.handed = handed;
            let mut lease = whole(lease).await?;
            (lease.handed, lease.limited, held.handed) = (Handed::Nothing, held.limited, handed);
            note(session, &mut lease);
            Ok(lease)
        }
        Attempt::Wait => Err(Error::new(ErrorKind::Limit, format!("no peer of \"{}\" has room now", pool.name))),
        Attempt::None => Err(Error::new(ErrorKind::NoPeer, format!("upstream \"{}\" has no usable peer", pool.name))),
    }
}

/// Another use of the peer of `held`, in its place: no balancer is asked.
fn once_more(session: &Rc<Session>, held: &Lease) -> Lease {
    let member = Rc::clone(held.first_chosen());
    member.live.uses.begin(session.worker.worker);
    let sofar = &session.shared;
    Lease {
        pool: held.pool,
        member,
        worker: Rc::clone(&held.worker),
        session: Some(Rc::clone(session)),
        connect_ns: 0,
        version: held.version,
        tier: held.tier,
        index: held.index,
        at: held.at,
        done: false,
        limited: held.limited,
        handed: Handed::Nothing,
        unheard: false,
        noted: false,
        chosen: None,
        bytes: (sofar.upstream_sent.get(), sofar.upstream_received.get()),
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
