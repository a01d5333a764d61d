//! The content type of a file, by the extension of its name.

use super::encoding;
use std::borrow::Cow;

/// Types that are text, by this name or another: a browser reads them in a guessed encoding if none is given.
const TEXTUAL: [&str; 9] = [
    "text/*",
    "application/javascript",
    "application/x-javascript",
    "application/ecmascript",
    "application/json",
    "application/*+json",
    "application/xml",
    "application/*+xml",
    "image/svg+xml",
];

/// Types that a configuration says.
#[derive(Debug, PartialEq, Eq)]
pub struct Types {
    /// By extension, before those that are known.
    pub own: Vec<(String, String)>,
    /// Of names that say nothing.
    pub other: String,
}

/// What the table of the crate has in an older or another way: RFC 9239 for JavaScript, RFC 8216 for streams.
const OWN: [(&str, &str); 4] = [
    ("mjs", "text/javascript"),
    ("map", "application/json"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("ts", "video/mp2t"),
];

/// The extension of a file name: what stands after its last dot, if a name stands before the dot. `None` for `README`,
/// `.profile` and `name.`, and if it is not UTF-8.
#[must_use]
pub fn extension(name: &[u8]) -> Option<&str> {
    let name = name.rsplit(|&byte| byte == b'/').next()?;
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    let extension = name.get(dot + 1..)?;
    if dot == 0 || extension.is_empty() {
        return None;
    }
    std::str::from_utf8(extension).ok()
}

/// The value of `Content-Type` (RFC 9110 8.3) for a file name or the path of a file.
///
/// `overrides` are pairs of an extension without its dot, in any case, and a type; the first that fits is taken before
/// the built-in table. `default` is the type when neither knows the extension. With `utf8`, `; charset=utf-8` is added
/// to every `text/` type and to JavaScript, JSON, XML and SVG, unless the type has a charset.
#[must_use]
pub fn content_type<'a, S: AsRef<str>>(
    name: &[u8],
    overrides: &'a [(S, S)],
    default: &'a str,
    utf8: bool,
) -> Cow<'a, str> {
    let found = extension(name).and_then(|extension| {
        let own = overrides.iter().find(|(known, _)| known.as_ref().eq_ignore_ascii_case(extension));
        match own {
            Some((_, value)) => Some(value.as_ref()),
            None => {
                let own = OWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(extension));
                own.map(|(_, value)| *value).or_else(|| mime_guess::from_ext(extension).first_raw())
            }
        }
    });
    let value = found.unwrap_or(default);
    if utf8 && wants_charset(value) { Cow::Owned(format!("{value}; charset=utf-8")) } else { Cow::Borrowed(value) }
}

/// Whether a content type is text and does not say in which encoding.
fn wants_charset(value: &str) -> bool {
    let named = value.split(';').skip(1).any(|part| {
        let name = part.split('=').next().unwrap_or_default();
        name.trim().eq_ignore_ascii_case("charset")
    });
    !named && encoding::type_matches(value.as_bytes(), &TEXTUAL)
}
