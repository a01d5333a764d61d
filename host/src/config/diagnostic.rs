//! What is wrong with a configuration, where, why, and what to write instead; collected, then shown to people or machines.
//! Knows nothing of what the configuration means.

mod excerpt;
mod suggest;

use std::{
    borrow::Cow,
    collections::HashSet,
    fmt::{self, Write as _},
};

use serde_json::{Value, json};

use super::document::{Place, Source, Sources};
pub use suggest::did_you_mean;

/// How many are shown; the rest is counted.
const SHOWN: usize = 100;
/// How many are kept. More than are shown, since follow-on errors may take places.
const KEPT: usize = 1000;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// It is taken, but probably does not say what was meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// A stable word for machines, `unknown-directive`.
    pub code: Cow<'static, str>,
    /// The reason, one line, without a full stop.
    pub message: String,
    /// Where; `None`: not in a file.
    pub place: Option<Place>,
    /// Other places that matter, with a few words each.
    pub labels: Vec<(Place, String)>,
    /// What to write instead.
    pub help: Option<String>,
    /// The module whose directive it is.
    pub module: Option<String>,
    /// May be a consequence of another error: shown only when there is no other kind.
    pub follow_on: bool,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: code.into(),
            message: message.into(),
            place: None,
            labels: Vec::new(),
            help: None,
            module: None,
            follow_on: false,
        }
    }

    /// A warning without a place.
    pub fn warning(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Says where, if that is known.
    #[must_use]
    pub fn at_some(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// Points at another place.
    #[must_use]
    pub fn label(mut self, place: Place, text: impl Into<String>) -> Self {
        self.labels.push((place, text.into()));
        self
    }

    /// Says what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Appends `; did you mean "word"?` to the message, when there is a word.
    #[must_use]
    pub fn suggest(mut self, word: Option<&str>) -> Self {
        if let Some(word) = word {
            let _ = write!(self.message, "; did you mean \"{word}\"?");
        }
        self
    }

    /// Names the module.
    #[must_use]
    pub fn module(mut self, id: impl Into<String>) -> Self {
        self.module = Some(id.into());
        self
    }

    /// Marks it as a likely consequence of another error.
    #[must_use]
    pub fn follow_on(mut self) -> Self {
        self.follow_on = true;
        self
    }
}

/// All findings of one configuration, with the files they point into.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    sources: Sources,
    items: Vec<Diagnostic>,
    seen: HashSet<(Option<(u32, u32)>, String)>,
    dropped: usize,
}

/// How findings are shown to people.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// With ANSI colours.
    pub colour: bool,
    /// Columns of the terminal.
    pub width: usize,
}

impl Style {
    /// For a file, a pipe or a test.
    pub const PLAIN: Self = Self { colour: false, width: 100 };

    /// Colours when standard error is a terminal and `NO_COLOR` is unset or empty.
    pub fn of_stderr() -> Self {
        use std::io::IsTerminal as _;
        Self {
            colour: std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
            ..Self::PLAIN
        }
    }
}

impl Diagnostics {
    /// An empty collection about these files.
    pub fn new(sources: Sources) -> Self {
        Self { sources, ..Self::default() }
    }

    /// The files.
    pub fn sources(&self) -> &Sources {
        &self.sources
    }

    /// Sets the files: the reader learns of them as it goes.
    pub fn set_sources(&mut self, sources: Sources) {
        self.sources = sources;
    }

    /// Adds one. The same message at the same place counts once.
    pub fn push(&mut self, item: Diagnostic) {
        if self.items.len() >= KEPT {
            self.dropped += usize::from(item.severity == Severity::Error);
            return;
        }
        let key = (item.place.map(|p| (p.file, p.offset)), item.message.clone());
        if self.seen.insert(key) {
            self.items.push(item);
        }
    }

    /// Adds those of another collection about the same files.
    pub fn append(&mut self, other: Self) {
        if self.sources.len() < other.sources.len() {
            self.sources = other.sources;
        }
        self.dropped += other.dropped;
        for item in other.items {
            self.push(item);
        }
    }

    /// Nothing was found, not even a warning.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// At least one error.
    pub fn has_errors(&self) -> bool {
        self.items.iter().any(|d| d.severity == Severity::Error)
    }

