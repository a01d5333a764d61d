use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::config::{diagnostic::Style, document::Raw};

/// A directory of its own, removed at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("anyproxy-include-{}-{number}", std::process::id());
        let dir = Self(std::env::temp_dir().join(name));
        for (name, text) in files {
            let path = dir.0.join(name);
            fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("temp dir");
            fs::write(path, text).expect("temp file");
        }
        dir
    }

    fn load(&self) -> Result<Document, Diagnostics> {
        load(self.0.join("main.kdl"))
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn names(nodes: &[RawNode]) -> Vec<&str> {
    nodes.iter().map(|n| n.name.as_str()).collect()
}

fn reasons(result: Result<Document, Diagnostics>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(all) => all.shown().0.into_iter().map(|d| d.message.clone()).collect(),
    }
}

const LINUX: Platform = Platform { linux: true, windows: false, macos: false, unix: true };

fn on_linux(text: &str) -> Result<Document, Diagnostics> {
    let env: &dyn Fn(&str) -> Option<OsString> = &|name| (name == "SET").then(|| "secret".into());
    load_text_in("main.kdl", text, &Surroundings { platform: LINUX, env })
}

#[test]
fn includes_take_the_place_of_their_node_sorted_in_any_block() {
    let dir = Dir::new(&[
        ("main.kdl", "net {\n  first\n  include \"sites/*.kdl\" \"none/*.kdl\"\n  last\n}\n"),
        ("sites/b.kdl", "b"),
        ("sites/a.kdl", "a; include \"../deep.kdl\""),
        ("sites/.hidden.kdl", "hidden"),
        ("deep.kdl", "deep"),
    ]);
    let document = dir.load().expect("valid");
    let net = document.nodes[0].children.as_deref().expect("a block");
    assert_eq!(names(net), ["first", "a", "deep", "b", "last"]);
    let file = &document.sources[net[2].place.file as usize];
    assert!(file.name.ends_with("deep.kdl") && file.path.is_absolute());
}

#[test]
fn a_missing_plain_name_and_a_cycle_are_errors() {
    let dir = Dir::new(&[
        ("main.kdl", "include \"gone.kdl\"\ninclude \"a.kdl\""),
        ("a.kdl", "include \"b.kdl\""),
        ("b.kdl", "include \"a.kdl\""),
    ]);
    let reasons = reasons(dir.load());
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[0].ends_with("gone.kdl: there is no such file"), "{reasons:?}");
    assert!(reasons[1].starts_with("files include each other: "), "{reasons:?}");
}

#[test]
fn includes_are_bounded_in_depth_and_number() {
    let mut files = vec![("main.kdl".to_owned(), "include \"0.kdl\"".to_owned())];
    files.extend((0..20).map(|n| (format!("{n}.kdl"), format!("include \"{}.kdl\"", n + 1))));
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(reasons(Dir::new(&files).load()), ["files include each other more than 16 deep"]);

    let mut files = vec![("main.kdl".to_owned(), "include \"0.kdl\"".to_owned())];
    files.extend((0..12).map(|n| {
        let one = format!("include \"{}.kdl\";", n + 1);
        (format!("{n}.kdl"), one.repeat(8))
    }));
    files.push(("12.kdl".to_owned(), "x".to_owned()));
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let reasons = reasons(Dir::new(&files).load());
    assert!(reasons[0].starts_with("the configuration is larger than"), "{reasons:?}");
}

#[test]
fn nodes_of_other_platforms_are_left_out() {
    let text = "(linux)a\n(windows)b { (env)\"X\" }\n(unix)c\n(macos)include \"gone.kdl\"\nd";
    assert_eq!(names(&on_linux(&text.replace("(env)\"X\"", "x (env)\"X\"")).expect("valid").nodes), ["a", "c", "d"]);
    assert_eq!(reasons(on_linux("(linus)a")), ["unknown platform (linus); did you mean \"linux\"?"]);
}

