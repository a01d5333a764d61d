//! Classes of bytes, and searches for the first byte outside of one. Owns no rule about messages.

use super::block::{Block, SIZE, padded};

/// The bytes of a token (RFC 9110 section 5.6.2).
const TOKEN: [bool; 256] = {
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
pub(super) const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// Whether `bytes` is a token: not empty, and only such bytes.
#[inline]
pub(super) fn is_token(bytes: &[u8]) -> bool {
    is_words(bytes) || (!bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte)))
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
    while let Some((block, behind)) = rest.split_first_chunk()
        && is_word(block)
    {
        rest = behind;
    }
    while let [byte, behind @ ..] = rest
        && is_token_byte(*byte)
    {
        rest = behind;
    }
    bytes.len() - rest.len()
}

/// Whether `bytes` consists of ASCII letters, digits, `-` and `.` only, which may stand in tokens and in hosts, and of
/// which these consist nearly always. False also for less than four bytes.
#[inline]
pub(super) fn is_words(bytes: &[u8]) -> bool {
    // The last ones may be looked at twice, so that none but whole blocks are needed.
    if let Some(last) = bytes.last_chunk() {
        return bytes.as_chunks().0.iter().all(is_word) && is_word(last);
    }
    let (first, last) = match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => match (bytes.first_chunk(), bytes.last_chunk()) {
            (Some(first), Some(last)) => {
                let both = u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
                (both, both)
            }
            _ => return false,
        },
    };
    is_word(&(u128::from(first) | u128::from(last) << 64).to_le_bytes())
}

/// Whether all bytes of a block are such as [`is_words`] looks for. A call, for the same reason as in [`Block`].
#[inline(never)]
fn is_word(block: &[u8; SIZE]) -> bool {
    block.iter().fold(true, |all, &byte| {
        let (letter, digit) = ((byte | 0x20).wrapping_sub(b'a') < 26, byte.wrapping_sub(b'0') < 10);
        all & (letter | digit | (byte == b'-') | (byte == b'.'))
    })
}

/// The colon after a field name in front of `bytes`: the first colon, where that is near, as it nearly always is; then
/// what is before it need not be a token. `None` where no name, or one of more than 255 bytes, has a colon behind it.
pub(super) fn name_end(bytes: &[u8]) -> Option<usize> {
    for (place, block) in bytes.as_chunks().0.iter().take(2).enumerate() {
        if let Some(colon) = Block(block).find(b':') {
            return Some(place * SIZE + colon);
        }
    }
    let end = token_end(bytes, 0);
    (end <= usize::from(u8::MAX) && bytes.get(end) == Some(&b':')).then_some(end)
}

/// Whether all bytes of `bytes` may stand in a field value.
pub(super) fn is_value(bytes: &[u8]) -> bool {
    let is_text = |block: &[u8; SIZE]| Block(block).find_outside(b' ', b'~').is_none();
    // The last ones may be looked at twice, so that none but whole blocks are needed.
    let all_text = match bytes.last_chunk() {
        Some(last) => bytes.as_chunks().0.iter().all(is_text) && is_text(last),
        None => Block(&padded(bytes, 0)).find_outside(b' ', b'~') == Some(bytes.len()),
    };
    all_text || value_end(bytes, 0) == bytes.len()
}

/// The first byte of `bytes` that is not between SP and `~`; their length where there is none. Sooner than
/// [`value_end`], and for nearly all values the same.
#[inline(always)]
pub(super) fn text_end(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((block, behind)) = rest.split_first_chunk() {
        if let Some(place) = Block(block).find_outside(b' ', b'~') {
            return bytes.len() - rest.len() + place;
        }
        rest = behind;
    }
    bytes.len() - rest.len() + super::line::cold(|| short_text_end(rest))
}

/// As [`text_end`], for less than a block.
#[inline(never)]
fn short_text_end(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !matches!(byte, b' '..=b'~')).unwrap_or(bytes.len())
}

/// The first byte at or after `at` that is not of a field value; the length of `bytes` where there is none.
#[inline(never)]
pub(super) fn value_end(bytes: &[u8], at: usize) -> usize {
    end(bytes, at, text_end, is_value_byte)
}

/// The first byte at or after `at` that is not of a request target; the length of `bytes` where there is none.
#[inline]
pub(super) fn target_end(bytes: &[u8], at: usize) -> usize {
    end(bytes, at, path_end, is_target_byte)
}

/// The first byte of `bytes` that is not between `$` and `~`; their length where there is none.
#[inline(never)]
pub(super) fn path_end(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((block, behind)) = rest.split_first_chunk() {
        if let Some(place) = Block(block).find_outside(b'$', b'~') {
            return bytes.len() - rest.len() + place;
        }
        rest = behind;
    }
    bytes.iter().position(|byte| !matches!(byte, b'$'..=b'~')).unwrap_or(bytes.len())
}

/// The first byte at or after `at` that is not `allowed`, which those before a `rough` end are.
#[inline(always)]
fn end(bytes: &[u8], at: usize, rough: impl Fn(&[u8]) -> usize, allowed: impl Fn(u8) -> bool) -> usize {
    let mut end = at;
    while let Some(rest) = bytes.get(end..)
        && let Some(stop) = rest.get(rough(rest)..)
        && let [byte, behind @ ..] = stop
    {
        end = bytes.len() - stop.len();
        if !allowed(*byte) {
            return end;
        }
        // Text in UTF-8 has several of these in a row, and a look at a block for each of them would be dear.
        end += 1 + behind.iter().take_while(|byte| !byte.is_ascii() && allowed(**byte)).count();
    }
    bytes.len()
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
                            assert_eq!(is_value(&bytes[at..]), expected.0 == length);
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
    fn blocks_and_their_rests_agree_with_the_classes() {
        let usual = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        for length in [0, 1, 3, 4, 5, 7, 8, 9, 14, 15, 16, 17, 18, 31, 32, 33, 47, 48, 49] {
            for byte in 0..=255u8 {
                for place in 0..length {
                    let mut bytes = [b'a'; 49];
                    bytes[place] = byte;
                    let bytes = &bytes[..length];
                    let plain = |allowed: fn(u8) -> bool| if allowed(byte) { length } else { place };
                    assert_eq!(
                        text_end(bytes),
                        plain(|byte| matches!(byte, b' '..=b'~')),
                        "{byte} at {place} of {length}"
                    );
                    assert_eq!(value_end(bytes, 0), plain(is_value_byte), "{byte} at {place} of {length}");
                    assert_eq!(target_end(bytes, 0), plain(is_target_byte), "{byte} at {place} of {length}");
                    assert_eq!(token_end(bytes, 0), plain(is_token_byte), "{byte} at {place} of {length}");
                    assert_eq!(is_token(bytes), is_token_byte(byte), "{byte} at {place} of {length}");
                    assert_eq!(is_words(bytes), length > 3 && usual(byte), "{byte} at {place} of {length}");
                }
            }
            let bytes = &[b'a'; 49][..length];
            assert_eq!((text_end(bytes), value_end(bytes, 0), target_end(bytes, 0)), (length, length, length));
            assert_eq!((is_token(bytes), is_words(bytes)), (length > 0, length > 3));
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
