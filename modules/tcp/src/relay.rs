//! The handler that joins a client with a peer of its upstream, and the relays that carry the bytes.
//! Knows neither how a peer is chosen nor what the bytes mean.
//!
//! `shaped` takes sessions with a rate limit, a delay or a temporary file; `splice` other pairs of plain sockets; `copy`
//! the rest. The last two are one machine: a direction starts by copying and changes when that is cheaper.

mod copy;
mod io;
mod pump;
mod shaped;
mod spill;

use crate::{Tcp, conf, session::known};
use anyproxy_module_api::{
    At, Cause, CloseReason, Error, ErrorKind, Handler, Lease, Outcome, Relay, Session, Stage, Stream, Who, idle, now,
};
use pump::{Kind, Pump, is_plain};
use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

/// Serves locals that name peers.
pub(crate) struct Handle;

impl Handler<Tcp> for Handle {
    const NAME: &'static str = "relay";
    const FOR_PEERS: bool = true;

    #[expect(clippy::manual_async_fn, reason = "an async fn keeps its arguments twice, in every idle session")]
    fn handle(session: Session<Tcp>, mut client: Stream) -> impl Future<Output = Result<(), Error>> + 'static {
        async move {
            session.stage("connect");
            let (upstream, lease) = match connect(&session).await {
                Ok(c) => c,
                Err(e) => {
                    session.close(connect_reason(&e));
                    if conf::of(&session).close.fast {
                        client.set_reset();
                    }
                    return Err(e);
                }
            };
            session.stage("relay");
            let begun = now();
            session.idle.set(idle::CARRIES);
            let result = session.relay(client, upstream).await;
            session.idle.set(idle::BUSY);
            session.stage("end");
            give_back(&session, lease, begun, result.is_err());
            result
        }
    }
}

/// Connects, unless the session is ended meanwhile.
fn connect(session: &Session<Tcp>) -> impl Future<Output = Result<(Stream, Lease), Error>> {
    let mut connecting = session.connect_upstream();
    poll_fn(move |cx| {
        if session.kill.get() != 0 {
            return Poll::Ready(Err(Error::bare(ErrorKind::Cancelled)));
        }
        Pin::new(&mut connecting).poll(cx)
    })
}

fn connect_reason(e: &Error) -> CloseReason {
    let (who, cause) = match e.kind {
        ErrorKind::Refused => (Who::Upstream, Cause::Refused),
        ErrorKind::Reset => (Who::Upstream, Cause::Reset),
        ErrorKind::TimedOut => (Who::Upstream, Cause::Timeout),
        ErrorKind::Unreachable | ErrorKind::NotFound => (Who::Upstream, Cause::Unreachable),
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => (Who::Upstream, Cause::Closed),
        ErrorKind::Invalid => (Who::Upstream, Cause::Protocol),
        ErrorKind::NoPeer => (Who::Proxy, Cause::NoPeer),
        ErrorKind::Limit => (Who::Proxy, Cause::Limit),
        ErrorKind::Permission => (Who::Proxy, Cause::Denied),
        ErrorKind::Cancelled => (Who::Proxy, Cause::Killed),
        ErrorKind::Panicked => (Who::Proxy, Cause::Panic),
        _ => (Who::Proxy, Cause::Internal),
    };
    CloseReason::new(who, Stage::Connect, cause)
}

/// Tells the upstream how its peer did. A failure is the peer's only when it was the peer that ended the session badly.
fn give_back(session: &Session<Tcp>, lease: Lease, begun: Duration, failed: bool) {
    let peer_failed = failed && session.close_reason.get() >> 16 == Who::Upstream as u32;
    let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
    let first_byte = known(session).filter(|s| !s.first_received.get().is_zero()).map_or(0, |s| {
        let (answered, asked) = (s.first_received.get(), s.first_sent.get());
        // From when the peer had something to answer; one that speaks first, from when it was connected.
        let since = if asked.is_zero() || asked > answered { begun } else { asked };
        // 0 would read as "none came".
        nanos(answered.saturating_sub(since)).max(1)
    });
    let connect_ns = lease.info().connect_ns;
    lease.done(&Outcome {
        connect_ns,
        first_byte_ns: first_byte,
        total_ns: nanos(now().saturating_sub(begun)).saturating_add(connect_ns),
        failure: if peer_failed { 2 } else { 0 },
    });
}

/// Copies through the worker's pooled buffers.
pub(crate) struct Copy;

impl Relay<Tcp> for Copy {
    const NAME: &'static str = "copy";
    const PRIORITY: i32 = 0;

    fn takes(_: At<'_, Tcp>, _: &Session<Tcp>, _: &Stream, _: &Stream) -> bool {
        true
    }

    fn run(
        session: Session<Tcp>,
        client: Stream,
        upstream: Stream,
    ) -> impl Future<Output = Result<(), Error>> + 'static {
        Pump::new(Kind::Copy, session, client, upstream, |_, _| copy::Flow::new(false))
    }
}

/// Copies, and lets the kernel move what is long.
pub(crate) struct Splice;

impl Relay<Tcp> for Splice {
    const NAME: &'static str = "splice";
    const PRIORITY: i32 = 10;

    fn takes(at: At<'_, Tcp>, _: &Session<Tcp>, client: &Stream, upstream: &Stream) -> bool {
        // Not `raw_fd`: what was read before a server was chosen is still in front of the client's bytes now, and gone
        // by the time a direction is spliced.
        cfg!(target_os = "linux") && at.try_conf().is_none_or(|c| c.splice) && is_plain(client) && is_plain(upstream)
    }

    fn run(
        session: Session<Tcp>,
        client: Stream,
        upstream: Stream,
    ) -> impl Future<Output = Result<(), Error>> + 'static {
        Pump::new(Kind::Splice, session, client, upstream, |_, _| copy::Flow::new(true))
    }
}

/// Limits, joins and stores.
pub(crate) struct Shaped;

impl Relay<Tcp> for Shaped {
    const NAME: &'static str = "shaped";
    const PRIORITY: i32 = 20;

    fn takes(at: At<'_, Tcp>, _: &Session<Tcp>, _: &Stream, _: &Stream) -> bool {
        at.try_conf().is_some_and(conf::Conf::is_shaped)
    }

    fn run(
        session: Session<Tcp>,
        client: Stream,
        upstream: Stream,
    ) -> impl Future<Output = Result<(), Error>> + 'static {
        Pump::new(Kind::Shaped, session, client, upstream, shaped::Flow::new)
    }
}