#[test]
fn loaded_values_are_redacted() {
    let document = on_linux("a (env)\"SET\" plain key=(env)\"SET\"").expect("valid");
    let node = &document.nodes[0];
    assert_eq!(node.args[0].data, Raw::Text("secret".to_owned()));
    assert!(node.args[0].redacted && !node.args[1].redacted && node.props[0].value.redacted);
    assert_eq!(reasons(on_linux("a (env)\"UNSET\"")), ["the environment variable UNSET is not set"]);
    assert_eq!(reasons(on_linux("a (evn)\"SET\"")), ["unknown tag (evn) on a value; did you mean \"env\"?"]);
}

#[test]
fn a_file_value_loses_one_newline_and_is_relative_to_its_file() {
    let dir = Dir::new(&[
        ("main.kdl", "include \"sub/a.kdl\""),
        ("sub/a.kdl", "a (file)\"secret\"; b (file)\"large\""),
        ("sub/secret", "s3cret\n\n"),
    ]);
    fs::write(dir.0.join("sub/large"), vec![b'x'; 1 << 20]).expect("temp file");
    let document = dir.load().expect("valid");
    assert_eq!(document.nodes[0].args[0].data, Raw::Text("s3cret\n".to_owned()));
    fs::write(dir.0.join("sub/large"), vec![b'x'; (1 << 20) + 1]).expect("temp file");
    assert_eq!(reasons(dir.load()), ["large is larger than 1 MiB"]);
}

#[test]
fn a_repeated_property_names_both_places() {
    let all = on_linux("log level=info level=debug").expect_err("repeated");
    let (shown, _) = all.shown();
    assert_eq!(shown[0].message, "level= is given twice to log");
    assert_eq!(shown[0].place.map(|p| p.offset), Some(15));
    assert_eq!(shown[0].labels[0].0.offset, 4);
}

/// Each `*.kdl` of the directory has its expected output beside it; `BLESS=1` writes it.
#[test]
fn mistakes_are_told_as_recorded() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/config/testdata/errors");
    let mut cases: Vec<PathBuf> = fs::read_dir(&dir)
        .expect("the cases are in the tree")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "kdl"))
        .collect();
    cases.sort();
    assert!(cases.len() >= 20, "only {} cases", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let text = fs::read_to_string(&case).expect("a case is text");
        let found = match on_linux(&text) {
            Ok(document) => document.warnings.render(Style::PLAIN),
            Err(all) => all.render(Style::PLAIN),
        };
        let golden = case.with_extension("txt");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&golden, &found).expect("the tree can be written");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if found.is_empty() || found != expected.replace("\r\n", "\n") {
            wrong.push(format!("{}:\n{found}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_is_no_text_is_refused_with_a_way_out() {
    let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"/tmp/\xff\xfe/main.kdl");
    let said = load(name).expect_err("it is no text").render(Style::PLAIN);
    assert!(said.contains("is not UTF-8") && said.contains("-c main.kdl"), "{said}");
}

/// A file of another encoding is shown, and where it goes wrong.
#[test]
fn what_is_no_utf8_has_its_place() {
    let dir = Dir::new(&[("main.kdl", "include \"latin.kdl\"")]);
    let text = b"common {\n    worker_threads 1   // Z\xfcrich\n}\n";
    fs::write(dir.0.join("latin.kdl"), text).expect("temp file");
    let said = dir.load().expect_err("it is none").render(Style::PLAIN);
    assert!(said.contains("latin.kdl:2:28: error: the byte FC is not UTF-8"), "{said}");
    assert!(said.contains("worker_threads 1   // Z\u{fffd}rich") && said.contains("save the file as UTF-8"), "{said}");
    fs::write(dir.0.join("main.kdl"), b"net {}\n\xff\xfe").expect("temp file");
    let found = dir.load().expect_err("it is none");
    assert!(found.render(Style::PLAIN).contains("main.kdl:2:1: error: the byte FF"), "{found}");
    assert_eq!(found.to_json()[0]["line"], 2, "{}", found.to_json());
}
