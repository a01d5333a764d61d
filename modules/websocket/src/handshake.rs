//! The opening handshake of a server (RFC 6455 section 4.2; over HTTP/2 RFC 8441 section 5).

use crate::conf::Conf;
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use sha1::{Digest, Sha1};

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// RFC 6455's own example of a key has bits behind its end (section 4.1): those are let pass.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// What of a request a handshake consists of. Several lines of a header are joined by commas.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: Vec<u8>,
    /// Of HTTP: `1.1`, `2`.
    pub(crate) http: Vec<u8>,
    /// What `Connection` names, in small letters.
    pub(crate) upgrade: Option<Vec<u8>>,
    pub(crate) version: Option<Vec<u8>>,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) protocols: Option<Vec<u8>>,
    pub(crate) origin: Option<Vec<u8>>,
    /// Bytes that come before the first frame and are none.
    pub(crate) has_body: bool,
}

/// What is answered, beside `Upgrade`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// `None` over HTTP/2: there is no key.
    pub(crate) accept: Option<String>,
    pub(crate) protocol: Option<&'static str>,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is another request.
    NotWebSocket,
    /// Another version of the protocol than 13.
    Version,
    /// It breaks section 4.2.1.
    Malformed(&'static str),
    /// By `websocket_origins`.
    Origin,
}

impl Refused {
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::NotWebSocket | Self::Version => 426,
            Self::Malformed(_) => 400,
            Self::Origin => 403,
        }
    }

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::NotWebSocket => "this is the address of a WebSocket",
            Self::Version => "the version of WebSocket here is 13",
            Self::Malformed(what) => what,
            Self::Origin => "pages of this origin are not let in",
        }
    }
}

/// Checks a request, and agrees on a subprotocol.
///
/// # Errors
/// When it is no handshake, or not one that is let in.
pub(crate) fn check(request: &Request, conf: &Conf) -> Result<Agreed, Refused> {
    let stream = request.http.starts_with(b"1.");
    // A client of HTTP/1.0 cannot mean it (RFC 9110 section 7.8).
    let asks = request.upgrade.as_deref().is_some_and(|u| list(u).any(|p| p == b"websocket"));
    if !asks || request.http == b"1.0" {
        return Err(Refused::NotWebSocket);
    }
    if request.method != b"GET" && (stream || request.method != b"CONNECT") {
        return Err(Refused::Malformed("a handshake is a GET"));
    }
    if stream && request.has_body {
        return Err(Refused::Malformed("a handshake has no body"));
    }
    if request.version.as_deref() != Some(b"13") {
        return Err(Refused::Version);
    }
    let accept = match &request.key {
        Some(key) if stream && is_key(key) => Some(accept(key)),
        Some(_) if stream => return Err(Refused::Malformed("Sec-WebSocket-Key is not 16 bytes in base64")),
        None if stream => return Err(Refused::Malformed("there is no Sec-WebSocket-Key")),
        _ => None,
    };
    if let (Some(allowed), Some(origin)) = (&conf.origins, &request.origin)
        && !allowed.iter().any(|a| a.allows(origin))
    {
        return Err(Refused::Origin);
    }
    let offered = request.protocols.as_deref().unwrap_or_default();
    if request.protocols.is_some() && !list(offered).all(is_token) {
        return Err(Refused::Malformed("Sec-WebSocket-Protocol is no list of names"));
    }
    let protocol = conf.protocols.iter().copied().find(|p| list(offered).any(|o| o == p.as_bytes()));
    Ok(Agreed { accept, protocol })
}

fn is_key(key: &[u8]) -> bool {
    LENIENT.decode(key).is_ok_and(|k| k.len() == 16)
}

/// `Sec-WebSocket-Accept` (RFC 6455 section 4.2.2).
fn accept(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// Elements of a list; empty ones do not count (RFC 9110 section 5.6.1).
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|e| !e.is_empty())
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

#[cfg(test)]
#[path = "handshake_tests.rs"]
mod tests;
