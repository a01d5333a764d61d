//! Connecting a session to a peer, and to others where that fails: as often as the upstream's `retry` and its budget allow.

use super::{
    hashed::key,
    lease::{Connects, Lease},
    pick::{is_own, note, pick},
    pool::Pool,
};
use crate::{process::process, services::timers, session::Session};
use anyproxy_module_api::abi::{
    error::{Error, ErrorKind},
    session::{Cause, CloseReason, Stage, Who},
    stream::Stream,
    upstream::Outcome,
};
use std::{
    rc::Rc,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// Chooses a peer for the session and connects, trying others as the upstream's `retry` says.
///
/// # Errors
/// The last attempt's.
pub async fn connect_session(session: &Rc<Session>, pool: &Arc<Pool>) -> Result<(Stream, Lease), Error> {
    let worker = &session.worker;
    let began = timers::now();
    let client = session.shared.client.get();
    let key = key(session, pool, &client, &[]);
    if let Some(state) = worker.pool(pool.index) {
        state.borrow_mut().budget.request(began);
    }
    let own = is_own(session, pool.index);
    let _connects = own.then(|| Connects::of(&session.lease));
    let mut tried = Vec::new();
    let mut last = None;
    loop {
        let mut lease = match pick(pool, worker, Some(session), &key, &tried).await {
            Ok(l) => l,
            // That there is no other peer to try is no reason of its own.
            Err(e) if e.kind == ErrorKind::Permission => {
                // What another upstream refuses is for whoever asks it to judge.
                if own {
                    session.close(CloseReason::new(Who::Proxy, Stage::Connect, Cause::Denied));
                }
                return Err(e);
            }
            Err(e) => return Err(last.filter(|_| e.kind == ErrorKind::NoPeer).unwrap_or(e)),
        };
        note(session, &mut lease);
        let error = match lease.connect().await {
            Ok(stream) => return Ok((stream, lease)),
            Err(e) => e,
        };
        let live = Arc::clone(&lease.member.live);
        tried.push(lease.first_chosen().live.state.id);
        lease.finish(&Outcome { connect_ns: 0, first_byte_ns: 0, total_ns: 0, failure: 1 });
        if let Some(more) = process().error_log.once_a_second(&format!("connect {}", live.addr_text)) {
            let peer = &live.addr_text;
            tracing::warn!(session = session.shared.id, upstream = pool.name, %peer, more, "connect failed: {error}");
        }
        let now = timers::now();
        // A bound of this proxy's is the same for all peers.
        let may_retry = error.kind != ErrorKind::Limit
            && (tried.len() as u32) < pool.attempts
            && now.saturating_sub(began) < pool.retry_timeout
            && session.shared.kill.get() == 0
            && worker.pool(pool.index).is_some_and(|s| s.borrow_mut().budget.try_retry(now));
        if !may_retry {
            return Err(error);
        }
        pool.shared.retries.fetch_add(1, Relaxed);
        last = Some(error);
    }
}
