//! Passes a request to a peer and its answer back: both directions at once, nothing stored beyond a buffer of each.

mod download;
mod extended;
mod failure;
mod fetch;
mod head;
pub(crate) mod http2;
pub(crate) mod patience;

pub(crate) use download::{Download, Poured};
pub(crate) use failure::Failure;
pub(crate) use fetch::fetch;

use crate::{
    conf::Conf,
    conn::Conn,
    http2::{client::Stream, peers::Got},
    incoming::Incoming,
    reply::{Call, Reply},
    retry::Tries,
};
use anyproxy_module_api::{Connecting, Error, ErrorKind, Lease, Outcome, PeerKey, Who, timeout, tracing};
use extended::Asked;
use fetch::{Awaited, head_alone};
use http2::Refused;
use patience::unless_gone;
use std::time::Duration;

/// How often a request waits for a connection that somebody else makes.
const ATTEMPTS: u32 = 3;
/// How often a request that peers of HTTP/2 have not begun with is sent again, if the block does not ask for more. The last
/// time it has a connection of its own.
const AGAIN: u32 = 2;

/// A connection to a peer, with the use of it that is counted.
struct Peer {
    conn: Box<Conn>,
    lease: Lease,
    id: u64,
    /// It is this client's alone.
    greeted: bool,
    /// It carried a request before.
    reused: bool,
}

/// Passes the request on and the answer back. Takes the body once there is a peer.
pub(crate) async fn pass(call: &Call<'_>, conf: &Conf, incoming: &mut Incoming) -> Result<Reply, Failure> {
    let mut fresh = false;
    let mut tries = Tries::new(conf.retry.as_deref());
    loop {
        let peer = match kept(call, fresh, &mut tries) {
            Some(peer) => peer,
            None => connect(call, fresh, &mut tries, incoming).await?,
        };
        let (id, reused) = (peer.id, peer.reused);
        let mut download = Download::new(call, conf, incoming.take(), peer);
        let headed = match call.alone {
            false => download.head(call, conf).await,
            true => Box::pin(head_alone(&mut download, call, conf)).await,
        };
        let fault = match headed {
            Ok(()) if tries.has_statuses() && download.again_instead(call, &mut tries).await => {
                *incoming = Box::pin(download.throw_away(call)).await;
                incoming.rewind();
                continue;
            }
            Ok(()) => {
                // Where it is, and not where it would be moved to.
                return Ok(match download.at_hand(call) {
                    Some(reply) => reply,
                    None => download.into_reply(call),
                });
            }
            Err(fault) => fault,
        };
        let (unanswered, told) = (download.is_unanswered(), download.told);
        *incoming = download.into_incoming();
        // A connection that was kept may have ended while the request was on its way: another one is asked. Not about
        // what the peer may have done already.
        if fault.who == Who::Upstream && unanswered && reused && tries.may_repeat(call) && incoming.rewind() {
            call.exchange.worker().stats.upstream_retried.add();
            fresh = true;
            continue;
        }
        if !tries.again_after(call, id, &fault, told, false, incoming).await {
            return Err(Failure::Fault(fault));
        }
    }
}

/// The same to peers of HTTP/2.
pub(crate) async fn pass_http2(call: &Call<'_>, conf: &Conf, mut incoming: Incoming) -> Result<Reply, Failure> {
    let asked = match Asked::of(call, &incoming) {
        Ok(asked) => asked,
        Err(why) => {
            tracing::info!(session = call.exchange.id, "no WebSocket: {why}");
            return Err(Failure::Refused(400));
        }
    };
    let (mut refusals, mut replaced, mut own) = (0, false, false);
    let mut tries = Tries::new(conf.retry.as_deref());
    loop {
        let way = Way { told: asked.is_some(), own };
        let (stream, lease) = stream(call, conf, &mut tries, way, &incoming).await?;
        if asked.is_some() && !stream.takes_tunnels() {
            let fault = extended::not_taken(call, &lease.info());
            lease.done(&Outcome::UNHEARD);
            return Err(Failure::Fault(fault));
        }
        let id = lease.peer().id;
        let protocol = asked.as_ref().map(|asked| &asked.protocol[..]);
        let Ok(mut download) = http2::Download::new(call, conf, incoming, stream, lease, protocol) else {
            return Err(Failure::Refused(400));
        };
        let headed = match call.alone {
            false => download.head(call, conf).await,
            true => Box::pin(head_alone(&mut download, call, conf)).await,
        };
        let fault = match headed {
            Ok(()) if download.again_instead(call, &mut tries).await => {
                incoming = download.throw_away(call);
                incoming.rewind();
                continue;
            }
            Ok(()) => {
                return Ok(match &asked {
                    Some(asked) => asked.reply(call, download),
                    None => download.into_reply(call),
                });
            }
            Err(fault) => fault,
        };
        let (refused, stale, told) = (download.refused, download.stale, download.told);
        incoming = download.into_incoming();
        refusals += u32::from(refused.is_some());
        let untouched = refused.is_some() && refusals <= AGAIN;
        // What a connection that ends does not take says nothing of its peer: that is no reason to ask another one, and no
        // try. Nor does one that was kept and has ended; but of that the peer may have done something.
        let (ends, stale) =
            (untouched && refused == Some(Refused::ByItsEnd), stale && !replaced && tries.may_repeat(call));
        if !ends && !stale && tries.again_after(call, id, &fault, told, refused.is_some(), &mut incoming).await {
            own = false;
            continue;
        }
        if told || !(untouched || stale) || !incoming.rewind() {
            return Err(Failure::Fault(fault));
        }
        call.exchange.worker().stats.upstream_retried.add();
        replaced |= stale;
        own = stale || refusals == AGAIN;
    }
}

