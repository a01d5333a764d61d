//! Brings ejected peers back before their time: when somebody who knows better says so, and when nobody else is left. Knows not why
//! they were ejected.

use super::{live::PeerLive, pool::Pool, shared::Shared};
use crate::process::process;
use anyproxy_module_api::abi::upstream::{admin, health};
use std::sync::atomic::Ordering::Relaxed;

/// Returns an ejected peer to service; false: it was not ejected.
pub fn release(shared: &Shared, live: &PeerLive, why: &str) -> bool {
    let now = process().now();
    if !shared.release(&live.state, now) {
        return false;
    }
    live.begins(now);
    tracing::info!(upstream = live.upstream, peer = %live.addr_text, "peer is back: {why}");
    shared.wake();
    true
}

/// For a session that finds no peer: to try one that failed before is better than to fail for certain. Returns those to service
/// that only their ejection keeps out, but for the `tried`; false: there is none.
pub fn last_resort(pool: &Pool, tried: &[u64]) -> bool {
    let mut any = false;
    for m in &pool.set.load().members {
        let s = &m.live.state;
        let only_ejected = s.ejected.load(Relaxed) != 0
            && s.admin.load(Relaxed) == admin::READY
            && s.health.load(Relaxed) == health::UP
            && !tried.contains(&s.id);
        any |= only_ejected && release(&pool.shared, &m.live, "no other peer is left");
    }
    any
}
