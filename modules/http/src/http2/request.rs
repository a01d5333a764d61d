//! Requests of HTTP/2 in the form that everybody here reads: that of HTTP/1.

use crate::{
    exchange::{Protocol, Request},
    h1,
    h2::Block,
};

/// Makes the request of a decoded head.
///
/// # Errors
/// The status for a request that is none.
pub(super) fn make(block: &Block, request: &mut Request, secure: bool) -> Result<(), u16> {
    request.protocol = Protocol::Http2;
    request.secure = secure;
    request.path = None;
    let (Some(method), Some(path)) = (block.method(), block.path()) else {
        // CONNECT to another host: this is no such proxy.
        return Err(501);
    };
    let tunnel = block.protocol();
    // What asks for another protocol is a GET in HTTP/1 (RFC 8441 section 4, RFC 6455 section 4.1).
    let method = if tunnel.is_some() { b"GET" } else { method };
    let message = &mut request.request;
    message.make_request(method, path).map_err(|_| 400_u16)?;
    // Of the two names for it there is one, or they are the same (RFC 9113 section 8.3.1).
    if let Some(host) = block.authority().or_else(|| block.host()) {
        h1::authority(host).ok_or(400_u16)?;
        message.add("Host", host).map_err(|_| 400_u16)?;
    }
    let mut cookies = Vec::new();
    for (name, value) in block.iter() {
        match name {
            b"host" => continue,
            // In pieces for the tables of HPACK; one line elsewhere (RFC 9113 section 8.2.3).
            b"cookie" => {
                if !cookies.is_empty() {
                    cookies.extend_from_slice(b"; ");
                }
                cookies.extend_from_slice(value);
                continue;
            }
            _ => {}
        }
        let name = std::str::from_utf8(name).map_err(|_| 400_u16)?;
        message.add(name, value).map_err(|bad| bad.status())?;
    }
    if !cookies.is_empty() {
        message.add("Cookie", &cookies).map_err(|bad| bad.status())?;
    }
    if let Some(protocol) = tunnel {
        message.add("Connection", b"Upgrade").map_err(|bad| bad.status())?;
        message.add("Upgrade", protocol).map_err(|bad| bad.status())?;
        if protocol.eq_ignore_ascii_case(b"websocket") && message.value(h1::Id::SecWebSocketKey).is_none() {
            // Peers of HTTP/1 want one; what they make of it is not passed on.
            message.add("Sec-WebSocket-Key", b"YW55cHJveHkgaHR0cC8yIQ==").map_err(|bad| bad.status())?;
        }
    }
    request.decode_path().map_err(|_| 400)
}

/// The fields of a block as lines.
pub(super) fn lines(block: &Block) -> Vec<u8> {
    let mut lines = Vec::new();
    for (name, value) in block.iter() {
        // They were checked: a line is a line.
        let _ = h1::field(name, value, &mut lines);
    }
    lines
}
