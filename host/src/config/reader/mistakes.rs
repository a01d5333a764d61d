//! What people write when they mean something else, and what to tell them.

use crate::config::{
    diagnostic::{Diagnostic, did_you_mean},
    document::Place,
};

/// Whether none of these says more than that something is wrong.
pub(super) fn all_vague(problems: &[Diagnostic]) -> bool {
    problems.iter().all(|p| p.code == "syntax")
}

pub(super) fn unexpected(place: Place, what: &str) -> Diagnostic {
    Diagnostic::error("syntax", format!("{} is not expected here", short(what))).at(place)
}

pub(super) fn too_deep(place: Place) -> Diagnostic {
    let message = format!("blocks are nested more than {} deep", super::MAX_DEPTH);
    Diagnostic::error("depth", message).at(place)
}

pub(super) fn unquoted(place: Place, word: &str) -> Diagnostic {
    let word = unquote(word);
    let shown = short(&word);
    let why = if word.starts_with(|c: char| c.is_ascii_digit()) {
        "text that begins with a digit must be quoted".to_owned()
    } else if let Some(c) = word.chars().find(|c| r#"/\()[]#=""#.contains(*c)) {
        format!("text with {c} in it must be quoted")
    } else {
        "this must be quoted".to_owned()
    };
    Diagnostic::error("unquoted", format!("{shown}: {why}")).at(place).help(format!("write {}", quote(&word)))
}

/// The word without curly or single quotes around it.
fn unquote(word: &str) -> String {
    word.trim_matches(|c: char| c == '\'' || is_curly(c)).to_owned()
}

/// As a quoted string, raw if there are backslashes or quotes in it.
fn quote(word: &str) -> String {
    if !word.contains(['\\', '"']) {
        return format!("\"{word}\"");
    }
    let mut marks = "#".to_owned();
    while word.contains(&format!("\"{marks}")) {
        marks.push('#');
    }
    format!("{marks}\"{word}\"{marks}")
}

pub(super) fn reserved(place: Place, word: &str) -> Diagnostic {
    Diagnostic::error("keyword", format!("{word} is written #{word}"))
        .at(place)
        .help(format!("write #{word}, or \"{word}\" if text is meant"))
}

pub(super) fn unknown_keyword(place: Place, word: &str) -> Diagnostic {
    let meant = meant_keyword(&word[1..]);
    Diagnostic::error("keyword", format!("unknown keyword {}", short(word)))
        .at(place)
        .suggest(meant.as_deref())
        .help("keywords are #true, #false and #null; a comment begins with //")
}

/// The keyword that `#word` stands for.
pub(super) fn meant_keyword(word: &str) -> Option<String> {
    let known = ["true", "false", "null", "inf", "-inf", "nan"];
    let lower = word.to_lowercase();
    let meant = match lower.as_str() {
        "on" | "yes" => "true",
        "off" | "no" => "false",
        "nil" | "none" => "null",
        word => known.into_iter().find(|k| *k == word).or_else(|| did_you_mean(word, known))?,
    };
    Some(format!("#{meant}"))
}

pub(super) fn hash_comment(place: Place, text: &str) -> Diagnostic {
    let text = text.trim();
    let help = if text.is_empty() || text.chars().count() > 60 {
        "write // instead of #".to_owned()
    } else {
        format!("write // {text}")
    };
    Diagnostic::error("comment", "a comment begins with //, not with #").at(place).help(help)
}

pub(super) fn bad_escape(place: Place, written: &str, after: &str) -> Diagnostic {
    let help = if written.contains("\\\"") || written.contains(['\n', '\r']) {
        format!("for a backslash write \\\\: \\\\{after}")
    } else {
        let raw = quote(written);
        format!("in a raw string backslashes stand for themselves: {raw}")
    };
    Diagnostic::error("escape", format!("\\{after} is no escape of a quoted string")).at(place).help(help)
}

pub(super) fn open_string(place: Place) -> Diagnostic {
    Diagnostic::error("string", "the string that begins here does not end on its line")
        .at(place)
        .help("close it with \"; text of several lines stands between lines of \"\"\"")
}

pub(super) fn open_raw_string(place: Place, hashes: usize) -> Diagnostic {
    let marks = "#".repeat(hashes.min(16));
    Diagnostic::error("string", "the raw string that begins here is not closed")
        .at(place)
        .help(format!("close it with \"{marks}"))
}

pub(super) fn open_long_string(place: Place) -> Diagnostic {
    Diagnostic::error("string", "the string of several lines that begins here is not closed")
        .at(place)
        .help("close it with \"\"\" on a line of its own")
}

pub(super) fn open_comment(place: Place) -> Diagnostic {
    Diagnostic::error("comment", "the comment that begins here is not closed")
        .at(place)
        .help("close it with */; comments nest, so each /* needs one")
}

