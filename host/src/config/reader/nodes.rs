//! Documents, nodes and blocks; where reading goes on after a mistake.

use super::{
    MAX_DEPTH, MAX_PROBLEMS,
    chars::{is_newline, is_space},
    cursor::{Cursor, Refusal},
    mistakes,
    syntax::{Node, Span},
};

impl<'a> Cursor<'a> {
    /// The whole text. In recovery mistakes are in `problems`, and what is returned is what could be made of it.
    pub(super) fn document(&mut self) -> Result<Vec<Node<'a>>, Refusal> {
        let mut all = self.nodes()?;
        while self.at < self.bytes.len() && self.problems.len() < MAX_PROBLEMS {
            // Only a closing brace ends a list of nodes early.
            let here = self.place(self.at, self.at + 1);
            let mut problem = mistakes::stray_brace(here);
            problem.follow_on = !self.problems.is_empty();
            if let Some((open, close)) = self.suspect {
                problem = problem
                    .label(self.place(open, open + 1), "by its indentation, this block")
                    .label(self.place(close, close + 1), "is closed here");
            }
            self.soft(problem)?;
            self.at += 1;
            all.append(&mut self.nodes()?);
        }
        Ok(all)
    }

    /// Up to a closing brace, which stays, or the end.
    fn nodes(&mut self) -> Result<Vec<Node<'a>>, Refusal> {
        let mut all = Vec::new();
        loop {
            if self.problems.len() >= MAX_PROBLEMS {
                self.at = self.bytes.len();
            }
            let start = self.at;
            match self.statement(&mut all) {
                Ok(true) => {}
                Ok(false) => return Ok(all),
                Err(problem) if self.recover => {
                    self.problems.push(*problem);
                    self.synchronise(start)?;
                }
                Err(problem) => return Err(problem),
            }
        }
    }

    /// One node with its end. `false`: there is no more.
    fn statement(&mut self, all: &mut Vec<Node<'a>>) -> Result<bool, Refusal> {
        self.skip_line_space()?;
        match self.peek() {
            None | Some(b'}') => return Ok(false),
            Some(b'/') if self.peek_at(1) == Some(b'-') => {
                self.at += 2;
                self.skip_line_space()?;
                self.node()?;
            }
            Some(b';') => {
                let here = self.place(self.at, self.at + 1);
                self.soft(mistakes::empty_statement(here))?;
                self.at += 1;
                return Ok(true);
            }
            Some(b'#') if !matches!(self.peek_at(1), Some(b'#' | b'"')) => {
                self.hash_comment()?;
                return Ok(true);
            }
            _ => {
                let node = self.node()?;
                all.push(node);
            }
        }
        match self.peek() {
            None | Some(b'}') => {}
            Some(b';') => self.at += 1,
            Some(b'/') if self.peek_at(1) == Some(b'/') => self.line_comment(),
            Some(b'#') if self.recover && !matches!(self.peek_at(1), Some(b'#' | b'"')) => {
                self.hash_comment()?;
            }
            _ => {
                let newline = self.newline();
                if newline == 0 {
                    let end = self.word_end(self.at).max(self.at + 1);
                    let here = self.place(self.at, end);
                    return Err(Box::new(mistakes::after_block(here)));
                }
                self.at += newline;
            }
        }
        Ok(true)
    }

    /// `base-node` without a leading slashdash, and the white space after it.
    fn node(&mut self) -> Result<Node<'a>, Refusal> {
        let tag = self.tag()?;
        self.skip_node_space()?;
        let name = self.node_name()?;
        let mut node = Node { tag, name, entries: Vec::new(), children: None };
        // Blocks, also those behind a slashdash, come after everything else.
        let mut blocks = false;
        loop {
            let spaced = self.skip_node_space()?;
            match self.peek() {
                None | Some(b';' | b'}') => break,
                Some(b'{') => {
                    if node.children.is_some() {
                        let here = self.place(self.at, self.at + 1);
                        return Err(Box::new(mistakes::second_block(here)));
                    }
                    node.children = Some(self.block()?);
                    blocks = true;
                }
                Some(b'/') if self.peek_at(1) == Some(b'/') => break,
                Some(b'/') if self.peek_at(1) == Some(b'-') => {
                    let here = self.place(self.at, self.at + 2);
                    self.at += 2;
                    self.skip_line_space()?;
                    if self.peek() == Some(b'{') {
                        self.block()?;
                        blocks = true;
                    } else if blocks || !spaced {
                        return Err(Box::new(mistakes::unexpected(here, "/-")));
                    } else {
                        self.entry()?;
                    }
                }
                _ if blocks || self.newline() > 0 => break,
                Some(b'#') if !matches!(self.peek_at(1), Some(b'#' | b'"')) && self.is_comment() => {
                    break;
                }
                _ => {
                    if !spaced {
                        let here = self.place(self.at, self.at + 1);
                        self.soft(mistakes::no_space(here))?;
                    }
                    let entry = self.entry()?;
                    node.entries.push(entry);
                }
            }
        }
        Ok(node)
    }

    /// `{ … }`.
    fn block(&mut self) -> Result<Vec<Node<'a>>, Refusal> {
        let start = self.at;
        if self.open.len() >= MAX_DEPTH {
            // The text is not read further: the rest would only be misunderstood.
            self.at = self.bytes.len();
            self.unclosed = true;
            return Err(Box::new(mistakes::too_deep(self.place(start, start + 1))));
        }
        self.open.push(start);
        self.at += 1;
        let nodes = self.nodes()?;
        if self.peek() == Some(b'}') {
            self.compare_indentation(start);
            self.at += 1;
        } else if !self.unclosed {
            self.unclosed = true;
            let (open, close) = match self.suspect {
                Some((open, close)) => (open, Some(close)),
                None => (start, None),
            };
            let mut problem = mistakes::unclosed(self.place(open, open + 1));
            if let Some(close) = close {
                let text = "this one closes it, though by its indentation it belongs further out";
                problem = problem.label(self.place(close, close + 1), text);
            }
            problem.follow_on = self.problems.iter().any(|p| p.code == "string");
            self.soft(problem)?;
        }
        self.open.pop();
        Ok(nodes)
    }

    /// A block whose closing brace stands further out than the line that opens it has probably lost its own.
    fn compare_indentation(&mut self, open: usize) {
        if !self.recover || self.suspect.is_some() {
            return;
        }
        let indent = |at: usize| {
            let line = self.text[..at].rfind('\n').map_or(0, |n| n + 1);
            let text = &self.text[line..];
            let blank = text.len() - text.trim_start_matches(is_space).len();
            (blank, line + blank == at)
        };
        let (closing, first) = indent(self.at);
        if first && closing < indent(open).0 {
            self.suspect = Some((open, self.at));
        }
    }

    /// Skips to where a node may begin: the end of the line or statement, or into the block that the broken node opens.
    fn synchronise(&mut self, start: usize) -> Result<(), Refusal> {
        if self.at == start {
            self.at += self.char().map_or(0, char::len_utf8);
        }
        while let Some(c) = self.char() {
            match c {
                '}' => return Ok(()),
                ';' => {
                    self.at += 1;
                    return Ok(());
                }
                '{' => {
                    // Deeper mistakes are noted on the way; one that ends the block is noted here.
                    if let Err(problem) = self.block() {
                        self.problems.push(*problem);
                    }
                    return Ok(());
                }
                '"' => self.skip_string(),
                '/' if self.peek_at(1) == Some(b'/') => self.skip_line(),
                c if is_newline(c) => return Ok(()),
                c => self.at += c.len_utf8(),
            }
        }
        Ok(())
    }

    /// A string of any form within its line, its errors ignored.
    fn skip_string(&mut self) {
        self.at += 1;
        while let Some(c) = self.char() {
            if is_newline(c) {
                return;
            }
            self.at += c.len_utf8();
            match c {
                '"' => return,
                '\\' => self.at += self.char().filter(|c| !is_newline(*c)).map_or(0, char::len_utf8),
                _ => {}
            }
        }
    }

    /// `# …` up to the end of the line, said to be no comment.
    fn hash_comment(&mut self) -> Result<(), Refusal> {
        let start = self.at;
        self.skip_line();
        let here = self.place(start, start + 1);
        let text = Span { start: start + 1, end: self.at };
        self.soft(mistakes::hash_comment(here, &self.text[text.start..text.end]))
    }
}
