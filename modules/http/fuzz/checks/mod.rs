//! What must hold for any bytes that the parsers of this module are given: one function for each fuzz target. The targets
//! and `tests/corpus.rs` share them. A function panics where something does not hold, and otherwise says whether its
//! parser accepted the input, so that a test can tell that the checks behind that were reached.
#![allow(dead_code, unused_imports, reason = "each fuzz target calls one of the functions")]

mod bodies;
mod conditions;
mod credentials;
mod heads;
mod hops;
mod negotiation;
mod paths;
mod ranges;

pub(crate) use bodies::chunked;
pub(crate) use conditions::conditional;
pub(crate) use credentials::auth;
pub(crate) use heads::{request_head, response_head};
pub(crate) use hops::forwarded;
pub(crate) use negotiation::accept_encoding;
pub(crate) use paths::path;
pub(crate) use ranges::range;

use anyproxy_http::h1::Limits;

/// Too large for any input here to meet.
const WIDE: Limits = Limits { line: 1 << 20, head: 1 << 20, headers: u16::MAX };
/// Small enough that inputs meet each of them.
const TIGHT: Limits = Limits { line: 48, head: 160, headers: 4 };

/// Places at which the pieces of `length` bytes end, the last at the end: all at once, byte by byte, in two, and at
/// places that depend on `input`, so that a fuzzer can move them.
fn cuts(input: &[u8], length: usize) -> [Vec<usize>; 4] {
    let mut state = input
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let mut uneven = vec![0];
    while let Some(&last) = uneven.last()
        && last < length
    {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        // A step of 0 shows the same bytes again.
        uneven.push((last + (state >> 33) as usize % 24).min(length));
    }
    [vec![length], (0..=length).collect(), vec![length / 2, length], uneven]
}

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

fn is_value(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == b'\t' || !byte.is_ascii_control())
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}
