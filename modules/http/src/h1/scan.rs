//! Classes of bytes, and searches for the first byte outside of one. Owns no rule about messages.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The bytes of a token (RFC 9110 section 5.6.2).
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    loop {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        if byte == 255 {
            break;
        }
        byte += 1;
    }
    table
};

/// Whether the byte may stand in a token (RFC 9110 section 5.6.2).
#[inline]
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// Whether `bytes` is a token: not empty, and only such bytes.
#[inline]
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_end(bytes, 0) == bytes.len()
}

/// Whether the byte may stand in a field value: HTAB, SP, VCHAR or obs-text (RFC 9110 section 5.5).
#[inline]
pub(super) fn is_value_byte(byte: u8) -> bool {
    (byte >= 0x20 && byte != 0x7f) || byte == b'\t'
}

/// Whether the byte may stand in a request target. Bytes above 0x7f are no part of a URI, but are sent in paths, as UTF-8;
/// `#` would begin a fragment, which is never sent, and which servers cut off or not as they like.
#[inline]
pub(super) fn is_target_byte(byte: u8) -> bool {
    byte > 0x20 && byte != 0x7f && byte != b'#'
}

/// The first byte at or after `at` that is not of a token; the length of `bytes` where there is none.
#[inline]
pub(super) fn token_end(bytes: &[u8], at: usize) -> usize {
    let Some(mut rest) = bytes.get(at..) else { return bytes.len() };
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        // Without a branch for each byte.
        if !chunk.iter().fold(true, |all, &byte| all & is_token_byte(byte)) {
            break;
        }
        rest = behind;
    }
    while let [byte, behind @ ..] = rest
        && is_token_byte(*byte)
    {
        rest = behind;
    }
    bytes.len() - rest.len()
}

/// The colon after a field name in front of `bytes`: the first colon, where that is near, as it nearly always is; then
/// what is before it need not be a token. `None` where no name, or one of more than 255 bytes, has a colon behind it.
#[inline(always)]
pub(super) fn name_end(bytes: &[u8]) -> Option<usize> {
    let near = near_mark(bytes, |word| equal(word, b':'));
    near.map(|(place, _)| place).or_else(|| far_name_end(bytes))
}

/// As [`name_end`], for what is long, or at the end of the bytes.
#[inline(never)]
fn far_name_end(bytes: &[u8]) -> Option<usize> {
    let end = token_end(bytes, 0);
    (end <= usize::from(u8::MAX) && bytes.get(end) == Some(&b':')).then_some(end)
}

/// The first byte at or after `at` that is not of a field value; the length of `bytes` where there is none.
#[inline(always)]
pub(super) fn value_end(bytes: &[u8], at: usize) -> usize {
    // A byte plus one has the high bit for 0x7f, and for those above, which have it already.
    let suspects = |word: u64| (below(word, 0x20) | word.wrapping_add(LOW)) & !word;
    // The byte that ends nearly all values is asked for first.
    end(bytes, at, suspects, |byte| byte != b'\r' && is_value_byte(byte))
}

/// The first byte at or after `at` that is not of a request target; the length of `bytes` where there is none.
#[inline]
pub(super) fn target_end(bytes: &[u8], at: usize) -> usize {
    end(bytes, at, |word| (below(word, 0x21) | word.wrapping_add(LOW) | equal(word, b'#')) & !word, is_target_byte)
}

/// The first byte at or after `at` that is not `allowed`. `suspects` marks the high bit of those bytes of a word, and may
/// mark too many, so each mark is looked at.
#[inline(always)]
fn end(bytes: &[u8], at: usize, suspects: impl Fn(u64) -> u64, allowed: impl Fn(u8) -> bool) -> usize {
    let Some(rest) = bytes.get(at..) else { return bytes.len() };
    if let Some((place, byte)) = near_mark(rest, &suspects)
        && !allowed(byte)
    {
        return at + place;
    }
    at + far_end(rest, suspects, allowed)
}

/// As [`end`], for what is long, or at the end of the bytes.
#[inline(never)]
fn far_end(bytes: &[u8], suspects: impl Fn(u64) -> u64, allowed: impl Fn(u8) -> bool) -> usize {
    let mut rest = bytes;
    // The compiler turns this into vector instructions.
    while let Some((block, behind)) = rest.split_first_chunk::<32>()
        && block.iter().fold(true, |all, &byte| all & allowed(byte))
    {
        rest = behind;
    }
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        let marks = suspects(u64::from_le_bytes(*chunk)) & HIGH;
        if marks == 0 {
            rest = behind;
            continue;
        }
        match &rest[first_marked(marks)..] {
            [byte, behind @ ..] if allowed(*byte) => rest = behind,
            behind => return bytes.len() - behind.len(),
        }
    }
    while let [byte, behind @ ..] = rest
        && allowed(*byte)
    {
        rest = behind;
    }
    bytes.len() - rest.len()
}

