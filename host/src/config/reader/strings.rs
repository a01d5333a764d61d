//! Quoted, multi-line and raw strings of KDL 2.0.

use std::borrow::Cow;

use super::{
    chars::{is_disallowed, is_newline, is_space, newline_len},
    cursor::{Cursor, Refusal},
    mistakes,
};

impl<'a> Cursor<'a> {
    /// A string that begins with `"`.
    pub(super) fn quoted(&mut self) -> Result<Cow<'a, str>, Refusal> {
        if self.rest().starts_with("\"\"\"") {
            return self.multi_line();
        }
        let start = self.at;
        let body = start + 1;
        let mut escaped = false;
        self.at = body;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 1;
                    // Also over a newline: white space after a backslash is dropped.
                    let rest = self.rest();
                    let blank = rest.trim_start_matches(|c| is_space(c) || is_newline(c));
                    self.at += match rest.len() - blank.len() {
                        0 => rest.chars().next().map_or(0, char::len_utf8),
                        len => len,
                    };
                }
                Some(b) if (0x20..0x7F).contains(&b) || b == b'\t' => self.at += 1,
                _ => match self.char() {
                    Some(c) if is_disallowed(c) => {
                        let here = self.place(self.at, self.at + c.len_utf8());
                        self.soft(mistakes::disallowed(here, c))?;
                        self.at += c.len_utf8();
                    }
                    Some(c) if !is_newline(c) => self.at += c.len_utf8(),
                    _ => {
                        let here = self.place(start, start + 1);
                        return Err(Box::new(mistakes::open_string(here)));
                    }
                },
            }
        }
        let written = &self.text[body..self.at];
        self.at += 1;
        if !escaped {
            return Ok(Cow::Borrowed(written));
        }
        self.unescape(written, body).map(Cow::Owned)
    }

    /// Resolves escapes. `base`: where `written` stands, for the place of a bad one.
    fn unescape(&mut self, written: &str, base: usize) -> Result<String, Refusal> {
        let mut out = String::with_capacity(written.len());
        let mut rest = written;
        while let Some(at) = rest.find('\\') {
            out.push_str(&rest[..at]);
            let from = written.len() - rest.len() + at;
            rest = &rest[at + 1..];
            let blank = rest.trim_start_matches(|c| is_space(c) || is_newline(c));
            if blank.len() < rest.len() {
                rest = blank;
                continue;
            }
            let (c, len) = match escape(rest) {
                Some(good) => good,
                None => {
                    let len = rest.chars().next().map_or(0, char::len_utf8);
                    let here = self.place(base + from, base + from + 1 + len);
                    self.soft(mistakes::bad_escape(here, written, &rest[..len]))?;
                    ('\u{FFFD}', len)
                }
            };
            out.push(c);
            rest = &rest[len..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn multi_line(&mut self) -> Result<Cow<'a, str>, Refusal> {
        let start = self.at;
        self.at += 3;
        let first = self.newline();
        if first == 0 {
            let end = self.place(start, start + 3);
            self.skip_line();
            return Err(Box::new(mistakes::text_after_quotes(end)));
        }
        self.at += first;
        let body = self.at;
        let close = loop {
            match self.peek() {
                Some(b'"') if self.rest().starts_with("\"\"\"") => break self.at,
                Some(b'\\') => {
                    self.at += 1;
                    self.at += self.char().map_or(0, char::len_utf8);
                }
                Some(_) => self.at += self.char().map_or(1, char::len_utf8),
                None => {
                    let here = self.place(start, start + 3);
                    return Err(Box::new(mistakes::open_long_string(here)));
                }
            }
        };
        self.at = close + 3;
        let written = &self.text[body..close];
        self.check_points(written, body)?;
        // White-space escapes go first: they may join lines. Then indentation, then the other escapes.
        let joined = without_space_escapes(written);
        let exact = matches!(joined, Cow::Borrowed(_));
        let dedented = self.dedent(&joined, body, close, exact)?;
        if !dedented.contains('\\') {
            return Ok(Cow::Owned(dedented));
        }
        self.unescape(&dedented, body).map(Cow::Owned)
    }

    /// A string that begins with `#`s and a quote.
    pub(super) fn raw(&mut self, hashes: usize) -> Result<Cow<'a, str>, Refusal> {
        let start = self.at;
        let marks = &self.text[start..start + hashes];
        self.at += hashes;
        let long = self.rest().starts_with("\"\"\"") && newline_len(&self.rest()[3..]) > 0;
        let quotes = if long { "\"\"\"" } else { "\"" };
        self.at += quotes.len();
        if long {
            self.at += self.newline();
        }
        let body = self.at;
        let mut from = body;
        let close = loop {
            let line_end = if long { None } else { self.text[from..].find(is_newline).map(|n| from + n) };
            let found = self.text[from..].find(quotes).map(|n| from + n);
            match found {
                Some(at) if line_end.is_none_or(|end| at < end) => {
                    if self.text[at + quotes.len()..].starts_with(marks) {
                        break at;
                    }
                    from = at + 1;
                }
                _ => {
                    self.at = line_end.unwrap_or(self.bytes.len());
                    let here = self.place(start, body.min(start + hashes + quotes.len()));
                    return Err(Box::new(mistakes::open_raw_string(here, hashes)));
                }
            }
        };
        self.at = close + quotes.len() + hashes;
        let written = &self.text[body..close];
        self.check_points(written, body)?;
        if long {
            return self.dedent(written, body, close, true).map(Cow::Owned);
        }
        // `#"""…` without a newline looks like the beginning of a multi-line string.
        if written == "\"" || written.starts_with("\"\"") {
            return Err(Box::new(mistakes::text_after_quotes(self.place(start, body))));
        }
        Ok(Cow::Borrowed(written))
    }

    fn check_points(&mut self, written: &str, base: usize) -> Result<(), Refusal> {
        if let Some((at, c)) = written.char_indices().find(|(_, c)| is_disallowed(*c)) {
            let here = self.place(base + at, base + at + c.len_utf8());
            self.soft(mistakes::disallowed(here, c))?;
        }
        Ok(())
    }

    /// Takes the indentation of the last line off every line and joins them with `\n`.
    /// `exact`: offsets in `written` are offsets in the file from `base`.
    fn dedent(&mut self, written: &str, base: usize, close: usize, exact: bool) -> Result<String, Refusal> {
        let mut lines = Vec::new();
        let (mut from, mut rest) = (0, written);
        while let Some(at) = rest.find(is_newline) {
            lines.push((from, &rest[..at]));
            let len = at + newline_len(&rest[at..]);
            from += len;
            rest = &rest[len..];
        }
        let indent = rest;
        if !indent.chars().all(is_space) {
            let here = self.place(close, close + 3);
            self.soft(mistakes::text_before_quotes(here))?;
            return Ok(String::new());
        }
        let mut out = String::with_capacity(written.len());
        for (number, (from, line)) in lines.iter().enumerate() {
            if number > 0 {
                out.push('\n');
            }
            if line.chars().all(is_space) {
                continue;
            }
            if let Some(text) = line.strip_prefix(indent) {
                out.push_str(text);
                continue;
            }
            let closing = self.place(close, close + 3);
            let here = if exact { self.place(base + from, base + from + line.len()) } else { closing };
            self.soft(mistakes::indentation(here, closing))?;
        }
        Ok(out)
    }
}

