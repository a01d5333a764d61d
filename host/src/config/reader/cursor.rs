//! A position in the text: white space, comments, line continuations, and where mistakes go. Knows nothing of nodes.

use super::{
    chars::{ASCII_IDENT, is_ident, is_newline, is_space, newline_len},
    mistakes, place,
    syntax::Span,
};
use crate::config::{diagnostic::Diagnostic, document::Place};

/// A mistake that ends the current node. Boxed: it is large and rare.
pub(super) type Refusal = Box<Diagnostic>;

pub(super) struct Cursor<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// Whether to go on after a mistake.
    pub(super) recover: bool,
    pub(super) problems: Vec<Diagnostic>,
    pub(super) warnings: Vec<Diagnostic>,
    /// The braces that are open.
    pub(super) open: Vec<usize>,
    /// A brace that by its indentation is closed by another's.
    pub(super) suspect: Option<(usize, usize)>,
    /// The end came inside a block, and that was said.
    pub(super) unclosed: bool,
    file: u32,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(file: u32, text: &'a str, recover: bool) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            at: if text.starts_with('\u{FEFF}') { 3 } else { 0 },
            recover,
            problems: Vec::new(),
            warnings: Vec::new(),
            open: Vec::new(),
            suspect: None,
            unclosed: false,
            file,
        }
    }

    pub(super) fn place(&self, start: usize, end: usize) -> Place {
        place(self.file, Span { start, end })
    }

    /// Notes a mistake after which the current node can be read on.
    pub(super) fn soft(&mut self, problem: Diagnostic) -> Result<(), Refusal> {
        if !self.recover {
            return Err(Box::new(problem));
        }
        self.problems.push(problem);
        Ok(())
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub(super) fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    pub(super) fn char(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Length of the white-space character here; 0: none.
    fn space_len(&self) -> usize {
        match self.peek() {
            Some(b' ' | b'\t') => 1,
            Some(b) if b >= 0x80 => match self.char() {
                Some(c) if is_space(c) => c.len_utf8(),
                _ => 0,
            },
            _ => 0,
        }
    }

    /// Length of the newline here; 0: none.
    pub(super) fn newline(&self) -> usize {
        newline_len(self.rest())
    }

    /// `ws*`. Whether there was any.
    pub(super) fn skip_space(&mut self) -> Result<bool, Refusal> {
        let start = self.at;
        loop {
            let len = self.space_len();
            if len > 0 {
                self.at += len;
            } else if self.peek() == Some(b'/') && self.peek_at(1) == Some(b'*') {
                self.block_comment()?;
            } else {
                return Ok(self.at > start);
            }
        }
    }

    /// `node-space*`: `ws` and line continuations. Whether there was any.
    pub(super) fn skip_node_space(&mut self) -> Result<bool, Refusal> {
        let start = self.at;
        loop {
            self.skip_space()?;
            if self.peek() != Some(b'\\') {
                return Ok(self.at > start);
            }
            let back = self.at;
            self.at += 1;
            self.skip_space()?;
            let newline = self.newline();
            if newline > 0 {
                self.at += newline;
            } else if self.rest().starts_with("//") {
                self.line_comment();
            } else if self.at < self.bytes.len() {
                // A backslash within a line; whoever meets it says what it means.
                self.at = back;
                return Ok(self.at > start);
            }
        }
    }

    /// `line-space*`: `node-space`, newlines and comments.
    pub(super) fn skip_line_space(&mut self) -> Result<(), Refusal> {
        loop {
            self.skip_node_space()?;
            let newline = self.newline();
            if newline > 0 {
                self.at += newline;
            } else if self.rest().starts_with("//") {
                self.line_comment();
            } else {
                return Ok(());
            }
        }
    }

    /// `//` up to and with its newline.
    pub(super) fn line_comment(&mut self) {
        self.skip_line();
        self.at += self.newline();
    }

    /// Up to the newline, which stays.
    pub(super) fn skip_line(&mut self) {
        let rest = self.rest();
        self.at += rest.find(is_newline).unwrap_or(rest.len());
    }

    /// `/* … */`, nested.
    fn block_comment(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        self.at += 2;
        let mut depth = 1usize;
        while depth > 0 {
            match self.bytes.get(self.at..self.at + 2) {
                Some(b"*/") => {
                    depth -= 1;
                    self.at += 2;
                }
                Some(b"/*") => {
                    depth += 1;
                    self.at += 2;
                }
                Some(_) => self.at += 1,
                None => {
                    self.at = self.bytes.len();
                    return self.soft(mistakes::open_comment(self.place(start, start + 2)));
                }
            }
        }
        Ok(())
    }

    /// The end of the identifier characters that begin at `from`.
    pub(super) fn ident_end(&self, from: usize) -> usize {
        let mut at = from;
        while let Some(b) = self.bytes.get(at) {
            if *b < 0x80 {
                if !ASCII_IDENT[*b as usize] {
                    break;
                }
                at += 1;
            } else {
                match self.text[at..].chars().next() {
                    Some(c) if is_ident(c) => at += c.len_utf8(),
                    _ => break,
                }
            }
        }
        at
    }

    /// The end of what a person would take for one word: up to white space, `;`, a brace or a quote.
    pub(super) fn word_end(&self, from: usize) -> usize {
        let rest = &self.text[from..];
        from + rest.find(|c| is_space(c) || is_newline(c) || matches!(c, ';' | '{' | '}' | '"')).unwrap_or(rest.len())
    }

    /// Whether a value may end here.
    pub(super) fn at_value_end(&self) -> bool {
        match self.peek() {
            None | Some(b' ' | b'\t' | b'\n' | b'\r' | b';' | b'{' | b'}' | b'=' | b')') => true,
            Some(b'/') => matches!(self.peek_at(1), Some(b'/' | b'*')),
            Some(b'\\') => {
                let rest = self.text[self.at + 1..].trim_start_matches(is_space);
                rest.is_empty() || newline_len(rest) > 0 || rest.starts_with("//")
            }
            _ => self.char().is_some_and(|c| is_space(c) || is_newline(c)),
        }
    }
}
