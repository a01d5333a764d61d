//! Variables of a request and its answer. In a session that is no exchange they have no value.

use crate::{
    Http,
    core::{auth, cookie, path::split_query, query},
    exchange::{Request, known},
    h1::Id,
    message::Message,
};
use anyproxy_module_api::{Registry, Session, Sink, Variable};

mod bytes;

pub(crate) fn register(registry: &mut Registry<Http>) {
    registry
        .variable::<PathVar>()
        .variable::<Method>()
        .variable::<Uri>()
        .variable::<Query>()
        .variable::<Host>()
        .variable::<Scheme>()
        .variable::<Protocol>()
        .variable::<Url>()
        .variable::<User>()
        .variable::<NextHop>()
        .variable::<Cookie>()
        .variable::<QueryPart>()
        .variable::<IsUpstream>()
        .variable::<RequestHeader>()
        .variable::<HeaderToPeer>()
        .variable::<ResponseHeader>();
    bytes::register(registry);
}

/// What names of headers that peers got begin with.
pub(crate) const TO_PEER: &str = "http_ups_request_";

fn of(session: &Session<Http>, f: impl FnOnce(&Request) -> bool) -> bool {
    // A handler that holds it for writing asks for no variable meanwhile.
    known(session)
        .and_then(|s| s.parts.try_borrow().ok().map(|r| !r.request.bytes.is_empty() && f(&r)))
        .unwrap_or(false)
}

/// The values of a header, joined by commas as RFC 9110 (5.3) allows; `name` as it is, or with `_` for each `-`.
fn header(message: &Message, name: &str, out: &mut Sink<'_>) -> bool {
    joined(message.lines().map(|line| (line.name(&message.bytes), line.value(&message.bytes))), name, out)
}

fn joined<'a>(lines: impl Iterator<Item = (&'a [u8], &'a [u8])>, name: &str, out: &mut Sink<'_>) -> bool {
    let mut found = false;
    for (sent, value) in lines {
        let same = |(a, b): (&u8, u8)| a.eq_ignore_ascii_case(&b) || (*a == b'-' && b == b'_');
        let is_it = sent.len() == name.len() && sent.iter().zip(name.bytes()).all(same);
        // Some of one and some of the other is another header.
        if is_it && (!sent.contains(&b'_') || sent.eq_ignore_ascii_case(name.as_bytes())) {
            if std::mem::replace(&mut found, true) {
                out.push(b", ");
            }
            out.push(value);
        }
    }
    found
}

macro_rules! variable {
    ($type:ident, $name:literal, $doc:literal, |$request:ident, $out:ident| $body:expr) => {
        struct $type;

        impl Variable<Http> for $type {
            const NAME: &'static str = $name;
            const DOC: &'static str = $doc;

            fn write(session: &Session<Http>, _: &str, $out: &mut Sink<'_>) -> bool {
                of(session, |$request| $body)
            }
        }
    };
}

fn put(out: &mut Sink<'_>, bytes: &[u8]) -> bool {
    out.push(bytes);
    true
}

variable!(
    PathVar,
    "path",
    "Path of the request: decoded, without `.`, `..` and double slashes, without the query.",
    |r, out| { r.path.as_ref().is_some_and(|p| put(out, p.as_bytes())) }
);
variable!(Method, "http_request_method", "Method of the request.", |r, out| put(out, r.method_name()));
variable!(Uri, "http_request_uri", "Path and query of the request as they came.", |r, out| put(out, r.asked()));
variable!(Query, "http_request_query", "Query of the request, not decoded, without the question mark.", |r, out| {
    split_query(r.uri()).1.is_some_and(|q| put(out, q))
});
variable!(Host, "http_request_host", "Host and port that the request is for, as they came.", |r, out| {
    !r.authority().is_empty() && put(out, r.authority())
});
variable!(Scheme, "http_request_scheme", "`http` or `https`.", |r, out| { put(out, r.scheme().as_bytes()) });
variable!(
    Protocol,
    "http_request_version",
    "Version of HTTP that the client speaks: `1.0`, `1.1` or `2`.",
    |r, out| { put(out, r.protocol.name().as_bytes()) }
);
variable!(Url, "http_request_url", "Scheme, host, path and query of the request as they came.", |r, out| {
    out.push(r.scheme().as_bytes());
    out.push(b"://");
    out.push(r.authority());
    put(out, r.asked())
});

