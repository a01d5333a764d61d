//! `anyproxy variables`: every variable of host and modules, and the tables of the book that are made of it.

use std::collections::BTreeMap;
use std::fmt::Write;

use harness::command;

#[test]
fn as_text_every_one_has_a_line() {
    let all = command(["variables"]);
    all.assert(0, &["client_addr", "http_cookie_<name>", "re.<name>", "open_sendfile"]);
    assert!(all.stdout.lines().all(|line| line.split_whitespace().count() >= 4), "{}", all.stdout);
    let some = command(["variables", "http_query"]);
    some.assert(0, &["http_query_<name>"]);
    assert_eq!(some.stdout.lines().count(), 1, "{}", some.stdout);
}

/// `ANYPROXY_BLESS=1` writes the tables anew.
#[test]
fn the_book_has_a_table_of_those_of_each_module() {
    let output = command(["variables", "--json"]);
    output.assert(0, &[]);
    let value: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
    let mut tables: BTreeMap<&str, String> = BTreeMap::new();
    for v in value.as_array().expect("a list") {
        let text = |key: &str| v[key].as_str().unwrap_or_else(|| panic!("no {key}: {v}"));
        let _ = writeln!(tables.entry(text("module")).or_default(), "| `{}` | {} |", text("name"), text("doc"));
    }
    assert!(tables.len() >= 3, "{:?}", tables.keys());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../doc/src/logs.md");
    let book = std::fs::read_to_string(path).expect("it is committed");
    let mut new = book.clone();
    for (module, table) in &tables {
        let heading = format!("## Variables of {}\n", if *module == "host" { "the host" } else { module });
        let at = new.find(&heading).unwrap_or_else(|| panic!("no {heading:?}"));
        let rows = at + new[at..].find("|---|---|\n").expect("a table") + "|---|---|\n".len();
        let end = new[rows..].find("\n\n").map_or(new.len(), |end| rows + end + 1);
        new.replace_range(rows..end, table);
    }
    if std::env::var_os("ANYPROXY_BLESS").is_some() {
        std::fs::write(path, new).expect("written");
    } else {
        assert_eq!(
            new, book,
            "ANYPROXY_BLESS=1 cargo test -p anyproxy-tests --test host variables writes the tables anew"
        );
    }
}
