//! A configuration is checked: in a process of its own (`-t`), or beside the generation that serves.

use super::{
    Options, attached,
    reload::{Built, built, off_the_loop},
    socket,
};
use crate::{
    config::diagnostic::{Diagnostic, Diagnostics},
    cycle::check,
    process::process,
};
use std::{sync::Arc, time::Duration};

/// Checks the configuration in a process that does nothing else: warnings, or everything that is wrong.
///
/// # Errors
/// What a start would say, but for addresses that are taken.
pub fn run(options: &Options) -> Result<Diagnostics, Diagnostics> {
    let unable = |e| Diagnostics::from(Diagnostic::error("internal", format!("cannot start: {e}")));
    let runtime = super::new_runtime().map_err(unable)?;
    let found = runtime.block_on(async {
        attached().map_err(unable)?;
        checked(options, For::Start).await.map(|built| built.warnings)
    });
    // What modules said comes before what is found.
    process().error_log.flush(Duration::from_secs(2));
    found
}

/// What a configuration is checked for.
pub(super) enum For {
    /// A start.
    Start,
    /// A reload. `listens`: there are listeners now.
    Reload { listens: bool },
}

/// Builds the generation and lets it prepare and undo that. Of what is built nothing goes live.
pub(super) async fn checked(options: &Options, what_for: For) -> Result<Built, Diagnostics> {
    let built = built(&options.config).await?;
    let (mut built, control) = match what_for {
        For::Start => {
            let control = socket::path(options, &built.cycle.settings);
            (built, Some(control))
        }
        For::Reload { listens: true } => (built.that_listens()?, None),
        For::Reload { listens: false } => (built, None),
    };
    let (cycle, sources) = (Arc::clone(&built.cycle), built.warnings.sources().clone());
    let failed = |e| Diagnostic::error("internal", format!("checking the configuration: {e}")).into();
    let found = off_the_loop(move || check::check(&cycle, &sources, control.as_deref())).await.unwrap_or_else(failed);
    if found.has_errors() {
        return Err(found);
    }
    built.warnings.append(found);
    Ok(built)
}