variable!(User, "http_user", "User that the request's credentials name (Basic), verified or not.", |r, out| {
    let given = r.request.value(Id::Authorization).and_then(auth::basic);
    given.is_some_and(|g| put(out, &g.user))
});

variable!(
    NextHop,
    "http_next_hop",
    "First hop of the request's list, `host:port`, where `multi_hop` listens to it.",
    |r, out| { !r.way.next().is_empty() && put(out, r.way.next().as_bytes()) }
);

struct IsUpstream;

impl Variable<Http> for IsUpstream {
    const NAME: &'static str = "http_is_upstream";
    const DOC: &'static str = "`1` when a peer was asked for the answer, else `0`.";

    fn write(session: &Session<Http>, _: &str, out: &mut Sink<'_>) -> bool {
        of(session, |_| put(out, if session.upstream_sent.get() > 0 { b"1" } else { b"0" }))
    }
}

struct HeaderToPeer;

impl Variable<Http> for HeaderToPeer {
    const NAME: &'static str = TO_PEER;
    const DOC: &'static str = "A header of the request as the last peer got it, by its name with `_` for `-`.";
    const PREFIX: bool = true;

    fn write(session: &Session<Http>, rest: &str, out: &mut Sink<'_>) -> bool {
        of(session, |r| {
            // The first line is no header.
            let lines = r.to_peer.split(|b| *b == b'\n').skip(1).filter_map(|line| {
                let colon = line.iter().position(|b| *b == b':')?;
                Some((&line[..colon], line[colon + 1..].trim_ascii()))
            });
            joined(lines, rest, out)
        })
    }
}

struct Cookie;

impl Variable<Http> for Cookie {
    const NAME: &'static str = "http_cookie_";
    const DOC: &'static str = "A cookie of the request, by its name.";
    const PREFIX: bool = true;

    fn write(session: &Session<Http>, rest: &str, out: &mut Sink<'_>) -> bool {
        of(session, |r| {
            let mut lines = r.request.lines().filter(|l| l.id == Id::Cookie);
            lines.find_map(|l| cookie::value(l.value(&r.request.bytes), rest.as_bytes())).is_some_and(|v| put(out, v))
        })
    }
}

struct QueryPart;

impl Variable<Http> for QueryPart {
    const NAME: &'static str = "http_query_";
    const DOC: &'static str = "A parameter of the query, by its name, as it came.";
    const PREFIX: bool = true;

    fn write(session: &Session<Http>, rest: &str, out: &mut Sink<'_>) -> bool {
        of(session, |r| {
            let query = split_query(r.uri()).1.unwrap_or_default();
            query::value(query, rest.as_bytes()).is_some_and(|v| put(out, v))
        })
    }
}

struct RequestHeader;

impl Variable<Http> for RequestHeader {
    const NAME: &'static str = "http_request_";
    const DOC: &'static str = "A header of the request, by its name with `_` for `-`.";
    const PREFIX: bool = true;

    fn write(session: &Session<Http>, rest: &str, out: &mut Sink<'_>) -> bool {
        of(session, |r| header(&r.request, rest, out))
    }
}

struct ResponseHeader;

impl Variable<Http> for ResponseHeader {
    const NAME: &'static str = "http_response_";
    const DOC: &'static str = "A header of the answer, by its name with `_` for `-`.";
    const PREFIX: bool = true;

    fn write(session: &Session<Http>, rest: &str, out: &mut Sink<'_>) -> bool {
        of(session, |r| header(&r.response, rest, out))
    }
}
