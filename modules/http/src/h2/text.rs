//! Classes of bytes, and words of eight of them. Owns no rule about messages.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The bytes of a token (RFC 9110 section 5.6.2).
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
};

/// Whether `bytes` is a token (RFC 9110 section 5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN[usize::from(byte)])
}

/// Whether `bytes` is a token without upper-case letters: a field name (RFC 9113 section 8.2.1).
pub(super) fn is_name(bytes: &[u8]) -> bool {
    is_token(bytes) && !bytes.iter().any(u8::is_ascii_uppercase)
}

/// Whether `bytes` is a field value: no control byte but HTAB, and no white space at either end (RFC 9110 section 5.5,
/// RFC 9113 section 8.2.1).
#[inline]
pub(super) fn is_value(bytes: &[u8]) -> bool {
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return true };
    let white = |byte: u8| byte == b' ' || byte == b'\t';
    !white(*first) && !white(*last) && only(bytes, &VALUE, |word| below(word, 0x20) | word.wrapping_add(LOW))
}

/// Whether `bytes` may be a request target or a part of one: no control byte, no space, no fragment. Bytes above 0x7f
/// are no part of a URI, but are sent in paths, as UTF-8.
#[inline]
pub(super) fn is_target(bytes: &[u8]) -> bool {
    let hash = |word: u64| below(word ^ (LOW * b'#' as u64), 1);
    only(bytes, &TARGET, |word| below(word, 0x21) | word.wrapping_add(LOW) | hash(word))
}

/// The bytes of a field value.
static VALUE: [bool; 256] = {
    let mut table = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = byte == b'\t' as usize;
        byte += 1;
    }
    table[0x7f] = false;
    table
};

/// The bytes of a request target.
static TARGET: [bool; 256] = {
    let mut table = VALUE;
    (table[b'\t' as usize], table[b' ' as usize], table[b'#' as usize]) = (false, false, false);
    table
};

/// Marks the high bit of each byte below `least`. May mark too many, none too few.
#[inline]
const fn below(word: u64, least: u8) -> u64 {
    word.wrapping_sub(LOW * least as u64)
}

/// Whether all bytes are in `table`. `suspects` marks the high bit of all those of a word that are not, at least.
#[inline]
fn only(bytes: &[u8], table: &[bool; 256], suspects: impl Fn(u64) -> u64) -> bool {
    if bytes.is_empty() {
        return true;
    }
    // What is shorter than a word is one that has some of the bytes twice.
    let last = match *bytes {
        [a] => u64::from_le_bytes([a; 8]),
        [a, b] => u64::from_le_bytes([a, b, a, b, a, b, a, b]),
        [a, b, c] => u64::from_le_bytes([a, b, c, a, b, c, a, b]),
        _ => last_word(bytes),
    };
    let mut marks = suspects(last) | last;
    let mut rest = bytes;
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        let word = u64::from_le_bytes(*chunk);
        marks |= suspects(word) | word;
        rest = behind;
    }
    marks & HIGH == 0 || bytes.iter().all(|&byte| table[usize::from(byte)])
}

/// The first eight bytes of what is that long.
#[inline]
pub(super) const fn first_word(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.first_chunk() { u64::from_le_bytes(*word) } else { 0 }
}

/// The last eight bytes; all of what is shorter.
#[inline]
pub(super) const fn last_word(bytes: &[u8]) -> u64 {
    if let Some(word) = bytes.last_chunk() {
        return u64::from_le_bytes(*word);
    }
    match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => u32::from_le_bytes(*first) as u64 | (u32::from_le_bytes(*last) as u64) << 32,
        _ => match *bytes {
            [a] => a as u64,
            [a, b] => u64::from_le_bytes([a, b, 0, 0, 0, 0, 0, 0]),
            [a, b, c] => u64::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]),
            _ => 0,
        },
    }
}

/// `word` with its ASCII letters in lower case; other bytes stay.
#[inline]
pub(super) const fn lower(word: u64) -> u64 {
    let low = word & !HIGH;
    // The high bit of each byte tells whether it is at least `A`, or above `Z`. No sum carries into the next byte.
    let from_a = low.wrapping_add(LOW * (0x80 - b'A' as u64));
    let above_z = low.wrapping_add(LOW * (0x7f - b'Z' as u64));
    word | ((from_a & !above_z & !word & HIGH) >> 2)
}

/// Whether both are the same. Quicker than a call for what is as short as names and values are.
#[inline]
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() || last_word(one) != last_word(other) {
        return false;
    }
    let (mut one, mut other) = (one, other);
    while one.len() > 8 {
        if first_word(one) != first_word(other) {
            return false;
        }
        (one, other) = (&one[8..], &other[8..]);
    }
    true
}

/// Whether `bytes`, in any case, is `name`, which is in lower case.
#[inline]
pub(super) fn is_lower(bytes: &[u8], name: &[u8]) -> bool {
    if bytes.len() != name.len() || lower(last_word(bytes)) != last_word(name) {
        return false;
    }
    let (mut bytes, mut name) = (bytes, name);
    while bytes.len() > 8 {
        if lower(first_word(bytes)) != first_word(name) {
            return false;
        }
        (bytes, name) = (&bytes[8..], &name[8..]);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_lowered_as_bytes_are() {
        for byte in 0..=255u8 {
            for place in 0..8 {
                let mut bytes = *b"aZ@[`{\xffM";
                bytes[place] = byte;
                assert_eq!(lower(u64::from_le_bytes(bytes)).to_le_bytes().as_slice(), bytes.to_ascii_lowercase());
            }
        }
        for length in 0..30 {
            let name = &b"abcdefghijklmnopqrstuvwxyz^~-_"[..length];
            assert!(is_lower(&name.to_ascii_uppercase(), name) && is_same(&Vec::from(name), name));
            for place in 0..length {
                let mut other = name.to_vec();
                other[place] = b'0';
                assert!(!is_lower(&other, name) && !is_same(&other, name));
            }
        }
    }

    #[test]
    fn values_by_every_byte_at_every_place() {
        for byte in 0..=255u8 {
            for length in 1..20 {
                for place in 0..length {
                    let mut bytes = vec![b'a'; length];
                    bytes[place] = byte;
                    let edge = place == 0 || place + 1 == length;
                    let control = (byte < 0x20 && byte != b'\t') || byte == 0x7f;
                    let white = byte == b' ' || byte == b'\t';
                    assert_eq!(is_value(&bytes), !(control || edge && white), "{byte} {place} {length}");
                    assert_eq!(is_target(&bytes), byte > 0x20 && byte != 0x7f && byte != b'#');
                }
            }
        }
        assert!(is_value(b"") && is_target(b"") && !is_token(b"") && is_token(b"Ab") && !is_name(b"Ab"));
    }
}
