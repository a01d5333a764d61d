//! Requests of other modules' own: to the peers of a local, with no client's connection whose deadline is looked after.

use super::{Failure, pass, pass_http2};
use crate::{Http, conf::Conf, exchange::State, fault::Fault, h1, hooks, incoming::Incoming, reply::Call};
use anyproxy_http_contract::{Response, Speaks, To};
use anyproxy_module_api::{Error, ErrorKind, Session, timeout};
use std::{cell::Cell, time::Duration};

/// A request of another module's own to the peers of the exchange's local, or of another upstream.
///
/// # Errors
/// When no peer answers, with why.
pub(crate) async fn fetch(
    exchange: Session<Http>,
    state: State,
    mut incoming: Incoming,
    to: Option<To>,
) -> Result<Response, Error> {
    let sender = exchange.client.get();
    let conf = exchange.block().ok_or(Error::bare(ErrorKind::NotFound))?;
    let known = Cell::new(Some(conf));
    let call = Call {
        watch: &exchange,
        exchange: &exchange,
        state: &state,
        sender: &sender,
        conf: &known,
        alone: true,
        upstream: to.map(|to| to.upstream),
    };
    let asked = match to.map_or(conf.peers_http2, |to| to.speaks == Speaks::Http2) {
        true => pass_http2(&call, conf, incoming).await,
        false => pass(&call, conf, &mut incoming).await,
    };
    let reply = asked.map_err(Failure::error)?;
    if reply.upgrade.is_some() {
        return Err(Error::bare(ErrorKind::Unsupported));
    }
    let (status, lines, length) = {
        let response = &state.parts.borrow().response;
        let mut lines = Vec::new();
        h1::headers(&response.head, &response.bytes, &response.struck, &mut lines);
        (response.status(), lines, response.length())
    };
    Ok((status, lines, hooks::Answered::lend(&call, reply.body, length).0))
}

/// A request at a peer, whose answer is waited for.
pub(super) trait Awaited {
    /// To the head of the answer, or the deadline that whoever drives the session sees to.
    async fn head(&mut self, call: &Call<'_>, conf: &Conf) -> Result<(), Fault>;
    /// A deadline passed before that: whose fault it is, which is noted if it is the peer's.
    fn timed_out(&mut self) -> Fault;
}

/// To the head of the answer to a request whose deadlines nobody looks after.
pub(super) async fn head_alone(download: &mut impl Awaited, call: &Call<'_>, conf: &Conf) -> Result<(), Fault> {
    let limit = Duration::from_millis(conf.first_byte_ms);
    let headed = timeout(limit, async { Ok(download.head(call, conf).await) }).await;
    headed.unwrap_or_else(|_| Err(download.timed_out()))
}
