//! Mistakes in a configuration, through the binary: each file of `mistakes/` (exit 1) and `doubts/` (warnings, exit 0) is
//! checked by `-t`, and what is said about it is compared with the `.txt` beside it. `ANYPROXY_BLESS=1 cargo test --test config` writes those anew; read the
//! difference before it is committed.

use std::fs;
use std::path::{Path, PathBuf};

use harness::{Proxy, binary};

/// The files of a directory, each with the exit code that it leads to.
fn files(dir: &str, code: i32) -> Vec<(PathBuf, i32)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(dir);
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("the directory is committed")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "kdl"))
        .collect();
    files.sort();
    files.into_iter().map(|file| (file, code)).collect()
}

fn all() -> Vec<(PathBuf, i32)> {
    [files("mistakes", 1), files("doubts", 0)].concat()
}

/// What `-t` says, with the places of this machine taken out.
fn said(file: &Path, code: i32) -> String {
    let builder = Proxy::builder().config(&fs::read_to_string(file).expect("text"));
    let dir = builder.dir().path().display().to_string();
    let output = builder.run(["-c", "main.kdl", "-t"]);
    let name = file.display();
    assert_eq!(output.code, Some(code), "{name}: {}\n{}", output.reason, output.stderr);
    assert_eq!(output.stdout, "", "{name}");
    assert!(!output.stderr.contains("panic"), "{name}: {}", output.stderr);
    let modules = binary().parent().expect("a directory").display().to_string();
    output.stderr.replace(&dir, "@DIR@").replace(&modules, "@MODULES@")
}

#[test]
fn each_is_explained_as_it_was() {
    let bless = std::env::var_os("ANYPROXY_BLESS").is_some();
    let mut wrong = Vec::new();
    let files = all();
    assert!(files.len() > 50);
    for (file, code) in files {
        let (said, golden) = (said(&file, code), file.with_extension("txt"));
        if bless {
            fs::write(&golden, &said).expect("the directory is ours");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if said != expected {
            wrong.push(format!("=== {}\n--- expected\n{expected}\n--- said\n{said}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_names_its_place_and_shows_it() {
    for (file, code) in all() {
        let said = said(&file, code);
        let first = said.lines().next().unwrap_or_default();
        let mut parts = first.split(':');
        assert_eq!(parts.next(), Some("main.kdl"), "{}: {first}", file.display());
        for _ in 0..2 {
            let number = parts.next().and_then(|n| n.parse::<u32>().ok());
            assert!(number.is_some_and(|n| n > 0), "{}: {first}", file.display());
        }
        assert!(said.contains('│') && said.contains(['─', '^']), "{}: no excerpt in\n{said}", file.display());
    }
}
