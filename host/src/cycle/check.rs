//! What a start would find that reading the configuration does not show, without one: modules prepare and undo it, files of
//! logs are looked at. Binds nothing, makes no file, and takes nothing from a generation that serves.

use super::{
    Cycle,
    prepare::{abort_modules, explain, modules, said_at},
};
use crate::{
    config::{
        address::Address,
        diagnostic::{Diagnostic, Diagnostics, Severity},
        document::Sources,
        tree::Tree,
    },
    control::{names, socket},
    log::Target,
    privileges,
    process::process,
    services::socket_file,
};
use anyproxy_module_api::abi::conf::Value;
use std::{
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
};

/// Warnings and errors, all that there are. The generation is not used after it. `control`: where a start would make its control
/// socket; `None`: a process serves, which has what only a start makes, and is perhaps somebody now who could not make it.
pub fn check(cycle: &Arc<Cycle>, sources: &Sources, control: Option<&Path>) -> Diagnostics {
    cycle.only_checked.store(true, Relaxed);
    let mut found = match modules(cycle, sources) {
        Ok(warnings) => {
            abort_modules(cycle, cycle.start_order().len());
            warnings
        }
        Err(said) => said,
    };
    let writer = &process().writer;
    let logs = cycle.logs.check(writer, &cycle.vars).into_iter();
    found.extend(logs.map(|(span, text)| said_at("access-log", text, Some(&span), sources)));
    found.extend(unix_listeners(cycle, sources));
    found.extend(gone_logs(cycle, sources));
    let nodes = |name: &'static str| cycle.tree.nodes(Tree::MAIN, 0).iter().filter(move |n| n.name.as_str() == name);
    let mut core = |name: &'static str, wrong: &dyn Fn(&Value<'_>) -> Option<String>| {
        for value in nodes(name).filter_map(|n| n.arg(0)) {
            if let Some(text) = wrong(value) {
                found.push(said_at(name, format!("{name}: {text}"), Some(&value.span), sources));
            }
        }
    };
    core("error_log", &|v| {
        let target = Target::new(&v.text);
        writer.check(&target).err().map(|e| format!("{target}: {e}"))
    });
    let Some(control) = control else { return found };
    core("pid", &|v| names::check(Path::new(v.text.as_str())).err().map(|e| format!("{}: {e}", v.text.as_str())));
    core("user", &|_| privileges::check(&cycle.settings).err());
    if let Err(e) = socket::check(control) {
        let said = nodes("control").find_map(|n| n.arg(0)).map(|v| &v.span);
        found.push(said_at("control", format!("control: {}: {e}", control.display()), said, sources));
    }
    found
}

/// Logs whose files are gone and cannot be made again, as warnings: the process that has them open goes on.
pub(super) fn gone_logs(cycle: &Cycle, sources: &Sources) -> Vec<Diagnostic> {
    let writer = &process().writer;
    let mut gone = cycle.logs.gone(writer);
    for value in
        cycle.tree.nodes(Tree::MAIN, 0).iter().filter(|n| n.name.as_str() == "error_log").filter_map(|n| n.arg(0))
    {
        let target = Target::new(&value.text);
        gone.extend(writer.check_open(&target).err().map(|e| (value.span, format!("error_log: {target}: {e}"))));
    }
    let warning =
        |(span, text)| Diagnostic { severity: Severity::Warning, ..said_at("log-gone", text, Some(&span), sources) };
    gone.into_iter().map(warning).collect()
}

/// Sockets that could not be bound. Whether somebody listens on an address is known when it is bound.
fn unix_listeners(cycle: &Cycle, sources: &Sources) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for socket in &cycle.tree.sockets {
        let Address::Unix(path) = &socket.address else { continue };
        let Err(e) = socket_file::check(path) else { continue };
        let user = socket.users[0];
        let span = cycle.tree.nets[user.net].servers[user.server].listens[user.listen].node.span;
        let text = format!("cannot listen on {}: {}", socket.address, explain(&e, &socket.address, false));
        found.push(said_at("listen", text, Some(&span), sources));
    }
    found
}
