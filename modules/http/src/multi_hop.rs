//! Requests that say where they go: each proxy on their way takes the first hop off their list and asks that one. Where a
//! hop may be is the upstream's matter (`peer_allow`).

use crate::{
    conf::Conf,
    core::domains::{self, Error},
    h1::Id,
    reply::Call,
    trust::Trusted,
};
use anyproxy_module_api::*;

directive! {
    /// The header `anyproxy_domains` of senders that `http_trusted` names lists the hops that a request has before it,
    /// `host:port` each (without a port: 80), with commas; or `//tcp//host:port//random`, with `|||`. The first is `${http_next_hop}` here, and peers get the header with the
    /// rest. A list that is none is answered with 400. From others, and without this, the header is taken off.
    "multi_hop", Contexts::MSL,
    .args(&[ArgDesc::new("on", Kind::Bool, "Whether the header counts.").default("#true")])
    .default("#false")
    .example("multi_hop #true")
}

/// The header.
const NAME: &str = "anyproxy_domains";

/// What a request has said of its way.
#[derive(Debug, Default)]
pub(crate) struct Way {
    /// `host:port`; empty: nothing.
    next: String,
    /// The first hop is off the list.
    taken: bool,
}

impl Way {
    pub(crate) fn clear(&mut self) {
        self.next.clear();
        self.taken = false;
    }

    /// The next hop; empty: there is none.
    pub(crate) fn next(&self) -> &str {
        &self.next
    }
}

/// The header counts in this block.
pub(crate) fn is_on<C>(scope: &Scope<'_, C>) -> bool {
    scope.node("multi_hop").is_some_and(|node| node.arg(0).is_none_or(|v| v.num != 0))
}

/// Takes the first hop off the list, where it counts and its sender is trusted. Whether it did.
///
/// # Errors
/// What is wrong with the list.
pub(crate) fn hear(call: &Call<'_>, counts: bool, trusted: &Trusted) -> Result<bool, Error> {
    if !counts {
        return Ok(false);
    }
    let parts = &mut *call.state.parts.borrow_mut();
    if parts.way.taken || !trusted.is_trusted(*call.sender) {
        return Ok(false);
    }
    let request = &mut parts.request;
    let values: Vec<_> = request
        .lines()
        .filter(|l| l.name(&request.bytes).eq_ignore_ascii_case(NAME.as_bytes()))
        .map(|l| l.value(&request.bytes))
        .collect();
    if values.is_empty() {
        return Ok(false);
    }
    let list = values.join(&b", "[..]);
    let (hop, rest) = domains::split(&list)?;
    parts.way.next = match hop.port {
        Some(_) => hop.to_string(),
        None => format!("{hop}:80"),
    };
    parts.way.taken = true;
    request.remove(NAME);
    if !rest.is_empty() {
        // What came as a value is one.
        let _ = request.add(NAME, rest);
    }
    Ok(true)
}

/// The same for the block that answers. What it does not listen to is taken off.
///
/// # Errors
/// As [`hear`].
pub(crate) fn settle(call: &Call<'_>, conf: &Conf) -> Result<(), Error> {
    hear(call, conf.multi_hop, &conf.trusted)?;
    let parts = &mut *call.state.parts.borrow_mut();
    if !conf.multi_hop || !parts.way.taken {
        parts.request.remove_known(Id::AnyproxyDomains);
        parts.way.next.clear();
    }
    Ok(())
}

/// What a request gets that leads where no peer may be: nowhere, or to a hop that is not allowed.
pub(crate) fn denied(call: &Call<'_>) -> u16 {
    let on = call.conf().is_some_and(|conf| conf.multi_hop);
    match call.state.parts.borrow().way.next().is_empty() {
        _ if !on => 502,
        true => 404,
        false => 403,
    }
}
