//! `anyproxy directives`: every directive of host and modules with a line about it, as text, JSON and pages.

use std::collections::HashSet;

use harness::{TempDir, command};

#[test]
fn as_text_every_one_has_a_line() {
    let all = command(["directives"]);
    all.assert(0, &["worker_threads", "proxy_pass_tcp", "hello"]);
    assert!(all.stdout.lines().all(|line| line.split_whitespace().count() >= 4), "{}", all.stdout);
    let some = command(["directives", "close_type"]);
    some.assert(0, &["close_type"]);
    assert!(some.stdout.lines().count() < 5, "{}", some.stdout);
    command(["directives", "frobnicate"]).assert(1, &["no directive has \"frobnicate\""]);
}

#[test]
fn as_json() {
    let output = command(["directives", "--json"]);
    output.assert(0, &[]);
    let value: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    let list = value.as_array().expect("a list");
    assert!(list.len() > 60, "{}", list.len());
    assert!(
        list.iter().all(|d| d["name"].is_string() && d["doc"].as_str().is_some_and(|doc| !doc.is_empty())),
        "{value}"
    );
}

#[test]
fn as_pages() {
    let dir = TempDir::new();
    let pages = dir.join("pages");
    let output = command(["directives", "--markdown", pages.to_str().expect("a plain name")]);
    output.assert(0, &["tcp"]);
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    for name in output.stdout.lines() {
        let text = page(name.rsplit('/').next().expect("a name"));
        assert!(text.starts_with("# "), "{name}");
    }
    let all: String = output.stdout.lines().map(|name| page(name.rsplit('/').next().expect("a name"))).collect();
    assert!(all.contains("close_type") && all.contains("worker_threads") && all.contains("hello"));
}

/// The generated pages are a reference; why and beside what one says a directive is in the book's own.
#[test]
fn the_book_has_a_word_on_every_one() {
    let book = concat!(env!("CARGO_MANIFEST_DIR"), "/../doc/src");
    let pages = std::fs::read_dir(book).expect("it is committed").map(|entry| entry.expect("an entry").path());
    let text: String = pages.filter_map(|page| std::fs::read_to_string(page).ok()).collect();
    let words: HashSet<_> = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let output = command(["directives", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    let names = value.as_array().expect("a list").iter().map(|d| d["name"].as_str().expect("a name"));
    let missing: Vec<_> = names.filter(|name| !words.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
