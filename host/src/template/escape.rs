//! Escaping of values that go to logs: what a peer sends must not end a line, close a quote or move a cursor.

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Escape {
    /// As they are.
    #[default]
    None,
    /// Control bytes, `"`, `\` and everything that is not ASCII as `\xHH`: one line, no quote, no terminal sequence, and
    /// every byte can be told afterwards.
    Log,
    /// As the inside of a JSON string (RFC 8259 section 7). What is not UTF-8 becomes U+FFFD.
    Json,
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Escapes `out[start..]` in place.
pub fn escape_tail(out: &mut Vec<u8>, start: usize, escape: Escape) {
    if escape != Escape::None && !all_plain(&out[start..]) {
        escape_some(out, start, escape);
    }
}

/// Some bytes are not plain ASCII.
#[cold]
fn escape_some(out: &mut Vec<u8>, start: usize, escape: Escape) {
    let value = &out[start..];
    if escape == Escape::Json && value.iter().all(|&byte| plain(byte)) && std::str::from_utf8(value).is_ok() {
        return;
    }
    let end = out.len();
    let mut size = 0;
    pieces(value, escape, |piece| size += piece.len());
    // Written behind the raw value first: the escaped form is longer and cannot be made in place from the front.
    out.resize(end + size, 0);
    let (raw, mut room) = out.split_at_mut(end);
    pieces(&raw[start..], escape, |piece| {
        let (here, rest) = std::mem::take(&mut room).split_at_mut(piece.len());
        here.copy_from_slice(piece);
        room = rest;
    });
    out.copy_within(end.., start);
    out.truncate(start + size);
}

/// Bytes that neither mode escapes, as far as one byte can tell.
fn plain(byte: u8) -> bool {
    byte >= 0x20 && byte != 0x7f && byte != b'"' && byte != b'\\'
}

/// Whether all are plain ASCII, 16 bytes a step: nearly all values are.
pub(super) fn all_plain(value: &[u8]) -> bool {
    let Some(last) = value.last_chunk() else { return short_plain(value) };
    // The last two may overlap.
    value.as_chunks().0.iter().all(chunk_plain) && chunk_plain(last)
}

/// Every byte, without a branch: a few vector instructions. Never a part of something else, which may make it a loop.
#[inline(never)]
fn chunk_plain(chunk: &[u8; 16]) -> bool {
    let mut found = false;
    for &byte in chunk {
        found |= (byte.wrapping_sub(b' ') > b'~' - b' ') | (byte == b'"') | (byte == b'\\');
    }
    !found
}

/// Of less than 16 bytes, some of which may be looked at twice.
fn short_plain(value: &[u8]) -> bool {
    if let (Some(first), Some(last)) = (value.first_chunk(), value.last_chunk()) {
        return word_plain(u64::from_le_bytes(*first)) && word_plain(u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (value.first_chunk(), value.last_chunk()) {
        let [first, last] = [first, last].map(|four| u64::from(u32::from_le_bytes(*four)));
        return word_plain(first | last << 32);
    }
    let (Some(&first), Some(&last)) = (value.first(), value.last()) else { return true };
    let [first, middle, last] = [first, value[value.len() / 2], last].map(u64::from);
    word_plain(first | middle << 8 | last << 16 | each(b' ') << 24)
}

const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// All 8 at once: what is to be escaped shows in the top bit of its byte.
fn word_plain(word: u64) -> bool {
    // Without their top bits none of these sums reaches the next byte.
    let low = word & each(0x7f);
    let control = !(low + each(0x60));
    let delete = low + each(1);
    let quote = !((low ^ each(b'"')) + each(0x7f));
    let backslash = !((low ^ each(b'\\')) + each(0x7f));
    (word | control | delete | quote | backslash) & each(0x80) == 0
}

/// Gives the escaped form piece by piece.
fn pieces(value: &[u8], escape: Escape, mut emit: impl FnMut(&[u8])) {
    if escape == Escape::Json {
        for chunk in value.utf8_chunks() {
            bytes(chunk.valid().as_bytes(), json_byte, &mut emit);
            if !chunk.invalid().is_empty() {
                emit("\u{fffd}".as_bytes());
            }
        }
    } else {
        bytes(value, log_byte, &mut emit);
    }
}

/// Gives runs of plain bytes whole, and the form that `special` makes of each other one.
fn bytes(value: &[u8], special: fn(u8, &mut [u8; 6]) -> usize, emit: &mut impl FnMut(&[u8])) {
    let mut run = 0;
    let mut form = [0; 6];
    for (at, &byte) in value.iter().enumerate() {
        let len = special(byte, &mut form);
        if len > 0 {
            if run < at {
                emit(&value[run..at]);
            }
            emit(&form[..len]);
            run = at + 1;
        }
    }
    if run < value.len() {
        emit(&value[run..]);
    }
}

fn log_byte(byte: u8, form: &mut [u8; 6]) -> usize {
    if plain(byte) && byte < 0x80 {
        return 0;
    }
    form[..4].copy_from_slice(&[b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    4
}

fn json_byte(byte: u8, form: &mut [u8; 6]) -> usize {
    if plain(byte) {
        return 0;
    }
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            *form = [b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            return 6;
        }
    };
    form[..2].copy_from_slice(&[b'\\', short]);
    2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_at_every_place_of_values_of_every_length() {
        for len in 1..70 {
            let mut value = vec![b'a'; len];
            assert!(all_plain(&value));
            for at in 0..len {
                for byte in 0..=255 {
                    value[at] = byte;
                    assert_eq!(all_plain(&value), plain(byte) && byte < 0x80, "{byte:#x} at {at} of {len}");
                }
                value[at] = b'a';
            }
        }
        assert!(all_plain(b""));
    }

    #[test]
    fn neighbours_do_not_hide_or_show_each_other() {
        for (a, b) in (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b))) {
            let good = [a, b].iter().all(|&byte| plain(byte) && byte < 0x80);
            let word = u64::from_le_bytes([b'a', b'a', a, b, b'a', b'a', b'a', b'a']);
            assert_eq!(word_plain(word), good, "{a:#x} {b:#x}");
        }
    }
}