/// The first byte that `marks` marks, and where it is, if it is near: in the first 32 bytes, or 16 where there are no
/// more. In steps that need no bounds.
#[inline(always)]
fn near_mark(bytes: &[u8], marks: impl Fn(u64) -> u64) -> Option<(usize, u8)> {
    match bytes.first_chunk::<32>() {
        Some(near) => first_mark(near, marks),
        None => first_mark(bytes.first_chunk::<16>()?, marks),
    }
}

#[inline(always)]
fn first_mark<const N: usize>(bytes: &[u8; N], marks: impl Fn(u64) -> u64) -> Option<(usize, u8)> {
    for (place, chunk) in bytes.as_chunks::<8>().0.iter().enumerate() {
        let marks = marks(u64::from_le_bytes(*chunk)) & HIGH;
        if marks != 0 {
            let at = first_marked(marks);
            return Some((place * 8 + at, chunk[at]));
        }
    }
    None
}

/// The place of the lowest byte with a mark. There is one.
#[inline]
fn first_marked(marks: u64) -> usize {
    (marks.trailing_zeros() / 8) as usize
}

/// Marks the bytes below `limit`, which is at most 0x80, and some above 0x7f. A borrow can mark a byte above a marked
/// one wrongly.
#[inline]
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(LOW * u64::from(limit))
}

/// Marks the bytes equal to `byte`. A borrow can mark a byte above a marked one wrongly.
#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ (LOW * u64::from(byte));
    zero.wrapping_sub(LOW) & !zero
}

/// `bytes` without the spaces and tabs at both ends (OWS, RFC 9110 section 5.6.3).
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    trim_end(trim_start(bytes))
}

/// `bytes` without the spaces and tabs at the beginning.
#[inline]
pub(super) fn trim_start(bytes: &[u8]) -> &[u8] {
    // One space is what comes after nearly all colons.
    let mut rest = bytes;
    if let [b' ', tail @ ..] = rest {
        match tail {
            [byte, ..] if *byte > b' ' => return tail,
            _ => rest = tail,
        }
    }
    while let [b' ' | b'\t', tail @ ..] = rest {
        rest = tail;
    }
    rest
}

/// `bytes` without the spaces and tabs at the end.
#[inline]
pub(super) fn trim_end(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    if let [.., byte] = rest
        && *byte > b' '
    {
        return rest;
    }
    while let [head @ .., b' ' | b'\t'] = rest {
        rest = head;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_agree_with_the_classes_at_every_offset() {
        for byte in 0..=255u8 {
            for filler in [b'a', b'~', b'\t', b' ', 0x7e, 0x80, 0xff] {
                for length in [1, 7, 8, 9, 24, 40, 72] {
                    for place in 0..length {
                        let mut bytes = [filler; 72];
                        bytes[place] = byte;
                        let bytes = &bytes[..length];
                        for at in [0, 1, place, place + 1, length] {
                            let at = at.min(length);
                            let plain = |allowed: fn(u8) -> bool| {
                                bytes[at..].iter().position(|&byte| !allowed(byte)).map_or(length, |end| at + end)
                            };
                            let found = (value_end(bytes, at), target_end(bytes, at), token_end(bytes, at));
                            let expected = (plain(is_value_byte), plain(is_target_byte), plain(is_token_byte));
                            assert_eq!(found, expected, "{byte} at {place} of {length} from {at}");
                            let colon = plain(|byte| byte != b':');
                            let near = colon < at + if length - at < 32 { (length - at) / 16 * 16 } else { 32 };
                            let end = if near { colon } else { plain(is_token_byte) };
                            let expected = (bytes.get(end) == Some(&b':')).then(|| end - at);
                            assert_eq!(name_end(&bytes[at..]), expected, "{byte} at {place} of {length} from {at}");
                            assert_eq!(is_token(&bytes[at..]), at < length && plain(is_token_byte) == length);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn searches_agree_with_the_classes_for_any_two_bytes() {
        // Of two bytes side by side the lower can spoil the mark of the higher.
        for (low, high) in (0..=255u8).flat_map(|low| (0..=255u8).map(move |high| (low, high))) {
            for filler in [b'a', 0xff] {
                let mut bytes = [filler; 32];
                (bytes[3], bytes[4], bytes[16]) = (low, high, b':');
                let plain = |allowed: fn(u8) -> bool| bytes.iter().position(|&byte| !allowed(byte)).unwrap_or(32);
                let found = (value_end(&bytes, 0), target_end(&bytes, 0), token_end(&bytes, 0));
                assert_eq!(found, (plain(is_value_byte), plain(is_target_byte), plain(is_token_byte)), "{low} {high}");
                assert_eq!(name_end(&bytes), Some(plain(|byte| byte != b':')), "{low} {high}");
            }
        }
    }

    #[test]
    fn trimming_takes_spaces_and_tabs_only() {
        for (bytes, expected) in
            [(&b" \t a b\t "[..], &b"a b"[..]), (b"", b""), (b" \t", b""), (b"\x0ba", b"\x0ba"), (b"a", b"a")]
        {
            assert_eq!(trim(bytes), expected);
        }
    }
}
