//! Another protocol at a peer of HTTP/2: an upgrade to a client of HTTP/1 (RFC 9110 section 7.8), extended CONNECT to the
//! peer (RFC 8441).

use super::http2::Download;
use crate::{
    core::websocket,
    exchange::Protocol,
    fault::Fault,
    h1::{self, Id, Method},
    incoming::Incoming,
    message::Message,
    reply::{Call, Reply},
};
use anyproxy_module_api::{Cause, PeerInfo, Stage, Who, tracing};

/// What the client asks for.
#[derive(Debug)]
pub(super) struct Asked {
    /// In small letters, as in HTTP's registry of upgrade tokens.
    pub(super) protocol: Vec<u8>,
    /// What a client of HTTP/1 is to hear in return for its key; the peer gets none and answers none.
    accept: Option<String>,
}

impl Asked {
    /// What a request asks for beside its answer. `None`: nothing, or what may be ignored (RFC 9110 section 7.8): of HTTP/1
    /// only WebSocket has a form for HTTP/2.
    ///
    /// # Errors
    /// Why it is a handshake and malformed.
    pub(super) fn of(call: &Call<'_>, incoming: &Incoming) -> Result<Option<Self>, &'static str> {
        let parts = &*call.state.parts.borrow();
        let Some(protocol) = parts.upgrade() else { return Ok(None) };
        match parts.protocol {
            Protocol::Http2 => return Ok(Some(Self { protocol, accept: None })),
            Protocol::Http10 => return Ok(None),
            Protocol::Http11 => {}
        }
        if parts.method() != Method::Get || !h1::tokens(&protocol).any(|token| token == b"websocket") {
            return Ok(None);
        }
        if incoming.length() != Some(0) {
            return Err("a handshake with a body");
        }
        // Two of them are none: joined they are too long.
        let accept = websocket::accept(&parts.request.joined(Id::SecWebSocketKey).unwrap_or_default());
        let accept = accept.ok_or("Sec-WebSocket-Key is not 16 bytes in base64")?;
        Ok(Some(Self { protocol: b"websocket".to_vec(), accept: Some(accept) }))
    }

    /// The reply to the client, once the head of the peer's answer is there.
    pub(super) fn reply(&self, call: &Call<'_>, download: Download) -> Reply {
        let success = (200..300).contains(&call.state.parts.borrow().response.status());
        if !success {
            return download.declined(call);
        }
        let response = &mut call.state.parts.borrow_mut().response;
        let answer = std::mem::take(response);
        self.switch(&answer, response);
        download.into_tunnel()
    }

    /// Makes the head that a client of HTTP/1 understands; one of HTTP/2 gets what is for both. Subprotocol and extensions
    /// are as the peer says.
    fn switch(&self, answer: &Message, to: &mut Message) {
        to.answer(101);
        // A token was read from a header, or from a pseudo header.
        let _ = to.add("Upgrade", &self.protocol);
        if let Some(accept) = &self.accept {
            to.put("Sec-WebSocket-Accept", accept.as_bytes());
        }
        for line in answer.lines() {
            // Nothing that is said of content holds (RFC 9110 section 9.3.6), and no accept is the peer's to say.
            if !matches!(line.id, Id::ContentLength | Id::TransferEncoding | Id::Upgrade | Id::SecWebSocketAccept)
                && let Ok(name) = std::str::from_utf8(line.name(&answer.bytes))
            {
                let _ = to.add(name, line.value(&answer.bytes));
            }
        }
    }
}

/// The peer does not take what the client asks for.
pub(super) fn not_taken(call: &Call<'_>, peer: &PeerInfo<'_>) -> Fault {
    tracing::info!(
        session = call.exchange.id,
        peer = %peer.addr,
        "the peer takes no extended CONNECT, so no WebSocket: its SETTINGS_ENABLE_CONNECT_PROTOCOL is not 1 (RFC 8441)"
    );
    Fault { stage: Stage::Connect, ..Fault::new(Who::Upstream, Cause::Protocol, 502) }
}
