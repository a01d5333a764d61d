//! `anyproxy variables`: every variable that there is, from the tables by which their names are found.

use super::core;
use crate::{config, loader::Image};
use serde_json::{Value, json};
use std::{borrow::Cow, fmt::Write as _, sync::Arc};

/// A variable, or a family of them, as people write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<'a> {
    /// Whose it is.
    pub module: &'a str,
    /// Its name; of a family with `<name>` at its end.
    pub name: String,
    /// One line of documentation.
    pub doc: Cow<'a, str>,
}

/// What `domain` and `rule` have captured, which no table has.
const GROUPS: (&str, &str) = (
    "re.<name>",
    "The named group `name` of the regular expression of `domain`, `rule` or a module's directive that matched.",
);

/// Those of the host, then those of each module, in the order of their tables. What the host knows the name of only, it lists
/// where no module gives it a value.
pub fn all(images: &[Arc<Image>]) -> Vec<Listed<'_>> {
    let of_modules = || images.iter().flat_map(|i| i.desc.variables.as_slice().iter().map(move |v| (i, v)));
    let is_taken = |name: &str| of_modules().any(|(_, v)| v.name.as_str() == name);
    let module = config::core::ID;
    let host = core::TABLE.iter().filter(|v| !v.open || !is_taken(v.name)).map(|v| match v.open {
        false => (v.name, v.doc.into()),
        true => (v.name, format!("{} No module here gives it a value.", v.doc).into()),
    });
    let host = host.chain([(GROUPS.0, GROUPS.1.into())]);
    let mut all: Vec<_> = host.map(|(name, doc)| Listed { module, name: name.to_owned(), doc }).collect();
    all.extend(of_modules().map(|(image, v)| Listed {
        module: &image.facts.id,
        name: format!("{}{}", v.name, if v.prefix { "<name>" } else { "" }),
        doc: v.doc.as_str().into(),
    }));
    all
}

/// One line a variable: name, module, documentation.
pub fn text(all: &[Listed<'_>]) -> String {
    let mut out = String::new();
    for Listed { module, name, doc } in all {
        let _ = writeln!(out, "{name:<36} {module:<10} {doc}");
    }
    out
}

/// An array of objects, one a variable.
pub fn json(all: &[Listed<'_>]) -> Value {
    all.iter().map(|v| json!({ "name": v.name, "module": v.module, "doc": v.doc })).collect()
}
