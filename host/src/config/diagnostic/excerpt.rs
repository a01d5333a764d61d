//! Shows the lines around a finding with marks under what is meant. Drawing is miette's; what it may see is decided here.

use std::{fmt, fmt::Write as _};

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode, SourceSpan,
    SpanContents, ThemeCharacters, ThemeStyles,
};

use super::{Style, floor_boundary, position};
use crate::config::document::{Place, Source, Sources};

/// A longer line is shown in part.
const LINE: usize = 240;
/// Characters shown on either side of the mark in a part of a line.
const AROUND: usize = 40;

pub(super) fn excerpt(sources: &Sources, place: Place, labels: &[(Place, String)], style: Style, out: &mut String) {
    let Some(source) = sources.get(place.file as usize) else {
        return;
    };
    if source.text.is_empty() {
        return;
    }
    let here: Vec<&(Place, String)> = labels.iter().filter(|(p, _)| p.file == place.file).collect();
    let long = here.iter().map(|(p, _)| *p).chain([place]).any(|p| has_long_line(&source.text, p));
    if long {
        return part(&source.text, place, out);
    }
    let mut marks = vec![LabeledSpan::new_primary_with_span(None, span(&source.text, place))];
    marks.extend(here.iter().map(|(p, text)| LabeledSpan::new_with_span(Some(text.clone()), span(&source.text, *p))));
    let theme = GraphicalTheme {
        characters: ThemeCharacters::unicode(),
        styles: if style.colour { ThemeStyles::ansi() } else { ThemeStyles::none() },
    };
    let mut drawn = String::new();
    let done = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_width(style.width)
        .with_context_lines(1)
        .render_report(&mut drawn, &Report { lines: Lines(source), marks });
    if done.is_err() {
        return part(&source.text, place, out);
    }
    // What comes before the frame is the (empty) headline.
    let frame = drawn.find('╭').map_or(0, |at| drawn[..at].rfind('\n').map_or(0, |newline| newline + 1));
    for line in drawn[frame..].lines().filter(|l| !l.trim().is_empty()) {
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// At least one character, on character boundaries, within the first line of the place.
fn span(text: &str, place: Place) -> SourceSpan {
    let start = floor_boundary(text, place.offset as usize);
    let mut end = floor_boundary(text, (place.offset as usize).saturating_add(place.len as usize));
    if let Some(newline) = text[start..end.max(start)].find(['\n', '\r']) {
        end = start + newline;
    }
    (start, end.saturating_sub(start)).into()
}

/// The lines of `place` and one before and after.
fn window(text: &str, start: usize, end: usize, before: usize, after: usize) -> (usize, usize) {
    let mut from = text[..start].rfind('\n').map_or(0, |at| at + 1);
    for _ in 0..before {
        if from > 0 {
            from = text[..from - 1].rfind('\n').map_or(0, |at| at + 1);
        }
    }
    let mut to = text[end..].find('\n').map_or(text.len(), |at| end + at);
    for _ in 0..after {
        if to < text.len() {
            to = text[to + 1..].find('\n').map_or(text.len(), |at| to + 1 + at);
        }
    }
    (from, to)
}

fn has_long_line(text: &str, place: Place) -> bool {
    let start = floor_boundary(text, place.offset as usize);
    let (from, to) = window(text, start, start, 1, 1);
    text[from..to].split('\n').any(|line| line.len() > LINE)
}

/// A piece of a long line with a mark under it.
fn part(text: &str, place: Place, out: &mut String) {
    let start = floor_boundary(text, place.offset as usize);
    let (from, to) = window(text, start, start, 0, 0);
    let (line, _) = position(text, start);
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let mut before: Vec<char> = text[from..start].chars().rev().take(AROUND).collect();
    before.reverse();
    let before: String = before.into_iter().map(clean).collect();
    let after: String = text[start..to].chars().take(AROUND * 2).map(clean).collect();
    let marked = text[start..to.min(floor_boundary(text, start + place.len as usize)).max(start)]
        .chars()
        .count()
        .clamp(1, AROUND * 2);
    let _ = writeln!(out, " {line} │ …{before}{after}…");
    let pad = line.to_string().len() + before.chars().count();
    let _ = writeln!(out, " {:pad$} · {}", "", "^".repeat(marked), pad = pad + 1);
}

struct Report<'a> {
    lines: Lines<'a>,
    marks: Vec<LabeledSpan>,
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Report")
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.lines)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.marks.iter().cloned()))
    }
}

/// Counts columns as the headline does: miette itself counts bytes.
struct Lines<'a>(&'a Source);

impl SourceCode for Lines<'_> {
    fn read_span<'b>(
        &'b self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'b> + 'b>, MietteError> {
        let text = &self.0.text;
        let start = floor_boundary(text, span.offset());
        let end = floor_boundary(text, span.offset() + span.len()).max(start);
        let (from, to) = window(text, start, end, before, after);
        let (line, _) = position(text, from);
        // With context the contents begin at a line; without, miette wants the position of the span itself.
        let (from, line, column) = if before == 0 && after == 0 {
            let (line, column) = position(text, start);
            (start, line, column)
        } else {
            (from, line, 1)
        };
        let data = &text.as_bytes()[from..to];
        let lines = text[from..to].matches('\n').count() + 1;
        Ok(Box::new(MietteSpanContents::new_named(
            self.0.name.clone(),
            data,
            (from, to - from).into(),
            line - 1,
            column - 1,
            lines,
        )))
    }
}
