//! Any text is read without a panic; what both the own reader and the `kdl` crate take has the same number of nodes and entries
//! with the same values; refused text has a reason that can be shown.
#![no_main]

use anyproxy_host::config::{
    include,
    reader::{
        self,
        syntax::{Node, Value},
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if text.contains("(file)") || text.contains("include") {
        return;
    }
    if let Ok(own) = reader::read_own(0, text)
        && let Some(theirs) = reader::read_by_crate(text)
    {
        same(&own.nodes, &theirs);
    }
    if let Err(all) = include::load_text("fuzz.kdl", text) {
        assert!(all.has_errors());
        assert!(!all.to_string().is_empty());
        assert!(all.to_json().is_array());
    }
});

fn same(own: &[Node<'_>], theirs: &[Node<'_>]) {
    assert_eq!(own.len(), theirs.len());
    for (a, b) in own.iter().zip(theirs) {
        assert_eq!(a.name.text, b.name.text);
        assert_eq!(a.entries.len(), b.entries.len());
        for (x, y) in a.entries.iter().zip(&b.entries) {
            match (&x.value, &y.value) {
                (Value::Float(p), Value::Float(q)) => assert_eq!(p.to_bits(), q.to_bits()),
                (p, q) => assert_eq!(p, q),
            }
        }
        assert_eq!(a.children.is_some(), b.children.is_some());
        if let (Some(x), Some(y)) = (&a.children, &b.children) {
            same(x, y);
        }
    }
}
