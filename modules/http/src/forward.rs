//! What peers are told of the client and of this proxy: `X-Forwarded-…`, `Forwarded` (RFC 7239), `Via` (RFC 9110 section
//! 7.6.3) and `Host`.

use crate::{
    core::{
        forwarded::{Element, Node},
        forwarded_out::{MAX_HOST, append_forwarded, append_via, host, loops, via_member},
    },
    exchange::{Protocol, Request},
    h1::{Id, Ids, Line, Version},
    headers::{self, Rule},
    message::Message,
    reply::Call,
};
use anyproxy_module_api::*;

directive! {
    /// How peers learn who asks: `x` is X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host, `rfc7239` is Forwarded, in which
    /// senders that `http_trusted` names say it, too. What
    /// came in X-Forwarded-For and Forwarded stays in front; what a sender that `http_trusted` names says in the other two stays.
    /// Headers of the kind that is not told are not passed on either: a client could say anything in them. `off`: all of them pass
    /// as they came. One that `http_request_header` sets or removes is left to that.
    "http_forwarded", Contexts::MSL,
    .args(&[ArgDesc::new("kind", Kind::Choice, "Headers.").choices(KINDS).required()])
    .default("\"x\"")
    .example("http_forwarded \"both\"")
}

directive! {
    /// The name of this proxy in the Via of requests and answers that it passes on. A request that has it
    /// there more than `most` times goes round in a loop and is answered with 508. Unset: none is added.
    "http_via", Contexts::MSL,
    .args(&[ArgDesc::new("name", Kind::Text, "A name, or host:port.").required()])
    .props(&[ArgDesc::new("most", Kind::Int, "So often the name may be in a request that comes in.").default("1").bounds(0, 100)])
    .example("http_via \"edge-1\"")
}

directive! {
    /// The Host that peers get: `client`, as it came; `peer`, the peer as its directive names it; or a text, which may
    /// contain variables.
    "http_host", Contexts::MSL,
    .args(&[ArgDesc::new("host", Kind::Template, "client, peer or a text.").required()])
    .default("\"client\"")
    .example("http_host \"app.internal\"")
}

const KINDS: &[Str<'_>] = &[Str::new("x"), Str::new("rfc7239"), Str::new("both"), Str::new("off")];

const X: Ids = Ids::of(&[Id::XForwardedFor, Id::XForwardedProto, Id::XForwardedHost]);
/// What tells of the client.
const ALL: Ids = X.with(Id::Forwarded);

/// What `http_forwarded` says.
fn kind<'a, C>(scope: &'a Scope<'_, C>) -> &'a str {
    scope.node("http_forwarded").and_then(|n| n.arg(0)).map_or("x", |v| v.text.as_str())
}

/// Only the standard's header is spoken here, in either direction.
pub(crate) fn by_standard<C>(scope: &Scope<'_, C>) -> bool {
    kind(scope) == "rfc7239"
}

/// Which Host peers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    Client,
    Peer,
    /// A rule for header lines sets it.
    Rule,
}

#[derive(Debug)]
struct Via {
    name: Box<str>,
    /// What it adds to messages that came by each version.
    lines: ByVersion,
    most: usize,
}

/// Lines with nothing but the member of this proxy.
#[derive(Debug)]
struct ByVersion {
    http10: Line,
    http11: Line,
    http2: Line,
}

impl ByVersion {
    fn new(name: &str) -> Option<Self> {
        let of = |version: Protocol| Line::new(Id::Via, via_member(version.name(), name)?.as_bytes()).ok();
        Some(Self { http10: of(Protocol::Http10)?, http11: of(Protocol::Http11)?, http2: of(Protocol::Http2)? })
    }

    const fn of(&self, version: Protocol) -> &Line {
        match version {
            Protocol::Http10 => &self.http10,
            Protocol::Http11 => &self.http11,
            Protocol::Http2 => &self.http2,
        }
    }
}

/// What a block says of that.
#[derive(Debug)]
pub(crate) struct Forward {
    /// Lines of the client's that are not passed on, because this proxy tells of that.
    own: Ids,
    /// Those that it writes: but for what rules for header lines set or remove.
    written: Ids,
    host: Host,
    via: Option<Via>,
}

impl Forward {
    /// A `Host` that is a text becomes the first of `rules`.
    pub(crate) fn new<C>(scope: &Scope<'_, C>, rules: &mut Vec<Rule>, problems: &mut Problems<'_>) -> Self {
        let mut host = Host::Client;
        if let Some(value) = scope.node("http_host").and_then(|n| n.arg(0)) {
            match value.text.as_str() {
                "client" => {}
                "peer" => host = Host::Peer,
                _ if !headers::is_value(value) => {
                    problems.error(&value.span, "this is no Host", headers::NOT_A_VALUE);
                }
                _ => rules.insert(0, Rule::set("Host", value.num as u32)),
            }
        }
        if headers::struck(rules).has(Id::Host) {
            host = Host::Rule;
        }
        let via = scope.node("http_via").and_then(|node| {
            let value = node.arg(0)?;
            let name = value.text.as_str();
            let Some(lines) = ByVersion::new(name) else {
                problems.error(&value.span, &format!("\"{name}\" cannot stand in a Via"), "a name, or host:port");
                return None;
            };
            Some(Via { name: name.into(), lines, most: node.num("most") as usize })
        });
        let (mut own, mut written) = match kind(scope) {
            "x" => (ALL, X),
            "rfc7239" => (ALL, Ids::of(&[Id::Forwarded])),
            "both" => (ALL, ALL),
            _ => (Ids::NONE, Ids::NONE),
        };
        if via.is_some() {
            (own, written) = (own.with(Id::Via), written.with(Id::Via));
        }
        Self { own, written: written.without(headers::struck(rules)), host, via }
    }

