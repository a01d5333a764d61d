//! Behaviour of lines in JSON: whatever a value holds, a line is one object that says it.

use super::*;
use crate::{
    config::{ModuleDirectives, include, load},
    template::VarRef,
};
use serde_json::{Value as Json, json};
use std::cell::RefCell;

/// Every name is a variable, numbered as they come.
#[derive(Default)]
struct Names(RefCell<Vec<String>>);

impl Resolver for Names {
    fn variable(&self, name: &str) -> Option<VarRef> {
        let mut names = self.0.borrow_mut();
        let slot = names.iter().position(|n| n == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        Some(VarRef::new(0, slot as u32))
    }
}

/// Values by name; what is not here is absent.
struct Given<'a>(&'a Names, Vec<(&'static str, Vec<u8>)>);

impl Values for Given<'_> {
    fn write(&self, var: VarRef, out: &mut Vec<u8>) -> Option<Written> {
        let names = self.0.0.borrow();
        let value = self.1.iter().find(|(name, _)| *name == names[var.slot as usize]);
        out.extend_from_slice(value.map_or(&[][..], |(_, v)| v));
        value.map(|_| Written::Any)
    }
}

fn tree(log: &str) -> Tree {
    let text = format!("net {{\n{log}\n}}");
    let document = include::load_text("/x/main.kdl", &text).expect("the text is KDL");
    match load(&document, &[ModuleDirectives::new("x", &[])]) {
        Ok((tree, _)) => tree,
        Err(wrong) => panic!("{wrong}"),
    }
}

fn node(tree: &Tree) -> &Node<'_> {
    tree.nodes(tree.nets[0].scope, 0).iter().find(|n| n.name.as_str() == "access_log").expect("it stands there")
}

