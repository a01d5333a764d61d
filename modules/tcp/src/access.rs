//! `ip_allow` and `ip_deny` as hooks. Before anything else is read a line that denies is final, for no nested block can
//! undo it; what follows from no line matching is known once server and local are chosen. Of a session that carries
//! exchanges each has a client of its own, who may be another one than the connection's: only they are judged.

use crate::Tcp;
use anyproxy_module_api::{At, Hook, Phase, Session, Verdict};

const fn deny(when: bool) -> Verdict {
    if when { Verdict::Deny } else { Verdict::Pass }
}

/// Whether the block has any line.
fn applies(at: At<'_, Tcp>) -> bool {
    at.try_conf().is_some_and(|c| c.access.is_some())
}

/// Before a server is chosen: the block is the one that all servers of the address have in common.
pub(crate) struct Before;

impl Hook<Tcp> for Before {
    const NAME: &'static str = "tcp.access";
    const PHASE: Phase = Phase::Access;

    fn applies(at: At<'_, Tcp>) -> bool {
        applies(at)
    }

    fn check(at: At<'_, Tcp>, session: &Session<Tcp>) -> Verdict {
        let access = at.try_conf().and_then(|c| c.access.as_deref());
        deny(access.is_some_and(|a| a.denies(&session.client.get())) && !session.has_exchanges())
    }
}

/// After server and local are chosen.
pub(crate) struct Routed;

impl Hook<Tcp> for Routed {
    const NAME: &'static str = "tcp.access_routed";
    const PHASE: Phase = Phase::Routed;

    fn applies(at: At<'_, Tcp>) -> bool {
        applies(at)
    }

    fn check(at: At<'_, Tcp>, session: &Session<Tcp>) -> Verdict {
        let access = at.try_conf().and_then(|c| c.access.as_deref());
        deny(access.is_some_and(|a| !a.allows(&session.client.get())))
    }
}