/// What a request is to go over.
#[derive(Clone, Copy)]
struct Way {
    /// The peer has said what it allows.
    told: bool,
    /// A new connection that carries nothing else: its only stream is behind no GOAWAY and at no limit of a peer's in health.
    own: bool,
}

/// A stream to one of the local's peers, on a connection that there is or a new one.
async fn stream(
    call: &Call<'_>,
    conf: &Conf,
    tries: &mut Tries<'_>,
    way: Way,
    incoming: &Incoming,
) -> Result<(Stream, Lease), Failure> {
    let (stats, exchange) = (&call.exchange.worker().stats, call.exchange);
    let peers = &exchange.worker().peers;
    let limit = Duration::from_millis(conf.first_byte_ms);
    // Connections of HTTP/2 are few: whether any are kept is all that their number says.
    let keep_ms = if conf.upstream_idle == 0 { 0 } else { conf.upstream_idle_ms };
    let mut left = ATTEMPTS;
    while left > 0 {
        let mut lease = pick(call, tries, incoming).await?;
        let PeerKey { id, greeted } = lease.peer();
        let got = if greeted != 0 || way.own {
            peers.alone()
        } else if let Some(stream) = peers.stream(id, keep_ms) {
            Got::Stream(stream)
        } else {
            // All connections may be full, for long.
            unless_gone(incoming, timeout(limit, async { Ok(peers.get(id, keep_ms).await) })).await?
        };
        match got {
            Got::Stream(stream) => {
                stats.upstream_reused.add();
                return Ok((stream, lease));
            }
            Got::Turn(turn) => {
                stats.upstream_new.add();
                let (connected, lease) = match unless_gone(incoming, lease.connect()).await {
                    Ok(connected) => (connected, lease),
                    Err(Failure::Peer(e)) => {
                        lease.done(&UNREACHABLE);
                        if tries.connects() {
                            turn.fail();
                            if !tries.again_elsewhere(call, id, &e, incoming).await {
                                return Err(Failure::Peer(e));
                            }
                            continue;
                        }
                        // Others, as the upstream's `retry` says.
                        match unless_gone(incoming, connect_any(call)).await {
                            Ok(connected) => connected,
                            Err(failure) => {
                                if matches!(failure, Failure::Peer(_)) {
                                    turn.fail();
                                }
                                return Err(failure);
                            }
                        }
                    }
                    Err(gone) => {
                        lease.done(&Outcome::UNHEARD);
                        return Err(gone);
                    }
                };
                call.stage("connect");
                let PeerKey { id, greeted } = lease.peer();
                let (alone, conn) = (greeted != 0 || way.own, Conn::new(connected));
                let opened = if way.told {
                    timeout(limit, turn.connected_first(id, alone, conn, keep_ms).stream()).await
                } else {
                    Ok(turn.connected(id, alone, conn, keep_ms))
                };
                match opened {
                    Ok(Some(stream)) => return Ok((stream, lease)),
                    Ok(None) => lease.done(&Outcome::UNHEARD),
                    Err(e) => {
                        lease.done(&UNREACHABLE);
                        if !tries.again_elsewhere(call, id, &e, incoming).await {
                            return Err(Failure::Peer(e));
                        }
                        continue;
                    }
                }
            }
            // Whoever made it has told of the failure: another peer may be chosen now.
            Got::Nothing => lease.done(&Outcome::UNHEARD),
        }
        left -= 1;
    }
    Err(Failure::Peer(Error::bare(ErrorKind::Unreachable)))
}

