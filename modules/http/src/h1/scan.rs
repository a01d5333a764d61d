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
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
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
    let mut at = at;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        match chunk.iter().position(|&byte| !is_token_byte(byte)) {
            Some(place) => return at + place,
            None => at += 8,
        }
    }
    while bytes.get(at).is_some_and(|&byte| is_token_byte(byte)) {
        at += 1;
    }
    at
}

/// The first byte at or after `at` that is not of a field value; the length of `bytes` where there is none.
#[inline]
pub(super) fn value_end(bytes: &[u8], at: usize) -> usize {
    end(bytes, at, |word| below(word, 0x20) | equal(word, 0x7f), is_value_byte)
}

/// The first byte at or after `at` that is not of a request target; the length of `bytes` where there is none.
#[inline]
pub(super) fn target_end(bytes: &[u8], at: usize) -> usize {
    end(bytes, at, |word| below(word, 0x21) | equal(word, 0x7f) | equal(word, b'#'), is_target_byte)
}

/// In steps of eight bytes, `suspects` marks the high bit of bytes that `allowed` may refuse. It may mark too many, but
/// the lowest mark is exact but for bytes that `allowed` knows better, so each mark is looked at.
#[inline]
fn end(bytes: &[u8], mut at: usize, suspects: impl Fn(u64) -> u64, allowed: impl Fn(u8) -> bool) -> usize {
    // Long values go by in blocks, which the compiler turns into vector instructions.
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<32>) {
        if block.iter().fold(false, |found, &byte| found | !allowed(byte)) {
            break;
        }
        at += 32;
    }
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let marks = suspects(u64::from_le_bytes(*chunk)) & HIGH;
        if marks == 0 {
            at += 8;
            continue;
        }
        let offset = (marks.trailing_zeros() / 8) as usize;
        at += offset;
        if !allowed(chunk[offset]) {
            return at;
        }
        at += 1;
    }
    while bytes.get(at).is_some_and(|&byte| allowed(byte)) {
        at += 1;
    }
    at
}

/// Marks the bytes below `limit`, which is at most 0x80. A borrow can mark a byte above a marked one wrongly.
#[inline]
fn below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(LOW * u64::from(limit)) & !word
}

/// Marks the bytes equal to `byte`. A borrow can mark a byte above a marked one wrongly.
#[inline]
fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ (LOW * u64::from(byte));
    zero.wrapping_sub(LOW) & !zero
}

/// `bytes` without the spaces and tabs at both ends (OWS, RFC 9110 section 5.6.3).
pub(super) fn trim(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [b' ' | b'\t', tail @ ..] = rest {
        rest = tail;
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
            for place in 0..20 {
                for filler in [b'a', b'\t', 0xff, 0x80] {
                    let mut bytes = [filler; 24];
                    bytes[place] = byte;
                    let plain =
                        |allowed: fn(u8) -> bool| bytes.iter().position(|&byte| !allowed(byte)).unwrap_or(bytes.len());
                    assert_eq!(value_end(&bytes, 0), plain(is_value_byte), "{byte} at {place}");
                    assert_eq!(target_end(&bytes, 0), plain(is_target_byte), "{byte} at {place}");
                    assert_eq!(token_end(&bytes, 0), plain(is_token_byte), "{byte} at {place}");
                }
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
