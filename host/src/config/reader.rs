//! KDL 2.0 text → the tree as written. Touches no files and knows no directives.
//!
//! The own reader takes valid text in one pass. What it refuses is read again, going on after each mistake, so that all of them are
//! reported; and by the `kdl` crate, which has the last word on whether the text is valid at all.

mod chars;
mod cursor;
mod depth;
mod entries;
mod fallback;
mod mistakes;
mod nodes;
mod numbers;
mod strings;
pub mod syntax;

use super::{diagnostic::Diagnostic, document::Place};
use cursor::Cursor;
use syntax::{Node, Span};

/// Blocks may be nested this deep, blocks of included files counted.
pub const MAX_DEPTH: usize = 64;
/// Mistakes reported for one file; after so many the rest is noise.
const MAX_PROBLEMS: usize = 200;

/// A file that could be read.
#[derive(Debug)]
pub struct Read<'a> {
    /// Top-level nodes.
    pub nodes: Vec<Node<'a>>,
    /// Valid, but hardly what was meant.
    pub warnings: Vec<Diagnostic>,
}

/// Reads `text`, which is file number `file` in the places reported. Fails with all mistakes found, at least one.
pub fn read(file: u32, text: &str) -> Result<Read<'_>, Vec<Diagnostic>> {
    if let Some(span) = depth::too_deep(text) {
        return Err(vec![mistakes::too_deep(place(file, span))]);
    }
    match read_own(file, text) {
        Ok(read) => Ok(read),
        Err(own) => match fallback::read(file, text) {
            fallback::Verdict::Valid(nodes) => Ok(Read { nodes, warnings: Vec::new() }),
            fallback::Verdict::Invalid(theirs) if mistakes::all_vague(&own) => Err(theirs),
            fallback::Verdict::Invalid(_) | fallback::Verdict::Unasked => Err(own),
        },
    }
}

/// The own reader alone, for comparison with the crate. Text over the depth limit is refused here, too.
pub fn read_own(file: u32, text: &str) -> Result<Read<'_>, Vec<Diagnostic>> {
    let mut cursor = Cursor::new(file, text, false);
    if let Ok(nodes) = cursor.document() {
        return Ok(Read { nodes, warnings: cursor.warnings });
    }
    let mut cursor = Cursor::new(file, text, true);
    let end = cursor.document();
    if let Err(problem) = end {
        cursor.problems.push(*problem);
    }
    // Recovery meets at least the mistake that stopped the first pass; should it not, that is still no valid text.
    if cursor.problems.is_empty() {
        let end = Span { start: text.len(), end: text.len() };
        cursor.problems.push(mistakes::unexpected(place(file, end), "the end"));
    }
    Err(cursor.problems)
}

/// What the crate makes of it; `None`: it refuses or was not asked, for the text could exhaust its stack.
pub fn read_by_crate(text: &str) -> Option<Vec<Node<'static>>> {
    match fallback::read(0, text) {
        fallback::Verdict::Valid(nodes) => Some(nodes),
        _ => None,
    }
}

fn place(file: u32, span: Span) -> Place {
    // Files are bounded at 64 MiB by whoever reads them; longer text only blurs the place.
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { file, offset: narrow(span.start), len: narrow(span.end.saturating_sub(span.start)) }
}

#[cfg(test)]
mod tests;
