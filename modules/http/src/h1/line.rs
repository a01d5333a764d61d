//! One field line (RFC 9112 section 5). Owns what makes it well-formed, and how that is found out at little cost.

use super::block::{Block, SIZE, padded};
use super::fields::HeaderAt;
use super::name::Id;
use super::{Bad, scan};

/// What comes in a section where no whole field line does.
pub(super) enum NoField {
    /// The empty line; what follows the section begins there.
    End(usize),
    /// The bytes end inside a line.
    More,
}

/// Reads the field line in front of `line`, which lies in a buffer up to the offset `end`, if it is what nearly all are:
/// one space before the value, none behind it, and in it no tab and no byte above 0x7f. Returns it and what follows.
/// `None` for others: see [`any`].
///
/// Goes by what is left of the buffer and not by offsets, so that each bound is checked once. Always inlined, with the
/// searches: as a call, its result would go through memory for each line.
#[inline(always)]
pub(super) fn usual(line: &[u8], end: usize) -> Option<(HeaderAt, &[u8])> {
    let (name_len, id) = match line.first_chunk().and_then(short_name) {
        Some(found) => found,
        None => cold(|| other_name(line))?,
    };
    let on = line.get(name_len..)?;
    let ([colon, space, ..], value_on) = (on.first_chunk::<3>()?, on.get(2..)?);
    // As one number. A pattern would be compared byte by byte.
    if [*colon, *space] != *b": " || value_on.first() == Some(&b' ') {
        return None;
    }
    let value_len = scan::text_end(value_on);
    // With the byte before: the space after the colon, where the value is empty.
    let ([last, line_end @ ..], left) = on.get(value_len + 1..)?.split_first_chunk::<3>()?;
    if line_end != b"\r\n" || *last == b' ' {
        return None;
    }
    let header = HeaderAt {
        name_at: (end - line.len()) as u32,
        value_at: (end - value_on.len()) as u32,
        value_len: u16::try_from(value_len).ok()?,
        // At most 255.
        name_len: name_len as u8,
        id,
    };
    Some((header, left))
}

/// Calls `other`. Tells the compiler to keep what is at hand in registers at the cost of this way, not of the usual one.
#[cold]
#[inline(never)]
pub(super) fn cold<T>(other: impl FnOnce() -> T) -> T {
    other()
}

/// The length of a known name at the beginning of `start`, and its id, if it and the colon are there.
#[inline(always)]
fn short_name(start: &[u8; SIZE]) -> Option<(usize, Id)> {
    let colon = Block(start).find(b':')?;
    Some((colon, Id::known_before(colon, start)?))
}

/// As [`name`], where [`short_name`] has found none.
#[inline(never)]
fn other_name(line: &[u8]) -> Option<(usize, Id)> {
    let Some(start) = line.first_chunk() else {
        // The last line of a request is often a short one.
        return short_name(&padded(line, 0)).or_else(|| name(line));
    };
    match Block(start).find(b':') {
        // `short_name` knows all of these.
        Some(colon @ 3..) => scan::is_token(line.get(..colon)?).then_some((colon, Id::Other)),
        _ => name(line),
    }
}

/// The length of the name that begins `line`, at most 255, and its id. `None` where it is no token, or no colon follows.
#[inline(never)]
fn name(line: &[u8]) -> Option<(usize, Id)> {
    if let [b'\r', ..] = line {
        // The empty line.
        return None;
    }
    let name = line.get(..scan::name_end(line)?)?;
    let id = match Id::known(name) {
        // Known names are tokens, so that only others are looked at.
        Some(id) => id,
        None if scan::is_token(name) && name.len() <= usize::from(u8::MAX) => Id::Other,
        None => return None,
    };
    Some((name.len(), id))
}

/// As [`usual`], for any line. `None` for whatever is not a whole, right field line: then [`no_field`] tells what it is.
#[inline(never)]
pub(super) fn any(line: &[u8], end: usize) -> Option<(HeaderAt, &[u8])> {
    let (name_len, id) = name(line)?;
    let value_on = scan::trim_start(line.get(name_len + 1..)?);
    let (value, left) = value_on.split_at_checked(scan::value_end(value_on, 0))?;
    let left = left.strip_prefix(b"\r\n")?;
    let header = HeaderAt {
        name_at: (end - line.len()) as u32,
        value_at: (end - value_on.len()) as u32,
        value_len: u16::try_from(scan::trim_end(value).len()).ok()?,
        // At most 255.
        name_len: name_len as u8,
        id,
    };
    Some((header, left))
}