/// The peer that is to be asked, or one that the upstream chooses.
async fn pick(call: &Call<'_>, tries: &mut Tries<'_>, incoming: &Incoming) -> Result<Lease, Failure> {
    match tries.next.take() {
        Some(lease) => Ok(lease),
        None => unless_gone(incoming, call.pick(&[])).await.inspect(|_| call.stage("peer")),
    }
}

/// A connection to a peer of the upstream's choice, with its retries.
fn connect_any(call: &Call<'_>) -> Connecting {
    match call.upstream {
        None => call.exchange.connect_upstream(),
        Some(upstream) => call.exchange.connect_to(upstream),
    }
}

impl Call<'_> {
    /// A peer that is none of those, as long as there is another.
    pub(crate) async fn pick(&self, tried: &[u64]) -> Result<Lease, Error> {
        match self.upstream {
            Some(upstream) => self.exchange.pick_peer_of(upstream, "", tried).await,
            None if tried.is_empty() => self.exchange.pick_peer("").await,
            None => self.exchange.pick_another(tried).await,
        }
    }
}

/// How the use of a peer went that could not be connected.
const UNREACHABLE: Outcome = Outcome { connect_ns: 0, first_byte_ns: 0, total_ns: 0, failure: 1 };

/// `Outcome::failure` of a use that ends before the answer has.
const fn failure(failed: bool, answered: bool) -> u8 {
    match (failed, answered) {
        (true, _) => 2,
        (false, true) => 0,
        (false, false) => Outcome::UNHEARD.failure,
    }
}

/// A connection to the peer whose turn it is, if one is kept: nothing is waited for. Otherwise it is the peer to be asked.
fn kept(call: &Call<'_>, fresh: bool, tries: &mut Tries<'_>) -> Option<Peer> {
    let own = || if call.upstream.is_none() { call.exchange.pick_peer_now() } else { None };
    let picked = || own().inspect(|_| call.stage("peer"));
    let lease = tries.next.take().or_else(picked)?;
    match idle(call, fresh, lease) {
        Ok(peer) => Some(peer),
        Err(lease) => {
            tries.next = Some(lease);
            None
        }
    }
}

/// A connection of this peer's that is kept.
fn idle(call: &Call<'_>, fresh: bool, lease: Lease) -> Result<Peer, Lease> {
    let PeerKey { id, greeted } = lease.peer();
    if fresh || greeted != 0 {
        return Err(lease);
    }
    let worker = call.exchange.worker();
    let Some(conn) = worker.idle.take(id) else { return Err(lease) };
    worker.stats.upstream_reused.add();
    Ok(Peer { conn, lease, id, greeted: false, reused: true })
}

/// A connection to one of the local's peers: one that is kept, or a new one.
async fn connect(call: &Call<'_>, fresh: bool, tries: &mut Tries<'_>, incoming: &Incoming) -> Result<Peer, Failure> {
    let stats = &call.exchange.worker().stats;
    loop {
        let mut lease = match idle(call, fresh, pick(call, tries, incoming).await?) {
            Ok(peer) => return Ok(peer),
            Err(lease) => lease,
        };
        let PeerKey { id, greeted } = lease.peer();
        let greeted = greeted != 0;
        stats.upstream_new.add();
        let e = match unless_gone(incoming, lease.connect()).await.inspect(|_| call.stage("connect")) {
            Ok(stream) => return Ok(Peer { conn: Box::new(Conn::new(stream)), lease, id, greeted, reused: false }),
            Err(Failure::Peer(e)) => e,
            Err(gone) => {
                lease.done(&Outcome::UNHEARD);
                return Err(gone);
            }
        };
        lease.done(&UNREACHABLE);
        if !tries.connects() {
            // Others, as the upstream's `retry` says.
            let (stream, lease) = unless_gone(incoming, connect_any(call)).await?;
            call.stage("connect");
            let PeerKey { id, greeted } = lease.peer();
            let greeted = greeted != 0;
            return Ok(Peer { conn: Box::new(Conn::new(stream)), lease, id, greeted, reused: false });
        }
        if !tries.again_elsewhere(call, id, &e, incoming).await {
            return Err(Failure::Peer(e));
        }
    }
}
