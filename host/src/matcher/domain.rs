//! A set of domains, each with a value. Decides by exact name, then by the longest wildcard, then by regular
//! expression in the order of the file. Knows neither where a name comes from nor what is chosen by it.
//!
//! `www.example.cn` is exact. `*.example.cn` matches every name below `example.cn` at any depth, and not `example.cn`.
//! `~^(?<shop>[a-z]+)\.shop\.cn$` is a regular expression over the name in lower case, searched anywhere unless anchored.
//! Case and one trailing dot of a looked-up name are ignored. Names are A-labels (RFC 5890 section 2.3.2.1).

use std::collections::HashMap;
use std::fmt;

use super::punycode::a_label;
use super::{CaptureNames, CaptureValues, named_groups, regex, store};

/// Longest name in bytes, without the trailing dot (RFC 1035 section 2.3.4, in text form).
pub const MAX_NAME: usize = 253;

/// A compiled set.
#[derive(Debug)]
pub struct DomainSet<T> {
    exact: HashMap<Box<[u8]>, usize>,
    /// Keys without the leading `*.`.
    wildcard: HashMap<Box<[u8]>, usize>,
    /// Most dots of any wildcard key: suffixes with more are not worth a probe. None: no wildcards.
    deepest: Option<usize>,
    regexes: Vec<Pattern>,
    values: Vec<T>,
}

#[derive(Debug)]
struct Pattern {
    regex: regex::bytes::Regex,
    groups: Box<[(usize, u32)]>,
    index: usize,
}

/// What matched.
#[derive(Debug, PartialEq, Eq)]
pub struct Match<'a, T> {
    /// The value given with the pattern.
    pub value: &'a T,
    /// Which pattern, in the order given.
    pub index: usize,
    /// Which kind of pattern.
    pub kind: Kind,
}

/// Kinds of patterns, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole name.
    Exact,
    /// `*.` and a suffix.
    Wildcard,
    /// `~` and a regular expression.
    Regex,
}

/// A pattern that cannot be part of the set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainError {
    /// Which pattern, in the order given.
    pub index: usize,
    /// The earlier pattern that means the same, for a duplicate.
    pub earlier: Option<usize>,
    /// What is wrong, and what to write instead where that is known.
    pub message: String,
}

impl fmt::Display for DomainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DomainError {}

impl<T> DomainSet<T> {
    /// Compiles patterns with their values, in the order of the file. Named groups get slots in `names`. All mistakes
    /// are reported together.
    pub fn compile<'p>(
        patterns: impl IntoIterator<Item = (&'p str, T)>,
        names: &mut CaptureNames,
    ) -> Result<Self, Vec<DomainError>> {
        let mut set = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            deepest: None,
            regexes: Vec::new(),
            values: Vec::new(),
        };
        let mut expressions: HashMap<&str, usize> = HashMap::new();
        let mut errors = Vec::new();
        for (index, (pattern, value)) in patterns.into_iter().enumerate() {
            set.values.push(value);
            let earlier = match parse(pattern) {
                Ok(Parsed::Exact(name)) => insert(&mut set.exact, name, index),
                Ok(Parsed::Wildcard(suffix)) => {
                    let dots = suffix.iter().filter(|&&byte| byte == b'.').count();
                    set.deepest = set.deepest.max(Some(dots));
                    insert(&mut set.wildcard, suffix, index)
                }
                Ok(Parsed::Regex(text)) => match (expressions.get(text), regex(text, true)) {
                    (Some(&earlier), _) => Some(earlier),
                    (None, Ok(regex)) => {
                        expressions.insert(text, index);
                        let groups = named_groups(&regex, names);
                        set.regexes.push(Pattern { regex, groups, index });
                        None
                    }
                    (None, Err(message)) => {
                        errors.push(DomainError { index, earlier: None, message });
                        None
                    }
                },
                Err(message) => {
                    errors.push(DomainError { index, earlier: None, message });
                    None
                }
            };
            if earlier.is_some() {
                errors.push(DomainError { index, earlier, message: format!("domain {pattern:?} is there already") });
            }
        }
        if errors.is_empty() { Ok(set) } else { Err(errors) }
    }

    /// The strongest pattern that matches. Named groups of a regular expression go to `captures`, which is otherwise left
    /// alone. Exact names and wildcards cost one hash probe a label and no allocation. None also for a name longer than
    /// [`MAX_NAME`].
    pub fn lookup(&self, name: &[u8], captures: &mut CaptureValues) -> Option<Match<'_, T>> {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let mut lower = [0; MAX_NAME];
        let lower = lower.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        let lower = &*lower;
        if lower.is_empty() {
            return None;
        }
        if let Some(&index) = self.exact.get(lower) {
            return Some(self.found(index, Kind::Exact));
        }
        if let Some(index) = self.suffix(lower) {
            return Some(self.found(index, Kind::Wildcard));
        }
        let pattern = self.regexes.iter().find(|pattern| pattern.regex.is_match(lower))?;
        store(&pattern.regex, &pattern.groups, lower, captures);
        Some(self.found(pattern.index, Kind::Regex))
    }

    /// The values, in the order given.
    pub fn values(&self) -> &[T] {
        &self.values
    }

    /// True: nothing can match.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn found(&self, index: usize, kind: Kind) -> Match<'_, T> {
        Match { value: &self.values[index], index, kind }
    }

    fn suffix(&self, name: &[u8]) -> Option<usize> {
        let deepest = self.deepest?;
        let mut dots = name.iter().filter(|&&byte| byte == b'.').count();
        for (at, _) in name.iter().enumerate().filter(|(_, byte)| **byte == b'.') {
            dots -= 1;
            // An empty first label is no name below the suffix.
            if dots <= deepest
                && at > 0
                && let Some(&index) = self.wildcard.get(&name[at + 1..])
            {
                return Some(index);
            }
        }
        None
    }
}

