//! Bounds nesting before anything recursive sees the text. Knows strings and comments just well enough to skip them.

use super::{MAX_DEPTH, syntax::Span};

/// The first brace that opens a block deeper than allowed.
pub(super) fn too_deep(text: &str) -> Option<Span> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    while at < bytes.len() {
        at = match bytes[at] {
            b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(Span { start: at, end: at + 1 });
                }
                at + 1
            }
            b'}' => {
                depth = depth.saturating_sub(1);
                at + 1
            }
            b'"' => after_quoted(bytes, at),
            b'#' => after_hashes(bytes, at),
            b'/' => after_slash(bytes, at),
            _ => at + 1,
        };
    }
    None
}

/// How much stack a recursive reader may need at most, in units of one nesting: every mark that could open something, wherever it stands.
pub(super) fn recursion_bound(text: &str) -> usize {
    let comments = text.contains("/*");
    text.bytes().filter(|b| matches!(b, b'{' | b'}' | b'(' | b')') || (comments && matches!(b, b'/' | b'*'))).count()
}

fn after_quoted(bytes: &[u8], start: usize) -> usize {
    let long = bytes[start..].starts_with(b"\"\"\"");
    let mut at = start + if long { 3 } else { 1 };
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => {
                let blank = bytes[at + 1..].iter().take_while(|b| b.is_ascii_whitespace()).count();
                at += 1 + blank.max(1);
            }
            b'"' if !long => return at + 1,
            b'"' if bytes[at..].starts_with(b"\"\"\"") => return at + 3,
            // Not closed on its line: a mistake. What follows is counted as if it were outside.
            b'\n' if !long => return at,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn after_hashes(bytes: &[u8], start: usize) -> usize {
    let hashes = bytes[start..].iter().take_while(|b| **b == b'#').count();
    let open = start + hashes;
    if bytes.get(open) != Some(&b'"') {
        return open;
    }
    let long = bytes[open..].starts_with(b"\"\"\"");
    let quotes = if long { 3 } else { 1 };
    let mut at = open + quotes;
    while at < bytes.len() {
        let closes = bytes[at..].iter().take_while(|b| **b == b'"').count() >= quotes
            && bytes[at + quotes..].iter().take(hashes).filter(|b| **b == b'#').count() == hashes;
        if closes {
            return at + quotes + hashes;
        }
        if bytes[at] == b'\n' && !long {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

fn after_slash(bytes: &[u8], start: usize) -> usize {
    match bytes.get(start + 1) {
        Some(b'/') => bytes[start..].iter().position(|b| *b == b'\n' || *b == b'\r').map_or(bytes.len(), |n| start + n),
        Some(b'*') => {
            let (mut at, mut depth) = (start + 2, 1usize);
            while at < bytes.len() && depth > 0 {
                match &bytes[at..(at + 2).min(bytes.len())] {
                    b"*/" => {
                        depth -= 1;
                        at += 2;
                    }
                    b"/*" => {
                        depth += 1;
                        at += 2;
                    }
                    _ => at += 1,
                }
            }
            at
        }
        _ => start + 1,
    }
}
