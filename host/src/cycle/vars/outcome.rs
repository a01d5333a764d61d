//! How a session ended, as words and numbers: status, its text, and whether it was an error. Knows no protocol: a
//! protocol's own status goes before what is derived here.

use crate::config::tree::{Domain, DomainName};
use anyproxy_module_api::abi::session::{Cause, Stage, Who};

const fn cause_is(code: u32, cause: Cause) -> bool {
    code & 255 == cause as u32
}

/// The status of a session: what its protocol set, else derived from the close reason's code in the numbers that
/// operators of layer-4 proxies know. `None`: it is still open and has none.
pub fn status(own: u32, close: u32) -> Option<u32> {
    if own != 0 {
        return Some(own);
    }
    if close == 0 {
        return None;
    }
    let by_client = close >> 16 == Who::Client as u32;
    let early = (close >> 8) & 255 < Stage::Route as u32;
    let is = |cause| cause_is(close, cause);
    Some(if is(Cause::Done) {
        200
    } else if is(Cause::Denied) {
        403
    } else if is(Cause::NoRoute) {
        404
    } else if is(Cause::Limit) || is(Cause::NoPeer) || is(Cause::Killed) || is(Cause::Shutdown) {
        503
    } else if is(Cause::Panic) || is(Cause::Internal) {
        500
    } else if is(Cause::Timeout) {
        if by_client || early { 408 } else { 504 }
    } else if by_client || early {
        400
    } else {
        502
    })
}

/// Words for a status. Those that no session gets here by itself are named by their class.
pub fn status_text(status: u32) -> &'static str {
    match (status, status / 100) {
        (200, _) => "ok",
        (403, _) => "denied",
        (404, _) => "not found",
        (408, _) => "client timed out",
        (500, _) => "proxy error",
        (502, _) => "upstream error",
        (503, _) => "unavailable",
        (504, _) => "upstream timed out",
        (_, 1) => "informational",
        (_, 2) => "success",
        (_, 3) => "redirected",
        (_, 4) => "client error",
        (_, 5) => "server error",
        _ => "other",
    }
}

/// Whether a session that ended is an error: it did not end in order, or its status says so.
pub fn is_error(own: u32, close: u32) -> bool {
    own >= 400 || (close != 0 && !cause_is(close, Cause::Done))
}

/// Whether a time limit ended it.
pub fn is_timeout(close: u32) -> bool {
    close != 0 && cause_is(close, Cause::Timeout)
}

/// Which of a server's domains `name` matches: exact, then the longest wildcard, then the first regular expression.
pub fn matched_domain<'d>(domains: &'d [Domain], name: &str) -> Option<&'d DomainName> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let names = || domains.iter().map(|d| &d.name);
    let exact = names().find(|d| matches!(d, DomainName::Exact(e) if e.as_str() == name));
    let wildcard = || {
        names()
            .filter_map(|d| match d {
                // The star stands for at least one byte.
                DomainName::Wildcard(w) if name.len() > w.len() && name.ends_with(w.as_str()) => Some((w.len(), d)),
                _ => None,
            })
            .max_by_key(|(len, _)| *len)
            .map(|(_, d)| d)
    };
    let regex = || names().find(|d| matches!(d, DomainName::Regex(r) if r.is_match(&name)));
    exact.or_else(wildcard).or_else(regex)
}
