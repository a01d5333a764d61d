//! The body of an error where a configuration has none of its own: what to write, and in which of three types the
//! client would rather read it.

use super::encoding::parse_weight;
use super::trim;
use std::fmt::Write as _;

/// Most members of an `Accept` that are looked at; those after them count as absent.
pub const MAX_RANGES: usize = 64;
/// Longest reason that is shown, in bytes; those of RFC 9110 have 31 at most.
const MAX_REASON: usize = 40;
/// Longest request id that is shown, in bytes.
const MAX_ID: usize = 64;

/// The type of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `text/plain`
    Plain,
    /// `text/html`
    Html,
    /// `application/json`
    Json,
}

impl Kind {
    /// The value of `Content-Type`.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
        }
    }
}

/// Chooses by the value of `Accept` (RFC 9110 12.5.1). Of the three types those count that are named, for a browser
/// names `text/html` and a program what it reads, and of them the one with the highest weight; in a draw it is HTML
/// before JSON before text. Text if none is named, as in `*/*`, or without the header: that is for a terminal.
#[must_use]
pub fn choose(accept: Option<&[u8]>) -> Kind {
    let mut best = (0, Kind::Plain);
    // A type that is named twice counts by its best.
    for (range, weight) in accept.unwrap_or_default().split(|&byte| byte == b',').take(MAX_RANGES).map(parse_range) {
        let kind = match range.to_ascii_lowercase().as_slice() {
            b"text/html" | b"application/xhtml+xml" => Kind::Html,
            b"application/json" | b"application/problem+json" => Kind::Json,
            b"text/plain" => Kind::Plain,
            _ => continue,
        };
        let rank = |kind| match kind {
            Kind::Html => 2,
            Kind::Json => 1,
            Kind::Plain => 0,
        };
        if weight > best.0 || (weight == best.0 && weight > 0 && rank(kind) > rank(best.1)) {
            best = (weight, kind);
        }
    }
    best.1
}

/// The range and its weight, which is 0 if it is malformed.
fn parse_range(member: &[u8]) -> (&[u8], u16) {
    let mut parts = member.split(|&byte| byte == b';').map(trim);
    let range = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
    (range, weight.map_or(1000, |weight| parse_weight(weight).unwrap_or_default()))
}

/// The body in one of the types, below 1 KiB. A reason or an id that is too long is cut off; an id that is empty is not
/// shown.
#[must_use]
pub fn body_of(kind: Kind, status: u16, reason: &str, request_id: &str) -> String {
    match kind {
        Kind::Html => body(status, reason, request_id),
        Kind::Plain => {
            let mut out = format!("{status} {}\n", plain(reason, MAX_REASON));
            if !request_id.is_empty() {
                let _ = writeln!(out, "request {}", plain(request_id, MAX_ID));
            }
            out
        }
        Kind::Json => {
            let mut out = format!("{{\"status\":{status},\"error\":\"{}\"", json(&plain(reason, MAX_REASON)));
            if !request_id.is_empty() {
                let _ = write!(out, ",\"request_id\":\"{}\"", json(&plain(request_id, MAX_ID)));
            }
            out.push_str("}\n");
            out
        }
    }
}

/// The body in HTML, below 1 KiB: one card in the middle, in the colours of the system, with nothing to load.
#[must_use]
pub fn body(status: u16, reason: &str, request_id: &str) -> String {
    let reason = html(&plain(reason, MAX_REASON), 80);
    let mut out = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{status} {reason}</title><style>:root{{color-scheme:light dark}}body{{margin:0;min-height:100vh;\
         display:grid;place-content:center;text-align:center;font:1.1rem system-ui,sans-serif}}h1{{margin:0;\
         font-size:5rem;font-weight:200}}p{{margin:.5rem 1rem}}code{{font-size:.8rem;opacity:.6}}</style>\
         <h1>{status}</h1><p>{reason}</p>"
    );
    let id = html(&plain(request_id, MAX_ID), 128);
    if !id.is_empty() {
        let _ = write!(out, "<p><code>{id}</code></p>");
    }
    out.push_str("</html>\n");
    out
}

/// At most so many bytes, and no character that controls a terminal or the direction of text.
fn plain(text: &str, most: usize) -> String {
    let odd = |char: char| char.is_control() || matches!(char, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}');
    let mut out = String::new();
    for char in text.chars().filter(|&char| !odd(char)) {
        if out.len() + char.len_utf8() > most {
            break;
        }
        out.push(char);
    }
    out
}

/// With markup escaped (HTML, 13.1.2.1), and cut off where it would become longer than `most` bytes by that.
fn html(text: &str, most: usize) -> String {
    let mut out = String::new();
    for char in text.chars() {
        let mut own = [0; 4];
        let escaped = match char {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\'' => "&#39;",
            other => other.encode_utf8(&mut own),
        };
        if out.len() + escaped.len() > most {
            break;
        }
        out.push_str(escaped);
    }
    out
}

/// Within a string of JSON (RFC 8259 7); there is no control character left.
fn json(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}
