//! What still tells in files that cannot be read as a configuration: a word before a text. A guess, for whoever has to find the
//! running process all the same.

use super::files;
use anyproxy_module_api::read_regular;
use std::path::{Path, PathBuf};

/// Files looked at, in all.
const FILES: usize = 256;
/// Longest file, bytes.
const LONGEST: u64 = 16 << 20;

/// The paths that stand behind these words, the first of each, in the file or in what it includes. A line that is a comment says
/// nothing.
pub fn paths<const N: usize>(config: &Path, words: [&str; N]) -> [Option<PathBuf>; N] {
    let mut look = Look { words, found: [const { None }; N], left: FILES };
    look.file(config);
    look.found
}

struct Look<'a, const N: usize> {
    words: [&'a str; N],
    found: [Option<PathBuf>; N],
    left: usize,
}

impl<const N: usize> Look<'_, N> {
    fn file(&mut self, path: &Path) {
        // Those that include each other end here, too.
        let Some(left) = self.left.checked_sub(1) else { return };
        self.left = left;
        let text = read_regular(path, LONGEST).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let dir = path.parent().unwrap_or_else(|| Path::new(""));
        let lines = text.lines().filter(|l| !l.trim_start().starts_with("//"));
        for directive in lines.flat_map(|l| l.split(['{', ';'])) {
            for pattern in texts(directive, "include") {
                for (_, included) in files::expand(dir, dir, pattern).unwrap_or_default() {
                    self.file(&included);
                }
            }
            for (word, found) in self.words.iter().zip(&mut self.found) {
                if let (None, Some(said)) = (&found, texts(directive, word).next()) {
                    *found = Some(dir.join(said));
                }
            }
        }
    }
}

/// The texts behind a word: every other part between quotation marks.
fn texts<'a>(directive: &'a str, word: &str) -> impl Iterator<Item = &'a str> {
    let behind = directive.trim_start().strip_prefix(word).map(str::trim_start);
    behind.filter(|b| b.starts_with('"')).into_iter().flat_map(|b| b.split('"').skip(1).step_by(2))
}
