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
    let clean = match escape {
        Escape::None => true,
        Escape::Log => out[start..].iter().all(|&byte| plain(byte) && byte < 0x80),
        Escape::Json => out[start..].iter().all(|&byte| plain(byte)) && std::str::from_utf8(&out[start..]).is_ok(),
    };
    if clean {
        return;
    }
    let end = out.len();
    let mut size = 0;
    pieces(&out[start..], escape, |piece| size += piece.len());
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
