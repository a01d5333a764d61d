//! What the tables of host and modules say, for who writes a configuration: every directive, and every variable.

use super::{
    Args,
    output::{err, out},
    setup,
};
use crate::{
    config::{
        self, Schema,
        diagnostic::{Diagnostics, Style},
        directives, include,
    },
    control::exit,
    cycle::{build, vars::listing},
    loader::Image,
    process,
};
use std::{path::Path, sync::Arc};

/// `anyproxy directives`; the exit code.
pub(super) fn directives(a: &Args, names: &[String], config: &Path) -> i32 {
    let images = match all_images(a, config) {
        Ok(images) => images,
        Err(code) => return code,
    };
    let modules: Vec<config::ModuleDirectives> = images.iter().map(|i| build::directives_of(i)).collect();
    let schema = match Schema::new(&modules) {
        Ok(schema) => schema,
        Err(d) => return told(&d),
    };
    if let Some(dir) = &a.markdown {
        return match std::fs::create_dir_all(dir).and_then(|()| directives::markdown(&schema, dir)) {
            Ok(pages) => {
                out(format_args!("{}\n", pages.join("\n")));
                0
            }
            Err(e) => {
                err(format_args!("anyproxy: {}: {e}\n", dir.display()));
                exit::RUNNING
            }
        };
    }
    if a.json {
        out(format_args!("{}\n", directives::json(&schema)));
        return 0;
    }
    print(&directives::text(&schema), names, "directive")
}

/// `anyproxy variables`; the exit code.
pub(super) fn variables(a: &Args, names: &[String], config: &Path) -> i32 {
    let images = match all_images(a, config) {
        Ok(images) => images,
        Err(code) => return code,
    };
    let all = listing::all(&images);
    if a.json {
        out(format_args!("{}\n", listing::json(&all)));
        return 0;
    }
    print(&listing::text(&all), names, "variable")
}

/// The lines that have one of the names; all, where there are none. The exit code.
fn print(text: &str, names: &[String], of: &str) -> i32 {
    if names.is_empty() {
        out(text);
        return 0;
    }
    let found: Vec<_> = text.lines().filter(|l| names.iter().any(|n| l.contains(n.as_str()))).collect();
    if found.is_empty() {
        err(format_args!("anyproxy: no {of} has \"{}\" in its name or line\n", names.join("\" or \"")));
        return exit::CONFIG;
    }
    found.iter().for_each(|line| out(format_args!("{line}\n")));
    0
}

fn told(d: &Diagnostics) -> i32 {
    err(format_args!("{}", d.render(Style::of_stderr())));
    exit::CONFIG
}

/// Modules of the configuration given, else all beside the executable.
///
/// # Errors
/// The exit code, with what is wrong told.
fn all_images(a: &Args, config: &Path) -> Result<Vec<Arc<Image>>, i32> {
    if let Err(e) = setup() {
        err(format_args!("anyproxy: cannot start: {e}\n"));
        return Err(exit::RUNNING);
    }
    if a.config.is_some() {
        return include::load(config).and_then(|d| build::images(&d)).map_err(|d| told(&d));
    }
    let dir = std::env::current_exe().ok().and_then(|p| p.parent().map(Path::to_owned)).unwrap_or_default();
    let mut paths: Vec<_> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|e| e.ok().map(|e| e.path()))
        .filter(|p| {
            let name = p.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            name.starts_with(&format!("{}anyproxy_", std::env::consts::DLL_PREFIX))
                && name.ends_with(std::env::consts::DLL_SUFFIX)
        })
        .collect();
    paths.sort();
    let mut images = Vec::new();
    for p in paths {
        match process::process().images.load(&p) {
            Ok(i) => images.push(i),
            Err(e) => err(format_args!("anyproxy: {}: {e}\n", p.display())),
        }
    }
    Ok(images)
}
