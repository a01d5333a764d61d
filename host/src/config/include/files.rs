//! Bounded reading of files and the patterns of `include`. Knows nothing of what is in the files.

use anyproxy_module_api::read_regular;
use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// Why a file cannot be had.
pub(super) enum Failure {
    /// More than allowed.
    TooLong,
    /// Its bytes are no UTF-8.
    NotText(NotText),
    /// In words.
    Other(String),
}

/// A file that is no UTF-8, as it can be shown.
pub(super) struct NotText {
    /// Its text, with U+FFFD for what is none.
    pub(super) shown: String,
    /// Where the first of those stands in it, bytes.
    pub(super) at: usize,
    /// The byte in the file there.
    pub(super) byte: u8,
}

/// A file's text, at most `limit` bytes.
pub(super) fn read(path: &Path, limit: u64) -> Result<String, Failure> {
    let bytes = read_regular(path, limit).map_err(|e| match e.kind() {
        io::ErrorKind::FileTooLarge => Failure::TooLong,
        _ => Failure::Other(reason(&e)),
    })?;
    String::from_utf8(bytes).map_err(|e| {
        let (at, bytes) = (e.utf8_error().valid_up_to(), e.as_bytes());
        let byte = bytes.get(at).copied().unwrap_or_default();
        Failure::NotText(NotText { shown: String::from_utf8_lossy(bytes).into_owned(), at, byte })
    })
}

/// The same for all ways to name one file. A file that cannot be resolved stands for itself.
pub(super) fn canonical(path: &Path) -> PathBuf {
    fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

/// The files that `pattern` names, sorted, each with its name for messages (under `shown`) and its path (under `base`).
/// `*` and `?` stand for any characters of one part of the path; a leading `.` must be written. Directories are no match.
pub(super) fn expand(shown: &Path, base: &Path, pattern: &str) -> Result<Vec<(String, PathBuf)>, String> {
    if pattern.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if !is_wild(pattern) {
        let name = shown.join(pattern).display().to_string();
        return Ok(vec![(name, base.join(pattern))]);
    }
    if pattern.contains("**") {
        return Err("** is not used; a pattern names one level with *".to_owned());
    }
    let mut found = vec![(shown.to_owned(), base.to_owned())];
    for part in Path::new(pattern).components() {
        let text = part.as_os_str().to_string_lossy();
        if !matches!(part, Component::Normal(_)) || !is_wild(&text) {
            for (name, path) in &mut found {
                name.push(part);
                path.push(part);
            }
            continue;
        }
        let mut next = Vec::new();
        for (name, path) in found {
            for entry in entries(&path)? {
                if matches(&text, &entry) {
                    next.push((name.join(&entry), path.join(&entry)));
                }
            }
        }
        found = next;
    }
    let mut files: Vec<(String, PathBuf)> = found
        .into_iter()
        .filter(|(_, path)| path.is_file())
        .map(|(name, path)| (name.display().to_string(), path))
        .collect();
    files.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(files)
}

/// Names in a directory; none if there is no such directory.
fn entries(path: &Path) -> Result<Vec<String>, String> {
    let listing = match fs::read_dir(path) {
        Ok(listing) => listing,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(format!("{}: {}", path.display(), reason(&e))),
    };
    listing
        .map(|entry| {
            let entry = entry.map_err(|e| format!("{}: {}", path.display(), reason(&e)))?;
            entry.file_name().into_string().map_err(|name| format!("{} is not UTF-8", name.display()))
        })
        .collect()
}

fn is_wild(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// Linear in the product of the lengths: of the stars only the last is ever taken back.
fn matches(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Without the number that the system adds.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_and_question_marks_match_within_a_name() {
        for (pattern, name, hit) in [
            ("*.kdl", "a.kdl", true),
            ("*.kdl", ".a.kdl", false),
            (".*.kdl", ".a.kdl", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b", false),
            ("?.kdl", "é.kdl", true),
            ("?.kdl", ".kdl", false),
            ("*", "", true),
        ] {
            assert_eq!(matches(pattern, name), hit, "{pattern} {name}");
        }
    }
}
