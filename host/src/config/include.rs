//! Loads a configuration: files read, includes put in their places, nodes of other platforms left out, `(env)` and `(file)` values
//! fetched. Knows nothing of directives but `include`.

mod files;
pub mod rough;
mod values;

use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    diagnostic::{Diagnostic, Diagnostics, did_you_mean},
    document::{Document, Place, RawNode, Source},
    reader::{
        self, MAX_DEPTH,
        syntax::{Name, Node, Span},
    },
};

/// All text read for one configuration, a file counted as often as it is included.
const MAX_BYTES: u64 = 64 << 20;
/// Includes within includes.
const MAX_INCLUDES: usize = 16;
/// Files read, counted likewise.
const MAX_FILES: usize = 65_536;

/// Where tagged nodes belong.
#[derive(Clone, Copy, Debug)]
pub struct Platform {
    /// Counts as `(linux)`.
    pub linux: bool,
    /// Counts as `(windows)`.
    pub windows: bool,
    /// Counts as `(macos)`.
    pub macos: bool,
    /// Counts as `(unix)`.
    pub unix: bool,
}

impl Platform {
    /// The one this program was built for.
    pub const CURRENT: Self = Self {
        linux: cfg!(target_os = "linux"),
        windows: cfg!(windows),
        macos: cfg!(target_os = "macos"),
        unix: cfg!(unix),
    };
}

/// What a configuration may ask of the system besides files.
pub struct Surroundings<'a> {
    /// The platform.
    pub platform: Platform,
    /// Environment variables.
    pub env: &'a dyn Fn(&str) -> Option<OsString>,
}

impl Surroundings<'_> {
    /// Those of this process.
    pub const REAL: Surroundings<'static> =
        Surroundings { platform: Platform::CURRENT, env: &|name| std::env::var_os(name) };
}

/// Reads the configuration that begins in the file `path`. Fails with every mistake found in every file.
pub fn load(path: impl AsRef<Path>) -> Result<Document, Diagnostics> {
    let path = path.as_ref();
    let mut loader = Loader::new(&Surroundings::REAL);
    let name = path.display().to_string();
    // Names beside it are text, of modules and their files too: they would be looked for elsewhere.
    if path.to_str().is_none() {
        let message = format!("cannot read {name}: its path is not UTF-8");
        let problem = Diagnostic::error("file", message);
        return Err(problem.help("go to its directory and name the file alone, -c main.kdl").into());
    }
    match loader.read_text(path) {
        Ok(text) => loader.run(name, path, text),
        Err(Unread::NotText(found)) => {
            loader.not_text(name, path, found);
            loader.done(Vec::new())
        }
        Err(Unread::Because(reason)) => {
            let message = format!("cannot read {name}: {reason}");
            Err(Diagnostic::error("file", message).into())
        }
    }
}

/// Reads `text` as if it stood in a file `name`, which need not exist; relative paths start at its directory.
pub fn load_text(name: &str, text: &str) -> Result<Document, Diagnostics> {
    load_text_in(name, text, &Surroundings::REAL)
}

/// Likewise, in other surroundings.
pub fn load_text_in(name: &str, text: &str, surroundings: &Surroundings<'_>) -> Result<Document, Diagnostics> {
    let mut loader = Loader::new(surroundings);
    loader.bytes = text.len() as u64;
    loader.run(name.to_owned(), Path::new(name), text.to_owned())
}

struct Loader<'a> {
    surroundings: &'a Surroundings<'a>,
    document: Document,
    problems: Diagnostics,
    /// Files being read, outermost first: number, and canonical path for finding cycles.
    stack: Vec<(u32, PathBuf)>,
    /// Files read before.
    known: HashMap<PathBuf, u32>,
    bytes: u64,
    files: usize,
    /// A limit was reached; said once.
    full: bool,
}

impl<'a> Loader<'a> {
    fn new(surroundings: &'a Surroundings<'a>) -> Self {
        Self {
            surroundings,
            document: Document::default(),
            problems: Diagnostics::default(),
            stack: Vec::new(),
            known: HashMap::new(),
            bytes: 0,
            files: 0,
            full: false,
        }
    }

    fn run(mut self, name: String, path: &Path, text: String) -> Result<Document, Diagnostics> {
        let number = self.add(name, path, text);
        let canonical = files::canonical(path);
        let nodes = self.file(number, canonical, 0);
        self.done(nodes)
    }