/// The index that has `key` already, if any.
fn insert(map: &mut HashMap<Box<[u8]>, usize>, key: Box<[u8]>, index: usize) -> Option<usize> {
    let first = *map.entry(key).or_insert(index);
    (first != index).then_some(first)
}

enum Parsed<'p> {
    Exact(Box<[u8]>),
    Wildcard(Box<[u8]>),
    Regex(&'p str),
}

/// Checks one pattern by itself, without compiling a regular expression.
fn parse(pattern: &str) -> Result<Parsed<'_>, String> {
    if let Some(text) = pattern.strip_prefix('~') {
        return if text.is_empty() { Err("an empty regular expression".into()) } else { Ok(Parsed::Regex(text)) };
    }
    if pattern == "*" {
        return Err("\"*\" is no domain; a server that takes what no other does is the default_server".into());
    }
    if let Some(rest) = pattern.strip_prefix('.').filter(|rest| !rest.is_empty()) {
        return Err(format!(
            "domain {pattern:?} begins with a dot; write \"*.{rest}\" for the names below, and {rest:?} for itself"
        ));
    }
    match pattern.strip_prefix("*.") {
        Some(suffix) => name(pattern, suffix).map(Parsed::Wildcard),
        None => name(pattern, pattern).map(Parsed::Exact),
    }
}

/// The name in lower case without its trailing dot.
fn name(pattern: &str, text: &str) -> Result<Box<[u8]>, String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Err("an empty domain".into());
    }
    if text.contains('*') {
        return Err(format!(
            "domain {pattern:?}: \"*\" stands only as the whole first label, as in \"*.example.cn\"; \
             anything else is a regular expression, \"~^…$\""
        ));
    }
    if !text.is_ascii() {
        return Err(foreign(pattern));
    }
    if text.len() > MAX_NAME {
        return Err(format!("a domain has at most {MAX_NAME} bytes, this one has {}", text.len()));
    }
    for label in text.split('.') {
        let reason = match label.bytes().find(|byte| !(byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))) {
            _ if label.is_empty() => "has an empty label".to_owned(),
            _ if label.len() > 63 => {
                format!("has a label of {} bytes; 63 is the most", label.len())
            }
            Some(b':') => "holds \":\"; a domain has no port, and an IPv6 address is none".to_owned(),
            Some(b'/') => "holds \"/\"; a domain has no scheme and no path".to_owned(),
            Some(byte) => format!("holds {:?}", char::from(byte)),
            None if label.starts_with('-') || label.ends_with('-') => {
                format!("has the label {label:?}, which begins or ends with \"-\"")
            }
            None => continue,
        };
        return Err(format!("domain {pattern:?} {reason}"));
    }
    Ok(text.to_ascii_lowercase().into_bytes().into())
}

/// The message for a name in another script.
fn foreign(pattern: &str) -> String {
    // Peers send A-labels; "。" is what input methods give for a dot.
    let labels: Option<Vec<String>> = pattern
        .split(['.', '\u{3002}'])
        .take(128)
        .map(|label| if label.is_ascii() { Some(label.to_owned()) } else { a_label(label) })
        .collect();
    match labels {
        Some(labels) => format!("domain {pattern:?} is not ASCII; write its punycode form {:?}", labels.join(".")),
        None => format!("domain {pattern:?} is not ASCII; write its punycode form (xn--…)"),
    }
}

#[cfg(test)]
#[path = "domain_tests.rs"]
mod tests;
