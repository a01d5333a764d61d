//! The modules that a document names: found, loaded, their contracts there.

use crate::{
    config::{
        self, ModuleDirectives,
        diagnostic::{Diagnostic, Diagnostics},
        document::Document,
        tree::LoadModule,
    },
    loader::Image,
    process::process,
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// Loads what the document names.
///
/// # Errors
/// One line a module.
pub fn images(document: &Document) -> Result<Vec<Arc<Image>>, Diagnostics> {
    let mut wrong = Diagnostics::new(document.sources.clone());
    let dirs = module_dirs(config::modules_path(document));
    let mut images: Vec<(Arc<Image>, LoadModule)> = Vec::new();
    for m in config::pre_parse(document) {
        let at = |text: String| Diagnostic::error("module", text).at(m.place);
        match image_of(&m, &dirs) {
            Ok((image, path)) => match images.iter().find(|(i, _)| i.facts.id == image.facts.id) {
                Some((other, first)) => {
                    let text = format!(
                        "module {}: {} and {} have the same id",
                        image.facts.id,
                        other.path.display(),
                        path.display()
                    );
                    wrong.push(at(text).label(first.place, "the first one is here"));
                }
                None => images.push((image, m)),
            },
            Err(text) => wrong.push(at(text)),
        }
    }
    for (image, m) in &images {
        for need in image.desc.requires.as_slice().iter().filter(|r| !r.optional) {
            let text = match provider(&images, need.id.as_str()) {
                None => format!(
                    "module {} needs the contract {} {}.{}, and no loaded module provides it",
                    image.facts.id, need.id, need.major, need.minor
                ),
                Some((other, p)) if p.major != need.major || p.minor < need.minor => format!(
                    "module {} needs the contract {} {}.{}, module {other} provides {}.{}",
                    image.facts.id, need.id, need.major, need.minor, p.major, p.minor
                ),
                Some(_) => continue,
            };
            wrong.push(Diagnostic::error("contract", text).at(m.place));
        }
    }
    if wrong.has_errors() {
        return Err(wrong);
    }
    Ok(images.into_iter().map(|(i, _)| i).collect())
}

/// The image that a line of the document names, and where it was found.
fn image_of(m: &LoadModule, dirs: &[PathBuf]) -> Result<(Arc<Image>, PathBuf), String> {
    let linked = if m.is_path { None } else { process().images.linked(&m.name) };
    if let Some(image) = linked {
        let path = image.path.clone();
        return Ok((image, path));
    }
    let path = find(m, dirs)?;
    match process().images.load(&path) {
        Ok(image) => Ok((image, path)),
        // By path the name is the path.
        Err(text) if m.is_path => Err(format!("module {} {text}", path.display())),
        Err(text) => Err(format!("module {}: {} {text}", m.name, path.display())),
    }
}

fn provider<'a>(
    images: &'a [(Arc<Image>, LoadModule)],
    id: &str,
) -> Option<(&'a str, &'static anyproxy_module_api::abi::module::ProvidePoint)> {
    images.iter().find_map(|(i, _)| {
        let p = i.desc.provides.as_slice().iter().find(|p| p.id.as_str() == id)?;
        Some((i.facts.id.as_str(), p))
    })
}

fn module_dirs(more: Vec<PathBuf>) -> Vec<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|p| p.parent().map(Path::to_owned));
    beside.into_iter().chain(more).collect()
}

fn find(m: &LoadModule, dirs: &[PathBuf]) -> Result<PathBuf, String> {
    if m.is_path {
        return Ok(PathBuf::from(&m.name));
    }
    let suffix = std::env::consts::DLL_SUFFIX;
    let prefix = std::env::consts::DLL_PREFIX;
    // Cargo cannot write a dash into a library's name.
    let names = [
        format!("{prefix}anyproxy_{}{suffix}", m.name),
        format!("{prefix}anyproxy_{}{suffix}", m.name.replace('-', "_")),
    ];
    for dir in dirs {
        if let Some(found) = names.iter().map(|n| dir.join(n)).find(|p| p.is_file()) {
            return Ok(found);
        }
    }
    let looked: Vec<_> = dirs.iter().map(|d| d.display().to_string()).collect();
    Err(format!("module {}: there is no {} in {}", m.name, names[0], looked.join(", ")))
}

/// A module's tables for the configuration.
pub fn directives_of(image: &Image) -> ModuleDirectives {
    let datagrams: Vec<_> = image.desc.datagrams.as_slice().iter().map(|d| d.name.as_str()).collect();
    ModuleDirectives::new(&image.facts.id, image.desc.directives.as_slice()).datagram_points(&datagrams)
}
