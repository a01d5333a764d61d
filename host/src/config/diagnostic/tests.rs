use std::sync::Arc;

use super::*;

fn about(text: &str) -> Diagnostics {
    Diagnostics::new(vec![Arc::new(Source {
        name: "main.kdl".to_owned(),
        path: "main.kdl".into(),
        text: text.to_owned(),
    })])
}

fn place(offset: u32, len: u32) -> Place {
    Place { file: 0, offset, len }
}

#[test]
fn a_finding_reads_as_file_line_column_reason_suggestion_module() {
    let text = format!("{}        procy_pass \"a\"\n", "\n".repeat(13));
    let mut all = about(&text);
    let word = did_you_mean("procy_pass", ["proxy_pass_tcp", "proxy_pass_ssl", "listen"]);
    all.push(
        Diagnostic::error("unknown-directive", "unknown directive \"procy_pass\" in local")
            .suggest(word)
            .module("tcp")
            .at(place(21, 10)),
    );
    let shown = all.render(Style::PLAIN);
    let mut lines = shown.lines();
    assert_eq!(
        lines.next(),
        Some(
            "main.kdl:14:9: error: unknown directive \"procy_pass\" in local; did you mean \"proxy_pass_tcp\"? (module tcp)"
        )
    );
    assert!(shown.contains("procy_pass \"a\"") && shown.contains("──────"), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no colours: {shown:?}");
}

#[test]
fn columns_count_characters() {
    let text = "\u{FEFF}é\t\"ü\" x\r\ny";
    assert_eq!(position(text, text.find('x').unwrap_or(0)), (1, 7));
    assert_eq!(position(text, text.len()), (2, 2));
    // Inside a character and past the end are no reason to panic.
    assert_eq!(position("é", 1), (1, 1));
    assert_eq!(position("é", 99), (1, 2));
}

#[test]
fn follow_on_errors_are_shown_only_alone() {
    let mut all = about("a b");
    all.push(Diagnostic::error("x", "consequence").at(place(2, 1)).follow_on());
    assert_eq!(all.shown().0.len(), 1);
    all.push(Diagnostic::error("x", "cause").at(place(0, 1)));
    let shown = all.shown().0;
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].message, "cause");
}

#[test]
fn after_a_hundred_the_rest_is_counted() {
    let mut all = about(&"x".repeat(5000));
    for n in 0..5000 {
        all.push(Diagnostic::error("x", "bad").at(place(n, 1)));
        all.push(Diagnostic::error("x", "bad").at(place(n, 1)));
    }
    let (shown, _) = all.shown();
    assert_eq!(shown.len(), 100);
    let text = all.render(Style::PLAIN);
    assert!(text.contains("and ") && text.trim_end().ends_with("more"));
    assert_eq!(all.to_json().as_array().map(Vec::len), Some(101));
}

#[test]
fn json_has_every_field() {
    let mut all = about("ab\ncd");
    all.push(Diagnostic::error("code", "message").at(place(3, 2)).label(place(0, 1), "here").help("do this"));
    assert_eq!(
        all.to_json(),
        json!([{
            "file": "main.kdl", "line": 2, "column": 1, "offset": 3, "len": 2, "severity": "error", "code": "code",
            "message": "message", "help": "do this", "module": null,
            "labels": [{"file": "main.kdl", "line": 1, "column": 1, "offset": 0, "len": 1, "text": "here"}],
        }])
    );
}

#[test]
fn a_part_of_a_long_line_is_shown() {
    let text = format!("{} wrong {}", "é".repeat(3000), "y".repeat(3000));
    let mut all = about(&text);
    all.push(Diagnostic::error("x", "bad").at(place(6001, 5)));
    let shown = all.render(Style::PLAIN);
    assert!(shown.len() < 1000 && shown.contains("wrong") && shown.contains("^^^^^"), "{shown}");
}

#[test]
fn a_place_anywhere_renders() {
    for text in ["", "é", "a\n", "\t\r\n\u{2028}x", "\u{FEFF}{"] {
        for offset in 0..8 {
            for len in 0..8 {
                let mut all = about(text);
                all.push(Diagnostic::error("x", "bad").at(place(offset, len)).label(place(len, offset), "l"));
                let _ = (all.render(Style::PLAIN), all.to_json());
            }
        }
    }
}

#[test]
fn only_near_words_are_suggested() {
    assert_eq!(did_you_mean("lisen", ["local", "listen"]), Some("listen"));
    assert_eq!(did_you_mean("Worker-Threads", ["worker_threads"]), Some("worker_threads"));
    assert_eq!(did_you_mean("zebra", ["local", "listen"]), None);
    assert_eq!(did_you_mean("", ["a"]), None);
}
