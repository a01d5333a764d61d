//! What a server answers in WebSocket's opening handshake over HTTP/1 (RFC 6455 section 4.2): for peers that have none, and
//! to be checked of those that have (section 4.1).

use super::auth::sextet;
use sha1::{Digest, Sha1};

/// RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `Sec-WebSocket-Accept` for the value of `Sec-WebSocket-Key` (RFC 6455 section 4.2.2). `None`: it is not 16 bytes in
/// base64 (section 4.2.1). Bits behind the sixteenth byte are let pass: the RFC's own example has some (section 4.1).
#[must_use]
pub fn accept(key: &[u8]) -> Option<String> {
    let [digits @ .., b'=', b'='] = key else { return None };
    if digits.len() != 22 || digits.iter().any(|&digit| sextet(digit).is_none()) {
        return None;
    }
    Some(encode(&Sha1::new().chain_update(key).chain_update(GUID).finalize()))
}

/// Base64 with padding (RFC 4648 section 4).
fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |n: usize| u32::from(group.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * n) & 63) as usize];
            out.push(if n <= group.len() { digit.into() } else { '=' });
        }
    }
    out
}
