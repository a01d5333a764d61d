//! Choosing by text: a server by its domain, a local by its rules. Knows no protocol: domains and values come in as
//! bytes, indices and captures go out.

mod captures;
pub mod domain;
mod prefix;
mod punycode;
pub mod rule;

pub use captures::{CaptureNames, CaptureValues};

/// Largest compiled form of one regular expression of the configuration, in bytes.
const REGEX_SIZE: usize = 1024 * 1024;
/// Largest cache that one regular expression may fill while matching, in bytes.
const REGEX_CACHE: usize = 1024 * 1024;

/// Compiles with bounds; the error is one line. `.` is any byte: a line end in a path must not get round what `^/admin/.*$` is for.
fn regex(pattern: &str, ignore_case: bool) -> Result<regex::bytes::Regex, String> {
    regex::bytes::RegexBuilder::new(pattern)
        .case_insensitive(ignore_case)
        .dot_matches_new_line(true)
        .size_limit(REGEX_SIZE)
        .dfa_size_limit(REGEX_CACHE)
        .build()
        .map_err(|error| match error {
            regex::Error::CompiledTooBig(limit) => {
                format!("the regular expression needs more than {limit} bytes")
            }
            // The crate draws the pattern over several lines; its last line says what is wrong.
            other => {
                let text = other.to_string();
                let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
                last.trim().trim_start_matches("error: ").to_owned()
            }
        })
}

/// Slots of the named groups of a pattern, with the group's number.
fn named_groups(regex: &regex::bytes::Regex, names: &mut CaptureNames) -> Box<[(usize, u32)]> {
    regex.capture_names().enumerate().filter_map(|(group, name)| name.map(|name| (group, names.intern(name)))).collect()
}

/// Stores what the named groups matched in `text`.
fn store(regex: &regex::bytes::Regex, groups: &[(usize, u32)], text: &[u8], captures: &mut CaptureValues) {
    if groups.is_empty() {
        return;
    }
    if let Some(found) = regex.captures(text) {
        for &(group, slot) in groups {
            if let Some(part) = found.get(group) {
                captures.set(slot, part.as_bytes());
            }
        }
    }
}