    /// Everything kept, in the order found, follow-on errors included.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.items.iter()
    }

    /// What is shown (by file and offset; those without a place first) and how many errors are not.
    pub fn shown(&self) -> (Vec<&Diagnostic>, usize) {
        let has_cause = self.items.iter().any(|d| d.severity == Severity::Error && !d.follow_on);
        let mut shown: Vec<&Diagnostic> = self.items.iter().filter(|d| !(has_cause && d.follow_on)).collect();
        shown.sort_by_key(|d| d.place.map(|p| (p.file, p.offset)));
        let more = shown.len().saturating_sub(SHOWN) + self.dropped;
        shown.truncate(SHOWN);
        (shown, more)
    }

    /// For people: `file:line:column: error: reason`, an excerpt and the help, one after the other.
    pub fn render(&self, style: Style) -> String {
        let (shown, more) = self.shown();
        let mut out = String::new();
        for item in shown {
            self.render_one(item, style, &mut out);
        }
        if more > 0 {
            let _ = writeln!(out, "and {more} more");
        }
        out
    }

    /// The first line of a finding: `main.kdl:14:9: error: … (module tcp)`.
    pub fn headline(&self, item: &Diagnostic) -> String {
        let mut line = String::new();
        if let Some((source, at, column)) = item.place.and_then(|p| self.locate(p)) {
            let _ = write!(line, "{}:{at}:{column}: ", source.name);
        }
        let _ = write!(line, "{}: {}", item.severity, item.message);
        if let Some(module) = &item.module {
            let _ = write!(line, " (module {module})");
        }
        line
    }

    fn render_one(&self, item: &Diagnostic, style: Style, out: &mut String) {
        let _ = writeln!(out, "{}", self.headline(item));
        if let Some(place) = item.place {
            excerpt::excerpt(&self.sources, place, &item.labels, style, out);
        }
        for (place, text) in &item.labels {
            if item.place.is_none_or(|p| p.file != place.file)
                && let Some((source, line, column)) = self.locate(*place)
            {
                let _ = writeln!(out, "  {}:{line}:{column}: {text}", source.name);
            }
        }
        if let Some(help) = &item.help {
            let _ = writeln!(out, "  help: {help}");
        }
    }

    /// For machines: an array of objects with `file`, `line`, `column`, `offset`, `len` (null without a place), `severity`, `code`,
    /// `message`, `help`, `module`, `labels` (`file`, `line`, `column`, `offset`, `len`, `text`). A last one of code `more` counts the rest.
    pub fn to_json(&self) -> Value {
        let (shown, more) = self.shown();
        let mut all: Vec<Value> = shown
            .into_iter()
            .map(|d| {
                let mut object = self.place_json(d.place);
                object["severity"] = json!(d.severity.to_string());
                object["code"] = json!(d.code);
                object["message"] = json!(d.message);
                object["help"] = json!(d.help);
                object["module"] = json!(d.module);
                object["labels"] = d
                    .labels
                    .iter()
                    .map(|(place, text)| {
                        let mut label = self.place_json(Some(*place));
                        label["text"] = json!(text);
                        label
                    })
                    .collect();
                object
            })
            .collect();
        if more > 0 {
            let mut object = self.place_json(None);
            object["severity"] = json!("error");
            object["code"] = json!("more");
            object["message"] = json!(format!("and {more} more"));
            object["help"] = Value::Null;
            object["module"] = Value::Null;
            object["labels"] = json!([]);
            all.push(object);
        }
        Value::Array(all)
    }

    fn place_json(&self, place: Option<Place>) -> Value {
        match place.and_then(|p| self.locate(p).map(|l| (p, l))) {
            Some((p, (source, line, column))) => json!({
                "file": source.name, "line": line, "column": column, "offset": p.offset, "len": p.len,
            }),
            None => {
                json!({"file": null, "line": null, "column": null, "offset": null, "len": null})
            }
        }
    }

    /// The file, line and column of a place, both from 1, the column in characters. `None`: no such file.
    pub fn locate(&self, place: Place) -> Option<(&Source, usize, usize)> {
        let source = self.sources.get(place.file as usize)?;
        let (line, column) = position(&source.text, place.offset as usize);
        Some((source, line, column))
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(item: Diagnostic) -> Self {
        let mut all = Self::default();
        all.push(item);
        all
    }
}

impl Extend<Diagnostic> for Diagnostics {
    fn extend<I: IntoIterator<Item = Diagnostic>>(&mut self, items: I) {
        items.into_iter().for_each(|d| self.push(d));
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Style::PLAIN))
    }
}

impl std::error::Error for Diagnostics {}

/// Line and column of a byte offset, from 1; the column counts characters, a byte order mark none.
pub fn position(text: &str, offset: usize) -> (usize, usize) {
    let offset = floor_boundary(text, offset);
    let before = &text[..offset];
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let column = before[start..].chars().filter(|c| *c != '\u{FEFF}').count() + 1;
    (line, column)
}

/// The nearest character boundary at or before `offset`.
fn floor_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests;