    fn done(mut self, nodes: Vec<RawNode>) -> Result<Document, Diagnostics> {
        self.problems.set_sources(self.document.sources.clone());
        self.document.nodes = nodes;
        if self.problems.has_errors() {
            return Err(self.problems);
        }
        self.document.warnings = self.problems;
        Ok(self.document)
    }

    /// Registers a file's text.
    fn add(&mut self, name: String, path: &Path, text: String) -> u32 {
        let number = u32::try_from(self.document.sources.len()).unwrap_or(u32::MAX);
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.known.insert(files::canonical(&path), number);
        self.document.sources.push(Arc::new(Source { name, path, text }));
        number
    }

    /// The nodes of a registered file, its includes expanded. `depth`: blocks around it.
    fn file(&mut self, number: u32, canonical: PathBuf, depth: usize) -> Vec<RawNode> {
        let Some(source) = self.document.sources.get(number as usize).cloned() else {
            return Vec::new();
        };
        self.stack.push((number, canonical));
        let nodes = match reader::read(number, &source.text) {
            Ok(read) => {
                self.problems.extend(read.warnings);
                self.nodes(read.nodes, depth)
            }
            Err(problems) => {
                self.problems.extend(problems);
                Vec::new()
            }
        };
        self.stack.pop();
        nodes
    }

    fn nodes(&mut self, nodes: Vec<Node<'_>>, depth: usize) -> Vec<RawNode> {
        let mut all = Vec::with_capacity(nodes.len());
        for node in nodes {
            if !self.belongs_here(node.tag.as_ref()) {
                continue;
            }
            if node.name.text == "include" {
                self.include(node, depth, &mut all);
                continue;
            }
            let place = self.place(node.name.span);
            let (args, props) = self.entries(node.entries, &node.name.text);
            if depth >= MAX_DEPTH && node.children.is_some() {
                let message = format!("blocks are nested more than {MAX_DEPTH} deep");
                self.problems.push(Diagnostic::error("depth", message).at(place));
                continue;
            }
            all.push(RawNode {
                name: node.name.text.into_owned(),
                place,
                args,
                props,
                children: node.children.map(|c| self.nodes(c, depth + 1)),
            });
        }
        all
    }

    fn belongs_here(&mut self, tag: Option<&Name<'_>>) -> bool {
        let Some(tag) = tag else { return true };
        let platform = self.surroundings.platform;
        match tag.text.as_ref() {
            "linux" => platform.linux,
            "windows" => platform.windows,
            "macos" => platform.macos,
            "unix" => platform.unix,
            other => {
                let meant = did_you_mean(other, ["linux", "windows", "macos", "unix"]);
                let problem = Diagnostic::error("tag", format!("unknown platform ({other})"))
                    .at(self.place(tag.span))
                    .suggest(meant)
                    .help("before a directive may stand (linux), (windows), (macos) or (unix)");
                self.problems.push(problem);
                false
            }
        }
    }

    fn include(&mut self, node: Node<'_>, depth: usize, all: &mut Vec<RawNode>) {
        let place = self.place(node.name.span);
        let (args, props) = self.entries(node.entries, "include");
        let misuse = if node.children.is_some() {
            Some((place, "include has no block"))
        } else if let Some(prop) = props.first() {
            Some((prop.place, "include has no properties"))
        } else if args.is_empty() {
            Some((place, "include names no file"))
        } else {
            None
        };
        if let Some((place, message)) = misuse {
            let problem = Diagnostic::error("include", message).at(place).help("write include \"sites/*.kdl\"");
            self.problems.push(problem);
            return;
        }
        for arg in args {
            match &arg.data {
                super::document::Raw::Text(pattern) => {
                    self.include_pattern(pattern, arg.place, depth, all);
                }
                _ => self.problems.push(Diagnostic::error("include", "a file name is text").at(arg.place)),
            }
        }
    }

