//! Heads on their way to peers.

use crate::{
    conf::Conf,
    exchange::Request,
    h1::{self, Id, Ids, Keep, Target},
    headers,
    message::Message,
};
use anyproxy_module_api::Lease;

/// `timeout=` of a Keep-Alive header, seconds.
pub(super) fn keep_alive_timeout(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    text.split(',').find_map(|p| p.trim().strip_prefix("timeout=")?.parse().ok())
}

/// Writes the request's head as the peer gets it; whether it asks for another protocol.
pub(super) fn write_request(
    parts: &mut Request,
    client: &str,
    conf: &Conf,
    chunked: bool,
    lease: &Lease,
    lines: &[u8],
    out: &mut Vec<u8>,
) -> bool {
    const OWN: Ids = Ids::of(&[Id::XForwardedFor, Id::XForwardedProto]);
    let secure = parts.secure;
    let authority = match parts.request.head.form() {
        Target::Absolute { authority, .. } => Some(authority),
        _ => None,
    };
    let Message { bytes, head, struck: gone } = &parts.request;
    let struck = &mut parts.left_out;
    struck.clone_from(gone);
    let fields = head.fields();
    let upgrade = h1::connection(head, bytes).upgrade && fields.first(Id::Upgrade).is_some();
    let keep = Keep { upgrade, trailers: false };
    if h1::strip_request(head, bytes, keep, struck).is_err() {
        // More names than anybody means: none of the headers they may hide is passed on.
        (0..fields.list().len()).for_each(|n| struck.strike(n));
    }
    struck.strike_ids(fields, OWN);
    headers::strike(&conf.request_headers, fields, bytes, struck);
    if let Some(name) = conf.request_id {
        headers::strike_name(name, fields, bytes, struck);
    }
    h1::request_line(head, bytes, out);
    let peer;
    let host = match authority {
        Some(authority) => {
            struck.strike_ids(fields, Ids::of(&[Id::Host]));
            Some(authority.of(bytes))
        }
        None if parts.request.value(Id::Host).is_none() => {
            peer = lease.info().host;
            Some(peer.as_str().as_bytes())
        }
        None => None,
    };
    if let Some(host) = host {
        out.extend_from_slice(b"Host: ");
        out.extend_from_slice(host);
        out.extend_from_slice(b"\r\n");
    }
    h1::headers(head, bytes, struck, out);
    out.extend_from_slice(lines);
    out.extend_from_slice(b"X-Forwarded-For: ");
    for before in parts.request.lines().filter(|l| l.id == Id::XForwardedFor) {
        out.extend_from_slice(before.value(bytes));
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(client.as_bytes());
    out.extend_from_slice(if secure {
        b"\r\nX-Forwarded-Proto: https\r\n"
    } else {
        b"\r\nX-Forwarded-Proto: http\r\n"
    });
    if chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    if upgrade {
        out.extend_from_slice(b"Connection: upgrade\r\n");
    } else if conf.upstream_idle == 0 {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    upgrade
}