    /// Lines of the client's that are not passed on, because this proxy tells of that.
    pub(crate) const fn own(&self) -> Ids {
        self.own
    }

    /// The `Host` for the peer. `authority`: of the request's target; `line`: the client's own; `set`: lines that rules made.
    /// `None`: it is there already, `Some(None)`: the peer's own.
    pub(crate) fn host<'a>(
        &self,
        authority: Option<&'a [u8]>,
        line: Option<&'a [u8]>,
        set: &[u8],
    ) -> Option<Option<&'a [u8]>> {
        match self.host {
            Host::Peer => Some(None),
            Host::Client if authority.is_none() && line.is_some() => None,
            Host::Rule if has_host(set) => None,
            Host::Client | Host::Rule => Some(authority.or(line)),
        }
    }

    /// Writes the lines for the peer. Whom a trusted sender speaks for is in the header already.
    pub(crate) fn write(&self, parts: &Request, sender: &Addr, out: &mut Vec<u8>) {
        let Message { head, bytes, struck } = &parts.request;
        // Only where it is struck does something else count as the host.
        let named = match head.plain_host(bytes) {
            Some(plain) if struck.is_empty() && plain.len() <= MAX_HOST => Some(plain),
            _ => host(parts.authority()),
        };
        // What a trusted sender says of the client's own request, in place of what is seen of the sender's.
        let said = |id| if parts.trusted { parts.request.value(id).filter(|v| !v.is_empty()) } else { None };
        if self.written.has(Id::XForwardedFor) {
            out.extend_from_slice(b"X-Forwarded-For: ");
            for before in parts.request.values(Id::XForwardedFor) {
                out.extend_from_slice(before);
                out.extend_from_slice(b", ");
            }
            if !text::ip(sender, out) {
                out.extend_from_slice(b"unix:");
            }
            out.extend_from_slice(b"\r\n");
        }
        if self.written.has(Id::XForwardedProto) {
            match said(Id::XForwardedProto) {
                Some(proto) => put(b"X-Forwarded-Proto: ", proto, out),
                None if parts.secure => out.extend_from_slice(b"X-Forwarded-Proto: https\r\n"),
                None => out.extend_from_slice(b"X-Forwarded-Proto: http\r\n"),
            }
        }
        if self.written.has(Id::XForwardedHost)
            && let Some(named) = said(Id::XForwardedHost).or(named)
        {
            put(b"X-Forwarded-Host: ", named, out);
        }
        if self.written.has(Id::Forwarded) {
            let from = sender.ip().map_or(Node::Unknown, Node::Address);
            let proto = parts.scheme().as_bytes();
            let element = Element { from: Some(from), by: None, host: named, proto: Some(proto) };
            let value = append_forwarded(parts.request.joined(Id::Forwarded).as_deref(), &element);
            if !value.is_empty() {
                put(b"Forwarded: ", &value, out);
            }
        }
        if let Some(via) = self.via.as_ref().filter(|_| self.written.has(Id::Via)) {
            let line = via.lines.of(parts.protocol);
            match parts.request.joined(Id::Via) {
                None => out.extend_from_slice(line.as_bytes()),
                existing => {
                    out.extend_from_slice(b"Via: ");
                    append_via(existing.as_deref(), line.value(), out);
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
    }

    /// The request was here before.
    pub(crate) fn goes_round(&self, call: &Call<'_>) -> bool {
        let Some(via) = &self.via else { return false };
        let parts = call.state.parts.borrow();
        if parts.request.head.fields().first(Id::Via).is_none() {
            // Of nearly all requests.
            return false;
        }
        let round = loops(parts.request.values(Id::Via), &via.name, via.most);
        if round {
            tracing::warn!(session = call.exchange.id, via = &*via.name, "a request goes round in a loop");
        }
        round
    }

    /// Adds this proxy to the way of a peer's answer.
    pub(crate) fn answered(&self, call: &Call<'_>, http2: bool) {
        let Some(via) = &self.via else { return };
        let response = &mut call.state.parts.borrow_mut().response;
        let version = match response.head.version() {
            _ if http2 => Protocol::Http2,
            Version::Http10 => Protocol::Http10,
            Version::Http11 => Protocol::Http11,
        };
        let line = via.lines.of(version);
        match response.joined(Id::Via) {
            None => {
                let _ = response.add_line(line);
            }
            existing => {
                let mut value = Vec::new();
                append_via(existing.as_deref(), line.value(), &mut value);
                let _ = response.set("Via", &value);
            }
        }
    }
}

/// Writes a line.
#[inline]
fn put(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    for part in [name, value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// How a peer is called in a `Host`: what is no name of a host says nothing to it.
pub(crate) fn host_of(peer: &str) -> &[u8] {
    if peer.starts_with("unix:") { b"localhost" } else { peer.as_bytes() }
}

/// Whether one of these lines is a Host.
fn has_host(lines: &[u8]) -> bool {
    let mut lines = lines.split(|b| *b == b'\n');
    lines.any(|l| l.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:")))
}
