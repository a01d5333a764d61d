//! One field line (RFC 9112 section 5). Owns what makes it well-formed, and how that is found out at little cost.

use super::fields::HeaderAt;
use super::name::Id;
use super::wide::{Look, WIDE};
use super::{Bad, scan};

/// What comes in a section where no whole field line does.
pub(super) enum NoField {
    /// The empty line; what follows the section begins there.
    End(usize),
    /// The bytes end inside a line.
    More,
}

/// Reads the field line in front of `line`, which lies in a buffer up to the offset `end`, at most 65,535, if it is what
/// nearly all are: one space before the value, none behind it, in it no tab and no byte above 0x7f, and a name of less than
/// [`WIDE`] bytes. Returns it and what follows. `None` for others: see [`any`]. `guess` is what its name may well be.
///
/// Goes by what is left of the buffer and not by offsets, so that each bound is checked once. Always inlined, with the
/// searches: as a call, its result would go through memory for each line.
#[inline(always)]
pub(super) fn usual(look: impl Look, line: &[u8], end: usize, guess: Id) -> Option<(HeaderAt, &[u8])> {
    let short;
    let start = match line.first_chunk() {
        Some(start) => start,
        // The empty line, most likely.
        None if line.len() <= 2 => return None,
        None => {
            // The last line of a request is often a short one.
            short = filled(line);
            &short
        }
    };
    let (name_len, id) = match guess.is_before(look, start) {
        Some(name_len) => (name_len, guess),
        None if start[0] == b'\r' => return None,
        None => {
            let name_len = look.find(start, b':');
            match Id::known_before(look, name_len, start) {
                Some(id) => (name_len, id),
                None => (name_len, other_name(look, name_len, start)?),
            }
        }
    };
    let [colon, space, first] = start.get(name_len..)?.first_chunk::<3>()?;
    // As one number. A pattern would be compared byte by byte.
    if [*colon, *space] != *b": " || *first == b' ' {
        return None;
    }
    // That no byte of a name ends a text is known by now.
    let stop = match look.text_end(start) {
        WIDE => WIDE + text_end(look, line.get(WIDE..)?),
        stop => stop,
    };
    // With the byte before: the space after the colon, where the value is empty.
    let ([last, line_end @ ..], left) = line.get(stop.wrapping_sub(1)..)?.split_first_chunk::<3>()?;
    if line_end != b"\r\n" || *last == b' ' {
        return None;
    }
    let name_at = (end - line.len()) as u32;
    let header = HeaderAt {
        name_at,
        value_at: name_at + name_len as u32 + 2,
        // None is longer than the buffer.
        value_len: (stop - name_len - 2) as u16,
        // Less than a block.
        name_len: name_len as u8,
        id,
    };
    Some((header, left))
}

/// The first byte that is not between SP and `~`; the length of `bytes` where there is none.
#[inline(always)]
fn text_end(look: impl Look, bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((block, behind)) = rest.split_first_chunk() {
        let place = look.text_end(block);
        if place < WIDE {
            return bytes.len() - rest.len() + place;
        }
        rest = behind;
    }
    bytes.len() - rest.len() + look.text_end(&filled(rest))
}

/// `bytes`, which are less than a block, and zeros behind them.
#[inline(never)]
fn filled(bytes: &[u8]) -> [u8; WIDE] {
    let mut block = [0; WIDE];
    if let Some(front) = block.get_mut(..bytes.len()) {
        front.copy_from_slice(bytes);
    }
    block
}

/// The id of the first bytes of `start`, where [`Id::known_before`] has found none. `None` where they are no token.
#[inline(always)]
fn other_name(look: impl Look, name_len: usize, start: &[u8; WIDE]) -> Option<Id> {
    if name_len < 3 {
        return cold(|| Id::of_token(start.get(..name_len)?));
    }
    // Where there is no colon, the token does not end there either.
    if look.token_end(start) != name_len || name_len == WIDE {
        return None;
    }
    Some(if look.find(start, b'_') < name_len { Id::Underscored } else { Id::Other })
}

/// Calls `other`. Tells the compiler to keep what is at hand in registers at the cost of this way, not of the usual one.
#[cold]
#[inline(never)]
pub(super) fn cold<T>(other: impl FnOnce() -> T) -> T {
    other()
}

/// The length of the name that begins `line`, at most 255, and its id. `None` where it is no token, or no colon follows.
#[inline(never)]
fn name(line: &[u8]) -> Option<(usize, Id)> {
    if let [b'\r', ..] = line {
        // The empty line.
        return None;
    }
    let name = line.get(..scan::name_end(line)?)?;
    let id = Id::of_token(name)?;
    (name.len() <= usize::from(u8::MAX)).then_some((name.len(), id))
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
    use crate::h1::wide::{Looking, Plain, best};

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

    /// [`usual`], where it may be asked.
    struct AsUsual<'b>(&'b [u8], usize, Id);

    impl<'b> Looking for AsUsual<'b> {
        type Found = Option<(HeaderAt, &'b [u8])>;
        fn look(self, look: impl Look) -> Self::Found {
            u16::try_from(self.1).ok().and_then(|_| usual(look, self.0, self.1, self.2))
        }
    }

    fn field(line: &[u8], end: usize) -> Option<(HeaderAt, &[u8])> {
        let any = any(line, end);
        let usual = AsUsual(line, end, Id::Other).look(Plain);
        // Whatever is guessed, rightly or not.
        for guess in [Id::Other, Id::Underscored, Id::Host, Id::SecWebSocketExtensions, Id::AnyproxyDomains, Id::Te] {
            assert_eq!(usual, AsUsual(line, end, guess).look(Plain), "{}", line.escape_ascii());
            assert_eq!(usual, best(AsUsual(line, end, guess)), "{}", line.escape_ascii());
        }
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
