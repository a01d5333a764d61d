//! `ip_allow` and `ip_deny` as hooks. Before anything is read the lines of `net` are asked, which hold for every server;
//! once server and local are chosen all lines that hold there.

use crate::{Tcp, conf};
use anyproxy_module_api::{At, Hook, Phase, Session, Verdict};

fn verdict(access: Option<&conf::Access>, session: &Session<Tcp>) -> Verdict {
    match access {
        Some(list) if !list.allows(&session.client.get()) => Verdict::Deny,
        _ => Verdict::Pass,
    }
}

/// Before a server is chosen.
pub(crate) struct Before;

impl Hook<Tcp> for Before {
    const NAME: &'static str = "tcp.access";
    const PHASE: Phase = Phase::Access;

    fn check(at: At<Tcp>, session: &Session<Tcp>) -> Verdict {
        // Several servers may share the address, so none of their own lines can be asked yet.
        verdict(at.try_conf().and_then(|c| c.net_access.as_deref()), session)
    }
}

/// After server and local are chosen.
pub(crate) struct Routed;

impl Hook<Tcp> for Routed {
    const NAME: &'static str = "tcp.access_routed";
    const PHASE: Phase = Phase::Routed;

    fn check(at: At<Tcp>, session: &Session<Tcp>) -> Verdict {
        verdict(at.try_conf().and_then(|c| c.access.as_deref()), session)
    }
}
