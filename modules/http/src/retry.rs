//! Asking another peer: after which failures, how often, and for which requests. Knows not how a peer is asked.

use crate::{
    fault::Fault,
    h1::Method,
    incoming::Incoming,
    proxy::{Failure, patience::unless_gone},
    reply::Call,
};
use anyproxy_module_api::*;

directive! {
    /// Another peer is asked when one cannot be reached (`connect`), ends before the head of its answer (`reset`), has no
    /// head in time (`timeout`, see `http_first_byte_timeout`), or answers with one of these statuses. Within the upstream's
    /// budget of retries, never once something of an answer went to the client, and only where the request's body is not
    /// begun or kept (`http_request_buffering`). What was not sent is repeated whatever its method is, and what a peer of
    /// HTTP/2 refused. Unset: a kept connection that ended is replaced, and connects are repeated as the upstream's `retry`
    /// says. What a connection of HTTP/2 refused because it ends goes to another one in any case, up to twice, and counts as
    /// no try; what is refused after that is as one that was reset.
    "http_retry", Contexts::MSL,
    .args(&[ArgDesc::new("on", Kind::Choice, "What is repeated; `off`: nothing beside the default.").required().repeated().choices(&[
        Str::new("connect"),
        Str::new("reset"),
        Str::new("timeout"),
        Str::new("429"),
        Str::new("500"),
        Str::new("502"),
        Str::new("503"),
        Str::new("504"),
        Str::new("off"),
    ])])
    .props(&[
        ArgDesc::new("tries", Kind::Int, "Peers that are asked, the first one included.").default("2").bounds(2, 16),
        ArgDesc::new("timeout", Kind::Time, "None is asked any more so long after the first one.").default("10s").bounds(1_000_000, 86_400_000_000_000),
        ArgDesc::new("non_idempotent", Kind::Bool, "Also what may have an effect each time: POST, PATCH and methods that are unknown.").default("#false"),
    ])
    .example("http_retry \"connect\" \"reset\" \"503\" tries=3")
}

/// What a block says of it.
#[derive(Debug)]
pub(crate) struct Retry {
    connect: bool,
    reset: bool,
    timeout: bool,
    statuses: Vec<u16>,
    tries: u32,
    within_ms: u64,
    non_idempotent: bool,
}

impl Retry {
    pub(crate) fn new<C>(scope: &Scope<'_, C>) -> Option<Box<Self>> {
        let node = scope.node("http_retry")?;
        let on: Vec<&str> = node.args.as_slice().iter().map(|v| v.text.as_str()).collect();
        if on.contains(&"off") {
            return None;
        }
        let has = |what: &str| on.contains(&what);
        Some(Box::new(Self {
            connect: has("connect"),
            reset: has("reset"),
            timeout: has("timeout"),
            statuses: on.iter().filter_map(|what| what.parse().ok()).collect(),
            tries: node.num("tries") as u32,
            within_ms: node.num("timeout").unsigned_abs() / 1_000_000,
            non_idempotent: node.num("non_idempotent") != 0,
        }))
    }
}

