//! HTTP semantics that need no socket and no file: dates, validators, ranges, paths, content negotiation, listings,
//! credentials and forwarding headers.
//!
//! Everything here is a function of its arguments. Nothing reads a clock (the time is an argument), nothing panics on
//! any input, and every allocation is bounded by the size of the input or by a limit that is stated where it applies.
//!
//! Where a header may come on several lines, the caller joins their values with `", "` in the order of arrival
//! (RFC 9110 5.3) before it calls a parser.

pub mod auth;
pub mod bandwidth;
pub mod compress;
pub mod conditional;
pub mod cookie;
pub mod cors;
pub mod date;
pub mod domains;
pub mod encoding;
pub mod error_page;
pub mod etag;
pub mod forwarded;
pub mod forwarded_out;
pub mod limit;
pub mod listing;
pub mod mime;
pub mod password;
pub mod path;
pub mod priority;
pub mod query;
pub mod range;
pub mod redirect;
pub mod rewrite;
pub mod structured;
pub mod websocket;

#[cfg(test)]
mod auth_tests;
#[cfg(test)]
mod bandwidth_tests;
#[cfg(test)]
mod compress_tests;
#[cfg(test)]
mod conditional_tests;
#[cfg(test)]
mod cookie_tests;
#[cfg(test)]
mod cors_tests;
#[cfg(test)]
mod date_tests;
#[cfg(test)]
mod domains_tests;
#[cfg(test)]
mod encoding_tests;
#[cfg(test)]
mod error_page_tests;
#[cfg(test)]
mod etag_tests;
#[cfg(test)]
mod forwarded_out_tests;
#[cfg(test)]
mod forwarded_tests;
#[cfg(test)]
mod limit_tests;
#[cfg(test)]
mod listing_tests;
#[cfg(test)]
mod mime_tests;
#[cfg(test)]
mod noise_tests;
#[cfg(test)]
mod password_tests;
#[cfg(test)]
mod path_tests;
#[cfg(test)]
mod query_tests;
#[cfg(test)]
mod range_tests;
#[cfg(test)]
mod redirect_tests;
#[cfg(test)]
mod rewrite_tests;
#[cfg(test)]
mod websocket_tests;

/// `value` without spaces and tabs at both ends: the optional whitespace of RFC 9110 5.6.3.
pub(crate) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Whether `byte` may stand in a token (RFC 9110 5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether `value` is a token: at least one byte, and every byte one that a token may have.
pub(crate) fn is_token(value: &[u8]) -> bool {
    !value.is_empty() && value.iter().all(|&byte| is_token_byte(byte))
}
