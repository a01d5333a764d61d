//! What a message must have (RFC 9113 section 8). Works on a decoded block; knows nothing of streams.

use super::block::Block;
use super::hpack::Kind;

/// What a request says about its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
}

/// Judges a request (sections 8.3.1 and 8.5, RFC 8441 section 4).
///
/// # Errors
/// What is malformed.
pub(super) fn request(block: &Block, extended_connect: bool) -> Result<Request, &'static str> {
    const PLAIN: &[Kind] = &[Kind::Method, Kind::Scheme, Kind::Path];
    const USUAL: &[Kind] = &[Kind::Method, Kind::Scheme, Kind::Path, Kind::Authority];
    const CONNECT: &[Kind] = &[Kind::Method, Kind::Authority];
    const EXTENDED: &[Kind] = &[Kind::Method, Kind::Scheme, Kind::Path, Kind::Authority, Kind::Protocol];
    if block.is_malformed() {
        return Err(FIELD);
    }
    let method = block.method().ok_or(PSEUDO)?;
    let is_connect = method == b"CONNECT";
    let complete = if !is_connect {
        block.has_only(USUAL) || block.has_only(PLAIN)
    } else {
        block.has_only(CONNECT) || (extended_connect && block.has_only(EXTENDED))
    };
    if !complete {
        return Err(PSEUDO);
    }
    if block.path() == Some(b"*") && method != b"OPTIONS" {
        return Err("the path * and another method than OPTIONS");
    }
    match (block.authority(), block.host()) {
        // Both schemes that there are have an authority, and it has to be said somewhere (section 8.3.1).
        (None, None) => Err("neither :authority nor host"),
        // Two hosts would be two requests to whoever looks at the other one (section 8.3.1).
        (Some(authority), Some(host)) if !host.eq_ignore_ascii_case(authority) => {
            Err("a host that is not the :authority")
        }
        _ => Ok(Request { is_head: method == b"HEAD", is_connect }),
    }
}

const FIELD: &str = "a malformed field, or one that HTTP/2 has not";
const PSEUDO: &str = "pseudo header fields are missing, or too many";

/// The status of a response (section 8.3.2).
///
/// # Errors
/// What is malformed.
pub(super) fn response(block: &Block) -> Result<u16, &'static str> {
    if block.is_malformed() {
        return Err(FIELD);
    }
    block.status().filter(|_| block.has_only(&[Kind::Status])).ok_or(PSEUDO)
}

/// Whether trailers are well-formed (section 8.1).
pub(super) fn trailers(block: &Block) -> bool {
    !block.is_malformed() && block.has_only(&[])
}