pub(super) fn text_after_quotes(place: Place) -> Diagnostic {
    Diagnostic::error("string", "after \"\"\" the text begins on the next line")
        .at(place)
        .help("put a line break after \"\"\", or use one \" for text of one line")
}

pub(super) fn text_before_quotes(place: Place) -> Diagnostic {
    Diagnostic::error("string", "the closing \"\"\" stands on a line of its own").at(place)
}

pub(super) fn indentation(line: Place, closing: Place) -> Diagnostic {
    Diagnostic::error("string", "this line is indented less than the closing \"\"\", or with other white space")
        .at(line)
        .label(closing, "its indentation is taken off each line")
}

pub(super) fn disallowed(place: Place, c: char) -> Diagnostic {
    let message = format!("the character U+{:04X} may not stand in a file", u32::from(c));
    let item = Diagnostic::error("character", message).at(place);
    match c {
        '\u{FEFF}' => item.help("a byte order mark belongs at the beginning of the file only"),
        '\0' => item.help("save the file as UTF-8"),
        _ => item.help(format!("in a quoted string write \\u{{{:x}}}", u32::from(c))),
    }
}

pub(super) fn unclosed(place: Place) -> Diagnostic {
    Diagnostic::error("unclosed", "the block that begins here is not closed").at(place).help("a } is missing")
}

pub(super) fn stray_brace(place: Place) -> Diagnostic {
    Diagnostic::error("brace", "this } closes nothing").at(place)
}

pub(super) fn second_block(place: Place) -> Diagnostic {
    Diagnostic::error("block", "a directive has one block only").at(place)
}

pub(super) fn block_without_name(place: Place) -> Diagnostic {
    Diagnostic::error("block", "a block belongs to a directive, and there is none before it")
        .at(place)
        .help("the { stands on the line of its directive: server {")
}

pub(super) fn after_block(place: Place) -> Diagnostic {
    Diagnostic::error("block", "after a block comes a new line or ;").at(place).help("values stand before the block")
}

pub(super) fn empty_statement(place: Place) -> Diagnostic {
    Diagnostic::error("semicolon", "there is nothing before this ;").at(place).help("leave it out")
}

pub(super) fn open_tag(place: Place) -> Diagnostic {
    Diagnostic::error("tag", "a tag is one word in parentheses")
        .at(place)
        .help("like (linux) or (env); text with parentheses must be quoted")
}

pub(super) fn no_value(place: Place, name: &str) -> Diagnostic {
    Diagnostic::error("property", format!("{} has no value", short(&format!("{name}="))))
        .at(place)
        .help("the value stands on the same line, after =")
}

pub(super) fn odd_property(place: Place) -> Diagnostic {
    Diagnostic::error("property", "a number or keyword is no name for a property")
        .at(place)
        .help("write name=value; text with = in it must be quoted")
}

pub(super) fn no_space(place: Place) -> Diagnostic {
    Diagnostic::error("space", "a space is missing here").at(place)
}

pub(super) fn separator(place: Place, mark: &str) -> Diagnostic {
    Diagnostic::error("separator", format!("{mark} does not separate values"))
        .at(place)
        .help("values are separated by spaces, a property is name=value")
}

pub(super) fn no_word(place: Place, what: &str, found: Option<char>) -> Diagnostic {
    match found {
        Some('=') => Diagnostic::error("property", "there is no name before this =").at(place).help("write name=value"),
        Some('(') => Diagnostic::error("tag", "a second ( is not expected here")
            .at(place)
            .help("text with parentheses must be quoted"),
        Some(c) if super::chars::is_disallowed(c) => disallowed(place, c),
        Some(c) => unexpected(place, &c.to_string()).help(format!("a {what} is expected")),
        None => unexpected(place, "the end").help(format!("a {what} is expected")),
    }
}

pub(super) fn odd_quotes(place: Place, word: &str) -> Diagnostic {
    let kind = if word.starts_with('\'') { "single quotes do" } else { "typographic quotes do" };
    Diagnostic::warning("quotes", format!("{kind} not quote: they are part of the word {}", short(word)))
        .at(place)
        .help(format!("write {}", quote(&unquote(word))))
}

pub(super) fn url(place: Place, word: &str) -> Diagnostic {
    Diagnostic::warning("comment", format!("// begins a comment, so the value is {} only", short(word)))
        .at(place)
        .help("quote the address: \"…\"")
}

/// Whether the word begins with a quotation mark that editors and web pages make of `"` or `'`.
pub(super) fn is_smart_quote(word: &str) -> bool {
    word.starts_with(is_curly)
}

fn is_curly(c: char) -> bool {
    matches!(c, '\u{2018}'..='\u{201F}' | '\u{AB}' | '\u{BB}' | '\u{300C}'..='\u{300F}' | '\u{FF02}')
}

/// At most 60 characters of it.
fn short(word: &str) -> String {
    if word.chars().count() <= 60 {
        return word.to_owned();
    }
    word.chars().take(60).chain(['…']).collect()
}
