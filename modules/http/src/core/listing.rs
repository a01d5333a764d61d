//! Directory listings, as a page and as JSON.

use super::date::{self, Civil};
use super::path;

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name without the directory, as the file system has it; it need not be UTF-8.
    pub name: Vec<u8>,
    /// Whether it is a directory.
    pub directory: bool,
    /// Size in bytes; not shown for a directory.
    pub size: u64,
    /// Time of the last change in seconds since the Unix epoch.
    pub modified: i64,
}

/// A finished listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The body, UTF-8.
    pub body: String,
    /// Whether there were more entries than the bound allows. The page says so itself; the JSON cannot.
    pub truncated: bool,
}

/// Whether a listing shows a name: a client could ask for it, and it does not begin with a dot, as names do that are not to
/// be shown.
pub fn is_shown(name: &[u8]) -> bool {
    !name.starts_with(b".") && path::check_name(name).is_ok()
}

/// At most `max` entries that are shown, directories first and by name within each kind, and whether there
/// were more. Those left out are the ones the iterator gives last, since taking only the first by name would mean to
/// hold them all.
fn collect(entries: impl IntoIterator<Item = Entry>, max: usize) -> (Vec<Entry>, bool) {
    let mut all = Vec::new();
    for entry in entries {
        if !is_shown(&entry.name) {
            continue;
        }
        if all.len() >= max {
            sort(&mut all);
            return (all, true);
        }
        all.push(entry);
    }
    sort(&mut all);
    (all, false)
}

fn sort(entries: &mut [Entry]) {
    entries.sort_unstable_by(|a, b| b.directory.cmp(&a.directory).then_with(|| a.name.cmp(&b.name)));
}

/// The listing of the directory at `path` (decoded, with slashes at both ends) as a page of HTML.
///
/// At most `max` entries are kept and shown, of those that [`is_shown`] lets be. With `exact`, sizes are in bytes, else in units of 1024 (`1.5K`). Times are in UTC. A name that is
/// not UTF-8 is shown with replacement characters; its link is exact.
#[must_use]
pub fn html(path: &[u8], entries: impl IntoIterator<Item = Entry>, max: usize, exact: bool) -> Listing {
    let (entries, truncated) = collect(entries, max);
    let mut body = String::from("<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>Index of ");
    escape_html(&String::from_utf8_lossy(path), &mut body);
    body.push_str("</title></head>\n<body><h1>Index of ");
    escape_html(&String::from_utf8_lossy(path), &mut body);
    body.push_str("</h1>\n<table>\n<tr><th>Name</th><th>Modified</th><th>Size</th></tr>\n");
    if path != b"/" {
        body.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for entry in &entries {
        body.push_str("<tr><td><a href=\"");
        href(entry, &mut body);
        body.push_str("\">");
        escape_html(&String::from_utf8_lossy(&entry.name), &mut body);
        if entry.directory {
            body.push('/');
        }
        let at = Civil::from_unix(entry.modified);
        body.push_str(&format!(
            "</a></td><td>{:04}-{:02}-{:02} {:02}:{:02}</td><td>",
            at.year, at.month, at.day, at.hour, at.minute
        ));
        match (entry.directory, exact) {
            (true, _) => body.push('-'),
            (false, true) => body.push_str(&entry.size.to_string()),
            (false, false) => body.push_str(&human_size(entry.size)),
        }
        body.push_str("</td></tr>\n");
    }
    body.push_str("</table>\n");
    if truncated {
        body.push_str("<p>There are more entries than are shown here.</p>\n");
    }
    body.push_str("</body></html>\n");
    Listing { body, truncated }
}

/// The listing as a JSON array (RFC 8259) of objects: `name`, `type` (`directory` or `file`), `mtime` (an HTTP date),
/// `href` (the name as a relative reference, exact where `name` had to be mended to be UTF-8) and, for a file, `size`
/// in bytes. Bound, order and omissions are those of [`html`].
#[must_use]
pub fn json(entries: impl IntoIterator<Item = Entry>, max: usize) -> Listing {
    let (entries, truncated) = collect(entries, max);
    let mut body = String::from("[");
    for (index, entry) in entries.iter().enumerate() {
        body.push_str(if index == 0 { "\n" } else { ",\n" });
        body.push_str("{\"name\":\"");
        escape_json(&String::from_utf8_lossy(&entry.name), &mut body);
        body.push_str("\",\"type\":\"");
        body.push_str(if entry.directory { "directory" } else { "file" });
        body.push_str("\",\"mtime\":\"");
        body.extend(date::format(entry.modified).iter().map(|&byte| char::from(byte)));
        body.push_str("\",\"href\":\"");
        href(entry, &mut body);
        body.push('"');
        if !entry.directory {
            body.push_str(&format!(",\"size\":{}", entry.size));
        }
        body.push('}');
    }
    body.push_str("\n]\n");
    Listing { body, truncated }
}

/// Escaped through and through, so that no name can be taken for a scheme, a query or the end of the attribute.
fn href(entry: &Entry, out: &mut String) {
    path::encode(&entry.name, out);
    if entry.directory {
        out.push('/');
    }
}

/// Appends `text` to `out` so that it can stand in HTML, in text and in a quoted attribute. Control characters become
/// U+FFFD, since HTML has no way to write them. The direction marks do too: they could show a name as another one.
pub fn escape_html(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => out.push('\u{fffd}'),
            other if other.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
}

/// Appends `text` to `out` so that it can stand between the quotes of a JSON string (RFC 8259 7). `<` is escaped too,
/// and the separators that old JavaScript takes for line ends, so that a page can embed the result.
pub fn escape_json(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{0}'..='\u{1f}' | '\u{7f}' | '<' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => out.push(other),
        }
    }
}

/// `bytes` in the largest unit of 1024 that leaves at least one, with one decimal below ten: `999`, `1.5K`, `20M`.
#[must_use]
pub fn human_size(bytes: u64) -> String {
    const UNITS: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];
    let mut unit = None;
    let (mut whole, mut rest) = (bytes, 0);
    for name in UNITS {
        if whole < 1024 {
            break;
        }
        (whole, rest) = (whole / 1024, whole % 1024);
        unit = Some(name);
    }
    match unit {
        None => whole.to_string(),
        Some(unit) if whole < 10 => format!("{whole}.{}{unit}", rest * 10 / 1024),
        Some(unit) => format!("{whole}{unit}"),
    }
}
