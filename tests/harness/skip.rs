//! Saying that a test cannot run here. A skip is always printed with its reason, never silent.

use std::io::Write;
use std::path::PathBuf;

/// Prints `skipped: why`, and appends it with the test's name to the file that `ANYPROXY_SKIPPED` names (`make test`
/// shows that file at its end, as cargo hides what passing tests print). The test returns right after.
pub fn skip(why: &str) {
    let thread = std::thread::current();
    let line = format!("skipped: {}: {why}", thread.name().unwrap_or("?"));
    println!("{line}");
    if let Some(path) = std::env::var_os("ANYPROXY_SKIPPED") {
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        // One write: lines of tests that run at the same time do not mix.
        if let Ok(mut file) = file {
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }
}

/// Path of a program, looked up as a shell would and in `/usr/sbin`. `None` when it is not installed; the test then
/// calls [`skip`].
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_is_installed_only() {
        assert!(program("sh").is_some());
        assert_eq!(program("no-such-program-here"), None);
    }
}
