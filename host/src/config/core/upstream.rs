//! Pools and peers: what the host itself does with them, whatever protocol reaches them.

use super::{COUNT, HOUR, MILLI, MILLION, SECOND};
use anyproxy_module_api::abi::conf::{ArgDesc, Contexts, DirectiveDesc, Inherit, Kind};

const POOL: Contexts = Contexts::UPSTREAM;
const PEER: Contexts = Contexts::UPSTREAM.or(Contexts::PEER);

pub(super) static TABLE: [DirectiveDesc; 10] = [
    DirectiveDesc::new("balancer", "How a peer is chosen for a session.\nModules offer the names.", POOL)
        .args(&[ArgDesc::new("name", Kind::Text, "name of a balancer").required()])
        .default("weight; a single line of peers needs none, and its addresses take turns")
        .example("balancer \"round_robin\""),
    DirectiveDesc::new(
        "balancer_key",
        "What balancers hash that choose by the session: `ip_hash`, `ip_hash_active`, and such of other modules.\n\
         Rendered each time a peer is chosen. Where it comes out empty it is the client's address.",
        POOL,
    )
    .args(&[ArgDesc::new("text", Kind::Template, "text with variables").required()])
    .default("the client's address")
    .example("balancer_key \"${http_request_uri}\""),
    DirectiveDesc::new(
        "max_connections",
        "Sessions on the whole pool at one time.\nMore wait in `queue`, if there is one.",
        POOL,
    )
    .args(&[ArgDesc::new("count", Kind::Int, "0: no limit").required().bounds(0, COUNT)])
    .default("0")
    .example("max_connections 5000"),
    DirectiveDesc::new("queue", "Lets sessions wait while every peer is at its limit.", POOL)
        .props(&[
            ArgDesc::new("size", Kind::Int, "sessions that may wait").required().bounds(0, MILLION),
            ArgDesc::new("timeout", Kind::Time, "how long one waits").bounds(MILLI, HOUR).default("5s"),
        ])
        .default("a session that finds no peer fails at once")
        .example("queue size=1000 timeout=\"2s\""),
    DirectiveDesc::new(
        "retry",
        "Tries another peer when one cannot be reached.\nOnly while nothing was sent to it.",
        POOL,
    )
    .props(&[
        ArgDesc::new("attempts", Kind::Int, "tries in all; 1: no retry").bounds(1, 100).default("3"),
        ArgDesc::new("budget", Kind::Percent, "retries among the sessions of the last ten seconds")
            .bounds(0, MILLION)
            .default("20%"),
        ArgDesc::new("timeout", Kind::Time, "no new try after this long").bounds(MILLI, HOUR).default("10s"),
    ])
    .default("attempts=3 budget=\"20%\" timeout=\"10s\"")
    .example("retry attempts=2 budget=\"10%\""),
    DirectiveDesc::new("slow_start", "A peer that becomes available grows to its full share over this time.", POOL)
        .args(&[ArgDesc::new("time", Kind::Time, "0: full share at once").required().bounds(0, HOUR)])
        .default("0")
        .example("slow_start \"30s\""),
    DirectiveDesc::new(
        "eject",
        "Takes a peer out for a while when its sessions fail.\nThe last peer of a pool is never taken out.",
        POOL,
    )
    .props(&[
        ArgDesc::new("consecutive", Kind::Int, "failures in a row; 0: not by this").bounds(0, 10_000).default("5"),
        ArgDesc::new("error_rate", Kind::Percent, "share of failures within `interval`").bounds(0, MILLION),
        ArgDesc::new("interval", Kind::Time, "window of `error_rate`").bounds(SECOND, HOUR).default("10s"),
        ArgDesc::new("time", Kind::Time, "how long; doubles each time it happens again")
            .bounds(SECOND, HOUR)
            .default("10s"),
        ArgDesc::new("max_share", Kind::Percent, "most of the pool that may be out").bounds(0, MILLION).default("50%"),
    ])
    .default(
        "a peer that could not be connected three times in a row is left out for 10s, doubling; what happens after \
             the connect does not count; `eject consecutive=0` leaves nobody out",
    )
    .example("eject consecutive=3 error_rate=\"50%\" interval=\"10s\" time=\"30s\" max_share=\"50%\""),
    DirectiveDesc::new(
        "heartbeat",
        "Asks a peer regularly whether it is alive.\n\
         The connector's own question, for tcp a connection. On the pool it holds for each peer without its own.",
        PEER,
    )
    .props(&[
        ArgDesc::new("interval", Kind::Time, "from one question to the next").bounds(100 * MILLI, HOUR).default("10s"),
        ArgDesc::new("timeout", Kind::Time, "an answer must come within").bounds(MILLI, HOUR).default("3s"),
        ArgDesc::new("fail", Kind::Int, "failures in a row after which the peer is down").bounds(1, 1000).default("3"),
        ArgDesc::new("pass", Kind::Int, "answers in a row after which it is up again").bounds(1, 1000).default("1"),
    ])
    .default("a peer counts as alive until sessions fail")
    .example("heartbeat interval=\"10s\" timeout=\"2s\" fail=3 pass=2"),
    DirectiveDesc::new("dynamic_domain", "Resolves the name of a peer again while the process runs.", PEER)
        .props(&[ArgDesc::new("interval", Kind::Time, "how often; absent: when the answer's TTL has passed")
            .bounds(SECOND, 24 * HOUR)])
        .default("a name is resolved once, and again only while it has no address")
        .example("dynamic_domain interval=\"30s\""),
    DirectiveDesc::new("connect_timeout", "How long connecting to a peer may take.", PEER.or(Contexts::MSL))
        .args(&[ArgDesc::new("time", Kind::Time, "time").required().bounds(MILLI, HOUR)])
        .inherit(Inherit::Replace)
        .default("the socket profile's, else 10s")
        .example("connect_timeout \"3s\""),
];