/// The line of an `access_log` for these values.
fn raw(log: &str, values: &[(&'static str, &[u8])]) -> Vec<u8> {
    let tree = tree(log);
    let names = Names::default();
    let templates: Vec<_> =
        tree.templates.iter().map(|t| Template::compile(t.text.as_str(), &names).expect("compiles")).collect();
    let line = JsonLine::new(&fields(node(&tree)).expect("JSON"), &names).expect("compiles");
    let values = Given(&names, values.iter().map(|(n, v)| (*n, v.to_vec())).collect());
    let mut out = b"before ".to_vec();
    line.write(&values, &templates, &mut out);
    out.split_off(7)
}

fn line(log: &str, values: &[(&'static str, &[u8])]) -> Json {
    let raw = raw(log, values);
    serde_json::from_slice(&raw).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&raw)))
}

#[test]
fn fields_are_what_they_are_said_to_be() {
    let log = r#"access_log "a" { field "t" "${a}"; field "n" "${b}" as="number"; field "b" "${c}" as="bool"; field "x" "${a}-${d}-\"" }"#;
    let all = line(log, &[("a", b"text"), ("b", b"-12.5e3"), ("c", b"1")]);
    assert_eq!(all, json!({"t": "text", "n": -12500.0, "b": true, "x": "text--\""}));
    assert_eq!(line(log, &[]), json!({"t": null, "n": null, "b": null, "x": "--\""}), "absent values are null");
    let odd = line(log, &[("a", b""), ("b", b"07"), ("c", b"maybe")]);
    assert_eq!(odd, json!({"t": "", "n": "07", "b": "maybe", "x": "--\""}), "what is no number stays text");
    assert_eq!(
        raw(log, &[("b", b"12345678901234567890123"), ("c", b"false")]),
        br#"{"t":null,"n":12345678901234567890123,"b":false,"x":"--\""}"#,
        "every digit, in the order of the file"
    );
}

#[test]
fn the_default_is_one_word_and_more_can_be_added_to_it() {
    let all = line(r#"access_log "a" format="json""#, &[("status", b"200"), ("client_addr", b"[::1]:5")]);
    assert_eq!((&all["status"], &all["client_addr"], &all["domain"]), (&json!(200), &json!("[::1]:5"), &Json::Null));
    assert_eq!(all.as_object().expect("an object").len(), DEFAULT.len());
    let more = line(
        r#"access_log "a" format="json" { field "uri" "${u}"; field "status" "s${status}" }"#,
        &[("status", b"200"), ("u", b"/")],
    );
    assert_eq!((&more["uri"], &more["status"]), (&json!("/"), &json!("s200")));
    assert_eq!(more.as_object().expect("an object").len(), DEFAULT.len() + 1);
    assert!(fields(node(&tree("access_log \"a\" format=\"${status}\""))).is_none());
    assert!(fields(node(&tree("access_log \"a\""))).is_none());
}

#[test]
fn the_default_fields_are_variables_of_the_host() {
    let vars = crate::cycle::vars::VarTable::new(&[]).expect("no clash");
    JsonLine::new(&fields(node(&tree("access_log \"a\" format=\"json\""))).expect("JSON"), &vars).expect("compiles");
}

#[test]
fn no_value_leaves_its_field() {
    let log = r#"access_log "a" { field "v" "${v}"; field "n" "${v}" as="number"; field "end" "${e}" }"#;
    let hostile: [&[u8]; 9] = [
        b"\"},{\"v\":\"",
        b"\\",
        b"\\\"",
        b"a\nb\r\nc\td",
        b"\0\x01\x1f\x7f",
        b"\xff\xfe ok \xc3",
        "\u{2028}\u{1f600}é".as_bytes(),
        b"null",
        b"1,\"x\":2",
    ];
    for value in hostile {
        let raw = raw(log, &[("v", value), ("e", b"end")]);
        assert!(raw.iter().all(|b| *b >= 0x20 && *b != 0x7f), "{}", raw.escape_ascii());
        let all: Json = serde_json::from_slice(&raw).unwrap_or_else(|e| panic!("{e}: {}", raw.escape_ascii()));
        assert_eq!(all["v"], json!(String::from_utf8_lossy(value)));
        assert_eq!(all["n"], json!(String::from_utf8_lossy(value)));
        assert_eq!((&all["end"], all.as_object().expect("an object").len()), (&json!("end"), 3));
    }
}

#[test]
fn numbers_are_those_of_the_rfc() {
    for yes in ["0", "-0", "10", "1.5", "1e5", "1E+05", "0.001", "-1.0e-9"] {
        assert!(is_number(yes.as_bytes()) && serde_json::from_str::<Json>(yes).is_ok(), "{yes}");
    }
    for no in ["", "-", "01", "1.", ".5", "+1", "1e", "1e+", "0x1", "1 ", "NaN", "1.2.3", "1e5.0"] {
        assert!(
            !is_number(no.as_bytes()) && serde_json::from_str::<Json>(no.trim_matches(' ')).is_err() || no == "1 ",
            "{no}"
        );
    }
}

#[test]
fn a_long_line_is_cut_within_values_and_stays_json() {
    let log = r#"access_log "a" { field "a" "${a}"; field "b" "${b}"; field "n" "${n}" as="number"; field "f" "${f}" as="bool" }"#;
    for unit in [&b"x"[..], b"\"", b"\x01", b"\xff", "é".as_bytes(), "\u{1f600}".as_bytes(), b"a\\b\n\x02"] {
        for shift in 0..7 {
            let mut long = vec![b'.'; shift];
            long.extend(unit.repeat(MAX_LINE));
            let raw = raw(log, &[("a", &long), ("b", &long), ("n", b"123456"), ("f", b"0")]);
            assert!(raw.len() < MAX_LINE, "with its end it fits: {}", raw.len());
            assert!(raw.len() > MAX_LINE - 40, "no more is cut than needs be: {}", raw.len());
            let all: Json = serde_json::from_slice(&raw).expect("JSON");
            assert_eq!(all.as_object().expect("an object").len(), 4);
        }
    }
}

#[test]
fn what_is_wrong_with_fields_is_told_once() {
    let told = |log: &str| wrong(&tree(log)).into_iter().map(|(span, text, _)| (span.line, text)).collect::<Vec<_>>();
    assert!(told("access_log \"a\" format=\"json\" {\nfield \"a\" \"b\"\n}").is_empty());
    assert_eq!(
        told("access_log \"a\" {\nfield \"a\" \"b\"\nfield \"a\" \"c\"\n}"),
        [(4, "a line has the field \"a\" twice".to_owned())]
    );
    let both = told("access_log \"a\" format=\"${x}\" {\nfield \"a\" \"b\"\n}");
    assert_eq!(both, [(2, "\"format\" and \"field\" both say what a line is".to_owned())]);
    let many: String = (0..200).map(|n| format!("field \"{}{n}\" \"x\"\n", "long".repeat(25))).collect();
    let many = told(&format!("access_log \"a\" {{\n{many}}}"));
    assert!(many.len() == 1 && many[0].1.contains("bytes of a line"), "{many:?}");
}
