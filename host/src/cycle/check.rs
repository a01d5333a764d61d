//! What a start would find that reading the configuration does not show, without one: modules prepare and undo it, files of
//! logs are looked at. Binds nothing, makes no file, and takes nothing from a generation that serves.

use super::{
    Cycle,
    prepare::{abort_modules, modules, said_at},
};
use crate::{
    config::{diagnostic::Diagnostics, document::Sources, tree::Tree},
    log::Target,
    privileges,
};
use anyproxy_module_api::abi::conf::Value;
use std::{
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// Warnings and errors, all that there are. The generation is not used after it.
pub fn check(cycle: &Arc<Cycle>, sources: &Sources) -> Diagnostics {
    cycle.only_checked.store(true, Relaxed);
    let mut found = match modules(cycle, sources) {
        Ok(warnings) => {
            abort_modules(cycle, cycle.start_order().len());
            warnings
        }
        Err(said) => said,
    };
    let logs = cycle.logs.check(&cycle.vars).into_iter();
    found.extend(logs.map(|(span, text)| said_at("access-log", text, Some(&span), sources)));
    let mut core = |name: &'static str, wrong: &dyn Fn(&Value) -> Option<String>| {
        for value in cycle.tree.nodes(Tree::MAIN, 0).iter().filter(|n| n.name.as_str() == name).filter_map(|n| n.arg(0))
        {
            if let Some(text) = wrong(value) {
                found.push(said_at(name, format!("{name}: {text}"), Some(&value.span), sources));
            }
        }
    };
    let unusable = |target: Target| target.check().err().map(|e| format!("{target}: {e}"));
    core("error_log", &|v| unusable(Target::new(&v.text)));
    core("pid", &|v| unusable(Target::File(PathBuf::from(v.text.as_str()))));
    // One that is there is a socket, which only a start can take over.
    core("control", &|v| {
        let path = PathBuf::from(v.text.as_str());
        if path.exists() { None } else { unusable(Target::File(path)) }
    });
    core("user", &|_| privileges::check(&cycle.settings).err());
    found
}