    fn include_pattern(&mut self, pattern: &str, place: Place, depth: usize, all: &mut Vec<RawNode>) {
        // The name for messages begins as the including file's own does.
        let (shown, base) = self.directories();
        let found = match files::expand(&shown, &base, pattern) {
            Ok(found) => found,
            Err(reason) => {
                let message = format!("cannot include \"{pattern}\": {reason}");
                self.problems.push(Diagnostic::error("include", message).at(place));
                return;
            }
        };
        for (name, path) in found {
            if self.full {
                return;
            }
            if self.stack.len() > MAX_INCLUDES {
                let message = format!("files include each other more than {MAX_INCLUDES} deep");
                self.problems.push(Diagnostic::error("include", message).at(place));
                return;
            }
            self.include_file(name, &path, place, depth, all);
        }
    }

    fn include_file(&mut self, name: String, path: &Path, place: Place, depth: usize, all: &mut Vec<RawNode>) {
        let canonical = files::canonical(path);
        if self.stack.iter().any(|(_, open)| *open == canonical) {
            let mut chain: Vec<&str> = self
                .stack
                .iter()
                .skip_while(|(_, open)| *open != canonical)
                .filter_map(|(number, _)| self.document.sources.get(*number as usize))
                .map(|source| source.name.as_str())
                .collect();
            chain.push(&name);
            let message = format!("files include each other: {}", chain.join(" → "));
            self.problems.push(Diagnostic::error("include", message).at(place));
            return;
        }
        let known = self.known.get(&canonical).copied();
        let number = match known {
            Some(number) => {
                let len = self.document.sources[number as usize].text.len() as u64;
                if let Err(reason) = self.charge(len) {
                    self.problems.push(Diagnostic::error("include", reason).at(place));
                    return;
                }
                number
            }
            None => match self.read_text(path) {
                Ok(text) => self.add(name, path, text),
                Err(Unread::NotText(found)) => return self.not_text(name, path, found),
                Err(Unread::Because(reason)) => {
                    let message = format!("cannot include {name}: {reason}");
                    self.problems.push(Diagnostic::error("include", message).at(place));
                    return;
                }
            },
        };
        all.extend(self.file(number, canonical, depth));
    }

    /// Reads a file whole, within what is left of the limits.
    fn read_text(&mut self, path: &Path) -> Result<String, Unread> {
        let left = MAX_BYTES - self.bytes.min(MAX_BYTES);
        match files::read(path, left) {
            Ok(text) => self.charge(text.len() as u64).map(|()| text).map_err(Unread::Because),
            Err(files::Failure::TooLong) => {
                self.full = true;
                Err(Unread::Because(too_much()))
            }
            Err(files::Failure::NotText(found)) => Err(Unread::NotText(found)),
            Err(files::Failure::Other(reason)) => Err(Unread::Because(reason)),
        }
    }

    /// Registers a file that is no text, as far as it can be shown, and says where it is none.
    fn not_text(&mut self, name: String, path: &Path, found: files::NotText) {
        let files::NotText { shown, at, byte } = found;
        let file = self.add(name, path, shown);
        let place = Place { file, offset: u32::try_from(at).unwrap_or(u32::MAX), len: '\u{fffd}'.len_utf8() as u32 };
        let problem = Diagnostic::error("encoding", format!("the byte {byte:02X} is not UTF-8")).at(place);
        self.problems.push(problem.help("save the file as UTF-8"));
    }

    fn charge(&mut self, bytes: u64) -> Result<(), String> {
        self.bytes += bytes;
        self.files += 1;
        if self.bytes > MAX_BYTES || self.files > MAX_FILES {
            self.full = true;
            return Err(too_much());
        }
        Ok(())
    }

    /// The directory of the file being read: as named, and absolute.
    fn directories(&self) -> (PathBuf, PathBuf) {
        let source = self.stack.last().and_then(|(number, _)| self.document.sources.get(*number as usize));
        let parent = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
        source.map_or_else(Default::default, |s| (parent(Path::new(&s.name)), parent(&s.path)))
    }

    fn place(&self, span: Span) -> Place {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place {
            file: self.stack.last().map_or(0, |(number, _)| *number),
            offset: narrow(span.start),
            len: narrow(span.end - span.start.min(span.end)),
        }
    }
}

/// Why a file is not read.
enum Unread {
    NotText(files::NotText),
    /// In words.
    Because(String),
}

fn too_much() -> String {
    format!("the configuration is larger than {} MiB or has more than {MAX_FILES} files", MAX_BYTES >> 20)
}

#[cfg(test)]
mod tests;
