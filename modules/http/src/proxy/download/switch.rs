//! Whether a peer that answers 101 has changed to what it was asked for.

use crate::{
    core::websocket,
    exchange::{Protocol, Request},
    h1::{self, Id},
    message::Message,
};

/// Whether the 101 that is the answer names a protocol, and none that the request does not ask for (RFC 9110 section 7.8).
/// A client of HTTP/2 sees neither that nor the answer to a key: for it this proxy is who opens the WebSocket and checks
/// them (RFC 6455 section 4.1).
pub(super) fn is_as_asked(parts: &Request) -> bool {
    let mut named = tokens(&parts.response).peekable();
    if named.peek().is_none() || named.any(|name| !asks_for(&parts.request, name)) {
        return false;
    }
    let opens = matches!(parts.protocol, Protocol::Http2) && asks_for(&parts.request, b"websocket");
    !opens || is_opened(parts)
}

/// The peer has understood the key that it was given.
fn is_opened(parts: &Request) -> bool {
    let answer = &parts.response;
    let accept = websocket::accept(&parts.request.joined(Id::SecWebSocketKey).unwrap_or_default());
    let said = answer.joined(Id::SecWebSocketAccept);
    let right = accept.is_some_and(|accept| said.is_some_and(|said| said == accept.as_bytes()));
    right && h1::connection(&answer.head, &answer.bytes).upgrade
}

fn asks_for(request: &Message, name: &[u8]) -> bool {
    tokens(request).any(|asked| asked.eq_ignore_ascii_case(name))
}

fn tokens(message: &Message) -> impl Iterator<Item = &[u8]> {
    message.head.fields().tokens(&message.bytes, Id::Upgrade)
}
