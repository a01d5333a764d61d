//! Heads on their way to peers.

use crate::{
    conf::Conf,
    exchange::Request,
    forward,
    h1::{self, Fields, Id, Target},
    headers,
    message::Message,
    reply::Call,
};
use anyproxy_module_api::Lease;

/// Answers that a peer may send before the one that counts (1xx, RFC 9110 section 15.2): a client keeps reading as long as
/// there are more.
pub(super) const MOST_INTERIM: u8 = 32;

/// `timeout=` of a Keep-Alive header, seconds.
pub(super) fn keep_alive_timeout(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    text.split(',').find_map(|p| p.trim().strip_prefix("timeout=")?.parse().ok())
}

/// How a request goes over its connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Bytes of its body, as far as that is known.
    pub(super) length: Option<u64>,
    /// A body of a length that is not known goes in chunks; without, what carries it tells its end.
    pub(super) chunks: bool,
    /// Another may follow it.
    pub(super) keeps: bool,
}

/// Whether there is a protocol that the peer may change to. HTTP itself is none, with TLS or without (RFC 9110 section 7.8
/// lets a server ignore it; h2c is obsolete, RFC 9113 section 3.1): requests within a stream that is carried as it is would
/// meet no rule of this proxy's.
fn may_change(fields: &Fields, bytes: &[u8]) -> bool {
    let is_http = |name: &[u8]| {
        let begins = |with: &[u8]| name.get(..with.len()).is_some_and(|n| n.eq_ignore_ascii_case(with));
        begins(b"h2") || begins(b"http/") || begins(b"tls/")
    };
    fields.first(Id::Upgrade).is_some() && !fields.tokens(bytes, Id::Upgrade).any(is_http)
}

/// Writes the request's head as the peer gets it; whether it asks for another protocol. No line of the client's or of a
/// module's frames it: what says where the body ends is written by what is sent, so that nothing in a body is ever taken for
/// another request (RFC 9112 section 11.2).
pub(super) fn write_request(
    parts: &mut Request,
    call: &Call<'_>,
    conf: &Conf,
    how: Manner,
    lease: &Lease,
    lines: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    if let Some(redirects) = &conf.redirects {
        redirects.asks(lease, &mut parts.peer);
    }
    let authority = match parts.request.head.form() {
        Target::Absolute { authority, .. } => Some(authority),
        _ => None,
    };
    let Message { bytes, head, struck: gone } = &parts.request;
    let struck = &mut parts.left_out;
    struck.clone_from(gone);
    let fields = head.fields();
    let upgrade = h1::connection(head, bytes).upgrade && may_change(fields, bytes);
    h1::strip(head, upgrade, struck);
    headers::strike(call.rules(conf), fields, bytes, struck);
    if let Some(name) = conf.request_id {
        headers::strike_name(name, fields, bytes, struck);
    }
    let authority = authority.map(|a| a.of(bytes));
    let host = conf.forward.host(authority, parts.request.value(Id::Host), lines);
    let own = conf.forward.own().with(Id::ContentLength);
    struck.strike_ids(fields, if host.is_some() { own.with(Id::Host) } else { own });
    match host {
        None => h1::request(head, bytes, struck, out),
        Some(host) => {
            h1::request_line(head, bytes, out);
            out.extend_from_slice(b"Host: ");
            match host {
                Some(host) => out.extend_from_slice(host),
                None => out.extend_from_slice(forward::host_of(lease.info().host.as_str())),
            }
            out.extend_from_slice(b"\r\n");
            h1::headers(head, bytes, struck, out);
        }
    }
    out.extend_from_slice(lines);
    conf.forward.write(parts, call.sender, out);
    match how.length {
        Some(n) if n > 0 || parts.request.says_length() => {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(h1::decimal(n).as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        None if how.chunks => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Some(_) | None => {}
    }
    if upgrade {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else {
        if !how.keeps {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        // Trailers are passed on, so that who understands them may be sent some (RFC 9110 sections 6.5.1 and 10.1.4).
        if parts.request.values(Id::Te).flat_map(h1::tokens).any(|coding| coding.eq_ignore_ascii_case(b"trailers")) {
            out.extend_from_slice(b"TE: trailers\r\nConnection: TE\r\n");
        }
    }
    out.extend_from_slice(b"\r\n");
    upgrade
}
