//! One cookie of a request (RFC 6265 5.4), by its name.

/// Most pairs of a `Cookie` that are looked at; those after them count as absent.
pub const MAX_PAIRS: usize = 256;

/// The value of the cookie of this name in the value of `Cookie`; lines of it are joined with `"; "` before (RFC 9113
/// 8.2.3). Of several the first counts, which has the longest path. Quotes belong to the value. Case counts.
///
/// `None` if there is none; a pair without `=` has no name.
#[must_use]
pub fn value<'a>(header: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    header.split(|&byte| byte == b';').take(MAX_PAIRS).find_map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let (own, value) = (super::trim(pair.get(..equals)?), super::trim(pair.get(equals + 1..)?));
        (own == name && !name.is_empty()).then_some(value)
    })
}