/// The peers that one request was sent to.
#[derive(Debug)]
pub(crate) struct Tries<'a> {
    how: Option<&'a Retry>,
    tried: Vec<u64>,
    until_ms: u64,
    /// The one to be asked now; `None`: whom the upstream chooses.
    pub(crate) next: Option<Lease>,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(how: Option<&'a Retry>) -> Self {
        let until_ms = how.map_or(0, |how| now_ms().saturating_add(how.within_ms));
        Self { how, tried: Vec::new(), until_ms, next: None }
    }

    /// A failed connect is answered here, and not as the upstream's `retry` says.
    pub(crate) fn connects(&self) -> bool {
        self.how.is_some_and(|how| how.connect)
    }

    /// Whether a request like this one may be sent a second time, as far as its method says.
    pub(crate) fn may_repeat(&self, call: &Call<'_>) -> bool {
        let method = call.state.parts.borrow().method();
        let effective = matches!(method, Method::Post | Method::Patch | Method::Other | Method::Connect);
        !effective || self.how.is_some_and(|how| how.non_idempotent)
    }

    /// Whether this is a reason to ask another peer.
    pub(crate) fn is_reason(&self, fault: &Fault) -> bool {
        let Some(how) = self.how.filter(|_| fault.who == Who::Upstream) else { return false };
        match fault.cause {
            Cause::Timeout => how.timeout,
            Cause::Reset | Cause::Closed | Cause::Refused => how.reset,
            _ => false,
        }
    }

    /// Whether this answer is one.
    pub(crate) fn is_reason_status(&self, status: u16) -> bool {
        self.how.is_some_and(|how| how.statuses.contains(&status))
    }

    /// Whether some answer is one.
    pub(crate) fn has_statuses(&self) -> bool {
        self.how.is_some_and(|how| !how.statuses.is_empty())
    }

    /// Has another peer asked in place of `peer`, if one may be. `held`: the use of it that goes on, should there be no other.
    async fn again(
        &mut self,
        call: &Call<'_>,
        peer: u64,
        held: Option<&mut Lease>,
        incoming: &Incoming,
        why: &dyn std::fmt::Display,
    ) -> bool {
        let Some(how) = self.how else { return false };
        let over = self.tried.len() as u32 + 1 >= how.tries || now_ms() >= self.until_ms;
        if over || call.watch.kill.get() != 0 {
            return false;
        }
        self.tried.push(peer);
        // Boxed, as what is rare: every request's future has room for it otherwise.
        let picked = match held {
            Some(held) => Box::pin(call.exchange.pick_instead(held, &self.tried)).await.map_err(Failure::Peer),
            None => Box::pin(unless_gone(incoming, call.pick(&self.tried))).await,
        };
        match picked {
            Ok(lease) => {
                call.exchange.worker().stats.upstream_retried.add();
                let (session, to) = (call.exchange.id, lease.info().addr);
                tracing::debug!(session, %to, try = self.tried.len() + 1, "another peer is asked: {why}");
                call.stage("peer");
                self.next = Some(lease);
                true
            }
            Err(failure) => {
                let session = call.exchange.id;
                match failure {
                    Failure::Peer(e) => tracing::debug!(session, "no other peer is asked after {why}: {e}"),
                    _ => tracing::debug!(session, "no other peer is asked after {why}: the client is gone"),
                }
                false
            }
        }
    }

    /// The same where one could not be reached. `Limit`: it was not asked, as what goes before a client's bytes cannot be written.
    pub(crate) async fn again_elsewhere(&mut self, call: &Call<'_>, peer: u64, e: &Error, incoming: &Incoming) -> bool {
        self.connects() && e.kind != ErrorKind::Limit && self.again(call, peer, None, incoming, e).await
    }

    /// The same after a fault of the peer. `answered`: something of an answer went to the client. `untouched`: the peer has
    /// said that it did nothing of the request, which may be repeated whatever its method is (RFC 9113 section 8.7).
    pub(crate) async fn again_after(
        &mut self,
        call: &Call<'_>,
        peer: u64,
        fault: &Fault,
        answered: bool,
        untouched: bool,
        incoming: &mut Incoming,
    ) -> bool {
        let repeats = untouched || self.may_repeat(call);
        let may = self.is_reason(fault) && !answered && repeats && incoming.is_rewindable();
        may && self.again(call, peer, None, incoming, &CloseReason::name(reason(fault))).await && incoming.rewind()
    }

    /// The same in place of an answer that says no more than that the peer has none, and that is the client's if no other has
    /// one: until then its peer is held.
    pub(crate) async fn again_instead(
        &mut self,
        call: &Call<'_>,
        peer: u64,
        held: Option<&mut Lease>,
        answered: bool,
        incoming: &Incoming,
    ) -> bool {
        if !self.has_statuses() {
            return false;
        }
        let status = call.state.parts.borrow().response.status();
        let may = self.is_reason_status(status) && !answered && self.may_repeat(call) && incoming.is_rewindable();
        may && self.again(call, peer, held, incoming, &format_args!("status {status}")).await
    }
}

fn reason(fault: &Fault) -> u32 {
    CloseReason::new(fault.who, fault.stage, fault.cause).code()
}
