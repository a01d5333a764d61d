//! What a message must have (RFC 9113 section 8). Works on a decoded block; knows nothing of streams.

use super::block::Block;
use super::hpack::Kind;

/// What a request says about its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) is_head: bool,
    pub(super) is_connect: bool,
}

/// Judges a request (sections 8.3.1 and 8.5, RFC 8441 section 4); `None` where it is malformed.
pub(super) fn request(block: &Block, extended_connect: bool) -> Option<Request> {
    const PLAIN: &[Kind] = &[Kind::Method, Kind::Scheme, Kind::Path];
    const USUAL: &[Kind] = &[Kind::Method, Kind::Scheme, Kind::Path, Kind::Authority];
    const CONNECT: &[Kind] = &[Kind::Method, Kind::Authority];
    const EXTENDED: &[Kind] = &[Kind::Method, Kind::Scheme, Kind::Path, Kind::Authority, Kind::Protocol];
    if block.is_malformed() {
        return None;
    }
    let method = block.method()?;
    let is_connect = method == b"CONNECT";
    let complete = if !is_connect {
        block.has_only(USUAL) || block.has_only(PLAIN)
    } else {
        block.has_only(CONNECT) || (extended_connect && block.has_only(EXTENDED))
    };
    let asterisk = block.path() == Some(b"*");
    if !complete || (asterisk && method != b"OPTIONS") {
        return None;
    }
    // Both schemes that there are have an authority, and it has to be said somewhere (section 8.3.1).
    if block.authority().is_none() && block.host().is_none() {
        return None;
    }
    // Two hosts would be two requests to whoever looks at the other one (section 8.3.1).
    if let (Some(host), Some(authority)) = (block.host(), block.authority())
        && !host.eq_ignore_ascii_case(authority)
    {
        return None;
    }
    Some(Request { is_head: method == b"HEAD", is_connect })
}

/// The status of a response (section 8.3.2); `None` where it is malformed.
pub(super) fn response(block: &Block) -> Option<u16> {
    if block.is_malformed() || !block.has_only(&[Kind::Status]) { None } else { block.status() }
}

/// Whether trailers are well-formed (section 8.1).
pub(super) fn trailers(block: &Block) -> bool {
    !block.is_malformed() && block.has_only(&[])
}