/// What lies at `at`, where [`Fields::read`] found no field line.
///
/// # Errors
/// What is wrong with the line.
#[cold]
pub(super) fn no_field(bytes: &[u8], at: usize) -> Result<NoField, Bad> {
    match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'\r'), Some(b'\n')) => return Ok(NoField::End(at + 2)),
        (None, _) | (Some(b'\r'), None) => return Ok(NoField::More),
        (Some(b'\r' | b'\n'), _) => return Err(Bad::LineEnd),
        (Some(b' ' | b'\t'), _) => return Err(Bad::Fold),
        _ => {}
    }
    let colon = scan::token_end(bytes, at);
    match bytes.get(colon) {
        Some(b':') if colon > at && u8::try_from(colon - at).is_ok() => {}
        Some(_) => return Err(Bad::Name),
        None => return Ok(NoField::More),
    }
    let stop = scan::value_end(bytes, colon + 1);
    match (bytes.get(stop), bytes.get(stop + 1)) {
        (None, _) | (Some(b'\r'), None) => Ok(NoField::More),
        // Only the length of the value is left to be wrong.
        (Some(b'\r'), Some(b'\n')) => Err(Bad::HeadTooLarge),
        (Some(b'\r' | b'\n'), _) => Err(Bad::LineEnd),
        _ => Err(Bad::Value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Name, value and length of a line; or the empty line; or what is wrong, which is nothing where the bytes end early.
    type Found<'a> = Result<Option<(&'a [u8], &'a [u8], usize)>, Option<Bad>>;

    /// [`Fields::read`] and [`no_field`] in one and byte by byte: the first line, or what is in its place.
    fn plain(bytes: &[u8]) -> Found<'_> {
        match (bytes.first(), bytes.get(1)) {
            (Some(b'\r'), Some(b'\n')) => return Ok(None),
            (None, _) | (Some(b'\r'), None) => return Err(None),
            (Some(b'\r' | b'\n'), _) => return Err(Some(Bad::LineEnd)),
            (Some(b' ' | b'\t'), _) => return Err(Some(Bad::Fold)),
            _ => {}
        }
        let colon = bytes.iter().position(|&byte| !scan::is_token_byte(byte)).ok_or(None)?;
        if bytes[colon] != b':' || colon == 0 || colon > 255 {
            return Err(Some(Bad::Name));
        }
        let rest = &bytes[colon + 1..];
        let stop = rest.iter().position(|&byte| !scan::is_value_byte(byte)).ok_or(None)?;
        let value = rest[..stop].trim_ascii();
        match (rest[stop], rest.get(stop + 1)) {
            (b'\r', None) => Err(None),
            (b'\r', Some(b'\n')) if value.len() > 65_535 => Err(Some(Bad::HeadTooLarge)),
            (b'\r', Some(b'\n')) => Ok(Some((&bytes[..colon], value, colon + 1 + stop + 2))),
            (b'\r' | b'\n', _) => Err(Some(Bad::LineEnd)),
            _ => Err(Some(Bad::Value)),
        }
    }

    fn field(line: &[u8], end: usize) -> Option<(HeaderAt, &[u8])> {
        let any = any(line, end);
        let usual = usual(line, end);
        assert!(usual.is_none() || usual == any);
        any
    }

    /// The same by what is tested.
    fn tested(bytes: &[u8]) -> Found<'_> {
        if let Some((header, left)) = field(bytes, bytes.len()) {
            assert_eq!(header.id, Id::of(header.name(bytes)));
            return Ok(Some((header.name(bytes), header.value(bytes), bytes.len() - left.len())));
        }
        match no_field(bytes, 0).map_err(Some)? {
            NoField::End(next) => {
                assert_eq!(next, 2);
                Ok(None)
            }
            NoField::More => Err(None),
        }
    }

    #[test]
    fn a_line_is_read_as_byte_by_byte() {
        let names = ["", "A", "TE", "Via", "Host", "Accept", "anyproxy_domains", "Sec-WebSocket-Extensions"];
        let names: Vec<_> =
            names.iter().map(|name| (*name).to_owned()).chain([30, 31, 32, 33].map(|n| "x".repeat(n))).collect();
        let values = ["", " ", " a", "a", "\t a\t ", " a b\tc", " \u{e9}~ \u{ff}"].map(str::to_owned);
        let long = [7, 8, 15, 30, 31, 32, 33, 70].map(|length| format!(" {}", "v~".repeat(length)));
        for name in &names {
            for value in values.iter().chain(&long) {
                let line = format!("{name}:{value}\r\nB: c\r\n\r\n").into_bytes();
                for length in 0..=line.len() {
                    assert_eq!(tested(&line[..length]), plain(&line[..length]), "{}", line[..length].escape_ascii());
                }
                for at in 0..name.len() + value.len() + 3 {
                    for byte in (0..0x30).chain([b':', b'[', b'{', 0x7e, 0x7f, 0x80, 0xff]) {
                        let mut other = line.clone();
                        other[at] = byte;
                        assert_eq!(tested(&other), plain(&other), "{}", other.escape_ascii());
                    }
                }
            }
        }
    }

    #[test]
    fn the_longest_names_and_values() {
        for name in [254, 255, 256, 300] {
            for value in [65_534, 65_535, 65_536] {
                let line = format!("{}: {} \r\n", "n".repeat(name), "v".repeat(value)).into_bytes();
                assert_eq!(tested(&line), plain(&line), "{name} {value}");
            }
        }
    }
}