/// The character that an escape (without its backslash) stands for, and the length of the escape.
fn escape(rest: &str) -> Option<(char, usize)> {
    let c = match rest.as_bytes().first()? {
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b's' => ' ',
        b'b' => '\u{8}',
        b'f' => '\u{C}',
        b'"' => '"',
        b'\\' => '\\',
        b'u' => {
            let hex = rest.strip_prefix("u{")?;
            let end = hex.find('}').filter(|n| (1..=6).contains(n))?;
            let digits = &hex[..end];
            if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return None;
            }
            let c = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?;
            return Some((c, 3 + end));
        }
        _ => return None,
    };
    Some((c, 1))
}

fn without_space_escapes(written: &str) -> Cow<'_, str> {
    let blank = |c| is_space(c) || is_newline(c);
    let (mut out, mut from, mut at) = (String::new(), 0, 0);
    while let Some(n) = written[at..].find('\\') {
        let slash = at + n;
        let after = &written[slash + 1..];
        let trimmed = after.trim_start_matches(blank);
        if trimmed.len() < after.len() {
            out.push_str(&written[from..slash]);
            from = written.len() - trimmed.len();
            at = from;
        } else {
            at = slash + 1 + after.chars().next().map_or(0, char::len_utf8);
        }
    }
    if from == 0 {
        return Cow::Borrowed(written);
    }
    out.push_str(&written[from..]);
    Cow::Owned(out)
}
