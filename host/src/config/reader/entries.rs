//! Names, tags, arguments and properties.

use std::borrow::Cow;

use super::{
    cursor::{Cursor, Refusal},
    mistakes, numbers,
    syntax::{Entry, Name, Span, Value},
};

/// Words that KDL 2.0 reserves, so that files of version 1 are noticed.
const RESERVED: [&str; 6] = ["true", "false", "null", "inf", "-inf", "nan"];

impl<'a> Cursor<'a> {
    /// `type`, if there is one.
    pub(super) fn tag(&mut self) -> Result<Option<Name<'a>>, Refusal> {
        if self.peek() != Some(b'(') {
            return Ok(None);
        }
        let open = self.at;
        self.at += 1;
        self.skip_node_space()?;
        let name = self.string("tag")?;
        self.skip_node_space()?;
        if self.peek() != Some(b')') {
            return Err(Box::new(mistakes::open_tag(self.place(open, self.at))));
        }
        self.at += 1;
        Ok(Some(name))
    }

    /// The string that names a node.
    pub(super) fn node_name(&mut self) -> Result<Name<'a>, Refusal> {
        if self.peek() == Some(b'{') {
            let here = self.place(self.at, self.at + 1);
            return Err(Box::new(mistakes::block_without_name(here)));
        }
        self.string("directive")
    }

    /// An argument or a property.
    pub(super) fn entry(&mut self) -> Result<Entry<'a>, Refusal> {
        if self.peek() == Some(b'(') {
            return self.value(None);
        }
        let entry = self.value(None)?;
        let end = self.at;
        self.skip_node_space()?;
        if self.peek() != Some(b'=') {
            self.at = end;
            return Ok(entry);
        }
        let Value::Text(text) = entry.value else {
            let here = self.place(entry.span.start, entry.span.end);
            return Err(Box::new(mistakes::odd_property(here)));
        };
        self.at += 1;
        self.skip_node_space()?;
        let name = Name { text, span: entry.span };
        let missing = match self.peek() {
            None | Some(b';' | b'{' | b'}') => true,
            Some(b'/') => matches!(self.peek_at(1), Some(b'/')),
            _ => self.newline() > 0,
        };
        if missing {
            let here = self.place(name.span.start, self.at.max(name.span.end));
            return Err(Box::new(mistakes::no_value(here, &name.text)));
        }
        self.value(Some(name))
    }

    fn value(&mut self, name: Option<Name<'a>>) -> Result<Entry<'a>, Refusal> {
        let tag = self.tag()?;
        if tag.is_some() {
            self.skip_node_space()?;
        }
        let start = self.at;
        let value = match self.peek() {
            Some(b'#') if !matches!(self.peek_at(1), Some(b'#' | b'"')) => self.keyword()?,
            Some(b'0'..=b'9') => self.number()?,
            Some(b'+' | b'-') if self.peek_at(1).is_some_and(|b| b.is_ascii_digit()) => self.number()?,
            _ => Value::Text(self.string("value")?.text),
        };
        Ok(Entry { name, tag, value, span: Span { start, end: self.at } })
    }

    fn number(&mut self) -> Result<Value<'a>, Refusal> {
        let start = self.at;
        self.at = self.ident_end(start);
        if self.at_value_end()
            && let Some(value) = numbers::parse(&self.text[start..self.at])
        {
            return Ok(value);
        }
        self.unquoted(start).map(Value::Text)
    }

    fn keyword(&mut self) -> Result<Value<'a>, Refusal> {
        let start = self.at;
        self.at = self.ident_end(start + 1);
        let value = match &self.text[start + 1..self.at] {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            "inf" => Value::Float(f64::INFINITY),
            "-inf" => Value::Float(f64::NEG_INFINITY),
            "nan" => Value::Float(f64::NAN),
            _ => {
                self.at = self.word_end(start);
                let here = self.place(start, self.at);
                let word = &self.text[start..self.at];
                self.soft(mistakes::unknown_keyword(here, word))?;
                return Ok(Value::Null);
            }
        };
        self.end_of_value(start)?;
        Ok(value)
    }

    /// Whether the `#` here begins what a person means as a comment rather than a keyword.
    pub(super) fn is_comment(&self) -> bool {
        let word = &self.text[self.at + 1..self.word_end(self.at)];
        // Without recovery the difference is of no consequence; a keyword is the valid one.
        self.recover && (word.is_empty() || mistakes::meant_keyword(word).is_none())
    }

    /// Any form of string; `what` it is for, in messages.
    fn string(&mut self, what: &str) -> Result<Name<'a>, Refusal> {
        let start = self.at;
        let text = match self.peek() {
            Some(b'"') => {
                let text = self.quoted()?;
                self.end_of_value(start)?;
                text
            }
            Some(b'#') => {
                let hashes = self.bytes[start..].iter().take_while(|b| **b == b'#').count();
                if self.peek_at(hashes) == Some(b'"') {
                    let text = self.raw(hashes)?;
                    self.end_of_value(start)?;
                    text
                } else {
                    self.at = self.word_end(start).max(start + hashes);
                    let here = self.place(start, self.at);
                    return Err(Box::new(mistakes::unexpected(here, &self.text[start..self.at])));
                }
            }
            _ => self.word(what)?,
        };
        Ok(Name { text, span: Span { start, end: self.at } })
    }

    /// `identifier-string`.
    fn word(&mut self, what: &str) -> Result<Cow<'a, str>, Refusal> {
        let start = self.at;
        self.at = self.ident_end(start);
        let word = &self.text[start..self.at];
        if word.is_empty() {
            return self.no_word(what);
        }
        if !self.at_value_end() || is_number_like(word) {
            return self.unquoted(start);
        }
        if RESERVED.contains(&word) {
            let here = self.place(start, self.at);
            self.soft(mistakes::reserved(here, word))?;
        }
        let first = self.bytes[start];
        if first == b'\'' || (first >= 0x80 && mistakes::is_smart_quote(word)) {
            let here = self.place(start, self.at);
            self.warnings.push(mistakes::odd_quotes(here, word));
        } else if word.ends_with(':') && self.rest().starts_with("//") {
            let here = self.place(start, self.at + 2);
            self.warnings.push(mistakes::url(here, word));
        }
        Ok(Cow::Borrowed(word))
    }

    /// Something else than a word stands where one belongs.
    fn no_word(&mut self, what: &str) -> Result<Cow<'a, str>, Refusal> {
        let start = self.at;
        let end = match self.char() {
            None => start,
            Some('/' | '\\' | '[' | ']') => return self.unquoted(start),
            Some(c) => start + c.len_utf8(),
        };
        let here = self.place(start, end);
        let found = self.char();
        Err(Box::new(mistakes::no_word(here, what, found)))
    }

    /// Text that must be quoted. Goes on behind it.
    fn unquoted(&mut self, start: usize) -> Result<Cow<'a, str>, Refusal> {
        let end = self.word_end(start);
        let here = self.place(start, end);
        let word = &self.text[start..end];
        self.at = end;
        if word.is_empty() {
            return Err(Box::new(mistakes::unexpected(here, "quote")));
        }
        if self.peek() == Some(b'"') {
            return Err(Box::new(mistakes::no_space(self.place(end, end + 1))));
        }
        self.soft(mistakes::unquoted(here, word))?;
        Ok(Cow::Borrowed(word))
    }

    fn end_of_value(&mut self, start: usize) -> Result<(), Refusal> {
        if self.at_value_end() {
            return Ok(());
        }
        let end = self.at;
        // `a = ["x", "y"]` and `"a","b"`: the separator is skipped, too.
        while self.peek().is_some_and(|b| matches!(b, b',' | b']' | b':')) {
            self.at += 1;
        }
        let here = self.place(end, self.at.max(end + self.char().map_or(0, char::len_utf8)));
        let problem = match self.bytes.get(end) {
            Some(b',' | b']' | b':') => mistakes::separator(here, &self.text[end..=end]),
            _ => mistakes::no_space(here),
        };
        self.soft(problem.label(self.place(start, end), "after this value"))
    }
}

/// What only a number may begin with.
fn is_number_like(word: &str) -> bool {
    let unsigned = word.strip_prefix(['+', '-']).unwrap_or(word);
    let rest = unsigned.strip_prefix('.').unwrap_or(unsigned);
    rest.starts_with(|c: char| c.is_ascii_digit())
}
