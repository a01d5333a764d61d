//! The path of a request target: decoded, normalised, and turned into names that a file server may open.
//!
//! Escapes are decoded once, before `.` and `..` are resolved, so that no spelling of a dot or a slash is seen by one
//! step and not by the next. What one decoding leaves, such as `%2e` from `%252e`, is an ordinary name.

use crate::h1::block::{Block, SIZE};

/// Longest name of one component that [`Path::components`] lets through, in bytes.
pub const MAX_COMPONENT: usize = 255;
/// Longest decoded path that [`Path::components`] lets through, in bytes.
pub const MAX_PATH: usize = 4096;

/// Why a path was turned down; the answer is 400 (RFC 9110 15.5.1) for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// It does not begin with `/`: the target is empty, `*`, an authority or an absolute URI.
    NotAbsolute,
    /// A `%` without two hexadecimal digits after it (RFC 3986 2.1).
    BadEscape,
    /// A byte below 32 or the byte 127 as it is, which no target has; or NUL, also as an escape: names of files end there.
    Control,
    /// A `..` that leads above the root.
    AboveRoot,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "the path does not begin with a slash",
            Self::BadEscape => "a percent sign without two hexadecimal digits",
            Self::Control => "a control byte in the path",
            Self::AboveRoot => "the path leads above the root",
        })
    }
}

impl std::error::Error for Error {}

/// Why a normalised path names no file; the answer is 404, or 414 for the lengths if the server likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The target had an escaped slash: two spellings of one file would dodge rules on one of them.
    EncodedSlash,
    /// The target had a backslash, or a name has one.
    Backslash,
    /// A name is empty: two slashes in a row that were not merged.
    Empty,
    /// A name is `.` or `..`, or has a slash or a control byte. But for these bytes [`normalise`] lets none of them through; it is
    /// checked again.
    BadName,
    /// A name is longer than [`MAX_COMPONENT`], or the path longer than [`MAX_PATH`].
    TooLong,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::EncodedSlash => "an escaped slash in the path",
            Self::Backslash => "a backslash in the path",
            Self::Empty => "an empty name in the path",
            Self::BadName => "a name in the path that no file can have",
            Self::TooLong => "the path or a name in it is too long",
        })
    }
}

impl std::error::Error for Refused {}

/// A decoded and normalised path. It begins with `/`, has no `.` or `..` segment and no NUL. It need not be UTF-8, and
/// may have control bytes that were escaped: whoever writes it into a line looks for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    bytes: Vec<u8>,
    encoded_slash: bool,
    backslash: bool,
}

/// The path and the query of a request target in origin form (RFC 9112 3.2.1): what stands before the first `?`, and
/// what stands after it if there is one.
#[must_use]
pub fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match target.iter().position(|&byte| byte == b'?') {
        Some(at) => (target.get(..at).unwrap_or_default(), target.get(at + 1..)),
        None => (target, None),
    }
}

/// Decodes the escapes of `raw` (RFC 3986 2.1), the path of a request target without its query, and resolves its `.`
/// and `..` segments (RFC 3986 5.2.4). With `merge_slashes`, slashes in a row become one first.
///
/// A last segment of `.` or `..` leaves a slash at the end: `/a/b/..` becomes `/a/`. Decoding allocates as many bytes
/// as `raw` has, and the result as many at most.
///
/// # Errors
///
/// See [`Error`].
pub fn normalise(raw: &[u8], merge_slashes: bool) -> Result<Path, Error> {
    if raw.first() != Some(&b'/') {
        return Err(Error::NotAbsolute);
    }
    let (decoded, encoded_slash) = decode(raw)?;
    let mut bytes = Vec::with_capacity(decoded.len());
    let mut segments = decoded.get(1..).unwrap_or_default().split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." if !last => {}
            b"" if !last && merge_slashes => {}
            b"" | b"." => bytes.push(b'/'),
            b".." => {
                let parent = bytes.iter().rposition(|&byte| byte == b'/').ok_or(Error::AboveRoot)?;
                bytes.truncate(parent);
                if last {
                    bytes.push(b'/');
                }
            }
            name => {
                bytes.push(b'/');
                bytes.extend_from_slice(name);
            }
        }
    }
    // Of the decoded path, as with slashes: a name that `..` took away again was meant to mislead as well.
    let backslash = decoded.contains(&b'\\');
    Ok(Path { bytes, encoded_slash, backslash })
}

impl Path {
    /// Makes it the path of `target`, a request target in origin form, if that is decoded and normalised as it stands, as
    /// almost every path is; otherwise it is left as it was. Allocates nothing that was not allocated before.
    pub fn set_plain(&mut self, target: &[u8]) -> bool {
        let end = plain_end(target);
        let plain = target.first() == Some(&b'/') && matches!(target.get(end), None | Some(b'?'));
        if plain {
            self.bytes.clear();
            self.bytes.extend_from_slice(target.get(..end).unwrap_or(target));
            (self.encoded_slash, self.backslash) = (false, false);
        }
        plain
    }
}

/// Where the first byte of `target` is, but for its very first, that ends the path, or that decoding or normalising would
/// change or refuse; the length where there is none.
fn plain_end(target: &[u8]) -> usize {
    let [_, next @ ..] = target else { return 0 };
    if next.len() < SIZE {
        let mut ended = [b'?'; SIZE + 1];
        ended[..target.len()].copy_from_slice(target);
        let ([block @ .., _], [_, next @ ..]) = (&ended, &ended);
        return find_stop(block, next).map_or(target.len(), |place| 1 + place);
    }
    // Each block beside the same bytes one further on.
    let pairs = target.as_chunks().0.iter().zip(next.as_chunks().0).enumerate();
    for (number, (block, next_block)) in pairs {
        if let Some(place) = find_stop(block, next_block) {
            return number * SIZE + 1 + place;
        }
    }
    // The last ones may be looked at twice, so that none but whole blocks are needed.
    if let (Some(block), Some(next_block)) = (target[..next.len()].last_chunk(), next.last_chunk())
        && let Some(place) = find_stop(block, next_block)
    {
        return target.len() - SIZE + place;
    }
    target.len()
}

