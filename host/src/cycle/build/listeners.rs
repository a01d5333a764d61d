//! Listeners, one a socket: whose servers they are of, what their sockets are and who looks at first bytes.

use super::Builder;
use crate::{
    config::{Tree, tree::Socket},
    cycle::{
        Cycle,
        listener::{self, Listener, ListenerStats, Parts, ServerPlan},
    },
    matcher::CaptureNames,
    process::process,
    services::{instance::Instance, points},
};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

impl Builder<'_> {
    pub(super) fn listeners(
        &mut self,
        tree: &Tree,
        instances: &[Option<Instance>],
        servers: &[Vec<Arc<ServerPlan>>],
        names: &mut CaptureNames,
    ) -> Vec<Listener> {
        let parts = Parts { tree, instances, servers };
        let mut seen: HashMap<(String, bool), usize> = HashMap::new();
        let mut out = Vec::new();
        let mut groups: HashMap<Vec<(usize, usize)>, Vec<usize>> = HashMap::new();
        for socket in &tree.sockets {
            let n = seen.entry((socket.address.to_string(), socket.datagram)).or_insert(0);
            let ordinal = std::mem::replace(n, *n + 1);
            let stats = stats_of(&format!("listener {} {}#{ordinal}", socket.datagram, socket.address));
            match listener::build(&parts, socket, ordinal, stats, names) {
                Ok(l) => {
                    groups.entry(servers_of(socket)).or_default().push(out.len());
                    out.push(l);
                }
                Err(text) => {
                    let u = &socket.users[0];
                    let span = tree.nets[u.net].servers[u.server].span;
                    self.error(&span, "listener", text, "");
                }
            }
        }
        groups.values().for_each(|group| hold_together(&mut out, group));
        out
    }
}

/// The servers of a socket, each once, by net and number.
fn servers_of(socket: &Socket) -> Vec<(usize, usize)> {
    let mut servers: Vec<_> = socket.users.iter().map(|u| (u.net, u.server)).collect();
    servers.sort_unstable();
    servers.dedup();
    servers
}

/// `max_connections` is a server's, not an address's: those with the same servers share it. Others are counted apart, as whose
/// a session is that is held at an address of several servers is not known while it is accepted.
fn hold_together(listeners: &mut [Listener], group: &[usize]) {
    let together: Vec<_> = group.iter().map(|n| Arc::clone(&listeners[*n].stats)).collect();
    let key = listeners[group[0]].key;
    for n in group {
        let listener = &mut listeners[*n];
        listener.group = key;
        if listener.max_connections != 0 {
            listener.together.clone_from(&together);
        }
    }
}

/// Counters by name: a generation finds those of the one before.
pub(super) fn stats_of(name: &str) -> Arc<ListenerStats> {
    let mut all = process().listeners.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|n, s| Arc::strong_count(s) > 1 || n == name);
    Arc::clone(all.entry(name.to_owned()).or_default())
}

/// What needs modules' objects: which prereads a listener wants, and its socket's options.
pub(super) fn finish_listener(mut l: Listener, cycle: &Cycle) -> Listener {
    let place = |module: u16| anyproxy_module_api::abi::module::Place {
        conf: cycle.conf(l.users[0].server.scope, module).as_ptr(),
        ..cycle.instance(module).place()
    };
    let mut headers = Vec::new();
    let mut domains = Vec::new();
    for (module, instance) in cycle.modules() {
        for p in instance.desc().prereads.as_slice() {
            let on = if p.header { true } else { l.by_domain && p.on_domain };
            if on && points::preread_wanted(p, place(module)) {
                if p.header { headers.push((module, *p)) } else { domains.push((module, *p)) }
            }
        }
    }
    let mut options = l.options;
    options.v6_only = cycle.settings.ipv6_only;
    options.reuseport = cycle.settings.reuseport;
    let (module, point) = &l.users[0].point;
    points::listener_options(point, place(*module), &mut options);
    // Whoever looks at a client's first bytes has nothing to do before they are there.
    options.defer_accept |= l.by_domain || !headers.is_empty() || l.read_for_themselves();
    l.options = options;
    l.header_prereads = headers;
    l.domain_prereads = domains;
    l
}
