//! A peer whose address contains variables: rendered for the session that chose it, resolved, and let through or not.

use super::{connect::within_session, lease::Lease, pick::enter_peer, pool::Member, random::random, rendered::Target};
use crate::{process::process, services::dns};
use anyproxy_module_api::abi::{
    error::{Error, ErrorKind},
    net::Addr,
};
use std::{pin::pin, rc::Rc};

/// Puts the address that the session's text names in the place of what was chosen.
///
/// # Errors
/// `Permission` where `peer_allow` does not let it through; `NoPeer`, `Limit`; what the resolution says.
pub(super) async fn render(mut lease: Lease) -> Result<Lease, Error> {
    // Where that fails nothing was tried, and no peer is to blame: the lease is only dropped.
    let member = rendered(&lease).await?;
    lease.chosen = Some(std::mem::replace(&mut lease.member, Rc::new(member)));
    lease.at = u32::MAX;
    Ok(lease)
}

async fn rendered(lease: &Lease) -> Result<Member, Error> {
    let (pool, line) = (lease.pool(), lease.line());
    let (Some(session), Some(template)) = (&lease.session, line.template) else {
        return Err(Error::new(ErrorKind::NoPeer, format!("{} has an address for sessions only", line.text)));
    };
    let mut text = Vec::new();
    session.render(template, false, &mut text);
    let text = String::from_utf8_lossy(&text);
    let found: Vec<Addr> = match Target::parse(&text) {
        Some(Target::Ip(at)) => vec![at.into()],
        Some(Target::Name(host, port)) => {
            let answer = within_session(session, pool.retry_timeout, pin!(dns::lookup(&host, port))).await?;
            answer.iter().map(|r| r.addr).collect()
        }
        None => Vec::new(),
    };
    let mut allowed = found;
    allowed.retain(|a| a.ip().is_some_and(|ip| line.allow.iter().any(|n| n.contains(ip))));
    if allowed.is_empty() {
        if let Some(more) = process().error_log.once_a_second(&format!("peer_allow {}", pool.name)) {
            let peer = &*text;
            tracing::warn!(
                session = session.shared.id,
                upstream = pool.name,
                peer,
                more,
                "peer_allow does not let it through"
            );
        }
        return Err(Error::new(
            ErrorKind::Permission,
            format!("peer_allow does not let {} through", text.escape_debug()),
        ));
    }
    let addr = allowed[(random() % allowed.len() as u64) as usize];
    let member = Member { live: line.rendered(pool, &text, addr), line: lease.member.line };
    if !member.live.state.is_usable() {
        return Err(Error::new(ErrorKind::NoPeer, format!("peer {addr} is {}", member.live.condition())));
    }
    if !enter_peer(&member, lease.worker.worker) {
        return Err(Error::new(ErrorKind::Limit, format!("peer {addr} is at its limit")));
    }
    Ok(member)
}