/// The first byte of `next` that ends a plain path, behind the one in its place in `block`. A call, so that it is compiled
/// apart from what looks at single bytes, and to vector instructions.
#[inline(never)]
fn find_stop(block: &[u8; SIZE], next: &[u8; SIZE]) -> Option<usize> {
    let mut stops = [0; SIZE];
    for ((stop, before), byte) in stops.iter_mut().zip(block).zip(next) {
        let odd = (*byte == b'?') | (*byte == b'%') | (*byte == b'\\') | (*byte == 0x7f) | (*byte < 0x20);
        let segment = (*before == b'/') & ((*byte == b'/') | (*byte == b'.'));
        *stop = if odd | segment { u8::MAX } else { 0 };
    }
    Block(&stops).find(u8::MAX)
}

/// The decoded bytes, and whether an escape stood for a slash.
fn decode(raw: &[u8]) -> Result<(Vec<u8>, bool), Error> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut encoded_slash = false;
    let mut rest = raw.iter();
    while let Some(&byte) = rest.next() {
        let byte = if byte == b'%' {
            let (Some(high), Some(low)) = (hex(rest.next()), hex(rest.next())) else { return Err(Error::BadEscape) };
            let byte = high << 4 | low;
            encoded_slash |= byte == b'/';
            if byte == 0 {
                return Err(Error::Control);
            }
            byte
        } else if byte.is_ascii_control() {
            return Err(Error::Control);
        } else {
            byte
        };
        decoded.push(byte);
    }
    Ok((decoded, encoded_slash))
}

fn hex(digit: Option<&u8>) -> Option<u8> {
    match *digit? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        digit @ b'a'..=b'f' => Some(digit - b'a' + 10),
        digit @ b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl Path {
    /// The decoded path, for rules and logs. It begins with `/`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the target had a slash as an escape (`%2F`); it is a slash in [`Path::as_bytes`].
    #[must_use]
    pub fn had_encoded_slash(&self) -> bool {
        self.encoded_slash
    }

    /// Whether the target had a backslash, escaped or not. It is part of a name here; other systems take it for a
    /// slash.
    #[must_use]
    pub fn has_backslash(&self) -> bool {
        self.backslash
    }

    /// Whether the path ends with a slash, and so names a directory.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        self.bytes.last() == Some(&b'/')
    }

    /// The names to look up one after the other below a root, from the outermost in; none for `/`.
    ///
    /// All names are checked before the first is given out: none is empty, `.` or `..`, none has a control byte, a slash
    /// or a backslash, none is longer than [`MAX_COMPONENT`] and the path not longer than [`MAX_PATH`]. Joined to a root
    /// they name something below it, as long as no symbolic link leads out: that is for the one who opens them.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    pub fn components(&self) -> Result<impl Iterator<Item = &[u8]> + '_, Refused> {
        if self.encoded_slash {
            return Err(Refused::EncodedSlash);
        }
        if self.backslash {
            return Err(Refused::Backslash);
        }
        if self.bytes.len() > MAX_PATH {
            return Err(Refused::TooLong);
        }
        for name in self.names() {
            check_name(name)?;
        }
        Ok(self.names())
    }

    /// What stands between the slashes, but not the emptiness after the last one.
    fn names(&self) -> impl Iterator<Item = &[u8]> + '_ {
        let inner = self.bytes.strip_prefix(b"/").unwrap_or(&self.bytes);
        let inner = inner.strip_suffix(b"/").unwrap_or(inner);
        // Splitting nothing gives one empty name, and a path that is a lone slash has none.
        let lone = self.bytes.len() <= 1;
        inner.split(|&byte| byte == b'/').skip(usize::from(lone))
    }

    /// `root` with the components of the path below it. See [`Path::components`] for what is checked.
    ///
    /// # Errors
    ///
    /// See [`Refused`].
    #[cfg(unix)]
    pub fn join(&self, root: &std::path::Path) -> Result<std::path::PathBuf, Refused> {
        use std::os::unix::ffi::OsStrExt as _;
        let names = self.components()?;
        let mut joined = root.to_path_buf();
        joined.extend(names.map(std::ffi::OsStr::from_bytes));
        Ok(joined)
    }
}

/// Checks one name for [`Path::components`]; for names that come from elsewhere too, such as an index file's.
///
/// # Errors
///
/// See [`Refused`].
pub fn check_name(name: &[u8]) -> Result<(), Refused> {
    match name {
        b"" => Err(Refused::Empty),
        b"." | b".." => Err(Refused::BadName),
        _ if name.contains(&b'\\') => Err(Refused::Backslash),
        _ if name.iter().any(|&byte| byte == b'/' || byte.is_ascii_control()) => Err(Refused::BadName),
        _ if name.len() > MAX_COMPONENT => Err(Refused::TooLong),
        _ => Ok(()),
    }
}

/// Appends `path` to `out` with every byte escaped that is neither unreserved (RFC 3986 2.3) nor a slash: a decoded path
/// as a target or a `Location` again. At most three bytes for one. Beware of a path whose slashes were not merged: two at
/// its start make a `Location` name another host.
pub fn encode(path: &[u8], out: &mut String) {
    for &byte in path {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}
